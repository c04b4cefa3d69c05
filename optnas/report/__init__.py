"""The facts of a study, drawn."""

from optnas.report.front import draw_front, save_front

__all__ = ["draw_front", "save_front"]
