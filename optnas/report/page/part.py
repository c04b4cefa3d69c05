"""What the page is made of: its sections as plain values, and what they are made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from optuna import Study

from optnas.facts.trials import TrialFacts
from optnas.front import Network
from optnas.objective import Objective
from optnas.study.known_space import KnownSpace

__all__ = ["Drawn", "Part", "Reading", "Table"]


@dataclass(frozen=True)
class Reading:
    """A study, read once for all sections."""

    study: Study
    storage: str
    """Its address, as a person would type it."""
    trials: Sequence[TrialFacts]
    members: Sequence[Network]
    """The front."""
    space: KnownSpace | None
    """What its networks are built by; None where that is gone."""
    objective: Objective | None = None
    """What it searches, for costs of networks that were not trained; None where its data or its space are gone."""
    absent: str = ""
    """Why they are gone."""
    say: Callable[[str], None] = lambda text: None
    """Told of progress."""


@dataclass(frozen=True)
class Table:
    """A small table, its cells written out."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    texts: tuple[int, ...] = (0,)
    """Which columns hold words; all others hold numbers."""


@dataclass(frozen=True)
class Drawn:
    """A figure."""

    svg: Markup
    """Safe to put into a page."""
    caption: str = ""


@dataclass(frozen=True)
class Part:
    """A section of the page."""

    name: str
    """Of its anchor."""
    short: str
    """In the navigation."""
    title: str
    """What it found."""
    sentences: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    """Sentences as a list."""
    tables: tuple[Table, ...] = ()
    figures: tuple[Drawn, ...] = ()
