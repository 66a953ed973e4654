"""What public functions take for a model: a model, or the path of its folder."""

from __future__ import annotations

import os
from typing import Any

from ..errors import InvalidArgument
from .model import Model


def opened(model: Any, function: str) -> Model:
    """The model that is meant. Raises `InvalidArgument` for anything else, in the name of the `function` that was called."""
    if isinstance(model, Model):
        return model
    if isinstance(model, str | os.PathLike):
        # Reading folders is a room above this one. The map of the package knows where it is.
        from .. import load

        return load(model)
    raise InvalidArgument(f"{function} takes a compiled model, or the path of its folder, got {type(model).__name__}")
