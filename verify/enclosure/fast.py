"""Whether hot loops run compiled: where numba is installed (the extra `fast`), from the moment on when there is enough to do.

Compiled or not, the numbers are the same (`loops`), so the change goes unnoticed but for the time; only sums over scattered neurons run in
another order, and are compiled from the start or not at all. Loading takes half a second, compiling,
once after an installation, ten.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

WORTH, STEP = 1 << 22, 2000
"""Values enclosed by numpy, in this process, before loops are loaded: about half a second; and how many take as long as a step for none."""
VARIABLE = "ATLASMOE_FAST"
"""Of the environment: 0 for numpy only."""

_done = [0]


def loops(values: int, steps: int) -> Any:
    """The compiled loops, for so many values more, in so many steps of numpy; None for numpy."""
    _done[0] += values + STEP * steps
    return loaded("loops") if _done[0] > WORTH else None


def taylor_loops(values: int, steps: int) -> Any:
    """The same of the arithmetic of forms of any degree."""
    _done[0] += values + STEP * steps
    return loaded("taylor_loops") if _done[0] > WORTH else None


def smooth_loops(values: int, steps: int) -> Any:
    """The same of profiles and neurons of smooth activations."""
    _done[0] += values + STEP * steps
    return loaded("smooth_loops") if _done[0] > WORTH else None


def few_loops(values: int, steps: int) -> Any:
    """The same of polynomials in few quantities."""
    _done[0] += values + STEP * steps
    return loaded("few_loops") if _done[0] > WORTH else None


def always() -> Any:
    """The compiled loops whose sums run in another order than numpy's, so that nothing but the installation may choose; None for numpy."""
    return loaded("loops")


def engine() -> str:
    """What hot loops run on."""
    if not available():
        return "numpy"
    try:
        return f"numba {version('numba')}"
    except PackageNotFoundError:
        return "numba"


@cache
def available() -> bool:
    return os.environ.get(VARIABLE) != "0" and find_spec("numba") is not None


@cache
def loaded(module: str, package: str = __package__) -> Any:
    """Loops of this module. None without numba, with one that does not go with this Python or numpy, which says so while it is imported,
    and where it has no folder to keep in what it compiles.
    """
    if not available():
        return None
    try:
        return import_module(f".{module}", package)
    except (ImportError, SystemError, RuntimeError):
        return None
