"""What a replay asks of a sampler, whoever wrote it: propose a network, hear what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

__all__ = ["Options", "OptunaProposer", "Proposer"]

#: What each choice can be, by its name.
Options = Mapping[str, Sequence[str]]


class Proposer(Protocol):
    """One search of a table, by ask and tell, one network at a time."""

    avoids_repeats: bool
    """Whether it proposes a network again only when it has no other; such a repeat is not trained."""

    def ask(self) -> Mapping[str, str] | None:
        """An option for each choice, by name; None when there is nothing left to propose."""

    def tell(self, values: Sequence[float] | None) -> None:
        """The objectives, all minimised, of the network asked for last; None if it cannot be trained."""


class OptunaProposer:
    """Any sampler of Optuna, with a study in memory.

    Args:
        sampler: Fresh: one serves one study.
        options: Of each choice.
        objectives: How many values a network has.
        avoids_repeats: See `Proposer`.
    """

    def __init__(self, sampler: BaseSampler, options: Options, objectives: int, avoids_repeats: bool) -> None:
        self.avoids_repeats = avoids_repeats
        self._options = options
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # each new study would have its line
        try:
            self._study = optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
        finally:
            optuna.logging.set_verbosity(level)

    def ask(self) -> Mapping[str, str]:
        self._trial = self._study.ask()
        return {name: self._trial.suggest_categorical(name, choices) for name, choices in self._options.items()}

    def tell(self, values: Sequence[float] | None) -> None:
        if values is None:
            self._study.tell(self._trial, state=TrialState.FAIL)
        else:
            self._study.tell(self._trial, list(values))
