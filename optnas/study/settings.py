"""What a search is told, with the sentence that explains each setting to a person."""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

from optnas.cost import Constraint, Prices, load_table, parse_constraints, parse_quantity
from optnas.credentials import shown_address
from optnas.errors import UsageError
from optnas.objective import check_objectives
from optnas.prune import is_audited, make_pruner
from optnas.runtime import check_runtime, default_runtime, make_runtime
from optnas.sampler import check_sampler
from optnas.space import Space, load_space, space_name
from optnas.study.ending import parse_duration
from optnas.study.files import Files
from optnas.study.folders import checkpoints_folder, weights_folder
from optnas.study.limits import Limits
from optnas.study.ray_cluster import import_ray
from optnas.study.resources import check_share, cores, trials_at_a_time, visible_gpus
from optnas.task import ImageTask

__all__ = ["Settings", "explanations", "settings_from"]


EVALUATORS = ("training", "one-shot")
#: No sampler of a study, but a search that fills one with trials.
GRADIENT = "gradient"
_TRIALS = 40
_INSTEAD = {
    "latency_table": ("runtime", "device_command"),
    "runtime": ("latency_table",),
    "device_command": ("latency_table",),
}
"""What takes the place of which: where it is given, the study's own is not blamed on the one who gave it."""
#: Not every setting is one of the study: how far to go and on how many processes is said anew by each call. So is the
#: command that is run: a study may come from elsewhere, and what it says is run by nobody.
_OF_THE_CALL = (
    "trials",
    "time",
    "until_stagnant",
    "workers",
    "executor",
    "memory_limit",
    "time_limit",
    "gpus_per_trial",
    "cpus_per_trial",
    "checkpoint_limit",
    "storage",
    "device_command",
)
EXECUTORS = ("processes", "ray")
#: What a worker holds before it trains anything: the interpreter, torch and the images of a small data set.
_LEAST_MEMORY_BYTES = 500 * 10**6


