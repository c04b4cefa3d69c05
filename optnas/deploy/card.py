"""The card of a network: what it is, what it learned on, how good and how dear it is, and how to run it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from optnas.cost import COSTS, format_cost
from optnas.deploy.checkpoint import Facts
from optnas.errors import UsageError
from optnas.report.markdown import escaped
from optnas.report.network import save_network
from optnas.space import SPACES

if TYPE_CHECKING:
    from optnas.deploy.model import Model

__all__ = ["ExportedFile", "card", "write_card"]

_PICTURE = "network.svg"


@dataclass(frozen=True)
class ExportedFile:
    """A file of a network, measured."""

    name: str
    """In the folder of the card."""
    format: str
    """"onnx", "executorch", "litert", or "safetensors"."""
    precision: str
    """"fp32" or "int8"."""
    size_bytes: int
    """Of the file."""
    images: int = 0
    """Validation images that it was run on."""
    error: float | None = None
    """Its error on them, in [0, 1]."""
    max_difference: float | None = None
    """The largest difference of a logit from PyTorch's on them."""
    latency_ms: float | None = None
    """Of one image, where it was measured."""
    note: str = ""
    """What a person should know of it."""


def write_card(model: Model, folder: Path, files: Sequence[ExportedFile] = ()) -> Path:
    """Write README.md and a picture of the network into a folder.

    Args:
        model: The network.
        folder: Made if there is none.
        files: Those of the network that lie in it.

    Returns:
        The card.

    Raises:
        UsageError: If it cannot be written there.
    """
    path = folder / "README.md"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_network(model.network, model.facts.input_shape, folder / _PICTURE, model.facts.choices)
        path.write_text(card(model.facts, files, _PICTURE), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"card {path}: cannot be written: {error.strerror}") from None
    return path


def card(facts: Facts, files: Sequence[ExportedFile] = (), picture: str | None = None) -> str:
    """The card in Markdown.

    Args:
        facts: Of the network.
        files: Beside the card.
        picture: The file of its drawing, if there is one.
    """
    parts = [f"# {escaped(facts.study)}, trial {facts.trial}", _summary(facts)]
    if picture:
        parts.append(f"![The network from its input to its classes]({picture})")
    parts += ["## Accuracy", _accuracy(facts), "## Costs", _costs(facts)]
    if files:
        parts += ["## Files", _files(files), *_snippets(files, facts)]
    parts += ["## Data and training", _data(facts), "## Choices", _choices(facts)]
    made = escaped(", ".join(f"{name} {number}" for name, number in facts.versions.items()))
    parts += ["## Origin", f"Trained {escaped(facts.date) or 'at an unknown time'} (UTC) with {made}. Space "
              f"{escaped(facts.space)}, network {escaped(facts.fingerprint)}."]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _summary(facts: Facts) -> str:
    shape = "x".join(map(str, facts.input_shape))
    known = [format_cost(name, facts.costs[name]) for name in ("params", "macs") if name in facts.costs]
    size = f" of {known[0]} parameters and {known[1]} multiply-adds" if len(known) == 2 else ""
    return (
        f"A network{size} that tells {len(facts.classes)} classes of {escaped(facts.data.get('data', 'images'))} apart "
        f"in images of {shape}. Takes float32 images (1, {', '.join(map(str, facts.input_shape))}) with pixels from "
        f"0 to 1, which it normalises itself, and gives a logit for each class: {escaped(', '.join(facts.classes))}."
    )


def _accuracy(facts: Facts) -> str:
    validation = f"{escaped(facts.data.get('n_val', '?'))} validation images"
    how = "retrained" if facts.retrained else "as trained in the search"
    rows = [(f"these weights ({how}, seed {facts.seed})", validation, "1", f"{facts.error:.2%}")]
    if facts.errors:
        rows.append((f"retrained, seeds {_listed(facts.seeds)}", validation, *_mean(facts.errors)))
    if facts.retrained:
        rows.append(("in the search", "its validation images", "1", f"{facts.search_error:.2%}"))
    if facts.test_error is not None:
        rows.append(("these weights", "test images", "1", f"{facts.test_error:.2%}"))
        rows.append((f"retrained, seeds {_listed(facts.seeds)}", "test images", *_mean(facts.test_errors)))
    table = _table(("weights", "images", "trainings", "error"), rows)
    return f"{table}\n\n{_looks(facts)}"


