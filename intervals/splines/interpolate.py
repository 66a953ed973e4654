"""`interpolant`: the spline through the values of a table. What comes out is the function; how near it is to anything else is not asked.

Degree 1 goes through the values and is linear between them, in every variable. Degree 3 is the cubic spline without a break at the second
and at the last grid point but one ("not a knot"), or the periodic one; scipy solves for its coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import InvalidArgument
from ...expressions import Array
from .axis import Axis
from .spline import MAX_CELLS, Spline

MAX_VALUES = 1 << 22
INTERPOLATIONS = {"linear": 1, "cubic": 3, "bilinear": 1, "bicubic": 3, "trilinear": 1, "tricubic": 3}
"""Words for degrees; in any number of variables."""


def interpolant(name: str, axes: Sequence[Array], values: Array, degree: int, periodic: Sequence[bool] = ()) -> Spline:
    """The spline through values (n_1, …, n_d) or (n_1, …, n_d, outputs) on a grid.

    A periodic axis holds both ends of its period, with the same values at both. Raises `InvalidArgument`, naming the axis, the place and
    the remedy, for axes that do not ascend, values that are not finite or do not fit the axes, and periods that do not close.
    """
    values = np.asarray(values, float)
    periodic = tuple(periodic) or (False,) * len(axes)
    shape = tuple(len(axis) for axis in axes)
    if any(np.ndim(axis) != 1 for axis in axes) or values.shape[: len(axes)] != shape or values.ndim > len(axes) + 1 or not values.size:
        wanted = " × ".join(map(str, shape))
        raise InvalidArgument(f"table {name!r}: values of shape {values.shape} do not fit axes of lengths {wanted}; give them that shape")
    if not np.isfinite(values).all():
        at = tuple(int(k) for k in np.argwhere(~np.isfinite(values))[0])
        raise InvalidArgument(f"table {name!r}: the value at {at} is {values[at]}; fill the gaps of the table before")
    if values.size > MAX_VALUES:
        raise InvalidArgument(f"table {name!r}: has {values.size} values, at most {MAX_VALUES} are taken; give a coarser table")
    stacked = values.reshape(*shape, -1)
    for k, (axis, closed) in enumerate(zip(axes, periodic, strict=True)):
        _look_at(name, k, np.asarray(axis, float), degree, closed)
        ends = np.take(stacked, [0, -1], axis=k)
        if closed and (gap := float(np.abs(np.diff(ends, axis=k)).max())) > 0:
            problem = f"table {name!r}: axis {k + 1} is periodic, but the values at its two ends differ by up to {gap:g}"
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


def _look_at(name: str, k: int, axis: Array, degree: int, closed: bool) -> None:
    least = 2 if degree == 1 else 4
    if not least <= len(axis) <= MAX_CELLS + 1:
        what = "linear" if degree == 1 else "cubic"
        raise InvalidArgument(f"table {name!r}: axis {k + 1} has {len(axis)} points; {what} interpolation takes {least} to {MAX_CELLS + 1}")
    if not np.isfinite(axis).all():
        raise InvalidArgument(f"table {name!r}: axis {k + 1} is not finite at {int(np.argmin(np.isfinite(axis)))}; correct it")
    steps = np.diff(axis)
    if not (steps > 0).all():
        at = int(np.argmin(steps > 0))
        what = "holds a point twice" if steps[at] == 0 else "does not ascend"
        raise InvalidArgument(
            f"table {name!r}: axis {k + 1} {what}: {axis[at]:g}, then {axis[at + 1]:g}; sort it together with the values, each point once"
        )
