"""Which trials a coordinator runs: the seam, and the one that is alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque

from optuna import Study, Trial
from optuna.trial import TrialState

from optnas.objective import is_trained
from optnas.study.write_behind import WriteBehindStorage

__all__ = ["Holding", "Sole"]


class Holding(ABC):
    """The trials of one coordinator. One is made for each run, and closed when that ends in whatever way."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.interrupted: set[int] = set()
        """Numbers of the trials that somebody else has begun, who is gone."""
        self._trained = 0
        self._all_ended = 0
        """So many trials, the first ones, have ended and are counted."""

    @abstractmethod
    def next(self, trials: float) -> Trial | None:
        """A trial to run, which is this coordinator's from now on: one that was interrupted, or a new one.

        Args:
            trials: How many trained networks the study holds in the end.

        Returns:
            None if so many are trained, or may be by those that run: ask again later.
        """

    @abstractmethod
    def claim(self, trial: Trial, network: str) -> int | None:
        """Claim a network for a trial of this coordinator, and write the trial as it is.

        Returns:
            None if nobody else trains it: the trial does. Else the number of the trial that does, or did: this one
            waits for its end.

        Raises:
            UpdateFinishedTrialError: If the trial is not this coordinator's any more.
        """

    def trained(self) -> int:
        """How many networks of the study are trained, by whom ever."""
        trials = self.study.get_trials(deepcopy=False)
        # Where somebody else has just made a trial, its number is not among them yet.
        while (
            self._all_ended < len(trials)
            and trials[self._all_ended].number == self._all_ended
            and trials[self._all_ended].state.is_finished()
        ):
            self._trained += is_trained(trials[self._all_ended])
            self._all_ended += 1
        return self._trained + sum(map(is_trained, trials[self._all_ended :]))

    def left(self) -> list[Trial]:
        """Interrupted trials that nobody asked for, since as many networks are trained as were wanted."""
        return []

    def drop(self, trial: Trial) -> None:
        """Forget what was to be written into a trial that is not this coordinator's any more."""
        if isinstance(trial.storage, WriteBehindStorage):
            trial.storage.disown(trial._trial_id)

    def close(self) -> None:  # noqa: B027
        """Let others have what is left running."""


class Sole(Holding):
    """The only coordinator of its study: whatever runs there when it begins was interrupted."""

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        self._left = deque(trial._trial_id for trial in running)
        self._training: dict[str, Trial] = {}
        """By network."""

    def next(self, trials: float) -> Trial | None:
        if not self._left:
            return self.study.ask()
        trial = Trial(self.study, self._left.popleft())
        self.interrupted.add(trial.number)
        return trial

    def left(self) -> list[Trial]:
        return [Trial(self.study, trial_id) for trial_id in self._left]

    def claim(self, trial: Trial, network: str) -> int | None:
        elder = self._training.get(network)
        if elder is not None and not self._has_ended(elder):
            if isinstance(trial.storage, WriteBehindStorage):
                trial.storage.flush(trial._trial_id)
            return elder.number
        self._training[network] = trial
        return None

    def _has_ended(self, trial: Trial) -> bool:
        return trial.storage.get_trial(trial._trial_id).state.is_finished()
