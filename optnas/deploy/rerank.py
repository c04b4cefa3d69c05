"""The front after deployment: its networks measured again as the files that will run, and what fell off it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from scipy.stats import kendalltau

from optnas.deploy.export import file_job, study_references
from optnas.deploy.files import Judged, make_all, time_all
from optnas.deploy.model import Model
from optnas.errors import UsageError
from optnas.front import Network
from optnas.objective import ERROR
from optnas.runtime import RUNTIMES, FileRuntime, make_runtime
from optnas.study.reopen import Reopened
from optnas.study.search import make_executor

__all__ = ["DeployedFront", "after_deployment", "format_of", "rerank"]

Say = Callable[[str], None]
Points = Mapping[int, Mapping[str, float]]

#: What deployment changes; every other cost stays what was counted.
_MEASURED = (ERROR, "latency_ms", "size_bytes")


@dataclass(frozen=True)
class DeployedFront:
    """The networks of a searched front, all in one runtime and one precision. All objectives are minimised."""

    runtime: str
    precision: str
    """"fp32" or "int8"."""
    searched: Points
    """By trial, each objective as the search knew it, and latency where it measured that."""
    deployed: Points
    """By trial, the same of the file: error on validation images, its latency, its size; without those that failed."""
    tau: Mapping[str, float | None]
    """Kendall's tau-b between both orders, by objective; None where one of them says nothing."""
    n: int
    """Networks that tau is of."""
    front: tuple[int, ...]
    """Trials that no other one beats after deployment, least error first."""
    fell: Mapping[int, tuple[int, ...]]
    """Trials that left the front, and which trials beat them."""
    problems: Mapping[int, str]
    """Trials without a file, and why."""


def rerank(
    models: Sequence[Model],
    members: Sequence[Network],
    reopened: Reopened,
    runtimes: Sequence[str],
    int8: bool = False,
    *,
    images: int | None = None,
    calibration: int = 200,
    seed: int = 0,
    workers: int | None = None,
    say: Say = lambda text: None,
) -> list[DeployedFront]:
    """Measure the networks of a front as deployed, a front for each runtime and precision.

    Args:
        models: The trained networks.
        members: The same networks as the study knows them, in the same order.
        reopened: The study.
        runtimes: Names of runtimes with files.
        int8: Whether to measure int8 files too.
        images: Validation images to run; None for all.
        calibration: Training images for the ranges of int8.
        seed: Draws those.
        workers: Processes; 0 works in this one, None takes those of the study.
        say: Told what was finished.

    Raises:
        UsageError: If a runtime is unknown, has no files, or is not installed.
    """
    formats = {name: format_of(name) for name in runtimes}
    jobs = [
        file_job(model, reopened, format, int8, images, calibration, seed)
        for model in models
        for format in formats.values()
    ]
    settings = reopened.settings if workers is None else replace(reopened.settings, workers=workers)
    files: dict[tuple[str, str, int], Judged] = {}
    latencies: dict[tuple[str, str, int], float] = {}
    problems: dict[tuple[str, str, int], str] = {}
    with closing(make_executor(settings)) as executor:
        for done, (job, made) in enumerate(make_all(jobs, executor), 1):
            files.update({(job.format, precision, job.trial): judged for precision, judged in made.items()})
            said = "; ".join(one.problem for one in made.values() if one.problem)
            say(f"[{done}/{len(jobs)}] trial {job.trial}, {job.format}: {said or 'measured'}")
        shape = reopened.settings.task.input_shape
        named = [(key, key[0], one.content, shape) for key, one in files.items() if one.content is not None]
        for key, latency in time_all(named, study_references(reopened, tuple(formats.values())), executor):
            if isinstance(latency, str):
                problems[key] = latency
            else:
                latencies[key] = latency.latency_ms
    found = []
    for name, format in formats.items():
        for precision in ("fp32", "int8") if int8 else ("fp32",):
            deployed, failed = {}, {}
            for member in members:
                key = (format, precision, member.trial)
                judged = files[key]
                if key in latencies and judged.error is not None and judged.content is not None:
                    deployed[member.trial] = {
                        **_searched(member),
                        ERROR: judged.error,
                        "latency_ms": latencies[key],
                        "size_bytes": float(len(judged.content)),
                    }
                else:
                    failed[member.trial] = problems.get(key, judged.problem)
            searched = {member.trial: _searched(member) for member in members}
            found.append(after_deployment(name, precision, reopened.settings.objectives, searched, deployed, failed))
    return found


def after_deployment(
    runtime: str, precision: str, objectives: Sequence[str], searched: Points, deployed: Points,
    problems: Mapping[int, str],
) -> DeployedFront:  # fmt: skip
    """The facts of one runtime, from what was searched and what was measured.

    Args:
        runtime: Its name.
        precision: "fp32" or "int8".
        objectives: Names of what is minimised.
        searched: By trial, values by name.
        deployed: The same after deployment, without the trials in `problems`.
        problems: Trials without a file, and why.
    """
    trials = list(deployed)
    shown = [name for name in dict.fromkeys((*objectives, "latency_ms")) if name in _MEASURED]
    tau = {
        name: _tau([searched[trial][name] for trial in trials], [deployed[trial][name] for trial in trials])
        for name in shown
        if all(name in searched[trial] for trial in trials)
    }
    beaten = {
        trial: tuple(other for other in trials if _beats(deployed[other], deployed[trial], objectives))
        for trial in trials
    }
    kept = sorted(
        (trial for trial in trials if not beaten[trial]),
        key=lambda trial: [deployed[trial][name] for name in objectives],
    )
    fell = {trial: others for trial, others in beaten.items() if others}
    return DeployedFront(runtime, precision, searched, deployed, tau, len(trials), tuple(kept), fell, problems)


def format_of(runtime: str) -> str:
    """The format of a runtime's files. Raises `UsageError` if it is no runtime with files, or is not installed."""
    made = make_runtime(runtime)
    if not isinstance(made, FileRuntime):
        raise UsageError(f"rerank: expected runtimes with files, {', '.join(RUNTIMES[1:])}, got {runtime}")
    return made.format


def _searched(member: Network) -> dict[str, float]:
    return {**member.costs, **member.values}


def _beats(one: Mapping[str, float], other: Mapping[str, float], objectives: Sequence[str]) -> bool:
    pairs = [(one[name], other[name]) for name in objectives]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _tau(first: Sequence[float], second: Sequence[float]) -> float | None:
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return float(kendalltau(first, second).statistic)
