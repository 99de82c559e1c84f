"""What only a GPU can prove: ``make gpu``, or ``python -m benchmarks.gpu``.

Each part runs in a process of its own, so that one that fails harms no other, and what it prints
is written as it ends, to benchmarks/GPU.md. The parts that measure come after those that prove.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "GPU.md"
NEEDED = 20.0  # seconds without which no part is begun
STEPS, ROWS, BATCH = 2000, 10_000, 128


def versions(device: str) -> None:
    """Versions, the compiler, and a kernel that Triton compiles."""
    import shutil

    import pyro
    import torch

    print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, Pyro {pyro.__version__}")
    print(f"C compiler: {shutil.which('gcc') or shutil.which('cc') or 'none'}")
    if device == "cuda":
        gpu = torch.cuda.get_device_properties(0)
        print(f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}")
    x = torch.arange(4.0, device=device)
    print(f"a compiled kernel: {torch.compile(lambda x: x * 2 + 1)(x).tolist()}")


def _mnist(device: str, **settings: Any) -> tuple[Any, Any, Any]:
    """A compiled SVI on the MNIST MLP, its data and its model."""
    import pyro
    import torch

    from pyro_vae import VAE, CompiledSVI
    from pyro_vae.objectives.elbo import ELBO

    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    net = {"kind": "mlp", "hidden": [400]}
    declared = {"encoder": net, "decoder": net} | settings.pop("model", {})
    vae = VAE((784,), 20, likelihood="bernoulli", **declared).to(device)
    data = (torch.rand(ROWS, 784, device=device) < 0.3).float()
    make = settings.pop("optimizer", pyro.optim.Adam)
    optimizer = make({"lr": settings.pop("lr", 1e-3)})
    kind = settings.pop("kind", CompiledSVI)
    batch = {"batch": lambda index: (data[index],)} if kind is CompiledSVI else {}
    return kind(vae.model, vae.guide, optimizer, ELBO().pyro_loss(), **batch), data, vae


def _indices(device: str, count: int) -> Any:
    import torch

    made = torch.Generator().manual_seed(1)
    return torch.randint(ROWS, (count, BATCH), generator=made).to(device)


def captured(device: str) -> None:
    """The MNIST MLP is captured, makes Pyro's steps, and draws anew at each of them."""
    import pyro
    import torch
    from pyro.infer import SVI

    index = _indices(device, 200)
    losses = []
    for kind in ("compiled", "pyro"):
        svi, data, _ = _mnist(device, **({"kind": SVI} if kind == "pyro" else {}))
        given = index if kind == "compiled" else data[index]
        losses.append(torch.stack([torch.as_tensor(svi.step(each)).cpu() for each in given]))
        if kind == "compiled":
            print(f"captured: {svi.compiled}, in {svi.capture_seconds:.1f} s")
            assert svi.compiled
    gap = ((losses[0] - losses[1]).abs() / losses[1].abs()).max().item()
    print(f"200 steps beside SVI: largest relative difference of a loss {gap:.1e}")
    assert gap < 0.01
    svi, *_ = _mnist(device, lr=0.0)
    [svi.step(index[0]) for _ in range(5)]
    drawn = []
    for _ in range(2):
        pyro.set_rng_seed(3)
        drawn.append([svi.step(index[0]).item() for _ in range(3)])
    print(f"one index, rate 0: losses {drawn[0]}, the same after seeding again: {drawn[1]}")
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 3


def _timed(name: str, step: Callable[[Any], Any], given: Any) -> None:
    """Print the time of a step, with one look at the device."""
    import torch

    wait = torch.cuda.synchronize if given[0].is_cuda else lambda: None
    for each in given[:10]:
        step(each)
    wait()
    began = time.perf_counter()
    for each in given:
        step(each)
    wait()
    print(f"{name}: {(time.perf_counter() - began) / len(given) * 1e3:.3f} ms a step")


def steps(device: str) -> None:
    """2,000 steps of the MNIST MLP with one look at the GPU, and a profile by kernel."""
    import torch
    from pyro.infer import SVI

    from pyro_vae import as_dataset, fit

    timed, index = _timed, _indices(device, STEPS if device == "cuda" else 50)
    svi, data, vae = _mnist(device)
    timed("CompiledSVI.step", svi.step, index)
    (variant,) = svi._variants.values()
    timed("its replay alone", lambda each: variant.replay([each], svi._loss), index)
    if device == "cuda":
        timed("the bare graph", lambda _: variant.replay.graph.replay(), index)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            for each in index[:50]:
                svi.step(each)
            torch.cuda.synchronize()
        print(profile.key_averages().table(sort_by="self_device_time_total", row_limit=25))
    plain, data, _ = _mnist(device, kind=SVI)
    timed("pyro.infer.SVI.step", lambda each: plain.step(data[each]), index[:300])
    _, _, vae = _mnist(device)
    ends: list[float] = []
    rows = as_dataset(data.cpu(), binarization="none", validation=0, test=0)
    fit(vae, rows, epochs=3, batch_size=BATCH, step="compiled", device=device,
        show_progress=False, on_epoch=lambda _: ends.append(time.perf_counter()))  # fmt: skip
    print(f"an epoch of fit, {ROWS} data: {(ends[2] - ends[1]) * 1e3:.1f} ms")


