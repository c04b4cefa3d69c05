"""A network in the format of a phone's runtime: its files, judged on real images beside PyTorch, and timed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from optnas.cost.latency import Latency, measure_file
from optnas.runtime import ExportFailed, FileRuntime, runtime_of
from optnas.study.executor import Executor
from optnas.task import ImageTask
from optnas.threads import one_thread

__all__ = ["PARITY", "FileJob", "Judged", "make_all", "make_files", "time_all", "weights_digest"]

#: How far a logit of a file in 32-bit floats may be from PyTorch's, as a share of the largest logit.
PARITY = 1e-3
_BATCH = 256


@dataclass(frozen=True)
class FileJob:
    """What travels to a worker: one network, one format."""

    trial: int
    """The network's number in its study."""
    network: nn.Module
    """From float images in [0, 1] to logits, in eval mode."""
    task: ImageTask
    """Whose validation images it is judged on, and whose training images it is calibrated on."""
    format: str
    """One of `optnas.runtime.FORMATS`."""
    int8: bool
    """Whether an int8 file is made too."""
    images: int | None
    """Validation images to run, the first ones; None for all."""
    calibration: int
    """Training images that the ranges of activations are seen on."""
    seed: int
    """Draws those."""


@dataclass(frozen=True)
class Judged:
    """A file and what it does to real images."""

    content: bytes | None
    """None if it is not to be kept."""
    images: int = 0
    """Validation images that it was run on, one by one."""
    torch_error: float | None = None
    """Of the network in PyTorch on them, in [0, 1]; known of a network without a file too."""
    error: float | None = None
    """Of the file on them."""
    max_difference: float | None = None
    """The largest difference of a logit from PyTorch's, as a share of the largest logit."""
    problem: str = ""
    """Why it is not kept."""


def make_all(jobs: Sequence[FileJob], executor: Executor) -> Iterator[tuple[FileJob, Mapping[str, Judged]]]:
    """The files of each job by precision, "fp32" and "int8", as they are finished; a worker's death costs one job."""
    pending: dict[Future[Any], FileJob] = {executor.submit(make_files, job): job for job in jobs}
    for future in as_completed(pending):
        job = pending.pop(future)
        try:
            yield job, future.result()
        except Exception as error:
            failed = Judged(None, problem=f"{type(error).__name__}: {error}")
            yield job, {"fp32": failed, **({"int8": failed} if job.int8 else {})}


def make_files(job: FileJob) -> dict[str, Judged]:
    """Export, quantise and judge. What a runtime cannot take is in the answer, not raised."""
    images, shape = job.task.images, job.task.input_shape
    x, y = images.val_x[: job.images], images.val_y[: job.images].numpy()
    runtime = runtime_of(job.format)
    with one_thread():
        logits = _in_torch(job.network, x)
        made = {"fp32": _judged(lambda: runtime.export(job.network, shape), runtime, x, y, logits, PARITY)}
        if job.int8 and made["fp32"].content is None:
            made["int8"] = Judged(
                None, torch_error=made["fp32"].torch_error, problem=f"not made: {made['fp32'].problem}"
            )
        elif job.int8:
            drawn = np.random.default_rng(job.seed).permutation(len(images.train_x))[: job.calibration]
            inputs = images.train_x[torch.from_numpy(drawn)].float() / 255
            made["int8"] = _judged(lambda: runtime.quantise(job.network, shape, inputs), runtime, x, y, logits, None)
    return made


def time_all(
    files: Sequence[tuple[Any, str, bytes, Sequence[int]]], references: Mapping[str, float], executor: Executor
) -> Iterator[tuple[Any, Latency | str]]:
    """Time files one after another, when nothing else runs; one reference time for each runtime.

    Args:
        files: Anything that names the file, its format, its content, and the shape of one input.
        references: Milliseconds of the reference network by format, where they are known.
        executor: Where they are timed.

    Yields:
        The name with its latency, or with why there is none.
    """
    known = dict(references)
    for name, format, content, shape in files:
        try:
            latency = executor.submit(_time, (format, content, shape, known.get(format))).result()
        except Exception as error:
            yield name, f"not timed: {error}"
            continue
        known.setdefault(format, latency.latency_ms / latency.ratio)
        yield name, latency


def weights_digest(network: nn.Module) -> str:
    """Of names, shapes and values of all parameters and buffers (16 hex digits)."""
    sha = hashlib.sha256()
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()[:16]


def _time(asked: tuple[str, bytes, Sequence[int], float | None]) -> Latency:
    format, content, shape, reference_ms = asked
    return measure_file(content, shape, runtime_of(format), reference_ms=reference_ms)


def _judged(
    make: Any, runtime: FileRuntime, x: torch.Tensor, y: NDArray[np.int64], expected: NDArray[np.float32],
    tolerance: float | None,
) -> Judged:  # fmt: skip
    torch_error = float((expected.argmax(1) != y).mean())
    try:
        content = make()
        run = runtime.load(content)
        logits = np.concatenate([run(image[None].float().div(255).numpy()) for image in x])
    except ExportFailed as error:
        return Judged(None, torch_error=torch_error, problem=str(error))
    except Exception as error:  # an engine that stumbles over its own file
        stumbled = f"{runtime.name} does not run this network: {type(error).__name__}: {error}"
        return Judged(None, torch_error=torch_error, problem=stumbled)
    if logits.shape != expected.shape or not np.isfinite(logits).all():
        strange = f"{runtime.name} gives outputs that are not finite or of another shape"
        return Judged(None, len(y), torch_error, problem=strange)
    difference = float(np.abs(logits - expected).max() / max(np.abs(expected).max(), np.finfo(np.float32).tiny))
    error_ = float((logits.argmax(1) != y).mean())
    problem = ""
    if tolerance is not None and difference > tolerance:
        problem = (
            f"its logits differ from PyTorch's by {difference:.2g} of the largest, expected at most {tolerance:g}: "
            f"{runtime.name} computes this network otherwise"
        )
    return Judged(None if problem else content, len(y), torch_error, error_, difference, problem)


def _in_torch(network: nn.Module, x: torch.Tensor) -> NDArray[np.float32]:
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(some.float() / 255) for some in torch.split(x, _BATCH)]).numpy()
