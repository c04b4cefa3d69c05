"""The front after deployment: its networks measured again as the files that will run, and what fell off it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from scipy.stats import kendalltau

from optnas.cost import Constraint, device_fingerprint, format_cost
from optnas.deploy.export import file_job, study_references
from optnas.deploy.files import Judged, make_all, time_all
from optnas.deploy.model import Model
from optnas.errors import UsageError
from optnas.front import Network
from optnas.objective import ERROR
from optnas.runtime import RUNTIMES, FileRuntime, make_runtime
from optnas.study import attribute
from optnas.study.executors import make_executor
from optnas.study.reopen import LATENCY_TIE, Reopened

__all__ = ["DeployedFront", "after_deployment", "format_of", "front_points", "is_timed_elsewhere", "rerank"]

Say = Callable[[str], None]
Points = Mapping[int, Mapping[str, float]]

#: What deployment changes; every other cost stays what was counted.
_MEASURED = (ERROR, "latency_ms", "size_bytes")
_HARDWARE = ("processor", "machine", "cores")
#: By name, the share by which two values may differ and be equal all the same.
_TIES = {"latency_ms": LATENCY_TIE}


@dataclass(frozen=True)
class DeployedFront:
    """The networks of a searched front, all in one runtime and one precision. All objectives are minimised."""

    runtime: str
    precision: str
    """"fp32" or "int8"."""
    searched: Points
    """By trial, each objective as the search knew it, latency where it measured that, and the error of the search's
    weights in PyTorch on the same images as the file's."""
    deployed: Points
    """By trial, the same of the file: error on validation images, its latency, its size; without those that failed."""
    tau: Mapping[str, float | None]
    """Kendall's tau-b between both orders, by objective; None where one of them says nothing."""
    n: int
    """Networks that tau is of."""
    front: tuple[int, ...]
    """Trials that no other one beats after deployment, least error first."""
    fell: Mapping[int, tuple[int, ...]]
    """Trials that left the front, and which trials beat them now and did not before."""
    already: Mapping[int, tuple[int, ...]]
    """Trials that others beat now as they did before, on these images or by less than a tie, and which others."""
    over: Mapping[int, str]
    """Trials that break a budget of the study once deployed, and the costs that do."""
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
        models: The networks with the weights of the search: what retraining changes is not deployment's doing.
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
            searched, deployed, failed = {}, {}, {}
            for member in members:
                key = (format, precision, member.trial)
                judged = files[key]
                known = _searched(member)
                searched[member.trial] = known if judged.torch_error is None else {**known, ERROR: judged.torch_error}
                if key in latencies and judged.error is not None and judged.content is not None:
                    deployed[member.trial] = {
                        **known,
                        ERROR: judged.error,
                        "latency_ms": latencies[key],
                        "size_bytes": float(len(judged.content)),
                    }
                else:
                    failed[member.trial] = problems.get(key, judged.problem)
            found.append(
                after_deployment(
                    name, precision, reopened.settings.objectives, searched, deployed, failed, _budget(reopened)
                )
            )
    return found


