"""Everything here that PyTorch does not promise to keep, in one place.

Tried with torch 2.11.0 and 2.14.1. Each name has a reason, and a fallback where one is possible.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.utils import _pytree as pytree  # there is no public module for nested containers
from torch.utils._python_dispatch import TorchDispatchMode  # documented, in no public module

__all__ = [
    "TorchDispatchMode",
    "compile_graph",
    "is_autocast_on",
    "is_view",
    "pytree",
    "written_arguments",
]

CACHE = "TORCHINDUCTOR_CACHE_DIR"
OpOverload: Any = torch._ops.OpOverload
STATISTICS = frozenset(("running_mean", "running_var"))
"""What ``native_batch_norm`` and a GPU's forms of it change in place; their schemas do not say."""


def _is_autocast_on() -> bool:
    """The public form, which takes four times as long."""
    return any(map(torch.is_autocast_enabled, ("cpu", "cuda")))


is_autocast_on: Any = getattr(torch._C, "_is_any_autocast_enabled", _is_autocast_on)


def compile_graph(graph: GraphModule, inputs: Sequence[Tensor], options: dict[str, Any]) -> Any:
    """A graph as one function that Inductor compiled for inputs of these layouts.

    ``torch._inductor.compile`` takes the graph as it is, without Dynamo's guards, which would cost
    a small step more than its kernels. Without it, ``torch.compile`` makes the same kernels.
    """
    _keep_cache_private()
    compiler = getattr(torch._inductor, "compile", None)
    if compiler is None:
        return torch.compile(graph, fullgraph=True, dynamic=False, options=options)
    return compiler(graph, list(inputs), options=options)


def _keep_cache_private() -> None:
    """Give Inductor a cache that only this user can write, unless the user named one.

    Its own is a folder of a known name where everyone can write, and it runs what it finds there.
    """
    if CACHE in os.environ or not hasattr(os, "getuid"):
        return
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = home / "pyro_vae" / "inductor"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.lstat()
        ours = stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid()
        private = ours and not state.st_mode & 0o077 and os.access(folder, os.W_OK)
    except (OSError, RuntimeError):  # no home, or one that cannot be written
        private = False
    if not private:
        folder = Path(tempfile.mkdtemp(prefix="pyro_vae-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[CACHE] = str(folder)


def written_arguments(node: Node) -> Iterator[Any]:
    """The arguments that a node changes in place, as its operator's schema states.

    A schema has no public form. Without one, every argument counts as changed.
    """
    if not isinstance(node.target, OpOverload):
        return
    schema = _schema_of(node)
    if schema is None:
        yield from node.args
    else:
        norm = schema.name.endswith("batch_norm")
        for argument, given in zip(schema.arguments, node.args, strict=False):
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written or (norm and argument.name in STATISTICS and given is not None):
                yield from given if isinstance(given, list | tuple) else [given]


def is_view(node: Node) -> bool:
    """Whether what a node gives may share the memory of its first argument."""
    schema = _schema_of(node)
    return schema is not None and schema.returns[0].alias_info is not None


def _schema_of(node: Node) -> Any:
    return getattr(node.target, "_schema", None)
