"""Which software a report was made with."""

from __future__ import annotations

import contextlib
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version


def versions() -> dict[str, str]:
    """Python and the packages that results depend on."""
    return dict(_found())


@cache
def _found() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("atlasmoe", "numpy", "scipy", "sympy"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
