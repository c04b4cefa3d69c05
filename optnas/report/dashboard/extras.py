"""What a study shows in optuna-dashboard beside Optuna's own: notes, artifacts and plots, kept in its storage."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import asdict, dataclass
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any

from optuna import Study
from optuna.artifacts import ArtifactMeta, FileSystemArtifactStore
from optuna.trial import FrozenTrial

from optnas.facts.trials import read_trials, trial_facts
from optnas.front import objective_names
from optnas.objective import ATTRIBUTE
from optnas.report.dashboard.attributes import NOTE, OURS, Attributes, artifact_key, note_key, plot_key
from optnas.report.dashboard.commands import for_study, for_trial, on_study
from optnas.report.dashboard.curve import curve_svg
from optnas.report.dashboard.drawing import Drawing
from optnas.report.dashboard.notes import study_note, trial_note
from optnas.report.dashboard.plots import study_plots
from optnas.study import is_trained
from optnas.threads import one_thread

__all__ = ["Extras"]

_NETWORK, _CURVE = "network.svg", "curve.svg"
#: What the dashboard keeps of an artifact that a person has deleted there.
_DELETED = "null"
_SHOWN = {_NETWORK: "network", _CURVE: "learning curve"}
#: Between two times that a study's note and plots are written: at least so many seconds, and so many times as long as
#: that took.
_SECONDS, _REST = 10.0, 50.0


@dataclass
class _Refreshed:
    """When a study's note and plots were written last, and for which trials."""

    ended: float = -float("inf")
    took: float = 0.0
    states: tuple[int, ...] | None = None


class Extras:
    """Writes the extras of one study. A note that a person has edited stays as it is.

    One thread writes, and another may draw. Two processes do no harm to each other: both write the same.

    Args:
        study: Any study.
        storage: Its address, for the commands in notes.
        folder: Of the artifacts; made when the first is written.
        drawing: Draws networks; None leaves their drawings out.
    """

    def __init__(self, study: Study, storage: str, folder: Path, drawing: Drawing | None = None) -> None:
        self.study, self._folder, self._drawing = study, folder, drawing
        self._names = objective_names(study)
        self._attributes = Attributes(study)
        self._command = on_study(study, storage)
        self._done: set[int] = set()
        self._undrawable: set[int] = set()
        self._refreshed = _Refreshed()

    def missing(self) -> list[FrozenTrial]:
        """The trials that have ended and lack something, the newest first."""
        trials = [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state.is_finished() and trial.number not in self._done
        ]
        known = self._attributes.keys() if trials else set()
        found = [trial for trial in trials if not self._wanted(trial) <= known or self._lost(trial, known)]
        self._done |= {trial.number for trial in trials} - {trial.number for trial in found}
        return found[::-1]

    def draw(self, trial: FrozenTrial) -> str | None:
        """The drawing of a trial's network; None if it has none. See `Drawing` for the thread that may ask."""
        if not self._is_drawn(trial):
            return None
        try:
            with one_thread():
                assert self._drawing is not None
                return self._drawing(trial.params, f"trial {trial.number}")
        except Exception:
            # Networks that cannot be built are refused: that is told in the note.
            self._undrawable.add(trial.number)
            return None

    def write(self, trial: FrozenTrial, drawing: str | None = None) -> None:
        """Write the note of a trial that has ended, its curve, and its drawing if there is one now."""
        facts = trial_facts(trial, self._names)
        files = {_NETWORK: drawing, _CURVE: curve_svg(facts)}
        values: dict[str, Any] = {}
        note, keys = note_key(trial._trial_id), {name: self._key(trial, name) for name in files}
        known = self._attributes.read([f"{note}_ver", *keys.values()])
        for name, content in files.items():
            if content is not None and known.get(keys[name]) != _DELETED:
                values |= self._keep(trial, name, content)
        known |= values
        texts = {}
        if known.get(f"{note}_ver", OURS) == OURS:
            there = [name for name, key in keys.items() if known.get(key, _DELETED) != _DELETED]
            pictures = {_SHOWN[name]: self._address(trial, name) for name in there}
            texts[f"{note}_str"] = trial_note(facts, pictures, for_trial(self._command, trial.number))
            values[f"{note}_ver"] = OURS
        if values:
            self._attributes.write(values, texts)

    def refresh(self, force: bool = False) -> None:
        """Write the note and the plots of the study, if trials have changed and the last time was not just now.

        Args:
            force: Write them even if it was.
        """
        trials, last = self.study.get_trials(deepcopy=False), self._refreshed
        states = tuple(trial.state.value for trial in trials)
        began = time.monotonic()
        if states == last.states or (not force and began - last.ended < max(_SECONDS, _REST * last.took)):
            return
        facts = read_trials(self.study)
        texts = {plot_key(name): plot for name, plot in study_plots(self.study, facts).items()}
        values = {}
        if self._attributes.read([f"{NOTE}_ver"]).get(f"{NOTE}_ver", OURS) == OURS:
            # The same version each time: who edits the note meanwhile may save it.
            values[f"{NOTE}_ver"] = OURS
            page = f"/dashboard/studies/{self.study._study_id}/trials?numbers="
            texts[f"{NOTE}_str"] = study_note(
                self.study, facts, page, for_study(self._command, sum(map(is_trained, trials)))
            )
        self._attributes.write(values, texts)
        ended = time.monotonic()
        self._refreshed = _Refreshed(ended, ended - began, states)

    def _wanted(self, trial: FrozenTrial) -> set[str]:
        """The keys of all that a trial should have."""
        wanted = {f"{note_key(trial._trial_id)}_ver"}
        if any(map(isfinite, trial.user_attrs.get(ATTRIBUTE + "curve", ()))):
            wanted.add(self._key(trial, _CURVE))
        if self._is_drawn(trial):
            wanted.add(self._key(trial, _NETWORK))
        return wanted

    def _is_drawn(self, trial: FrozenTrial) -> bool:
        is_repeat = ATTRIBUTE + "repeat_of" in trial.user_attrs
        return bool(self._drawing and trial.params and not is_repeat and trial.number not in self._undrawable)

    def _lost(self, trial: FrozenTrial, known: set[str]) -> bool:
        """Whether the storage tells of a file that is gone: it came here without its folder."""
        gone = [
            key
            for name in _SHOWN
            if (key := self._key(trial, name)) in known and not (self._folder / self._artifact(trial, name)).exists()
        ]
        return bool(gone) and any(value != _DELETED for value in self._attributes.read(gone).values())

    def _keep(self, trial: FrozenTrial, name: str, content: str) -> dict[str, str]:
        """Write a file; returns what tells the dashboard of it."""
        artifact = self._artifact(trial, name)
        self._folder.mkdir(parents=True, exist_ok=True)
        FileSystemArtifactStore(self._folder).write(artifact, BytesIO(content.encode()))
        meta = ArtifactMeta(artifact, name, "image/svg+xml", None)
        return {self._key(trial, name): json.dumps(asdict(meta))}

    def _artifact(self, trial: FrozenTrial, name: str) -> str:
        """The same whoever writes it and how often, and another one in every study that ever used the folder."""
        named = f"{self.study.study_name}/{trial._trial_id}/{trial.datetime_start}/{name}"
        return str(uuid.uuid5(uuid.NAMESPACE_OID, named))

    def _key(self, trial: FrozenTrial, name: str) -> str:
        return artifact_key(trial._trial_id, self._artifact(trial, name))

    def _address(self, trial: FrozenTrial, name: str) -> str:
        return f"/artifacts/{self.study._study_id}/{trial._trial_id}/{self._artifact(trial, name)}"
