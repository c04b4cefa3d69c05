"""The facts of a study or of a replay, drawn."""

from optnas.report.courses import Course, draw_courses, save_courses
from optnas.report.curves import draw_curve, draw_curves
from optnas.report.figures import FIGURES, make_figure, save_figures
from optnas.report.front import draw_front, save_front
from optnas.report.hypervolume import draw_course, draw_hypervolume
from optnas.report.options import draw_options
from optnas.report.pairs import draw_pairs
from optnas.report.parallel import draw_parallel
from optnas.report.picture import check_picture, picture_bytes, save_picture
from optnas.report.scaling import Scaling, save_scaling
from optnas.report.timeline import draw_timeline
from optnas.report.weights import draw_weights, save_choice

__all__ = [
    "FIGURES",
    "Course",
    "Scaling",
    "check_picture",
    "draw_course",
    "draw_courses",
    "draw_curve",
    "draw_curves",
    "draw_front",
    "draw_hypervolume",
    "draw_options",
    "draw_pairs",
    "draw_parallel",
    "draw_timeline",
    "draw_weights",
    "make_figure",
    "picture_bytes",
    "save_choice",
    "save_courses",
    "save_figures",
    "save_front",
    "save_picture",
    "save_scaling",
]