def ablations(device: str) -> None:
    """What the compiled step could do otherwise, each alone: keep what pays."""
    from contextlib import nullcontext
    from unittest import mock

    from pyro_vae.compiled import backends, parameter_groups
    from pyro_vae.core.modes import multiplying

    tuned = {"max_autotune": True, "coordinate_descent_tuning": True}
    ways: dict[str, Any] = {
        "as it is": nullcontext(),
        "one vector of all parameters": mock.patch.object(parameter_groups, "SMALL", 2**62),
        "no vectors": mock.patch.object(parameter_groups, "SMALL", 0),
        "max autotune, coordinate descent": mock.patch.dict(backends.INDUCTOR, tuned),
        "TF32": multiplying(tf32=True),
    }
    index = _indices(device, STEPS if device == "cuda" else 20)
    for name, way in ways.items():
        with way:
            svi, _, _ = _mnist(device)
            _timed(name, svi.step, index)


def waits(device: str) -> None:
    """No step waits for the GPU, and captures give their memory back."""
    import torch

    svi, _, _ = _mnist(device)
    index = _indices(device, 60)
    [svi.step(each) for each in index[:10]]
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
        [svi.step(each) for each in index[10:]]
        torch.cuda.set_sync_debug_mode("default")
    svi.check()
    print("50 steps without a wait")
    held = []
    for _ in range(5):
        svi, _, _ = _mnist(device)
        [svi.step(each) for each in index[:5]]
        held.append(torch.cuda.memory_reserved() / 2**20 if device == "cuda" else 0)
    print(f"MiB reserved after each of five captures: {[round(each) for each in held]}")


def _case(name: str) -> Callable[[str], None]:
    def run(device: str) -> None:
        import pyro
        import torch

        norm = {"kind": "mlp", "hidden": [400], "batch_norm": True}
        settings: dict[str, Any] = {
            "cpu_index": {}, "bfloat16": {},
            "low_rank_normal": {"model": {"posterior": "low_rank_normal"}},
            "batch_norm": {"model": {"encoder": norm, "decoder": norm}},
            "clipped_adam": {"optimizer": pyro.optim.ClippedAdam},
        }[name]  # fmt: skip
        svi, _, _ = _mnist(device, **settings)
        index = _indices("cpu" if name == "cpu_index" else device, 30)
        with torch.autocast(device, torch.bfloat16, enabled=name == "bfloat16"):
            losses = [torch.as_tensor(svi.step(each)).item() / BATCH for each in index]
        svi.check()
        print(f"captured: {svi.compiled}; loss {losses[0]:.1f} to {losses[-1]:.1f} nats per datum")
        assert svi.compiled
        assert losses[-1] < losses[0]

    run.__doc__ = f"{name.replace('_', ' ')}: captured, and the loss falls."
    return run


CASES = ("cpu_index", "low_rank_normal", "batch_norm", "clipped_adam", "bfloat16")
PARTS: dict[str, Callable[[str], None]] = {
    "versions": versions, "captured": captured, "steps": steps, "ablations": ablations,
    "waits": waits,
    **{name: _case(name) for name in CASES},
}  # fmt: skip


def commands(device: str) -> Iterator[tuple[str, list[str]]]:
    """What to run, in order, each with its title."""
    python = [sys.executable, "-m"]
    for name, part in PARTS.items():
        title = (part.__doc__ or name).splitlines()[0]
        yield title, [*python, "benchmarks.gpu", "--device", device, "--part", name]
    for file in ("tests/compiled/test_cuda.py", "tests"):
        chosen = ["-m", "cuda", "-q", "-p", "no:logging", "-p", "no:cacheprovider", file]
        skip = ["--ignore", "tests/compiled/test_cuda.py"] if file == "tests" else []
        yield f"The tests marked cuda, {file}.", [*python, "pytest", *chosen, *skip]
    timed = ["--device", device, "--only", "mnist", "digits", "--rounds", "5"]
    yield "Beside its peers.", [*python, "benchmarks", *timed, "--results", os.devnull]
    if os.environ.get("PYRO_VAE_DATA"):
        paper = ["reproduce", "iwae-l1-vae-k1", "--schedule", "short", f"train.device={device}"]
        yield "The IWAE paper's first row, short schedule.", [*python, "pyro_vae", *paper]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts until the time is over; 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--part", choices=PARTS, help="run one part here and now")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all parts together (9)")
    parser.add_argument("--results", type=Path, default=PAGE, help="the page (benchmarks/GPU.md)")
    given = parser.parse_args(arguments)
    if given.part:
        PARTS[given.part](given.device)
        return 0
    end, failed = time.monotonic() + 60 * given.minutes, 0
    given.results.write_text(f"# On a GPU\n\n`make gpu`, {datetime.date.today()}.\n")
    for title, command in commands(given.device):
        left = end - time.monotonic()
        if left < NEEDED:
            output, outcome = "", "not begun: no time was left"
        else:
            try:
                done = subprocess.run(
                    command, check=False, capture_output=True, text=True, timeout=left
                )  # fmt: skip
                output, outcome = done.stdout, "passed" if not done.returncode else "FAILED"
                output += done.stderr[-4000:] if done.returncode else ""
                failed += done.returncode != 0
            except subprocess.TimeoutExpired as stopped:
                output = bytes(stopped.stdout or b"").decode(errors="replace")
                outcome = "stopped when the time was over"
        section = f"\n## {title}\n\n{outcome}\n\n```\n{output.strip()}\n```\n"
        print(section, flush=True)
        with given.results.open("a") as page:
            page.write(section)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
