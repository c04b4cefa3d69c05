"""All pictures of a study by name, and writing them into a folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna import Study

from optnas.errors import UsageError
from optnas.report.curves import draw_curves
from optnas.report.front import draw_front
from optnas.report.hypervolume import draw_course
from optnas.report.options import draw_options
from optnas.report.pairs import draw_pairs
from optnas.report.parallel import draw_parallel
from optnas.report.picture import check_picture, write_picture
from optnas.report.timeline import draw_timeline

__all__ = ["FIGURES", "finding_of", "make_figure", "save_figures"]

OnFigure = Callable[[Study, Figure], None]


def _alone(draw: Callable[[Study, Axes], None]) -> OnFigure:
    return lambda study, figure: draw(study, figure.subplots())


FIGURES: Mapping[str, tuple[OnFigure, tuple[float, float]]] = {
    "front": (_alone(draw_front), (7.0, 4.8)),
    "pairs": (draw_pairs, (7.0, 5.6)),
    "hypervolume": (draw_course, (9.0, 4.2)),
    "curves": (_alone(draw_curves), (7.0, 4.8)),
    "parallel": (_alone(draw_parallel), (10.0, 5.2)),
    "options": (_alone(draw_options), (7.0, 5.6)),
    "timeline": (_alone(draw_timeline), (8.0, 3.2)),
}
"""What draws each picture of a study on an empty figure, and its size in inches (width, height)."""


def make_figure(study: Study, name: str) -> Figure:
    """One of `FIGURES`, drawn.

    Raises:
        UsageError: If there is none of that name.
    """
    _check(name)
    draw, size = FIGURES[name]
    figure = Figure(figsize=size, layout="constrained")
    draw(study, figure)
    return figure


def finding_of(figure: Figure) -> str:
    """What a figure of `make_figure` states: its headline, or why there is nothing to see."""
    axes = figure.axes[0]
    said = figure.get_suptitle() or axes.get_title(loc="left") or " ".join(text.get_text() for text in axes.texts)
    return " ".join(said.split())


def save_figures(
    study: Study, folder: Path, names: Collection[str] = tuple(FIGURES), formats: Collection[str] = ("png", "svg")
) -> dict[str, str]:
    """Write pictures of a study into a folder, which is made if need be, as NAME.FORMAT.

    Args:
        study: Any study.
        folder: Where to write; files of the same names are replaced.
        names: Some of `FIGURES`.
        formats: Formats of matplotlib.

    Returns:
        What each picture states, by its name.

    Raises:
        UsageError: If a name or a format is unknown, or the folder cannot be written to.
    """
    for name in names:
        _check(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"figures: the folder {folder} cannot be made: {error.strerror}") from None
    for kind in formats:
        check_picture(folder / f"front.{kind}")
    found = {}
    for name in names:
        figure = make_figure(study, name)
        for kind in formats:
            write_picture(figure, folder / f"{name}.{kind}")
        found[name] = finding_of(figure)
    return found


def _check(name: str) -> None:
    if name not in FIGURES:
        raise UsageError(f"figure: expected one of {', '.join(FIGURES)}, got {name!r}")
