"""`interpolant`: the spline through the values of a table. What comes out is the function; how near it is to anything else is not asked.

Degree 1 goes through the values and is linear between them, in every variable. Degree 3 is the cubic spline without a break at the second
and at the last grid point but one ("not a knot"), or the periodic one; scipy solves for its coefficients.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ...errors import InvalidArgument
from ...expressions import Array
from .axis import Axis
from .spline import LARGEST, MAX_CELLS, Spline

MAX_VALUES = 1 << 22
MOST_TURNED = 4
"""Axes of which all orders are tried, to say in which one values would fit."""
INTERPOLATIONS = {"linear": 1, "cubic": 3, "bilinear": 1, "bicubic": 3, "trilinear": 1, "tricubic": 3}
"""Words for degrees; in any number of variables."""


def interpolant(
    name: str, axes: Sequence[Array], values: Array, degree: int, periodic: Sequence[bool] = (), called: Sequence[str] = ()
) -> Spline:
    """The spline through values (n_1, …, n_d) or (n_1, …, n_d, outputs) on a grid.

    A periodic axis holds both ends of its period, with the same values at both. Messages call the axes as `called` says. Raises
    `InvalidArgument`, naming the axis, the place and the remedy, for axes that do not ascend, values that are not finite or do not
    fit the axes, and periods that do not close.
    """
    values = np.asarray(values, float)
    periodic = tuple(periodic) or (False,) * len(axes)
    named = [f"axis {word!r}" for word in called] or [f"axis {k + 1}" for k in range(len(axes))]
    for axis, word in zip(axes, named, strict=True):
        if np.ndim(axis) != 1:
            raise InvalidArgument(f"table {name!r}: {word} has the shape {np.shape(axis)}, but is a list of numbers; write it with ravel()")
    shape = tuple(len(axis) for axis in axes)
    if values.shape[: len(axes)] != shape or values.ndim > len(axes) + 1 or not values.size:
        raise InvalidArgument(f"table {name!r}: {_misfit(values.shape, shape, called)}")
    if not np.isfinite(values).all():
        at = tuple(int(k) for k in np.argwhere(~np.isfinite(values))[0])
        raise InvalidArgument(f"table {name!r}: the value at {at} is {values[at]}; fill the gaps of the table before")
    if np.abs(values).max() >= LARGEST:
        at = tuple(int(k) for k in np.unravel_index(np.argmax(np.abs(values)), values.shape))
        raise InvalidArgument(f"table {name!r}: the value at {at} is {values[at]:g}, beyond {LARGEST:g}; give values in larger units")
    if values.size > MAX_VALUES:
        raise InvalidArgument(f"table {name!r}: has {values.size} values, at most {MAX_VALUES} are taken; give a coarser table")
    stacked = values.reshape(*shape, -1)
    for k, (axis, closed) in enumerate(zip(axes, periodic, strict=True)):
        _look_at(name, named[k], np.asarray(axis, float), degree)
        ends = np.take(stacked, [0, -1], axis=k)
        if closed and (gap := float(np.abs(np.diff(ends, axis=k)).max())) > 0:
            problem = f"table {name!r}: {named[k]} is periodic, but the values at its two ends differ by up to {gap:g}"
            raise InvalidArgument(f"{problem}; let it hold both ends of the period, and the first values again at the last")
    found: list[Axis] = []
    for k, (axis, closed) in enumerate(zip(axes, periodic, strict=True)):
        if degree == 1:
            found.append(Axis(np.array(axis, float), 1, closed))
            stacked = np.take(stacked, range(len(axis) - 1), axis=k) if closed else stacked
            continue
        from scipy.interpolate import make_interp_spline

        made = make_interp_spline(axis, np.moveaxis(stacked, k, 0), k=degree, bc_type="periodic" if closed else None)
        breaks = np.array(axis, float) if closed else np.unique(made.t)
        found.append(Axis(breaks, degree, closed))
        stacked = np.moveaxis(made.c[: found[-1].splines], 0, k)
    return Spline(name, tuple(found), np.ascontiguousarray(np.moveaxis(stacked, -1, 0)))


def _misfit(given: tuple[int, ...], shape: tuple[int, ...], called: Sequence[str]) -> str:
    """How values do not fit their axes, and in which order they would."""
    order = f" ({', '.join(called)})" if called else ""
    problem = f"values of shape {given} do not fit axes of lengths {' × '.join(map(str, shape))}{order}"
    fits = len(given) - len(shape) in (0, 1) and len(shape) <= MOST_TURNED
    orders = itertools.permutations(range(len(shape))) if fits else ()
    turned = next((order for order in orders if tuple(given[k] for k in order) == shape), None)
    if turned is None:
        return f"{problem}; give them that shape, one dimension for each axis, in their order"
    return f"{problem}; turn them with transpose{(*turned, *range(len(shape), len(given)))}, or list the axes in the order of the values"


def _look_at(name: str, called: str, axis: Array, degree: int) -> None:
    least = 2 if degree == 1 else 4
    if not least <= len(axis) <= MAX_CELLS + 1:
        what = "linear" if degree == 1 else "cubic"
        counted = f"{len(axis)} point{'s' * (len(axis) != 1)}"
        remedy = (
            "give a coarser table"
            if len(axis) > MAX_CELLS
            else "give it more points, with the same values again if nothing changes along it"
        )
        raise InvalidArgument(
            f"table {name!r}: {called} has {counted}, and {what} interpolation takes {least} to {MAX_CELLS + 1}; {remedy}"
        )
    if not np.isfinite(axis).all():
        raise InvalidArgument(f"table {name!r}: {called} is not finite at {int(np.argmin(np.isfinite(axis)))}; correct it")
    steps = np.diff(axis)
    if not (steps > 0).all():
        at = int(np.argmin(steps > 0))
        what = "holds a point twice" if steps[at] == 0 else "does not ascend"
        raise InvalidArgument(
            f"table {name!r}: {called} {what}: {axis[at]:g}, then {axis[at + 1]:g}; sort it together with the values, each point once"
        )
