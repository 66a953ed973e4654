"""Solutions of equations as functions of sympy, which differentiates and composes them without knowing what they are.

`root_function(tube, l)` is w_l, a function of as many arguments as the tube has coordinates, and `root_function(tube, l, j)` is ∂_j w_l.
Second derivatives have no name here; whoever needs them encloses them (`intervals.implicit`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import sympy
from numpy.typing import ArrayLike

from .box import Array


class RootBase(sympy.Function):  # type: ignore[misc]
    """What all of them are; never an instance of itself. sympy's printers know a base of functions by a name that ends in Base."""

    is_real = True
    tube: ClassVar[Any] = None
    """The `implicit.Tube`."""
    component: ClassVar[int] = 0
    along: ClassVar[int | None] = None

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        if self.along is not None:
            raise sympy.core.function.ArgumentIndexError(self, argindex)
        return root_function(self.tube, self.component, argindex - 1)(*self.args)

    @classmethod
    def evaluate(cls, *columns: ArrayLike) -> Array:
        """In float64, NaN where Newton's method finds nothing; the shape that the arguments broadcast to."""
        u = np.stack(np.broadcast_arrays(*(np.asarray(column, float) for column in columns)), axis=-1)
        if cls.along is None:
            return np.asarray(cls.tube.solve(u)[..., cls.component])
        return np.asarray(cls.tube.slopes(u)[..., cls.component, cls.along])

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _again, (self.tube, self.component, self.along, self.args)


def root_function(tube: Any, component: int, along: int | None = None) -> Any:
    """The class of sympy functions; one object for equal tubes."""
    return _made(tube, component, along)


@lru_cache(maxsize=1 << 16)
def _made(tube: Any, component: int, along: int | None) -> Any:
    name = f"root_{tube.name}_{component}" + ("" if along is None else f"_{along}")
    nargs = len(tube.halves)
    made: Any = type(RootBase)
    return made(name, (RootBase,), {"tube": tube, "component": component, "along": along, "nargs": nargs})


def _again(tube: Any, component: int, along: int | None, args: tuple[Any, ...]) -> Any:
    return root_function(tube, component, along)(*args)
