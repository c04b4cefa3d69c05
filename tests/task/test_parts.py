import numpy as np
import torch

from optnas.task.parts import Part, balanced, stratified

LABELS = np.array([0] * 100 + [1] * 20 + [2] * 10)


def test_every_class_is_cut_in_the_same_proportions():
    parts = stratified(LABELS, (0.7, 0.1, 0.2), seed=0)
    assert [np.bincount(LABELS[part]).tolist() for part in parts] == [[70, 14, 7], [10, 2, 1], [20, 4, 2]]


def test_parts_are_disjoint_and_together_the_whole():
    parts = stratified(LABELS, (0.7, 0.1, 0.2), seed=0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(130))


def test_a_class_of_three_gives_one_image_to_each_part():
    parts = stratified(np.array([0, 0, 0]), (0.7, 0.15, 0.15), seed=0)
    assert [len(part) for part in parts] == [1, 1, 1]


def test_the_split_follows_the_seed():
    first, again, other = (stratified(LABELS, (0.5, 0.5), seed)[0].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_balanced_draw_takes_as_many_of_each_class():
    assert np.bincount(LABELS[balanced(LABELS, 24, seed=0)]).tolist() == [8, 8, 8]


def test_an_uneven_draw_differs_by_one():
    assert sorted(np.bincount(LABELS[balanced(LABELS, 25, seed=0)]).tolist()) == [8, 8, 9]


def test_a_small_class_is_made_up_for():
    assert np.bincount(LABELS[balanced(LABELS, 60, seed=0)]).tolist() == [30, 20, 10]


def test_a_smaller_draw_is_a_subset_of_a_larger_one():
    assert set(balanced(LABELS, 20, seed=3)) < set(balanced(LABELS, 50, seed=3))


def test_a_part_is_indexed_with_its_labels():
    part = Part(torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1), torch.tensor([0, 1, 0, 1]), ("broken",))
    chosen = part[np.array([3, 0])]
    assert (chosen.x.flatten().tolist(), chosen.y.tolist(), chosen.skipped) == ([3, 0], [1, 0], ("broken",))
