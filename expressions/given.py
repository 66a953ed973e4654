"""What callers hand over, looked at before it is used: its kind, numbers as an array, places among files.

Python says of a wrong argument what broke inside, some frames further down. Here it is told by its name, with what to give instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument

LONGEST = 60
"""Characters of a value that a message shows."""


def shown(value: object) -> str:
    """A value on one line, and of which kind it is."""
    text = " ".join(repr(value).split())
    short = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return short if value is None else f"{short} ({type(value).__name__})"


def of_kind(what: str, value: Any, kinds: type | tuple[type, ...], remedy: str) -> None:
    """Raises `InvalidArgument` unless the value is of one of the kinds."""
    if not isinstance(value, kinds):
        raise InvalidArgument(f"{what} is {shown(value)}; {remedy}")


def all_of_kind(what: str, values: Any, kinds: type | tuple[type, ...], remedy: str) -> tuple[Any, ...]:
    """The values as a tuple. Raises `InvalidArgument` unless they are a list, all of one of the kinds."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidArgument(f"{what}: {shown(values)} is no list; {remedy}")
    listed = tuple(values)
    for k, value in enumerate(listed):
        if not isinstance(value, kinds):
            of_kind(f"{what}[{k}]", value, kinds, remedy)
    return listed


def parts_of(record: object, **kinds: type | tuple[type, ...]) -> None:
    """Raises `InvalidArgument` unless these fields of a record are of their kinds; None may stand among them for "or None"."""
    for name, kind in kinds.items():
        if not isinstance(getattr(record, name), kind):
            listed = [one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)) if one is not type(None)]
            of_kind(f"{type(record).__name__}: {name}", getattr(record, name), kind, f"give {_some_of(listed)}")


def lists_of(record: object, **kinds: type | tuple[type, ...]) -> None:
    """The same for fields that are lists, each of things of one kind; they become tuples."""
    for name, kind in kinds.items():
        listed = [one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)) if one is not type(None)]
        found = all_of_kind(f"{type(record).__name__}: {name}", getattr(record, name), kind, f"give a list, each of it {_some_of(listed)}")
        object.__setattr__(record, name, found)


def _some_of(names: list[str]) -> str:
    """What may be given, in words."""
    words = {"str": "a text", "Net": "a ReLUNet"}
    return " or ".join(words.get(name, f"{'an' if name[0] in 'AEIOU' else 'a'} {name}") for name in names)


def floats(what: str, value: Any, remedy: str) -> NDArray[np.float64]:
    """The value as an array of float64. Raises `InvalidArgument` for what holds no real numbers."""
    try:
        array = np.asarray(value)
        if array.dtype.kind in "cmM":
            raise TypeError
        return array.astype(float)
    except (TypeError, ValueError):
        raise InvalidArgument(f"{what}: {shown(value)} holds no real numbers; {remedy}") from None


def place(function: str, value: Any, kind: str = "folder") -> Path:
    """The value as a path. Raises `InvalidArgument`, in the name of the function, for what is none."""
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise InvalidArgument(f"{function} takes the path of a {kind}, got {shown(value)}; give a text or a pathlib.Path")
    if "\0" in os.fspath(value):
        raise InvalidArgument(f"{function}: the path {shown(value)} holds a null character, as no name of a {kind} does; take it out")
    return Path(value)
