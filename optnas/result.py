"""What a search leaves, in Python: the networks that it found, and what can be made of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any

from optuna import Study

from optnas.cost import Constraint, parse_budget
from optnas.deploy import Model, model_of
from optnas.deploy.retrain import retrain
from optnas.errors import UsageError
from optnas.facts.fitness import parse_fitness, rank
from optnas.facts.knee import knee
from optnas.front import Network, best, front
from optnas.report.dashboard import DashboardWatcher
from optnas.study.reopen import Reopened, reopen
from optnas.study.search import Searched, Watcher
from optnas.study.search import search as run_search
from optnas.study.settings import Settings

__all__ = ["FoundNetwork", "SearchResult", "load", "search"]


@dataclass(frozen=True)
class FoundNetwork(Network):
    """A network of a study, and what can be made of it."""

    origin: Reopened = field(repr=False, compare=False)
    """The study."""

    def model(self) -> Model:
        """The trained network: retrained weights where there are better ones, else those of the search."""
        return model_of(self.origin, self.trial)

    def retrain(
        self,
        *,
        epochs: int | None = None,
        seeds: int = 3,
        augment: bool = True,
        workers: int | None = None,
        test: bool = False,
        test_again: bool = False,
    ) -> Model:
        """Train it from scratch on all training images; gives the training of the least validation error.

        Args:
            epochs: Of each training; None for six times what suits a search of these images.
            seeds: Trainings.
            augment: Whether training images are cropped at random and, where that makes sense, mirrored.
            workers: Training processes; None for one for each core, 0 for none.
            test: Whether the test split is read for it: once in the life of a study, so choose before.
            test_again: Whether it is read even if it was read before, which the study remembers.

        Raises:
            UsageError: If a number is out of range, the test split was read before, or no training ended well.
        """
        trained = retrain(
            self.origin, [self], epochs=epochs, seeds=seeds, augment=augment, workers=workers, test=test,
            test_again=test_again,
        )  # fmt: skip
        if not trained.networks[0].errors:
            raise UsageError(f"trial {self.trial}: no training ended well: {'; '.join(trained.networks[0].failures)}")
        return model_of(self.origin, self.trial, weights="retrained")

    def export(
        self, folder: str | PathLike[str], formats: Sequence[str] = ("onnx",), int8: bool = False, **more: Any
    ) -> Any:
        """Write it for phones, see `optnas.deploy.export.export_models`, which takes the other arguments."""
        from optnas.deploy.export import export_models

        return export_models([self.model()], self.origin, Path(folder), tuple(formats), int8, **more)


@dataclass(frozen=True)
class SearchResult:
    """A study after its search."""

    origin: Reopened = field(repr=False)
    """The study, with what it searches."""
    stopped: str = ""
    """Why the search ended before it had trained as many networks as asked; empty if it did not."""

    @property
    def study(self) -> Study:
        """An ordinary Optuna study."""
        return self.origin.study

    @property
    def settings(self) -> Settings:
        """What it was made with."""
        return self.origin.settings

    @property
    def front(self) -> list[FoundNetwork]:
        """The feasible networks that no other one beats in all objectives, least error first."""
        return [self._found(network) for network in front(self.study)]

    def best(self, budget: str | Sequence[str] = (), fitness: str | None = None) -> FoundNetwork | None:
        """The network of least error, or the fittest, that meets a budget; None if none does.

        Args:
            budget: One limit such as "macs<=1M" or "error<=1%", several with commas, or a list.
            fitness: Such as "accuracy=1,1/latency_ms=0.2", see `optnas.facts.fitness`; None for the least error.

        Raises:
            UsageError: If one of them is malformed or names a cost that was not measured.
        """
        constraints = _constraints(budget)
        if fitness is None:
            network = best(self.study, constraints)
        else:
            ranked = rank(self.study, parse_fitness(fitness), constraints)
            network = ranked[0].network if ranked else None
        return None if network is None else self._found(network)

    def knee(self, budget: str | Sequence[str] = ()) -> FoundNetwork | None:
        """The best bargain on the front, or None if the front has no knee; `optnas.facts.knee` says why.

        Raises:
            UsageError: If the budget is malformed or names a cost that was not measured.
        """
        network = knee(self.study, _constraints(budget)).network
        return None if network is None else self._found(network)

    def _found(self, network: Network) -> FoundNetwork:
        return FoundNetwork(**{one.name: getattr(network, one.name) for one in fields(network)}, origin=self.origin)


def _constraints(budget: str | Sequence[str]) -> tuple[Constraint, ...]:
    return parse_budget(budget.split(",") if isinstance(budget, str) else budget)


def search(watcher: Watcher | None = None, **given: Any) -> SearchResult:
    """Search networks for an image data set until the study holds `trials` trained ones, or the time is over.

    Takes the settings of `optnas.study.settings.Settings` by name, for example `data="digits"`, `trials=40`,
    `objectives=("error", "macs")`, `constraints=("params<=100000",)`. A study of that name goes on where it
    stopped; settings that are not given are then those that it was made with.

    Raises:
        UsageError: If a setting is unknown or out of range, the data or the storage cannot be used, or the
            study was made with other settings.
        KeyboardInterrupt: On Ctrl-C; the same call goes on.
    """
    searched: Searched = run_search(DashboardWatcher(watcher or Watcher()), **given)
    return SearchResult(searched, searched.stopped)


def load(study: str | None = None, storage: str = "sqlite:///optnas.db", **given: Any) -> SearchResult:
    """A study of the day before.

    Args:
        study: Its name; None for the only one of the storage.
        storage: Its address.
        given: Settings of this call: `workers`, `data_root` where it moved, or `space`, the function itself, where
            that cannot be imported by its name.

    Raises:
        UsageError: If there is no such study, `optnas.search` did not make it, or the space or the data are no
            longer those that it was made with.
    """
    return SearchResult(reopen(study, storage, **given))
