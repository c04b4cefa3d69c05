"""Drawings of networks, laid out without a backend and written by two."""

from optnas.report.drawing.painting import axes_width, paint, write_drawing
from optnas.report.drawing.sheet import WIDTH, difference_drawing, network_drawing
from optnas.report.drawing.svg import svg_text

__all__ = ["WIDTH", "axes_width", "difference_drawing", "network_drawing", "paint", "svg_text", "write_drawing"]
