"""Programs: a model's encoder and decoder as files that run without genzoo, checked against the model."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from genzoo.errors import GenzooError, SettingsError
from genzoo.evaluation.model import Model
from genzoo.nn.interfaces import Networks
from genzoo.randomness import generator, preserved
from genzoo.text import text_of

ProgramFormat = Literal["torch-export", "onnx"]
"""The format of exported programs: that of torch.export, or ONNX."""

ENDINGS: dict[ProgramFormat, str] = {"torch-export": ".pt2", "onnx": ".onnx"}
_ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_TRACED_ROWS = 3
_CHECKED_ROWS = (1, 5)
"""Numbers of rows with which a program is run after it was written; any number is allowed."""
_LARGEST_ERROR = 1e-3
_WITHOUT = "leave out --format: the weights are written, and read by genzoo.load"


class Program(NamedTuple):
    """A file that was written, and how it differs from the model."""

    name: str
    error: float
    """The largest absolute difference from the model's numbers."""


class _Encoder(nn.Module):
    """z, and mean and log σ where the encoder gives them, of x, noise and for conditional models y."""

    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.networks = Networks(encoder=networks.encoder, embedder=networks.embedder)

    def forward(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return what the code of `x` (N, *shape), drawn with `noise` (N, latent), holds."""
        code = self.networks.encode(x, noise, y)
        return tuple(value for value in (code.z, code.mean, code.log_std) if value is not None)


class _Decoder(nn.Module):
    """x of z and for conditional models y."""

    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.networks = Networks(decoder=networks.decoder, embedder=networks.embedder)

    def forward(self, z: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the decoded `z` (N, latent)."""
        return (self.networks.decode(z, y),)


def require_packages(format: ProgramFormat) -> None:
    """Raise `SettingsError` if a format needs packages that are not installed."""
    missing = [name for name in _ONNX_PACKAGES if format == "onnx" and find_spec(name) is None]
    if missing:
        raise SettingsError(f"--format onnx needs {', '.join(missing)}", "type: pip install 'genzoo[export]'")


def write_programs(folder: Path, model: Model, format: ProgramFormat) -> list[Program]:
    """Write the encoder and decoder that a model on the CPU has into `folder`, each for any number of rows, and check.

    An encoder takes x, noise and, if conditional, y, and gives z, and mean and log σ if it has them; with noise of
    zeros, z is the mean. A decoder takes z and y.
    """
    written = []
    for name, kind, inputs in (("encoder", _Encoder, ("x", "noise")), ("decoder", _Decoder, ("z",))):
        if getattr(model.networks, name) is not None:
            names = (*inputs, "y") if model.networks.is_conditional else inputs
            with preserved(), torch.no_grad():
                program = kind(model.networks).eval()
                path = folder / f"{name}{ENDINGS[format]}"
                run = _write(path, program, names, _rows_of(model, names, _TRACED_ROWS), format)
                error = max(_largest_error(program, run, _rows_of(model, names, rows)) for rows in _CHECKED_ROWS)
            if not error <= _LARGEST_ERROR:
                raise GenzooError(
                    f"{path} differs from the model by {error:.3g}, expected at most {_LARGEST_ERROR:g}", _WITHOUT
                )
            written.append(Program(path.name, error))
    return written


def _write(
    path: Path, program: nn.Module, names: tuple[str, ...], inputs: tuple[Tensor, ...], format: ProgramFormat
) -> Callable[[tuple[Tensor, ...]], list[Tensor]]:
    """Write a program, read it again, and return a function that runs it."""
    rows = torch.export.Dim("rows", min=1)
    try:
        exported = torch.export.export(program, inputs, dynamic_shapes=tuple({0: rows} for _ in inputs))
        for node in exported.graph.nodes:
            node.meta.pop("stack_trace", None)  # it names folders of this machine
        if format == "torch-export":
            torch.export.save(exported, path)
            reread = torch.export.load(path).module()
            return lambda values: list(reread(*values))
        outputs = ("z", "mean", "log_std")[: len(program(*inputs))] if "x" in names else ("x",)
        torch.onnx.export(
            exported, (), path, input_names=names, output_names=outputs, external_data=False, verbose=False
        )
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # both exporters raise errors of many types
        reason = text_of(error).strip().partition("\n")[0]
        raise GenzooError(f"{path.stem} cannot be exported: {reason}", _WITHOUT) from error
    return lambda values: [
        torch.from_numpy(value)
        for value in session.run(None, {name: x.numpy() for name, x in zip(names, values, strict=True)})
    ]


def _largest_error(
    program: nn.Module, run: Callable[[tuple[Tensor, ...]], list[Tensor]], inputs: tuple[Tensor, ...]
) -> float:
    """Return the largest absolute difference between a program that was written and the networks."""
    pairs = zip(run(inputs), program(*inputs), strict=True)
    return max(float((written - own).abs().max()) for written, own in pairs)


def _rows_of(model: Model, names: tuple[str, ...], rows: int) -> tuple[Tensor, ...]:
    """Return random inputs of that many rows."""
    source = generator("cpu", rows, "program")
    x = torch.rand(rows, *model.data.shape, generator=source)
    drawn = {"x": x if model.data.support == "unit" else 6 * x - 3}
    drawn |= {name: torch.randn(rows, model.latent, generator=source) for name in ("noise", "z")}
    drawn["y"] = torch.eye(max(1, model.data.condition_size))[[0] * rows]
    return tuple(drawn[name] for name in names)
