"""`sympy`, loaded by whoever first needs something of it.

It takes twice as long to load as everything else that a command does which only reads a model. The modules of this package name
it as they name any other; what a module makes of it when it is loaded itself (a class that inherits, a table) would load it then.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any


class _Later:
    """A module that is not there yet; what was once asked of it is an attribute, as it is of the module."""

    def __init__(self, module: str) -> None:
        self.__name__ = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(importlib.import_module(self.__name__), name)
        setattr(self, name, found)
        return found


if TYPE_CHECKING:
    import sympy as sympy
else:
    sympy = _Later("sympy")
