"""The extras of a study written while it is searched, beside the search and never in its way."""

from __future__ import annotations

import queue
import threading
import time
from contextlib import suppress

from optuna import Study
from optuna.trial import FrozenTrial

from optnas.errors import first_line
from optnas.report.dashboard.drawing import drawing_in
from optnas.report.dashboard.extras import Extras
from optnas.study import Event, artifacts_folder
from optnas.study.search import Watcher
from optnas.study.settings import Settings

__all__ = ["DashboardWatcher"]

#: The share of a search's time that is spent on drawing networks at most. What is not drawn then is drawn at the end.
_SHARE = 0.02
#: How long a search that has ended waits for its extras.
_PATIENCE_SECONDS = 3.0
#: How often trials that an earlier search left without extras are looked after while there is nothing else to do.
_IDLE_SECONDS = 0.05


class DashboardWatcher(Watcher):
    """Hears what a search does for another watcher, and writes notes, artifacts and plots as trials end.

    Networks are drawn in the thread that searches, since a person's space and the random numbers of torch belong to it;
    everything else is done in a thread of its own. Whatever goes wrong is said once, and the search goes on without.

    Args:
        watcher: Who wants to hear.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._writer: _Writer | None = None
        self._began = self._drawn = 0.0

    def start(self, study: Study, settings: Settings) -> None:
        self._watcher.start(study, settings)
        folder = artifacts_folder(settings.storage)
        if folder is None or self._writer is not None:
            return
        self._began = time.monotonic()
        try:
            self._writer = _Writer(Extras(study, settings.storage, folder, drawing_in(study, settings)))
        except Exception as error:
            self.say(_trouble(error))

    def say(self, text: str) -> None:
        self._watcher.say(text)

    def __call__(self, event: Event) -> None:
        self._watcher(event)
        if self._writer is None or event.kind == "started":
            return
        try:
            self._writer.put(event.trial, self._draw(self._writer.extras, event))
        except Exception as error:
            self._give_up(error)

    def close(self) -> None:
        self._watcher.close()
        if self._writer is None:
            return
        try:
            self._writer.close(_PATIENCE_SECONDS)
        except Exception as error:
            self._give_up(error)

    def _draw(self, extras: Extras, event: Event) -> str | None:
        now = time.monotonic()
        if event.kind not in ("trained", "pruned") or self._drawn > _SHARE * (now - self._began):
            return None
        drawing = extras.draw(extras.study.get_trials(deepcopy=False)[event.trial])
        self._drawn += time.monotonic() - now
        return drawing

    def _give_up(self, error: Exception) -> None:
        self._writer = None
        self.say(_trouble(error))


class _Writer:
    """A thread that writes the extras of trials in the order in which they ended."""

    def __init__(self, extras: Extras) -> None:
        self.extras = extras
        self._jobs: queue.SimpleQueue[tuple[int, str | None] | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        # A daemon: a storage that hangs must not keep the process.
        self._thread = threading.Thread(target=self._run, name="optnas-dashboard", daemon=True)
        self._thread.start()

    def put(self, trial: int, drawing: str | None) -> None:
        """Have the extras of a trial written.

        Raises:
            Exception: What an earlier one raised, after which nothing is written.
        """
        if self._error is not None:
            raise self._error
        self._jobs.put((trial, drawing))

    def close(self, seconds: float) -> None:
        """Finish what was put, and fill in what is missing, newest first, for so long at most.

        Raises:
            Exception: What one of them raised.
        """
        deadline = time.monotonic() + seconds
        self._jobs.put(None)
        self._thread.join(seconds)
        if self._error is not None:
            raise self._error
        if self._thread.is_alive():
            return
        self.extras.refresh(force=True)
        for trial in self.extras.missing():
            if time.monotonic() > deadline:
                return
            self.extras.write(trial, self.extras.draw(trial))

    def _run(self) -> None:
        try:
            self._work(self.extras.missing())
        except Exception as error:
            self._error = error
        finally:
            with suppress(Exception):
                self.extras.study._storage.remove_session()  # Optuna keeps one for each thread

    def _work(self, left: list[FrozenTrial]) -> None:
        """Until the queue ends; between two trials the study's note and plots, and the trials left from before."""
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS if left else 1.0)
            except queue.Empty:
                if left:
                    self.extras.write(left.pop(0))
                self.extras.refresh()
                continue
            if job is None:
                return
            number, drawing = job
            self.extras.write(self.extras.study.get_trials(deepcopy=False)[number], drawing)
            self.extras.refresh()


def _trouble(error: Exception) -> str:
    return f"notes and pictures for the dashboard cannot be written ({first_line(error)}); the search is not harmed"
