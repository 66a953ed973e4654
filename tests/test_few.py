"""Profiles along directions that span few dimensions: one polynomial, composed with forms."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from atlasmoe.moe.activations import SILU
from atlasmoe.moe.nets import Affine, Net, NeuronGroup
from atlasmoe.verify.enclosure import TaylorForms, few, prepare, smooth_ridge
from atlasmoe.verify.enclosure.monomials import monomials


@pytest.mark.parametrize("degree", [3, 4, 5])
def test_what_is_left_out_is_bounded_sharply(degree: int) -> None:
    """(x + c·x² ± ρ)^n, c and ρ ≥ 0, is x^n but for (1 + c + ρ)^n − 1, which it takes at x = 1."""
    plan = few.scheme(1, 1, degree)
    polynomial, moved = np.zeros((degree + 1, 1, 1)), np.zeros((degree + 1, 1, 1))
    polynomial[degree], moved[1], moved[2] = 1.0, 1.0, 0.25
    for loose in (0.0, 0.125):
        found, rest = few.composed(polynomial, moved, np.full((1, 1), loose), plan)
        np.testing.assert_array_equal(found[:, 0, 0], np.eye(degree + 1)[degree])
        assert rest[0, 0] == pytest.approx((1.25 + loose) ** degree - 1, rel=1e-14)


@pytest.mark.parametrize(("d", "r", "degree"), [(1, 3, 4), (2, 2, 5), (3, 3, 3), (3, 4, 3)])
def test_compositions_hold_what_they_are_about(d: int, r: int, degree: int) -> None:
    """At rational points, with what is composed at either end of its radius."""
    rng, plan = np.random.default_rng(d + r), few.scheme(d, r, degree)
    powers, places = monomials(r, degree), monomials(d, degree)
    polynomial, moved = rng.normal(size=(len(powers), 2, 3)), rng.normal(size=(len(places), r, 3)) * 10.0 ** -rng.integers(0, 3, (1, r, 3))
    moved[0] = 0.0
    loose = 10.0 ** rng.uniform(-9, -1, (r, 3))
    found, rest = few.composed(polynomial, moved, loose, plan)
    for x in (rng.integers(-4, 5, d) / 4 for _ in range(3)):
        at = [np.prod([Fraction(float(s)) ** e for s, e in zip(x, m, strict=True)]) for m in places]
        for b, q, sign in product(range(3), range(2), (-1, 1)):
            t = [sum(Fraction(c) * s for c, s in zip(moved[:, j, b], at, strict=True)) + sign * Fraction(loose[j, b]) for j in range(r)]
            truth = sum(
                Fraction(c) * np.prod([s**e for s, e in zip(t, m, strict=True)]) for c, m in zip(polynomial[:, q, b], powers, strict=True)
            )
            said = sum(Fraction(c) * s for c, s in zip(found[:, q, b], at, strict=True))
            assert abs(truth - said) <= Fraction(float(rest[q, b])) + Fraction(1, 10**12)


def test_which_directions_span_few_dimensions() -> None:
    rng = np.random.default_rng(0)
    shares, plane = rng.normal(size=(40, 3)), rng.normal(size=(3, 9))
    rows = shares @ plane
    span = few.Span.of(rows)
    assert span is not None
    assert span.basis.shape == (3, 9)
    exact = [
        [sum((Fraction(a) * Fraction(b) for a, b in zip(share, column, strict=True)), Fraction(0)) for column in span.basis.T]
        for share in span.shares
    ]
    for row, near, off in zip(rows, exact, span.off, strict=True):
        assert all(abs(Fraction(a) - b) <= Fraction(float(o)) for a, b, o in zip(row, near, off, strict=True))
    assert span.off.max() < 1e-13
    assert few.Span.of(rows.astype(np.float32).astype(float)) is None  # nine dimensions, all but
    assert few.Span.of(rng.normal(size=(40, 5))) is None
    assert few.Span.of(np.zeros((2, 3))) is None


def test_sums_that_cancel_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty directions of one plane whose profiles are large and cancel, read through a curved chart: their radii add up if they are
    bounded one by one."""
    rng = np.random.default_rng(0)
    angle = np.pi * np.arange(40) / 40
    rows = 2 * np.repeat(np.stack([np.cos(angle), np.sin(angle)], axis=1), 2, axis=0) @ np.linalg.qr(rng.normal(size=(3, 2)))[0].T
    knots, weights = np.tile([-0.5, 0.5], 40), np.repeat(np.cos(20 * angle), 2)  # harmonics that no polynomial of degree < 20 has
    net = Net((Affine(rows, knots), Affine(weights[None], np.zeros(1))), ((NeuronGroup("n", 80, "by hand", SILU),),))
    u = TaylorForms.variables(np.full((1, 2), -0.1), np.full((1, 2), 0.1), 4)
    x = TaylorForms.concatenate([u, u[:, [0]] * u[:, [1]] + u[:, [0]] * u[:, [0]]])
    together = prepare(net)(x)
    monkeypatch.setattr(smooth_ridge, "LEAST_DEGREE", 9)
    apart = prepare(net)(x)
    assert together.radius[0, 0] < 0.05 * apart.radius[0, 0]
