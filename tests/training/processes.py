"""Trainings that several processes share, each a fork of this one, and what came of them."""

from __future__ import annotations

import os
import pickle
import socket
import sys
import traceback


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def together(size, work, folder):
    """What ``work(rank)`` returns in each of ``size`` processes; None if it died."""
    port, children = free_port(), []
    for rank in range(size):
        child = os.fork()
        if child:
            children.append(child)
            continue
        os.environ.update(
            RANK=str(rank), WORLD_SIZE=str(size), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
        )  # fmt: skip
        try:
            log = os.open(folder / f"log-{rank}", os.O_WRONLY | os.O_CREAT)
            os.dup2(log, 1), os.dup2(log, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            (folder / f"{rank}").write_bytes(pickle.dumps(work(rank)))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    for rank in range(size):
        print((folder / f"log-{rank}").read_text())
    files = [folder / f"{rank}" for rank in range(size)]
    return [pickle.loads(file.read_bytes()) if file.exists() else None for file in files]