def _choices(facts: Facts) -> str:
    return _table(("choice", "option"), [(escaped(name), escaped(option)) for name, option in facts.choices.items()])


def _looks(facts: Facts) -> str:
    listed = escaped(", ".join(facts.looks))
    if len(facts.looks) > 1:
        return (
            f"The study read its test images {len(facts.looks)} times, on {listed} (UTC): what was chosen after the "
            "first time may be owed to them."
        )
    if facts.test_error is not None:
        return "The test images were read after everything was chosen on validation images."
    if facts.looks:
        return f"The test images were not read for these weights; the study read them on {listed} (UTC)."
    return "The test images were not read."


def _mean(errors: Sequence[float]) -> tuple[str, str]:
    spread = f" ± {statistics.stdev(errors):.2%} (standard deviation)" if len(errors) > 1 else ""
    return str(len(errors)), f"{statistics.fmean(errors):.2%}{spread}"


def _costs(facts: Facts) -> str:
    return _table(("cost", "value"), [(n, format_cost(n, facts.costs[n])) for n in COSTS if n in facts.costs])


def _data(facts: Facts) -> str:
    rows = [(name, _listed(value) if isinstance(value, list | tuple) else value) for name, value in facts.data.items()]
    moments = [("mean of each channel", _rounded(facts.mean)), ("deviation of each channel", _rounded(facts.std))]
    shown = [(escaped(name), escaped(value)) for name, value in rows if name != "classes"]
    return _table(("setting", "value"), shown + moments)


def _files(files: Sequence[ExportedFile]) -> str:
    rows = [
        (
            f"[{file.name}]({file.name})",
            file.format,
            file.precision,
            format_cost("size_bytes", file.size_bytes),
            "-" if file.error is None else f"{file.error:.2%} of {file.images}",
            "-" if file.max_difference is None else f"{file.max_difference:.2g}",
            "-" if file.latency_ms is None else format_cost("latency_ms", file.latency_ms),
            escaped(file.note),
        )
        for file in files
    ]
    heads = ("file", "format", "precision", "size", "validation error", "largest difference", "latency", "")
    return _table(heads, rows)


_RUN = {
    "onnx": """import numpy
import onnxruntime
{image}
options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.x64quantprecision", "1")  # exact 8-bit products, as on phones
session = onnxruntime.InferenceSession("{file}", options)
(logits,) = session.run(None, {{session.get_inputs()[0].name: image}})""",
    "executorch": """import numpy
import torch
from executorch.runtime import Runtime
{image}
program = Runtime.get().load_program("{file}")
(logits,) = program.load_method("forward").execute([torch.from_numpy(image)])""",
    "litert": """import numpy
from ai_edge_litert.interpreter import Interpreter
{image}
interpreter = Interpreter("{file}")
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
interpreter.invoke()
logits = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])""",
    "safetensors": """import optnas
print(optnas.load_model("{file}"{space}).predict(["photo.png"]))""",
}


def _snippets(files: Sequence[ExportedFile], facts: Facts) -> list[str]:
    """How to run the first file of each format."""
    first = {file.format: file for file in reversed(files) if file.format in _RUN}
    image = f"image = numpy.zeros((1, {', '.join(map(str, facts.input_shape))}), numpy.float32)  # pixels from 0 to 1"
    space = "" if facts.space in SPACES else f", space={json.dumps(facts.space)}"
    snippets = []
    for kind in sorted(first, key=list(_RUN).index):
        lines = _RUN[kind].format(file=first[kind].name, space=space, image=image)
        snippets.append(f"To run the {kind} file:\n\n```python\n{lines}\n```")
    return snippets


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values)) or "none"


def _rounded(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)