@dataclass(frozen=True)
class Settings:
    """All settings of `optnas search`; the command line is made from it."""

    data: str = "digits"
    """Images: digits (embedded), fashion-mnist, cifar10, or imagefolder:DIR with a folder for each class."""
    data_root: str = "data"
    """Folder of fashion-mnist and cifar10; what is missing there is downloaded."""
    space: str | Space = "mobile"
    """Networks to choose from: mobile, cell, or your own function as module:function."""
    objectives: Sequence[str] = ("error", "macs")
    """What to minimise: error and costs known before training, separated by commas."""
    runtime: str | None = None
    """What times latency_ms: onnxruntime, executorch, litert, or eager for PyTorch itself; by default onnxruntime
    where it is installed."""
    device_command: str | None = None
    """A command that times a network where it will run, such as "./on_phone.sh {file}": it is handed the runtime's
    file and prints milliseconds as its last line. To be given again when a search goes on: none is run from a file."""
    latency_table: str | None = None
    """A file of optnas latency-table build: latency_ms is foretold from it, and nothing is timed."""
    constraints: Sequence[str] = ()
    """A budget such as "params<=100k"; a network over it is never trained. May be given several times."""
    sampler: str = "cost-aware"
    """Who proposes networks: cost-aware, tpe, nsga2, evolution, reinforce, random, or gradient, which descends on
    shared weights once for each of several weights of the first cost."""
    population: int = 20
    """How many trials nsga2 and evolution breed from; for these and tpe, how many random trials come first."""
    warm_start: str | None = None
    """A finished study in the same storage (other data, say, but networks of the same choices) from whose errors
    the cost-aware sampler guesses those of this one, until that proves no help; none for no such study."""
    evaluator: str = "training"
    """How networks are judged: training, or one-shot. That trains one supernet whose weights all networks share,
    scores candidates with these, and trains the best from scratch."""
    supernet_epochs: int | None = None
    """Passes of the supernet's training over the images; by default six times the epochs of a network."""
    candidates: int | None = None
    """How many networks one-shot scores; by default 500, or as many as fit into the time."""
    gradient_steps: int | None = None
    """Steps of each descent of the sampler gradient; by default 1000, or as many as fit into the time."""
    pruner: str = "dominance"
    """When to stop weak trials: dominance, halving, median or none."""
    audit: float = 0.0
    """Share of trials that are trained to the end even if the pruner says stop, to measure what it loses."""
    trials: int | None = None
    """How many trained networks the study holds at the end, those of earlier runs counted; by default 40, or no
    limit where time or stagnation ends the search."""
    time: str | None = None
    """Begin no training after so long, such as 90s, 30m or 8h; what is in training then is finished."""
    until_stagnant: float | None = None
    """Stop when a training is expected to add less than this share to the hypervolume, such as 0.001."""
    epochs: int | None = None
    """Epochs of each training; by default what suits the data."""
    batch_size: int | None = None
    """Images in one step of training; by default what suits the data and the device."""
    lr: float | None = None
    """Highest learning rate; by default what suits the data."""
    weight_decay: float | None = None
    """Weight decay; by default what suits the data."""
    tune: Sequence[str] = ()
    """Training settings that each trial chooses with its network: lr, weight_decay, or both with a comma."""
    train_images: int | None = None
    """Train on so many images only, drawn evenly from the classes; by default on all."""
    val_images: int | None = None
    """Judge on so many validation images only, drawn in the same way; by default on all."""
    image_size: int | None = None
    """Resize and crop images to this side in pixels; needed for a folder with images of several sizes."""
    augment: bool = False
    """Crop training images at random and mirror them where that makes sense; pays from about ten epochs on."""
    device: str = "auto"
    """Where networks are trained: cpu, cuda, or auto for cuda where there is one."""
    workers: int | None = None
    """Training processes; 0 trains in this process. By default one for each core, or one on a GPU; with Ray as many
    as the cluster has room for."""
    executor: str = "processes"
    """Where networks are trained: processes of this machine, or ray: the cluster at RAY_ADDRESS, or else a local one
    that ends with the search."""
    memory_limit: str | None = None
    """Most memory of each trial, such as 4G: of its process, torch included, and of all that it starts. A trial that
    takes more is ended and fails."""
    time_limit: str | None = None
    """Most time of each trial, such as 30m; one that takes longer is ended and fails."""
    gpus_per_trial: float | None = None
    """GPUs of each trial: 0.25 trains four networks on each GPU at a time, 2 gives each trial two."""
    cpus_per_trial: float = 1
    """Cores of each trial: so many fewer are trained at a time."""
    checkpoints: str | None = None
    """Folder where trainings leave what they go on from after a crash; by default beside the storage's file, none for
    no checkpoints. The last one given is kept. With ray there are none by default: give a folder that all nodes
    reach."""
    checkpoint_limit: str = "4G"
    """Most bytes of all checkpoints at a time, such as 800M, those counted that are being replaced; a training whose
    share is too small writes none."""
    seed: int = 0
    """Seed of proposals, data split, initial weights and augmentation."""
    study: str | None = None
    """Name of the study; by default that of the data."""
    storage: str = "sqlite:///optnas.db"
    """Where the study is kept: sqlite:///FILE, journal:///FILE where SQLite is not safe (a network's file system), or
    another address of Optuna. In a PostgreSQL several machines search one study together: give each the same
    command."""

    def __post_init__(self) -> None:
        """Raises UsageError for the first setting that is out of range."""
        check_objectives(self.objectives)
        self.budget  # noqa: B018
        check_sampler(self.sampler, also=(GRADIENT,))
        make_pruner(self.pruner)
        is_audited(0, 0, self.audit)
        if self.time is not None:
            parse_duration(self.time)
        if self.until_stagnant is not None and not 0 < self.until_stagnant < 1:
            raise UsageError(f"until_stagnant: expected a share between 0 and 1, got {self.until_stagnant}")
        if self.evaluator not in EVALUATORS:
            close = get_close_matches(self.evaluator, EVALUATORS, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"unknown evaluator {self.evaluator!r}: expected {' or '.join(EVALUATORS)}{hint}")
        if self.evaluator == "one-shot" and self.sampler == GRADIENT:
            raise UsageError("sampler gradient shares weights by itself: expected evaluator training, got one-shot")
        self._check_latency()
        self._check_executor()
        for name, least in (
            ("trials", 1),
            ("supernet_epochs", 1),
            ("candidates", 1),
            ("population", 2),
            ("workers", 0),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise UsageError(f"{name}: expected a whole number from {least}, got {value!r}")
        self.task  # noqa: B018

    def _check_latency(self) -> None:
        if self.runtime is not None:
            check_runtime(self.runtime)
        for name in ("runtime", "device_command"):
            if self.latency_table is not None and getattr(self, name) is not None:
                raise UsageError(f"{name}: expected none with latency_table, by which nothing is timed")
        if self.device_command is not None and not self.device_command.strip():
            raise UsageError("device_command: expected a command, got nothing")

    def _check_executor(self) -> None:
        if self.executor not in EXECUTORS:
            close = get_close_matches(str(self.executor), EXECUTORS, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"unknown executor {self.executor!r}: expected {' or '.join(EXECUTORS)}{hint}")
        self.limits  # noqa: B018
        for name, value in (("gpus_per_trial", self.gpus_per_trial), ("cpus_per_trial", self.cpus_per_trial)):
            if value is not None:
                check_share(name, value)
        _bytes("checkpoint_limit", self.checkpoint_limit)
        if self.workers == 0:
            for name in ("memory_limit", "time_limit", "gpus_per_trial"):
                if getattr(self, name) is not None:
                    raise UsageError(f"{name}: expected workers to keep to it, got workers 0")
            if self.executor == "ray":
                raise UsageError("executor ray: expected workers from 1, or none given, got workers 0")
        # Before a study is made: what is missing here is missing for every trial.
        if self.executor == "ray":
            import_ray()
        elif self.gpus_per_trial is not None:
            trials_at_a_time(len(visible_gpus()), self.gpus_per_trial)

    @property
    def limits(self) -> Limits:
        """What each trial may take. Raises UsageError for what is no amount of memory or time."""
        memory_bytes = None
        if self.memory_limit is not None:
            memory_bytes = _bytes("memory_limit", self.memory_limit)
            if memory_bytes < _LEAST_MEMORY_BYTES:
                least = _LEAST_MEMORY_BYTES // 10**6
                raise UsageError(
                    f"memory_limit: expected at least {least}M, since torch itself takes most of that, "
                    f"got {self.memory_limit!r}"
                )
        seconds = None if self.time_limit is None else parse_duration(self.time_limit, "time_limit")
        return Limits(memory_bytes, seconds)

    def files(self, slots: int) -> Files:
        """Where the study keeps weights and checkpoints, with room for those of so many trainings at a time."""
        name = self.study_name
        folder = checkpoints_folder(self.storage, name, self.checkpoints)
        if self.executor == "ray" and self.checkpoints is None:
            folder = None  # nodes would write it to their own disks, where nobody goes on from it or removes it
        limit = _bytes("checkpoint_limit", self.checkpoint_limit)
        # While a checkpoint takes the place of the one before, both are there.
        return Files(weights_folder(self.storage, name), folder, limit // (2 * max(1, slots)))

    def make_checkpoints(self) -> None:
        """Make the folder that was given for checkpoints, if there is none.

        Raises:
            UsageError: If it cannot be made or written.
        """
        if self.checkpoints in (None, "none"):
            return
        folder = Path(str(self.checkpoints))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"checkpoints {folder}: expected a folder, got {error.strerror or error}") from None
        if not os.access(folder, os.W_OK):
            raise UsageError(f"checkpoints {folder}: the folder cannot be written")

    @property
    def times_latency(self) -> bool:
        """Whether latency_ms is an objective or is constrained."""
        return "latency_ms" in (*self.objectives, *(constraint.cost for constraint in self.budget))

    @property
    def prices(self) -> Prices:
        """What measures costs.

        Raises UsageError for a runtime that is not installed, a file that is no table, or either where no latency is
        asked for.
        """
        if not self.times_latency:
            for name in ("runtime", "device_command", "latency_table"):
                if getattr(self, name) is not None:
                    raise UsageError(f"{name}: expected latency_ms among the objectives or constraints, which it times")
            return Prices()
        if self.latency_table is not None:
            table = load_table(self.latency_table)
            return Prices(table.runtime, table=table)
        runtime = self.runtime or default_runtime()
        make_runtime(runtime)
        return Prices(runtime, command=self.device_command and _absolute_command(self.device_command))

    @property
    def budget(self) -> tuple[Constraint, ...]:
        """The constraints, parsed."""
        return parse_constraints(self.constraints)

    @property
    def task(self) -> ImageTask:
        """What networks learn."""
        return ImageTask(
            self.data,
            data_root=self.data_root,
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            weight_decay=self.weight_decay,
            train_images=self.train_images,
            val_images=self.val_images,
            image_size=self.image_size,
            augment=self.augment,
            device=self.device,
            tune=tuple(self.tune),
            split_seed=self.seed,
        )

    @property
    def limit(self) -> int | None:
        """How many trained networks the study holds at most; None for no limit."""
        return self.trials or (None if self.time or self.until_stagnant else _TRIALS)

    @property
    def seconds(self) -> float | None:
        """The time given; None for no limit."""
        return parse_duration(self.time) if self.time else None

    @property
    def study_name(self) -> str:
        """The name given, or that of the data."""
        return self.study or default_study_name(self.data)

    @property
    def processes(self) -> int:
        """How many worker processes of this machine; 0 for none."""
        if self.workers is not None:
            return self.workers
        if self.gpus_per_trial is not None:
            return trials_at_a_time(len(visible_gpus()), self.gpus_per_trial)
        if self.task.settings.device == "cuda":
            return 1
        return max(1, int(cores() / self.cpus_per_trial))

    def plain(self) -> dict[str, Any]:
        """Plain values to store: what a later call need not be told again."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {"space": space_name(self.space), "study": self.study_name, "storage": shown_address(self.storage)}
        if self.latency_table is not None:
            values["latency_table"] = str(Path(self.latency_table).resolve())
        else:
            values["runtime"] = self.prices.runtime if self.times_latency else None
        if self.checkpoints not in (None, "none"):
            values["checkpoints"] = str(Path(str(self.checkpoints)).resolve())
        if self.device_command is not None:
            values["device_command"] = _absolute_command(self.device_command)
        values["data"] = _absolute(self.data)
        values["data_root"] = str(Path(self.data_root).resolve())
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _bytes(name: str, text: object) -> int:
    number = parse_quantity(text.strip()) if isinstance(text, str) else None
    if number is None or not isfinite(number):
        raise UsageError(f"{name}: expected bytes such as 4G or 800M, with powers of 1000, got {text!r}")
    return int(number)


def default_study_name(data: str) -> str:
    """The name of a study that was given none: that of its data."""
    kind, _, folder = data.partition(":")
    return Path(folder).resolve().name if folder else kind


def settings_from(given: Mapping[str, Any], stored: Mapping[str, Any] | None = None) -> Settings:
    """Settings from what a person gave, then from what the study was made with, then from the defaults.

    A space that the person names as `module:function` is imported; one that the study names is not, see
    `optnas.space.stored_space`.

    Raises:
        UsageError: If a name is unknown, a value is out of range, or the module cannot be imported.
    """
    known = [field.name for field in fields(Settings)]
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, 1)
            raise UsageError(f"unknown setting {name!r}" + (f"; did you mean {close[0]}?" if close else ""))
    if isinstance(given.get("space"), str):
        load_space(given["space"])
    kept = {k: v for k, v in (stored or {}).items() if k in known and k not in _OF_THE_CALL}
    if kept.get("checkpoints") not in (None, "none") and not Path(str(kept["checkpoints"])).is_dir():
        del kept["checkpoints"]  # of another machine, or gone: then beside the storage's file, as if it was never given
    for name, others in _INSTEAD.items():
        if given.get(name) is not None:
            kept = {k: v for k, v in kept.items() if k not in others}
    merged = kept | {name: value for name, value in given.items() if value is not None}
    for name in ("objectives", "constraints", "tune"):
        if isinstance(merged.get(name), str):
            merged[name] = merged[name].split(",")
        if name in merged:
            merged[name] = tuple(merged[name])
    return Settings(**merged)


@cache
def explanations() -> dict[str, str]:
    """The sentence under each field of `Settings`, by the field's name."""
    (definition,) = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(definition, ast.ClassDef)
    body = definition.body
    return {
        statement.target.id: inspect.cleandoc(text.value.value)
        for statement, text in pairwise(body)
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _absolute(data: str) -> str:
    kind, _, folder = data.partition(":")
    return f"{kind}:{Path(folder).resolve()}" if folder else data


def _absolute_command(command: str) -> str:
    """The command with the path of its script absolute, if it names one here: a study goes on from any folder."""
    word, space, rest = command.strip().partition(" ")
    return f"{Path(word).resolve()}{space}{rest}" if "/" in word and Path(word).exists() else command
