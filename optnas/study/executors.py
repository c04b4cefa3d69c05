"""Which executor trains for a search's settings."""

from __future__ import annotations

from optnas.study.executor import Executor, InProcess
from optnas.study.process_pool import ProcessPool
from optnas.study.settings import Settings

__all__ = ["make_executor"]


def make_executor(settings: Settings) -> Executor:
    """What trains for these settings."""
    return ProcessPool(settings.processes) if settings.processes else InProcess()