def after_deployment(
    runtime: str, precision: str, objectives: Sequence[str], searched: Points, deployed: Points,
    problems: Mapping[int, str], budget: Sequence[Constraint] = (),
) -> DeployedFront:  # fmt: skip
    """The facts of one runtime, from what was searched and what was measured.

    Latencies that differ by less than `LATENCY_TIE` are equal. A network falls if another one beats it by this
    measure that did not beat it before by the same measure, on the same images.

    Args:
        runtime: Its name.
        precision: "fp32" or "int8".
        objectives: Names of what is minimised.
        searched: By trial, values by name.
        deployed: The same after deployment, without the trials in `problems`.
        problems: Trials without a file, and why.
        budget: Limits that hold for what was measured here.
    """
    trials = list(deployed)
    shown = [name for name in dict.fromkeys((*objectives, "latency_ms")) if name in _MEASURED]
    tau = {
        name: _tau([searched[trial][name] for trial in trials], [deployed[trial][name] for trial in trials])
        for name in shown
        if all(name in searched[trial] for trial in trials)
    }
    over = {trial: text for trial in trials if (text := _over(deployed[trial], budget))}
    within = [trial for trial in trials if trial not in over]
    beaten = {
        trial: tuple(other for other in within if _beats(deployed[other], deployed[trial], objectives))
        for trial in within
    }
    kept = sorted(
        (trial for trial in within if not beaten[trial]),
        key=lambda trial: [deployed[trial][name] for name in objectives],
    )
    before = {
        trial: tuple(other for other in others if _beats(searched[other], searched[trial], objectives))
        for trial, others in beaten.items()
    }
    # Who is to blame: deployment, or a searched front that holds what is a tie, or other images.
    fell = {
        trial: tuple(other for other in others if other not in before[trial])
        for trial, others in beaten.items()
        if set(others) - set(before[trial])
    }
    already = {trial: others for trial, others in before.items() if others and trial not in fell}
    return DeployedFront(
        runtime, precision, searched, deployed, tau, len(trials), tuple(kept), fell, already, over, problems
    )


def format_of(runtime: str) -> str:
    """The format of a runtime's files. Raises `UsageError` if it is no runtime with files, or is not installed."""
    made = make_runtime(runtime)
    if not isinstance(made, FileRuntime):
        raise UsageError(f"rerank: expected runtimes with files, {', '.join(RUNTIMES[1:])}, got {runtime}")
    return made.format


def front_points(
    found: Sequence[DeployedFront], objectives: Sequence[str]
) -> tuple[str, str, dict[str, list[tuple[float, float]]]]:
    """What a picture shows: the names of its axes, and the points of the searched front and of each deployed one.

    The x axis is the first cost among the objectives, or the size of the file.
    """
    y = ERROR if ERROR in objectives else objectives[0]
    x = next((name for name in objectives if name != y), "size_bytes")

    def points(values: Points, trials: Iterable[int]) -> list[tuple[float, float]]:
        return sorted((values[trial][x], values[trial][y]) for trial in trials if x in values[trial])

    lines = {"searched": points(found[0].searched, found[0].searched)} if found else {}
    return x, y, {**lines, **{f"{one.runtime}, {one.precision}": points(one.deployed, one.front) for one in found}}


def is_timed_elsewhere(reopened: Reopened) -> bool:
    """Whether the latencies of the study are those of another machine than this one."""
    then = (attribute(reopened.study, "settings") or {}).get("device") or {}
    here = device_fingerprint()
    return "command" in then or any(then.get(name, here[name]) != here[name] for name in _HARDWARE)


def _budget(reopened: Reopened) -> list[Constraint]:
    """The study's limits on what is measured again; a limit on another machine's latency says nothing here."""
    known = set(_MEASURED) - ({"latency_ms"} if is_timed_elsewhere(reopened) else set())
    return [constraint for constraint in reopened.settings.budget if constraint.cost in known]


def _over(values: Mapping[str, float], budget: Sequence[Constraint]) -> str:
    broken = dict.fromkeys(constraint.cost for constraint in budget if constraint.violation(values) > 0)
    return ", ".join(f"{name} {format_cost(name, values[name])}" for name in broken)


def _searched(member: Network) -> dict[str, float]:
    return {**member.costs, **member.values}


def _beats(one: Mapping[str, float], other: Mapping[str, float], objectives: Sequence[str]) -> bool:
    pairs = [
        (0.0, 0.0) if _are_equal(name, one[name], other[name]) else (one[name], other[name]) for name in objectives
    ]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _are_equal(name: str, one: float, other: float) -> bool:
    return abs(one - other) <= _TIES.get(name, 0.0) * min(abs(one), abs(other))


def _tau(first: Sequence[float], second: Sequence[float]) -> float | None:
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return float(kendalltau(first, second).statistic)
