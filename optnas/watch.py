"""What a person sees while a search runs: a live picture in a terminal, plain lines anywhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from optuna import Study
from optuna.trial import TrialState
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from optnas.credentials import scrubbed
from optnas.facts.summary import format_value
from optnas.front import GrowingFront, Network, objective_names
from optnas.objective import ATTRIBUTE
from optnas.printable import counted, one_line, printable
from optnas.study import Event, is_trained
from optnas.study.search import Watcher, hypervolume_so_far
from optnas.study.settings import Settings
from optnas.terminal import Terminal, titled

__all__ = ["Watch", "front_table"]

_ROWS = 8


def front_table(
    members: Sequence[Network],
    columns: Sequence[str],
    rows: int | None = None,
    beside: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """The networks of a front, a row each; of more than `rows` the middle is left out evenly.

    Args:
        members: In the order of the rows.
        columns: Names of objectives and costs.
        rows: At most so many.
        beside: Further columns after the trial's number, by their heading: a text for each member.
    """
    beside = beside or {}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trial", *beside, *columns):
        table.add_column(Text(one_line(name)), justify="right")
    shown: Sequence[int] = range(len(members))
    if rows is not None and len(members) > rows:
        shown = [round(index * (len(members) - 1) / (rows - 1)) for index in range(rows)]
    for place in shown:
        network = members[place]
        known = {**network.costs, **network.values}
        cells = [format_value(name, known[name]) if name in known else "-" for name in columns]
        table.add_row(str(network.trial), *(texts[place] for texts in beside.values()), *cells)
    return table


class Watch(Watcher):
    """Shows a search on a console: how far it is, what it avoided, and the front so far.

    Args:
        console: Where to show it; by default standard error.
        stop: Set it to end the search at the next event, where an interrupt was lost in foreign code.
    """

    def __init__(self, console: Console | None = None, *, stop: threading.Event | None = None) -> None:
        self._console = console or Terminal(stderr=True)
        self._live: Live | None = None
        self._seen_problem = False
        self._warnings: set[str] = set()
        self._stop = stop or threading.Event()

    def start(self, study: Study, settings: Settings) -> None:
        self._study, self._target, self._began = study, settings.limit, time.monotonic()
        self._seconds = settings.seconds
        trials = study.get_trials(deepcopy=False)
        self._before = self._trained = sum(map(is_trained, trials))
        pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
        self._pruned = sum(map(is_trained, pruned))
        self._refused = sum(ATTRIBUTE + "fingerprint" not in trial.user_attrs for trial in pruned)
        self._failed = sum(trial.state == TrialState.FAIL for trial in trials)
        self._repeats = sum(ATTRIBUTE + "repeat_of" in trial.user_attrs for trial in trials)
        self._epochs = sum(len(trial.user_attrs.get(ATTRIBUTE + "curve", ())) for trial in trials if is_trained(trial))
        self._running: set[int] = set()
        self._growing = GrowingFront(study)
        self._look()
        goes_on = f", goes on from {self._before}" if self._before else ""
        until = [] if self._target is None else [f"{self._target} trained networks in all"]
        until += [f"{settings.time} of time"] if settings.time else []
        until += [f"less than {settings.until_stagnant:.2%} to gain"] if settings.until_stagnant else []
        self.say(f"study {one_line(study.study_name)}: {' or '.join(until)}{goes_on}")
        if self._console.is_terminal:
            # Drawn anew four times a second, so that the clock runs while networks train.
            self._live = Live(get_renderable=self._picture, console=self._console, refresh_per_second=4, transient=True)
            self._live.start()

    def _look(self) -> None:
        self._front = self._growing.members()
        self._hypervolume = hypervolume_so_far(self._study, self._front)

    def say(self, text: str) -> None:
        self._console.print(Text(printable(scrubbed(text), lines=True)), soft_wrap=True)

    def __call__(self, event: Event) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt
        match event.kind:
            case "started":
                self._running.add(event.trial)
            case "trained" | "pruned":
                self._running.discard(event.trial)
                self._trained = sum(map(is_trained, self._study.get_trials(deepcopy=False)))  # others may search too
                self._pruned += event.kind == "pruned"
                self._epochs += event.epochs
                self._look()
            case "refused":
                self._refused += 1
            case "repeat":
                self._repeats += 1
            case "again":
                self.say(f"trial {event.trial}: {event.message}; it is trained once more, from its checkpoint if any")
            case "lost" | "waiting":
                self._running.discard(event.trial)
                self.say(f"trial {event.trial}: {event.message}")
            case "warning" if event.message not in self._warnings:
                self._warnings.add(event.message)
                self.say(event.message)
            case "failed":
                self._failed += 1
                self._running.discard(event.trial)
                self.say(f"trial {event.trial} failed: {event.message}")
                if event.detail and not self._seen_problem:
                    # One traceback tells what is wrong; forty of them hide it.
                    self._seen_problem = True
                    self.say(event.detail.rstrip())
        if self._live is None and event.kind == "pruned":
            self.say(f"[{self._done()}] trial {event.trial}: pruned, {event.message}{self._tail()}")
        if self._live is None and event.kind == "trained":
            self.say(f"[{self._done()}] trial {event.trial}: {self._newest(event.trial)}{self._tail()}")

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _newest(self, number: int) -> str:
        names = objective_names(self._study)
        trial = self._study.get_trials(deepcopy=False)[number]
        return ", ".join(f"{name} {format_value(name, value)}" for name, value in zip(names, trial.values, strict=True))

    def _tail(self) -> str:
        volume = "" if self._hypervolume is None else f", hypervolume {self._hypervolume:.3f}"
        return f" | front {len(self._front)}{volume}, {self._left()}"

    def _done(self) -> str:
        return str(self._trained) if self._target is None else f"{self._trained}/{self._target}"

    def _left(self) -> str:
        done = self._trained - self._before
        elapsed = time.monotonic() - self._began
        ends = [] if self._seconds is None else [self._seconds - elapsed]
        if done and self._target is not None:
            ends.append(elapsed / done * (self._target - self._trained))
        return f"{_clock(max(0, min(ends)))} left" if ends else f"{_clock(elapsed)} elapsed"

    def _picture(self) -> Group:
        line = Table.grid(padding=(0, 2))
        if self._target is None and self._seconds is not None:
            bar = ProgressBar(total=self._seconds, completed=time.monotonic() - self._began, width=30)
        else:
            bar = ProgressBar(total=max(self._target or 1, 1), completed=self._trained, width=30)
        volume = "" if self._hypervolume is None else f"hypervolume {self._hypervolume:.3f}"
        line.add_row(bar, f"{self._done()} trained", f"{len(self._running)} running", volume, self._left())
        counts = (
            f"{self._pruned} of them pruned, {self._refused} refused untrained, {self._repeats} repeats avoided, "
            f"{self._failed} failed, {self._epochs} epochs spent"
        )
        parts: list[RenderableType] = [line, Text(counts, style="dim")]
        if self._front:
            table = front_table(self._front, list(objective_names(self._study)), _ROWS)
            parts.append(titled(f"front: {counted(len(self._front), 'network')}", table))
        return Group(*parts)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
