"""What public functions take for a model: a model, or the path of its folder."""

from __future__ import annotations

import os
from typing import Any

from ..errors import InvalidArgument
from .model import Model


def one_target(model: Model, function: str) -> Model:
    """The model, if one ε is about all of its outputs. Raises `InvalidArgument` otherwise, in the name of the function."""
    if names := ", ".join(one.name for one in model.task.wanted):
        raise InvalidArgument(
            f"{function} takes a model of one target, and {model.task.name!r} has several, {names}, each with its own ε; "
            "compile them as components of one [target]"
        )
    return model


def opened(model: Any, function: str) -> Model:
    """The model that is meant. Raises `InvalidArgument` for anything else, in the name of the `function` that was called."""
    if isinstance(model, Model):
        return model
    if isinstance(model, str | os.PathLike):
        # Reading folders is a room above this one. The map of the package knows where it is.
        from .. import load

        return load(model)
    raise InvalidArgument(f"{function} takes a compiled model, or the path of its folder, got {type(model).__name__}")
