"""Writing a picture: what can be refused is refused before the work that it shows."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from optnas.errors import UsageError

__all__ = ["check_picture", "write_picture"]


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


def write_picture(figure: Figure, path: Path) -> None:
    """Write a figure; the ending of the path names the format.

    Raises:
        UsageError: If the file cannot be written.
    """
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"picture {path}: cannot be written: {reason}") from None
