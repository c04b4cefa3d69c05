"""Samplers of other libraries, to compare with; each needs its package (`pip install optnas[bench]`)."""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from optnas.bench.proposer import Options, Proposer
from optnas.errors import UsageError

__all__ = ["OTHERS", "PymooNSGA2", "Smac", "check_installed", "make_other"]

#: Networks of a generation, as in the replay of Optuna's NSGA-II, and of the first design.
_POPULATION = 20


class PymooNSGA2:
    """NSGA-II of pymoo: binary tournaments, uniform crossover, one mutated choice a child on average.

    These operators are set on whole networks, because pymoo's own mating for mixed variables draws parents
    without a tournament and mutates every second choice. A child that equals a member of the population is
    replaced, one that equals a dead member is not.
    """

    avoids_repeats = False

    def __init__(self, options: Options, objectives: int, seed: int) -> None:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.duplicate import ElementwiseDuplicateElimination
        from pymoo.core.problem import Problem
        from pymoo.core.variable import Choice
        from pymoo.operators.crossover.ux import UX
        from pymoo.operators.mutation.rm import ChoiceRandomMutation
        from pymoo.termination import get_termination

        self._options = options
        generator = np.random.default_rng(seed)
        first = [[generator.integers(len(choices)) for choices in options.values()] for _ in range(_POPULATION)]
        self._algorithm = NSGA2(
            pop_size=_POPULATION,
            sampling=np.array(first, dtype=object),
            crossover=UX(),
            mutation=ChoiceRandomMutation(),
            eliminate_duplicates=ElementwiseDuplicateElimination(cmp_func=lambda a, b: bool(np.all(a.X == b.X))),
            seed=seed,
        )
        choices = {name: Choice(options=list(range(len(choices)))) for name, choices in options.items()}
        # The one constraint marks networks that cannot be trained.
        problem = Problem(vars=choices, n_obj=objectives, n_ieq_constr=1)
        self._algorithm.setup(problem, termination=get_termination("n_gen", np.inf))
        self._objectives = objectives
        self._generation: Any = []
        self._values: list[Sequence[float] | None] = []

    def ask(self) -> Mapping[str, str] | None:
        if len(self._values) == len(self._generation):
            self._generation, self._values = self._algorithm.ask(), []
            if self._generation is None or not len(self._generation):
                return None
        genes = self._generation[len(self._values)].X
        return {name: choices[gene] for gene, (name, choices) in zip(genes, self._options.items(), strict=True)}

    def tell(self, values: Sequence[float] | None) -> None:
        self._values.append(values)
        if len(self._values) == len(self._generation):
            worst = np.full(self._objectives, 1e30)
            self._generation.set("F", np.array([worst if known is None else known for known in self._values], float))
            self._generation.set("G", np.array([[float(known is None)] for known in self._values]))
            self._algorithm.tell(infills=self._generation)


class Smac:
    """SMAC3's random forest with expected improvement on ParEGO's random weightings of the objectives.

    As SMAC's facade for hyperparameters sets it, but for two numbers that suit expensive trainings: the
    forest is fitted again after each training, not after eight, and the Sobol design has 20 networks.
    """

    avoids_repeats = True

    def __init__(self, options: Options, objectives: int, seed: int) -> None:
        from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace
        from smac import HyperparameterOptimizationFacade, Scenario
        from smac.multi_objective.parego import ParEGO

        # It says when it fell back to a random network, in the midst of the replay's progress.
        logging.getLogger("smac").setLevel(logging.ERROR)
        space = ConfigurationSpace(seed=seed)
        space.add([CategoricalHyperparameter(name, list(choices)) for name, choices in options.items()])
        folder = Path(tempfile.mkdtemp())  # SMAC insists on a folder for its files
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        scenario = Scenario(
            space,
            objectives=[f"value{index}" for index in range(objectives)],
            n_trials=10**9,  # the replay says when it ends
            deterministic=True,
            seed=seed,
            output_directory=folder,
        )
        facade = HyperparameterOptimizationFacade
        self._facade = facade(
            scenario,
            _never_called,
            model=_forest(space, seed),
            multi_objective_algorithm=ParEGO(scenario),
            initial_design=facade.get_initial_design(scenario, n_configs=_POPULATION, max_ratio=1.0),
            config_selector=facade.get_config_selector(scenario, retrain_after=1),
            overwrite=True,
            logging_level=False,
        )

    def ask(self) -> Mapping[str, str] | None:
        from smac.main.exceptions import ConfigurationSpaceExhaustedException

        try:
            self._asked = self._facade.ask()
        except (StopIteration, ConfigurationSpaceExhaustedException):
            return None
        return {name: str(option) for name, option in self._asked.config.items()}

    def tell(self, values: Sequence[float] | None) -> None:
        from smac.runhistory import TrialValue

        if values is not None:  # else it stays one in training, which is not proposed again
            self._facade.tell(self._asked, TrialValue(cost=[float(value) for value in values]), save=False)


def _forest(space: Any, seed: int) -> Any:
    """The facade's forest, without what makes it slow here.

    That one starts a thread for each core at every prediction, and takes memory for a million leaves a tree.
    """
    from smac.model.random_forest import RandomForest

    return RandomForest(
        space,
        n_trees=10,
        ratio_features=1.0,
        min_samples_split=2,
        min_samples_leaf=1,
        max_leaf_nodes=4096,
        log_y=True,
        n_jobs=1,
        seed=seed,
    )


def _never_called(config: object, seed: int = 0) -> float:
    raise AssertionError("a replay asks and tells")


#: Made of options, the number of objectives and a seed; and the package that each needs.
OTHERS: dict[str, tuple[Callable[[Options, int, int], Proposer], str]] = {
    "pymoo-nsga2": (PymooNSGA2, "pymoo"),
    "smac": (Smac, "smac"),
}


def check_installed(name: str) -> None:
    """Refuse a sampler of `OTHERS` whose package is missing.

    Raises:
        UsageError: With the command that installs it.
    """
    package = OTHERS[name][1]
    if find_spec(package) is None:
        raise UsageError(
            f"sampler {name}: expected the package {package}, which is not installed (pip install 'optnas[bench]')"
        )


def make_other(name: str, options: Options, objectives: int, seed: int) -> Proposer:
    """A new search by a sampler of `OTHERS`.

    Args:
        options: Of each choice.
        objectives: How many values a network has.

    Raises:
        UsageError: If its package is missing.
    """
    check_installed(name)
    return OTHERS[name][0](options, objectives, seed)
