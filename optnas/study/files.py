"""The files beside a study: weights of its front, checkpoints of what is in training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from optnas.errors import UsageError
from optnas.job import Job, Outcome
from optnas.task import read_checkpoint, remove_checkpoint
from optnas.task.weights import write_weights

__all__ = ["Files", "weights_path"]

_WEIGHTS = ".safetensors"


@dataclass(frozen=True)
class Files:
    """Where the files of a study are; None for those that are not kept."""

    weights: Path | None = None
    """A folder for the trained weights of the networks on the front, a file each; those of others are removed. Workers
    do not write there: on other machines nobody would find them, nor remove them."""
    checkpoints: Path | None = None
    """A folder for the checkpoints of what is in training, a file each; they are removed when it has ended."""
    checkpoint_bytes: int | None = None
    """Most bytes of one checkpoint; larger ones are not written."""

    def assign(self, job: Job) -> Job:
        """A job with its files."""
        if self.weights is not None:
            job = replace(job, send_weights=True)
        if self.checkpoints is not None:
            path = weights_path(self.checkpoints, job.number)
            job = replace(job, checkpoint=str(path), checkpoint_bytes=self.checkpoint_bytes)
        return job

    def keep(self, number: int, outcome: Outcome) -> None:
        """Write the weights that an outcome brought, here and not where it was trained, which may be far away."""
        if self.weights is not None and outcome.weights is not None:
            # A full disk costs no training: weights that are not kept can be trained again.
            with suppress(OSError):
                write_weights(weights_path(self.weights, number), outcome.weights)

    def sweep(self, running: Callable[[], Iterable[int]]) -> None:
        """Remove the checkpoints of all trials but the running ones.

        Args:
            running: Their numbers; asked after the files are listed, since others may begin trials meanwhile.
        """
        if self.checkpoints is None or not self.checkpoints.is_dir():
            return
        # A half that a kill left is called after its whole, with more behind.
        found = {path.name.partition(".")[0] for path in self.checkpoints.glob(f"*{_WEIGHTS}*")}
        for number in found - {str(number) for number in running()}:
            if number.isdigit():
                remove_checkpoint(weights_path(self.checkpoints, int(number)))

    def trained_seconds(self, number: int) -> float:
        """How long a trial had trained when its checkpoint was written; 0 where there is none that can be read."""
        if self.checkpoints is None:
            return 0.0
        try:
            return float(read_checkpoint(weights_path(self.checkpoints, number))["seconds"])
        except UsageError:
            return 0.0

    def ended(self, number: int) -> None:
        """A trial's outcome is stored: nothing goes on from its checkpoint any more."""
        if self.checkpoints is not None:
            remove_checkpoint(weights_path(self.checkpoints, number))

    def drop_weights(self, wanted: Iterable[int]) -> None:
        """Remove the weights of all trials but these, by their numbers."""
        if self.weights is None or not self.weights.is_dir():
            return
        names = {weights_path(self.weights, number).name for number in wanted}
        for path in self.weights.glob(f"*{_WEIGHTS}"):
            if path.name not in names:
                path.unlink(missing_ok=True)


def weights_path(folder: Path, trial: int) -> Path:
    """The file in `folder` that holds what was learnt in a trial."""
    return folder / f"{trial}{_WEIGHTS}"
