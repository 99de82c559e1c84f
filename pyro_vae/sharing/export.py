"""A model as programs that run without this package, each checked against the model."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pyro_vae.core.condition import Condition
from pyro_vae.core.errors import DeclarationError, IncompatibleComponents
from pyro_vae.core.modes import isolated_copy
from pyro_vae.core.prior import codes_of
from pyro_vae.experiment.run_folder import RunFolder
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Table
from pyro_vae.sharing.parts import Decoder, Encoder, Part, Scorer, noise_size
from pyro_vae.vae import VAE

__all__ = ["Export", "Exported", "export"]

PartName = Literal["encoder", "decoder", "scorer"]
PARTS: dict[str, type[Part]] = {"encoder": Encoder, "decoder": Decoder, "scorer": Scorer}
TOLERANCE = 1e-5


@dataclass
class Exported:
    """One file, or why there is none.

    Args:
        part: The part of the model.
        form: ``torch.export`` or ``ONNX``.
        file: Its path; None if the part has no such form.
        inputs: Shapes of its inputs, by name; N is any number of data.
        difference: The largest from the model, relative to values above 1.
        reason: Why there is no file.
    """

    part: str
    form: str
    file: Path | None = None
    inputs: str = ""
    difference: float | None = None
    reason: str = ""


@dataclass(repr=False)
class Export(ShownAsTable):
    """What was exported; displays itself in a terminal and in Jupyter.

    Args:
        files: Each part in each form.
    """

    files: list[Exported]

    def table(self) -> Table:
        """Each part in each form."""
        caption = "Difference from the model on other data, relative to values above 1."
        columns = ["part", "form", "file", "inputs", "difference"]
        table = Table("Export", columns, caption, ["left", "left", "left", "left", "right"])
        for each in self.files:
            name = each.file.name if each.file else f"none: {each.reason}"
            off = None if each.difference is None else f"{each.difference:.0e}"
            table.add(each.part, each.form, name, each.inputs or None, off)
        return table


def export(
    vae: VAE,
    folder: str | Path,
    *,
    parts: Sequence[PartName] = ("encoder", "decoder", "scorer"),
    onnx: bool = True,
) -> Export:
    """Write a model's parts as programs of ``torch.export`` and ONNX.

    The encoder maps x to the point estimate of z, the decoder z to the mean of p(x|z), and the
    scorer x and standard normal noise to log p(x, z) - log q(z|x) in nats, whose mean over the
    noise is the ELBO. Data are in their own units: standardization is part of the programs. The
    number of data is free. Each program must compute what the model does, to 1e-5, before it is
    written. What has no static form (a table of parameters per datum, a draw that is no function
    of normal noise, an operator that ONNX lacks) is not written, and the result says why. The
    parts of a conditional model take each datum's condition last, and do not check it.

    Args:
        vae: The model.
        folder: The folder; files of these names in it are replaced.
        parts: Those that are wanted.
        onnx: Whether to write ONNX too (``pip install 'pyro-vae[onnx]'``).

    Raises:
        DeclarationError: if ONNX's packages are missing, or a part is unknown.
        IncompatibleComponents: if nothing could be exported.
        RunFolderError: if the folder cannot be written.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown or not parts:
        got = ", ".join(unknown) or "none"
        raise DeclarationError(f"parts: expected some of {', '.join(PARTS)}, got {got}", "export")
    if onnx:
        _check_packages()
    dtype = next((v.dtype for v in vae.parameters()), torch.get_default_dtype())
    files: list[Exported] = []
    with isolated_copy(vae, dtype, seed=0, validate=False) as model:
        model.cpu().requires_grad_(False)
        for name in dict.fromkeys(parts):
            files += _exported(name, model, RunFolder(Path(folder)), onnx)
    if not any(each.file for each in files):
        reasons = "; ".join(f"{each.part}, {each.form}: {each.reason}" for each in files)
        raise IncompatibleComponents(f"export: expected parts with a static form, got {reasons}")
    return Export(files)


