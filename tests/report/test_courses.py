import re

import pytest
from matplotlib.figure import Figure

from optnas.errors import UsageError
from optnas.report import Course, check_picture, draw_courses, save_courses
from optnas.report.courses import finding


def course(name, last, spread=0.01, runs=4, trainings=(10, 50)):
    mean = (last - 0.2, last)[-len(trainings) :]
    return Course(name, runs, trainings, mean, (spread,) * len(trainings))


def test_the_finding_names_the_best_two():
    assert finding([course("random", 0.8), course("tpe", 0.93), course("nsga2", 0.9)]) == (
        "tpe finds most in 50 trainings: 93.0%, nsga2 90.0%"
    )
    assert finding([course("tpe", 0.93)]) == "tpe finds 93.0% of the hypervolume in 50 trainings"


def test_a_lead_within_two_standard_errors_is_none():
    """Two means of 4 runs, each with a deviation of s: the standard error of the difference is s / sqrt(2)."""
    for spread, clear in ((0.041, True), (0.043, False)):
        text = finding([course("tpe", 0.96, spread), course("nsga2", 0.9, spread)])
        assert text.startswith("tpe finds most" if clear else "No clear winner in 50 trainings: tpe 96.0%, nsga2 90.0%")


def test_single_runs_have_no_winner():
    assert finding([course("tpe", 0.9, 0.0, 1), course("nsga2", 0.5, 0.0, 1)]).startswith("No clear winner")


def test_samplers_are_compared_where_all_of_them_were_measured():
    assert "in 10 trainings: 75.0%, tpe 70.0%" in finding(
        [course("tpe", 0.9), Course("gp", 3, (10,), (0.75,), (0.01,)), Course("none", 0, (), (), ())]
    )
    assert finding([]) == "No number of trainings that all samplers reached"


def test_what_is_drawn_is_named_with_its_unit():
    axes = Figure().subplots()
    draw_courses([course("tpe", 0.93), course("gp", 0.9, trainings=(10,))], axes, "table: error, macs")
    assert axes.get_xlabel() == "networks trained"
    assert "hypervolume" in axes.get_ylabel()
    assert "%" in axes.get_ylabel()
    texts = [text.get_text() for text in axes.texts]
    assert "table: error, macs; mean of 4 runs; bars: ± 1 standard deviation" in texts
    assert {"tpe 93.0%", "gp 90.0% at 10"} <= set(texts)


def test_bars_end_at_a_hundred_per_cent():
    axes = Figure().subplots()
    draw_courses([course("tpe", 0.99, 0.05)], axes)
    (bars,) = axes.collections
    assert max(end for segment in bars.get_segments() for _, end in segment) == pytest.approx(1.0)


@pytest.mark.parametrize("count", [0, 1, 12])
@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_pictures_of_none_one_and_many(count, ending, tmp_path):
    path = tmp_path / f"out.{ending}"
    check_picture(path)
    save_courses([course(f"sampler{index}", 0.9) for index in range(count)], path)
    assert path.stat().st_size > 1000


def test_paths_that_no_picture_can_have_are_refused(tmp_path):
    (tmp_path / "folder.png").mkdir()
    for name, message in {
        "out.jpgg": "expected an ending such as .png, .svg or .pdf, got .jpgg",
        "out": "got none",
        "nowhere/out.png": "expected a folder that exists",
        "folder.png": "expected a file, got a folder",
    }.items():
        with pytest.raises(UsageError, match=re.escape(message)):
            check_picture(tmp_path / name)
