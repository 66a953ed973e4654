"""Enclosures of smooth profiles, lanes and scattered neurons: a sample of `tests/attacks/nets.py`, orders of convergence, structure."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from atlasmoe.moe.activations import GELU, GELU_TANH, RELU, RELU2, SILU, Activation
from atlasmoe.moe.nets import Affine, Net, NeuronGroup
from atlasmoe.verify.enclosure import TaylorForms, fast, prepare
from atlasmoe.verify.enclosure.ridge import canonical
from atlasmoe.verify.enclosure.table import WIDE

sys.path.insert(0, str(Path(__file__).parent / "attacks"))

from nets import attack


def ridge(activation: Activation, directions: int, each: int, *, lanes: bool = False, seed: int = 0, outputs: int = 1) -> Net:
    """An expert as they are built: rows of one length, knots on the lattice of 3/8."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(directions, 2))
    rows *= 6 / np.linalg.norm(rows, axis=1)[:, None]
    knots = np.tile((np.arange(each) - (each - 1) / 2) * 0.75, directions)
    facing = np.where(knots > 0, -1.0, 1.0)
    m = directions * each
    first = Affine(np.repeat(rows, each, axis=0) * facing[:, None], -facing * knots)
    last = Affine(rng.normal(size=(outputs, m)), rng.normal(size=outputs))
    ups = (Affine(rng.normal(size=(m, 2)), rng.normal(size=m)),) if lanes else ()
    return Net((first, last), ((NeuronGroup("lane" if lanes else "neuron", m, "test", activation),),), ups)


def boxes(half: float, count: int = 60, degree: int = 2) -> tuple[TaylorForms, np.ndarray]:
    middle = np.random.default_rng(1).uniform(-0.5, 0.5, (count, 2))
    return TaylorForms.variables(middle - half, middle + half, degree), middle


def test_no_point_is_missed() -> None:
    assert list(attack(40, 7)) == []


@pytest.mark.parametrize("lanes", [False, True])
@pytest.mark.parametrize("activation", [SILU, GELU, GELU_TANH])
def test_radii_shrink_with_the_degree(activation: Activation, lanes: bool) -> None:
    """By 2^(n+1) where boxes are halved, and what is left at the end is rounding."""
    stored = ridge(activation, 5, 12, lanes=lanes)
    net = prepare(stored)
    assert (net.directions, net.scattered) == (5, 0)
    for degree in (2, 3, 4, 5):
        wide, narrow, point = (net(boxes(half, degree=degree)[0]).radius.max() for half in (0.01, 0.005, 1e-9))
        assert 0.75 * 2 ** (degree + 1) < wide / narrow < 1.4 * 2 ** (degree + 1)
        assert point < 2e-13 * np.abs(stored.affines[1].weight).sum()


def test_a_quadratic_is_exact_between_its_knots() -> None:
    """relu² writes x·y by four neurons: (x + y)²/4 − (x − y)²/4."""
    rows = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    net = Net(
        (Affine(rows, np.zeros(4)), Affine(np.array([[0.25, 0.25, -0.25, -0.25]]), np.zeros(1))), ((NeuronGroup("q", 4, "", RELU2),),)
    )
    x, middle = boxes(0.25)
    found = prepare(net)(x)
    assert found.radius.max() < 1e-13
    np.testing.assert_allclose(found.center[:, 0], middle.prod(1), atol=1e-15)


def test_exact_products_of_lanes() -> None:
    """silu(x)·y − silu(−x)·y = x·y: what is not linear in x cancels in the profile, so the product is exact to rounding."""
    first = Affine(np.array([[1.0, 0.0], [-1.0, 0.0]]), np.zeros(2))
    up = Affine(np.array([[0.0, 1.0], [0.0, 1.0]]), np.zeros(2))
    net = Net((first, Affine(np.array([[1.0, -1.0]]), np.zeros(1))), ((NeuronGroup("lane", 2, "", SILU),),), (up,))
    x, middle = boxes(0.3, degree=3)
    found = prepare(net)(x)
    assert found.radius.max() < 1e-12
    np.testing.assert_allclose(found.center[:, 0], middle.prod(1), atol=1e-12)


def test_lanes_that_read_almost_one_direction_are_not_moved_far_away() -> None:
    """c + U·x is smallest where nearly parallel rows cut each other, a million units away: nothing is gained there."""
    stored = ridge(SILU, 3, 6, lanes=True)
    up = np.array([2.0, -1.0]) + 1e-6 * np.random.default_rng(3).normal(size=(18, 2))
    factor = up @ [1e6, 2e6]  # of size 1
    prepared = prepare(Net(stored.affines, stored.groups, (Affine(up, factor),)))
    assert prepared(boxes(1e-9)[0]).radius.max() < 1e-10


def test_far_away_and_on_wide_boxes_something_is_known() -> None:
    """Beyond the tables nets are nearly piecewise linear; nothing grows faster than that."""
    net = ridge(SILU, 3, 6)
    prepared, most = prepare(net), float(np.abs(net.affines[1].weight).sum()) * 6 * 2
    for corner, half in ((1e3, 1.0), (0.0, 1e5), (1e6, 1e6)):
        spans = prepared(TaylorForms.variables(np.full((1, 2), corner - half), np.full((1, 2), corner + half))).range()
        assert np.abs([spans.lower, spans.upper]).max() < most * (corner + half) * 1.1 + 100


def test_directions_are_rows_up_to_sign() -> None:
    """Twice a row is another direction: silu(2z) is not 2·silu(z). For ReLU it is the same."""
    rows = np.array([[3.0, 1.0], [-3.0, -1.0], [6.0, 2.0], [0.0, 0.0]])
    directions, scale = canonical(rows, scaled=False)
    np.testing.assert_array_equal(directions * scale[:, None], rows)
    np.testing.assert_array_equal(directions[0], directions[1])
    assert (directions[2] != directions[0]).any()
    biases, last = np.array([0.1, 0.2, 0.3, 0.4]), Affine(np.ones((1, 4)), np.zeros(1))
    counts = {}
    for activation in (RELU, SILU):
        net = prepare(Net((Affine(rows, biases), last), ((NeuronGroup("n", 4, "", activation),),)))
        counts[activation] = net.directions, net.scattered
    assert counts == {RELU: (1, 0), SILU: (1, 1)}


@pytest.mark.parametrize("curved", [False, True])
@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_compiled_loops_give_the_same_numbers(degree: int, curved: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="the extra `fast` is not installed")
    nets = [ridge(GELU, 3, 7, outputs=2), ridge(SILU, 4, 1), ridge(SILU, 2, 5, lanes=True)]
    for half in (1e-9, 0.05, 1.01 * WIDE / 6, 3.0):
        x, _ = boxes(half, degree=degree)
        x = (x + x * x if curved else x).unknown_where((np.arange(60) % 20 == 0)[:, None])
        for net in nets:
            prepared, found = prepare(net), []
            for worth in (np.inf, -1):
                monkeypatch.setattr(fast, "WORTH", worth)
                found.append(prepared(x))
            np.testing.assert_array_equal(found[0].coefficients, found[1].coefficients)
            np.testing.assert_array_equal(found[0].radius, found[1].radius)
            assert np.isinf(found[0].radius[::20]).all()
            assert np.isfinite(np.delete(found[0].radius, np.s_[::20], axis=0)).all()
