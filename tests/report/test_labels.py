"""Names beside points cover nothing."""

import numpy as np
from matplotlib.figure import Figure

from optnas.report.labels import name_points


def boxes(axes):
    """(n, 4) of the names, without their lines."""
    return np.array([text.get_bbox_patch().get_window_extent().extents for text in axes.texts])


def named(points, others=(), **settings):
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    drawn = np.array([*points, *others])
    axes.scatter(drawn[:, 0], drawn[:, 1], s=42)
    axes.set(xlim=(0, 10), ylim=(0, 10), **settings)
    name_points(axes, [(f"trial {index}", tuple(point)) for index, point in enumerate(points)])
    figure.draw_without_rendering()
    return axes, axes.transData.transform(drawn), boxes(axes)


def lines(axes):
    return [text for text in axes.texts if text.arrow_patch.get_visible()]


def check(axes, marks, found):
    frame = axes.bbox.extents
    assert (found[:, :2] >= frame[:2]).all()
    assert (found[:, 2:] <= frame[2:]).all()
    for box in found:
        assert not ((marks > box[:2]) & (marks < box[2:])).all(axis=1).any()
    for first in range(len(found)):
        for second in range(first):
            low, high = np.maximum(found[first, :2], found[second, :2]), np.minimum(found[first, 2:], found[second, 2:])
            assert (low >= high).any(), (first, second)


def test_neighbours_are_named_on_their_own_side():
    axes, marks, found = named([(5.0, 5.0), (5.6, 5.0)])
    check(axes, marks, found)
    assert not lines(axes)
    # The name of the left one ends left of it, that of the right one begins right of it.
    assert found[0, 2] < marks[0, 0] < marks[1, 0] < found[1, 0]


def test_points_in_the_corners_are_named_within_the_frame():
    check(*named([(0.1, 9.9), (9.9, 9.9), (0.1, 0.1), (9.9, 0.1)]))


def test_a_crowd_about_a_point_sends_its_name_off_with_a_line():
    around = [(5 + dx, 5 + dy) for dx in np.linspace(-1.2, 1.2, 9) for dy in np.linspace(-0.9, 0.9, 7)]
    axes, marks, found = named([(5.0, 5.0)], [point for point in around if point != (5.0, 5.0)])
    check(axes, marks, found)
    assert len(lines(axes)) == 1


def test_a_step_is_not_written_over():
    figure = Figure(figsize=(5, 4))
    axes = figure.subplots()
    axes.scatter([5.0], [5.0], s=42)
    axes.step([5.0, 5.0, 10.0], [10.0, 5.0, 5.0], where="post")
    axes.set(xlim=(0, 10), ylim=(0, 10))
    name_points(axes, [("trial 0", (5.0, 5.0))])
    x = axes.transData.transform((5.0, 5.0))[0]
    (box,) = boxes(axes)
    assert box[2] < x
    assert not lines(axes)


def test_where_all_is_taken_a_name_is_written_all_the_same():
    grid = [(x, y) for x in np.linspace(0, 10, 60) for y in np.linspace(0, 10, 60)]
    axes, _, found = named([(5.0, 5.0)], grid)
    assert found.shape == (1, 4)
    assert (found[0, :2] >= axes.bbox.extents[:2]).all()
