"""The facts of a study or of a replay, drawn."""

from optnas.report.courses import Course, draw_courses, save_courses
from optnas.report.front import draw_front, save_front
from optnas.report.picture import check_picture

__all__ = ["Course", "check_picture", "draw_courses", "draw_front", "save_courses", "save_front"]
