"""Which executor trains for a search's settings."""

from __future__ import annotations

from optnas.study.executor import Executor, InProcess
from optnas.study.process_pool import ProcessPool
from optnas.study.resources import assign_gpus, visible_gpus
from optnas.study.settings import Settings

__all__ = ["make_executor"]


def make_executor(settings: Settings) -> Executor:
    """What trains for these settings.

    Raises:
        UsageError: If no Ray cluster answers where one is expected, or none of its nodes can hold a trial.
    """
    if settings.executor == "ray":
        # Only here: Ray is an extra, and takes a moment to import.
        from optnas.study.ray_executor import RayExecutor

        task = settings.task
        gpus = settings.gpus_per_trial or (1 if task.settings.device == "cuda" else 0)
        return RayExecutor(
            settings.cpus_per_trial, gpus, settings.workers, settings.limits, {task.data_settings: task.images}
        )
    if not settings.processes:
        return InProcess()
    limits = settings.limits
    return ProcessPool(settings.processes, limits.memory_bytes, limits.seconds, _gpus(settings))


def _gpus(settings: Settings) -> tuple[str, ...]:
    if settings.gpus_per_trial is None:
        return ()
    return assign_gpus(visible_gpus(), settings.processes, settings.gpus_per_trial)