def _exported(name: str, model: VAE, folder: RunFolder, onnx: bool) -> list[Exported]:
    """A part in each form."""
    forms = ["torch.export", "ONNX"][: 1 + onnx]
    try:
        part = PARTS[name](model)
        given, other = _inputs(part, 3), _inputs(part, 5)
        wanted = part(*other)
        program = _program(part, given)
        found = {"torch.export": (f"{name}.pt2", _difference(program.module()(*other), wanted))}
        stream = io.BytesIO()
        torch.export.save(program, stream)
        content = {"torch.export": stream.getvalue()}
    except Exception as error:  # whatever tracing raises, it has no static form
        return [Exported(name, form, reason=_reason(error)) for form in forms]
    failed: dict[str, str] = {}
    if onnx:
        try:
            content["ONNX"] = _onnx(part, program)
            got = _run(content["ONNX"], other)
            found["ONNX"] = (f"{name}.onnx", _difference(got, wanted))
        except Exception as error:
            failed["ONNX"] = _reason(error)
    shapes = ", ".join(
        f"{label} ({', '.join(['N', *map(str, x.shape[1:])])})"
        for label, x in zip(part.inputs, given, strict=True)
    )
    result = []
    for form in forms:
        file, off = found.get(form, ("", float("nan")))
        if form in failed or not off <= TOLERANCE:
            why = failed.get(form, f"it differs from the model by {off:.0e}")
            result.append(Exported(name, form, reason=why))
        else:
            path = folder.write(file, content[form])
            result.append(Exported(name, form, path, shapes, off))
    return result


def _inputs(part: Part, size: int) -> tuple[Tensor, ...]:
    """Some data, codes and noise of the model's own."""
    known = () if part.vae.condition is None else (_conditions(part.vae.condition, size),)
    vae = part.vae._in_program(*known or [None])
    z = codes_of(vae.prior(), size)
    if "z" in part.inputs:
        return (z, *known)
    x = part.own(vae.decode(z).sample())
    noise = [torch.randn(size, noise_size(vae)).to(x)] if "noise" in part.inputs else []
    return (x, *noise, *known)


def _conditions(condition: Condition, size: int) -> Tensor:
    """Valid conditions: numbers, or 0 and 1 in turn where they are whole, or all 0."""
    shape = (size, *condition.shape)
    whole = torch.arange(size).reshape(-1, *[1] * len(condition.shape)).expand(shape) % 2
    found = [c for c in (torch.randn(shape), whole) if not condition.problem(c)]
    return found[0] if found else torch.zeros_like(whole)


def _program(part: Part, given: tuple[Tensor, ...]) -> Any:
    """The traced program, which has no draw of its own.

    Raises:
        IncompatibleComponents: if it has one.
    """
    batch = {0: torch.export.Dim("N")}
    program = torch.export.export(part, given, dynamic_shapes=(batch,) * len(given), strict=False)
    for node in program.graph.nodes:
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise IncompatibleComponents(
                f"its draws use {node.target}, which is no function of normal noise"
            )
    return program


def _onnx(part: Part, program: Any) -> bytes:
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of the exporter's own parts
        made = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=part.inputs,
            output_names=[part.output],
        )  # fmt: skip
    content: bytes = made.model_proto.SerializeToString()  # type: ignore[union-attr]
    return content


def _run(content: bytes, given: tuple[Tensor, ...]) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    fed = {name: x.numpy() for name, x in zip(names, given, strict=True)}
    return torch.from_numpy(np.asarray(session.run(None, fed)[0]))


def _difference(got: Tensor, wanted: Tensor) -> float:
    if got.shape != wanted.shape:
        return float("nan")
    got, wanted = got.detach(), wanted.detach()
    off = (got - wanted).abs() / wanted.abs().clamp(min=1)
    return float(torch.where(got == wanted, 0.0, off).max())  # infinities, too


def _reason(error: BaseException) -> str:
    """What ended an export, in one line."""
    deepest = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    missing = re.search(r"No ONNX function found for .*?op='([\w.]+)'", str(deepest))
    if missing:
        return f"ONNX has no operator for {missing[1]}"
    said = " ".join(str(deepest).partition("The error above")[0].split())
    return said[:200] or type(deepest).__name__


def _check_packages() -> None:
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise DeclarationError(
            f"ONNX needs {', '.join(missing)}: pip install 'pyro-vae[onnx]'; without it, "
            f"onnx=False (--no-onnx) writes the programs of torch.export alone",
            "export",
        )
