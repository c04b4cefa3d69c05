"""The extras of all studies of a storage, filled in and kept up while a person looks at them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import optuna
from optuna.storages import BaseStorage

from optnas.errors import first_line
from optnas.report.dashboard.drawing import drawing_of
from optnas.report.dashboard.extras import Extras

__all__ = ["Follower"]

#: Between two looks at the storage: at least so many seconds, and so many times as long as the last one took.
_SECONDS, _REST = 3.0, 5.0


@dataclass
class Follower:
    """Writes what the studies of a storage lack, the newest trials first, and goes on as trials end.

    So trials get their extras whoever searches, in this process or in another one.
    """

    storage: BaseStorage
    """With studies of any kind."""
    address: str
    """Of the storage, for the commands in notes."""
    folder: Path
    """Of the artifacts."""
    study: str | None = None
    """The name of the only study to follow; None for all."""
    say: Callable[[str], None] = lambda text: None
    """Told what cannot be written, once."""
    stop: Event = field(default_factory=Event)
    """Set it, and `follow` returns after the trial that it is at."""
    _known: dict[int, Extras] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)

    def follow(self) -> None:
        """Look at the storage again and again."""
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                self.look()
            except Exception as error:
                self._say_once(f"the storage cannot be read: {first_line(error)}")
            self.stop.wait(max(_SECONDS, _REST * (time.monotonic() - began)))

    def look(self) -> None:
        """Fill in all that is missing now."""
        names = {study._study_id: study.study_name for study in self.storage.get_all_studies()}
        self._known = {number: extras for number, extras in self._known.items() if number in names}
        for number, name in names.items():
            if self.study not in (None, name):
                continue
            try:
                self._fill(number, name)
            except Exception as error:
                self._say_once(f"notes and pictures of study {name!r} cannot be written: {first_line(error)}")

    def _fill(self, number: int, name: str) -> None:
        if number not in self._known:
            study = optuna.load_study(study_name=name, storage=self.storage)
            self._known[number] = Extras(study, self.address, self.folder, drawing_of(study))
        extras = self._known[number]
        extras.refresh()  # the study's page is what a person opens first
        for trial in extras.missing():
            if self.stop.is_set():
                return
            extras.write(trial, extras.draw(trial))
            extras.refresh()

    def _say_once(self, text: str) -> None:
        if text not in self._said and not self.stop.is_set():
            self._said.add(text)
            self.say(text)
