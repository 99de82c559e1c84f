"""``make reliability``: faults are injected into trainings, and what was lost is counted.

Each fault strikes one training, which is then resumed; it is lost if the end differs in one bit
from that of the training which was left alone, or if the command does not end as promised.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.reliability import trainings as runs
from tests.reliability.growth import MOST, of_epochs, of_models

LONG = (("epochs", of_epochs, 10_000), ("models", of_models, 300))
QUICK = (
    "SIGKILL at a random moment", "SIGKILL within a write", "SIGTERM",
    "checkpoint with a bit flipped", "folder read-only", "two processes, one folder",
)  # fmt: skip


class Faults:
    """The faults, one method each; it returns whether everything ended as promised."""

    def __init__(self, root, settings, seed=0):
        self.root, self.settings = root, settings
        self.random, self.count, self.restarted = random.Random(seed), 0, 0
        self.whole = root / f"whole-{len(list(root.iterdir()))}"
        began = time.monotonic()
        assert runs.wait(runs.train(self.whole, *settings)) == 0, "the training itself fails"
        self.seconds, self.expected = time.monotonic() - began, runs.fingerprint(self.whole)

    def new(self):
        self.count += 1
        return self.root / f"{self.whole.name}-{self.count}"

    def ends_alike(self, folder):
        """Resume a run, or start it again if its folder was never made; compare the ends."""
        if not runs.is_prepared(folder):
            self.restarted += 1
            shutil.rmtree(folder, ignore_errors=True)
            done = runs.wait(runs.train(folder, *self.settings)) == 0
        elif '"finished"' in (folder / "state.json").read_text():
            done = True
        else:
            done = runs.wait(runs.resume(folder)) == 0
        alike = done and runs.fingerprint(folder) == self.expected
        if alike:
            shutil.rmtree(folder)
        return alike

    def signal(self, number):
        """A signal at a random moment of the whole run."""
        folder = self.new()
        child = runs.train(folder, *self.settings)
        time.sleep(self.random.uniform(0.0, self.seconds))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)
        runs.wait(child)
        return self.ends_alike(folder)

    def stop(self, number):
        """A signal amid a random epoch; the command ends with status 130 and a checkpoint."""
        folder, epoch = self.new(), self.random.randint(2, 15)
        moment = self.random.uniform(0.0, 0.02)
        child = runs.train_to(epoch, folder, *self.settings, moment=moment)
        os.kill(child, number)
        runs.goes_on(child)
        status = runs.wait(child)
        said = '"interrupted"' in (folder / "state.json").read_text()
        return status == 130 and said and self.ends_alike(folder)

    def killed_in_a_write(self):
        """SIGKILL within one of the calls that write to disk; None if there were fewer of them."""
        number = self.random.randint(5, 40)

        def prepare():
            fsync, made = os.fsync, []

            def strike(descriptor):
                made.append(1)
                if len(made) == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                fsync(descriptor)

            os.fsync = strike

        folder = self.new()
        child = runs.train(folder, *self.settings, prepare=prepare)
        status = runs.wait(child)
        if status == 0:
            return None
        return status == -signal.SIGKILL and self.ends_alike(folder)

    def damaged(self, damage):
        """The last checkpoint of a killed run is damaged: the one before is used, and said."""
        folder, epoch = self.new(), self.random.randint(3, 15)
        child = runs.train_to(epoch, folder, *self.settings, checkpoints=2)
        os.kill(child, signal.SIGKILL)
        runs.wait(child)
        path, before = (
            runs.whole_checkpoints(folder)[-1] / "tensors.safetensors",
            runs.lines("is damaged"),
        )
        content = bytearray(path.read_bytes())
        if damage == "truncated":
            path.write_bytes(content[: self.random.randrange(len(content))])
        elif damage == "flipped":
            content[self.random.randrange(len(content))] ^= 1 << self.random.randrange(8)
            path.write_bytes(content)
        else:
            path.unlink()
        return self.ends_alike(folder) and runs.lines("is damaged") > before

    def deleted(self):
        """The folder is deleted under the training, which ends, and is kept beside its place."""
        folder = self.new()
        child = runs.train_to(3, folder, *self.settings)
        shutil.rmtree(folder)
        runs.goes_on(child)
        kept = folder.with_name(f"{folder.name}-kept-1")
        return runs.wait(child) == 0 and runs.fingerprint(kept) == self.expected

    def shared(self):
        """A second process resumes a run that is training: it is refused; the first one ends."""
        folder, before = self.new(), runs.lines("another process trains in this folder")
        child = runs.train_to(2, folder, *self.settings)
        refused = runs.wait(runs.resume(folder)) == 2
        runs.goes_on(child)
        said = runs.lines("another process trains in this folder") > before
        return refused and said and runs.wait(child) == 0 and self.ends_alike(folder)

    def read_only(self):
        """A folder that cannot be written to: refused with status 2, and nothing is left."""
        parent = self.new()
        parent.mkdir(mode=0o555)
        with mounted(parent, "ro") as there:
            if not there and os.getuid() == 0:  # who may write anywhere
                return None
            status = runs.wait(runs.train(parent / "r", *self.settings))
            return status == 2 and not list(parent.iterdir())

    def full_at_first(self):
        """No room for the run: refused with status 2, and nothing is left."""
        folder = self.new()

        def prepare():
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

        status = runs.wait(runs.train(folder, *self.settings, prepare=prepare))
        return status == 2 and not folder.exists()

    def full_amid(self):
        """A file system of 6 MB becomes full: the training ends, and what it made is kept."""
        place = self.new()
        place.mkdir()
        with mounted(place, "size=6m") as there:
            if not there:
                return None
            folder, before = place / "r", runs.lines("Training goes on")
            child = runs.train_to(3, folder, *self.settings)
            with contextlib.suppress(OSError), (place / "filler").open("wb", 0) as filler:
                while True:
                    filler.write(bytes(4096))
            runs.goes_on(child)
            done = runs.wait(child) == 0 and runs.lines("Training goes on") > before
            return done and runs.fingerprint(folder) == self.expected


@contextlib.contextmanager
def mounted(place, options):
    """A file system in memory at a place, where this process may mount one; whether it may."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    there = not os.getuid() and not subprocess.run(command, check=False).returncode
    try:
        yield there
    finally:
        if there:
            subprocess.run(["umount", str(place)], check=False)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="A few of each, by Pyro's step.")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    from pyro_vae.experiment import run  # before the forks
    from pyro_vae.report.table import Table

    run.pictures_of = lambda *_: {}  # which take longer than these trainings

    table = Table("Reliability", ["fault", "step", "injected", "as promised", "lost"])
    lost = 0
    with tempfile.TemporaryDirectory() as name:
        os.environ["RELIABILITY_LOG"] = str(Path(name, "log"))
        root = Path(name, "runs")
        root.mkdir(mode=0o755)
        Path(name).chmod(0o755)
        pyro = Faults(root, ("train.epochs=20", "train.step=pyro"), given.seed)
        many, some = (2, 1) if given.quick else (20, 3)
        plan = [
            ("SIGKILL at a random moment", pyro, many, lambda f: f.signal(signal.SIGKILL)),
            ("SIGKILL within a write", pyro, some, Faults.killed_in_a_write),
            ("SIGINT", pyro, some, lambda f: f.stop(signal.SIGINT)),
            ("SIGTERM", pyro, some, lambda f: f.stop(signal.SIGTERM)),
            ("SIGHUP", pyro, some, lambda f: f.stop(signal.SIGHUP)),
            ("checkpoint truncated", pyro, some, lambda f: f.damaged("truncated")),
            ("checkpoint with a bit flipped", pyro, some, lambda f: f.damaged("flipped")),
            ("checkpoint's file missing", pyro, some, lambda f: f.damaged("missing")),
            ("folder read-only", pyro, 1, Faults.read_only),
            ("disk full at the start", pyro, 1, Faults.full_at_first),
            ("disk full amid training", pyro, 1, Faults.full_amid),
            ("folder deleted", pyro, some, Faults.deleted),
            ("two processes, one folder", pyro, some, Faults.shared),
        ]
        if given.quick:
            plan = [line for line in plan if line[0] in QUICK]
        else:
            compiled = Faults(root, ("train.epochs=100", "train.step=compiled"), given.seed)
            plan += [
                ("SIGKILL at a random moment", compiled, 3, lambda f: f.signal(signal.SIGKILL)),
                ("SIGTERM", compiled, 1, lambda f: f.stop(signal.SIGTERM)),
            ]
        for fault, faults, count, strike in plan:
            ends = [end for end in (strike(faults) for _ in range(count)) if end is not None]
            lost += ends.count(False)
            step = faults.settings[-1].partition("=")[2]
            table.add(fault, step, len(ends), ends.count(True), ends.count(False))
            print(f"{fault} ({step}): {ends.count(True)} of {len(ends)}", flush=True)
        for what, grown, count in () if given.quick else LONG:
            memory, entries = grown(count)
            small = memory < MOST and not entries
            lost += not small
            said = f"{count:,} {what}: memory grew by {memory:.1f} MB, Pyro's store by {entries}"
            table.add(said, "pyro", count, count * small, count * (not small))
            print(said, flush=True)
        if lost:
            print(Path(name, "log").read_text()[-5000:])
    table.caption = (
        f"Each training ends with the same bytes as one that was left alone. {pyro.restarted} "
        f"were killed before their folder was made, and started again. Seed {given.seed}."
    )
    print(table.markdown())
    print(f"lost: {lost}")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
