"""Products of what variables are away from a point are remembered only for the very variables and points that they are of."""

from __future__ import annotations

import numpy as np
from atlasmoe.intervals import Interval
from atlasmoe.verify.check import lookups
from atlasmoe.verify.check.jets import Jets
from atlasmoe.verify.check.polynomials import Space
from atlasmoe.verify.enclosure.abouts import MOVED
from atlasmoe.verify.enclosure.taylor import TaylorForms

LOWER, UPPER = np.zeros((3, 2)), np.ones((3, 2))
CENTER = np.full((3, 2), 0.5)


def jets(space: Space, upper: np.ndarray = UPPER) -> list[Jets]:
    coordinates = Jets.coordinates(space, LOWER, upper)
    return [coordinates.functions(k) for k in range(2)]


def test_spaces_of_equally_many_monomials_are_told_apart() -> None:
    """t_1² is a monomial of degree 2 in two variables; of degree 1 in five there is none, and it has to be in the rest."""
    two, five = Space(2, 2), Space(5, 1)
    assert two.size == five.size
    for space in (two, five, two):
        square = lookups._LAST.of(jets(space), CENTER).power((0, 0))
        assert square.space is space
        assert np.all(square.rest >= 0.25) == (space is five)


def test_the_same_variables_are_multiplied_once_and_others_anew() -> None:
    space = Space(2, 3)
    powers = lookups._LAST.of(jets(space), CENTER)
    assert lookups._LAST.of(jets(space), CENTER.copy()) is powers
    assert powers.power((0, 1)) is powers.power((0, 1))
    for other in (lookups._LAST.of(jets(space, UPPER * 2), CENTER), lookups._LAST.of(jets(space), CENTER + 0.25)):
        assert other is not powers
        assert not np.array_equal(other.power((0, 0)).coefficients, powers.power((0, 0)).coefficients)


def test_forms_of_other_degrees_or_bounds_are_told_apart() -> None:
    def forms(degree: int) -> list[TaylorForms]:
        whole = TaylorForms.variables(LOWER, UPPER, degree)
        return [TaylorForms(whole.coefficients[:, :, [k]], whole.radius[:, [k]], degree=degree) for k in range(2)]

    powers = MOVED.of(forms(2), CENTER)
    assert MOVED.of(forms(2), CENTER) is powers
    assert MOVED.of(forms(3), CENTER) is not powers
    bounded = [TaylorForms(one.coefficients, one.radius, Interval(np.zeros((3, 1)), np.ones((3, 1))), 3) for one in forms(3)]
    assert MOVED.of(bounded, CENTER).power((0,)).degree == 3
    assert MOVED.of(forms(3), CENTER) is not MOVED.of(bounded, CENTER)
