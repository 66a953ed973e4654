"""The tree of a search: its leaves cover the root exactly, in the order of its preorder."""

import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from atlasmoe.verify.enclosure import TaylorForms
from atlasmoe.verify.prove.error import longest_side
from atlasmoe.verify.prove.tree import UNSETTLED, Search, Verdicts, children_of, leaves_of


class Fickle:
    """Settles boxes at random, with something to recognise each of them by."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.refuted = False

    def __call__(self, lower, upper):
        n, d = lower.shape
        settled = (upper - lower).max(1) < 0.02 + 0.1 * self.rng.random(n)
        sizes = self.rng.integers(0, 3, n)
        members = np.repeat(np.round(1e6 * lower[:, 0]).astype(np.intp), sizes)
        return Verdicts(settled, np.full(n, 2, np.uint8), lower.sum(1), self.rng.integers(0, d, n), sizes, members)


ROOT = (np.array([-1.0, 0.3]), np.array([2.0, 1.7]))


def searched(seed=0, most=10**9):
    search = Search(*ROOT)
    search.run(Fickle(seed), batch=300, most=most, deadline=time.monotonic() + 60)
    return search


@pytest.mark.parametrize("seed", range(3))
def test_leaves_fill_the_root_and_keep_their_own_bounds_and_sets(seed):
    tree = searched(seed).tree()
    lower, upper = tree.leaves()
    assert tree.settled
    assert len(tree) == len(lower) > 1000
    np.testing.assert_array_equal(lower.sum(1), tree.bounds)
    own = np.repeat(np.round(1e6 * lower[:, 0]).astype(int), np.diff(tree.offsets))
    np.testing.assert_array_equal(own, tree.members)
    # No two leaves overlap and together they are as large as the root.
    assert (upper - lower).prod(1).sum() == pytest.approx((ROOT[1] - ROOT[0]).prod(), rel=1e-12)
    points = np.random.default_rng(1).uniform(*ROOT, (500, 2))
    inside = ((points[:, None] >= lower) & (points[:, None] < upper)).all(-1).sum(1)
    np.testing.assert_array_equal(inside, 1)


def test_children_of_a_preorder():
    cuts = np.array([1, 2, 0, 0, 1, 0, 2, 0, 0], np.uint8)
    first, second = children_of(cuts)
    np.testing.assert_array_equal(first, [1, 2, -1, -1, 5, -1, 7, -1, -1])
    np.testing.assert_array_equal(second, [4, 3, -1, -1, 6, -1, 8, -1, -1])
    lower, upper = leaves_of(np.zeros(2), np.ones(2), cuts)
    np.testing.assert_array_equal(lower, [[0, 0], [0, 0.5], [0.5, 0], [0.75, 0], [0.75, 0.5]])
    np.testing.assert_array_equal(upper, [[0.5, 0.5], [0.5, 1], [0.75, 1], [1, 0.5], [1, 1]])


@pytest.mark.parametrize("cuts", [[], [1], [1, 0], [0, 0], [1, 0, 0, 0], [0, 1, 0, 0]])
def test_what_is_no_preorder_is_refused(cuts):
    with pytest.raises(ValueError, match="preorder"):
        children_of(np.array(cuts, np.uint8))


def test_a_search_that_was_stopped_says_so_and_goes_on():
    search = searched(most=2000)
    tree = search.tree()
    assert not search.done
    assert (tree.tags == UNSETTLED).sum() > 0
    assert np.isinf(tree.bounds[tree.tags == UNSETTLED]).all()
    lower, upper = tree.leaves()
    assert (upper - lower).prod(1).sum() == pytest.approx((ROOT[1] - ROOT[0]).prod(), rel=1e-12)
    search.run(Fickle(5), batch=300, most=10**9, deadline=time.monotonic() + 60)
    assert search.done
    assert search.tree().settled
    assert search.volume == pytest.approx(1)


def test_an_exception_in_a_judge_loses_no_box():
    search = Search(*ROOT)

    class Broken(Fickle):
        def __call__(self, lower, upper):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.run(Broken(0), batch=300, most=10**9, deadline=time.monotonic() + 60)
    search.run(Fickle(0), batch=300, most=10**9, deadline=time.monotonic() + 60)
    lower, upper = search.tree().leaves()
    assert (upper - lower).prod(1).sum() == pytest.approx((ROOT[1] - ROOT[0]).prod(), rel=1e-12)


class Hasty(Fickle):
    """Has some boxes cut up to three times at once."""

    def __call__(self, lower, upper):
        found = super().__call__(lower, upper)
        again = self.rng.integers(-1, lower.shape[1], (len(lower), 2))
        again[again[:, 0] < 0] = -1
        return replace(found, more=again)


def test_cuts_without_a_judgement_between_lose_no_box():
    search = Search(*ROOT)
    search.run(Hasty(4), batch=300, most=10**9, deadline=time.monotonic() + 60)
    tree = search.tree()
    assert search.done
    assert tree.settled
    lower, upper = tree.leaves()
    np.testing.assert_array_equal(lower.sum(1), tree.bounds)
    assert (upper - lower).prod(1).sum() == pytest.approx((ROOT[1] - ROOT[0]).prod(), rel=1e-12)
    points = np.random.default_rng(1).uniform(*ROOT, (500, 2))
    inside = ((points[:, None] >= lower) & (points[:, None] < upper)).all(-1).sum(1)
    np.testing.assert_array_equal(inside, 1)


def test_boxes_are_cut_where_they_are_long_also_where_no_slopes_are_known():
    lower, upper = np.zeros((3, 2)), np.array([[1e-5, 1.0], [1e-5, 1.0], [2.0, 1.0]])
    y = TaylorForms.variables(lower, upper)
    # The first two boxes are known as a whole, and not at all: slopes of 0, and a finite and an infinite radius.
    slopes, radius = y.linear.copy(), y.radius.copy()
    slopes[:2], radius[0], radius[1] = 0, 0.5, np.inf
    place = SimpleNamespace(lower=lower, upper=upper, dimension=2, y=SimpleNamespace(linear=slopes, radius=radius))
    np.testing.assert_array_equal(longest_side(place), [1, 1, 0])
