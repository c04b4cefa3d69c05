"""Writing a picture: what can be refused is refused before the work that it shows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from optuna import Study

from optnas.errors import UsageError

__all__ = ["check_picture", "picture_bytes", "save_picture", "write_picture"]

#: Letters stay letters, that can be searched and are small; equal pictures are equal files.
_FILES: Any = {"svg.fonttype": "none", "svg.hashsalt": "optnas", "pdf.fonttype": 42}
_NO_DATE = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def check_picture(path: Path) -> None:
    """Refuse a path that no picture can be written to.

    Raises:
        UsageError: If its ending is no format of matplotlib, its folder does not exist, or it is a folder.
    """
    kinds = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in kinds:
        raise UsageError(f"picture {path}: expected an ending such as .png, .svg or .pdf, got {path.suffix or 'none'}")
    if not path.parent.is_dir():
        raise UsageError(f"picture {path}: expected a folder that exists, got {path.parent}")
    if path.is_dir():
        raise UsageError(f"picture {path}: expected a file, got a folder")


def save_picture(
    draw: Callable[[Study, Axes], None], study: Study, path: Path, size: tuple[float, float] = (7.0, 4.8)
) -> None:
    """Draw a study on axes of their own and write them; the ending of the path names the format.

    Args:
        draw: Such as `draw_front`.
        study: What it draws.
        path: Of the file.
        size: (width, height) in inches.

    Raises:
        UsageError: If the file cannot be written.
    """
    figure = Figure(figsize=size, layout="constrained")
    draw(study, figure.subplots())
    write_picture(figure, path)


def write_picture(figure: Figure, path: Path) -> None:
    """Write a figure; the ending of the path names the format.

    Raises:
        UsageError: If the file cannot be written.
    """
    try:
        path.write_bytes(picture_bytes(figure, path.suffix.lstrip(".").lower()))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"picture {path}: cannot be written: {reason}") from None


def picture_bytes(figure: Figure, kind: str, transparent: bool = False) -> bytes:
    """The file of a figure: "png", "svg", "pdf" or another format of matplotlib.

    Raises:
        ValueError: If matplotlib does not know the format.
    """
    file = BytesIO()
    with rc_context(_FILES), warnings.catch_warnings():
        # A name in a script that the font lacks is still a name: the picture shows boxes for it.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(file, format=kind, dpi=150, transparent=transparent, metadata=_NO_DATE.get(kind))
    return file.getvalue()
