"""The key `values` of an input: all values that its coordinates take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graph.finite import MOST
from ..graph.structure import values_problem
from .fields import Fields, shown


def read_values(fields: Fields, value: Any, where: str, coordinates: Sequence[str] | None) -> tuple[tuple[float, ...], ...] | None:
    """A list of numbers for all coordinates, or a list of such lists, one for each; None, with findings, if something is wrong."""
    if not isinstance(value, list):
        fields.error(where, f"expected a list of numbers, got {shown(value)}", "write it in brackets: values = [0, 1]")
        return None
    nested = bool(value) and all(isinstance(axis, list) for axis in value)
    if not nested and any(isinstance(axis, list) for axis in value):
        fields.error(where, "mixes numbers and lists", "give one list for all coordinates, or one for each")
        return None
    if nested and coordinates is not None and len(value) != len(coordinates):
        remedy = "give one list for all coordinates, or one for each"
        fields.error(where, f"has {len(value)} lists for {len(coordinates)} coordinates", remedy)
        return None
    read = [_axis(fields, axis, f"{where}[{k}]" if nested else where) for k, axis in enumerate(value if nested else [value])]
    if None in read:
        return None
    found = tuple(axis for axis in read if axis is not None)
    return found if nested else found * max(1, len(coordinates or ()))


def _axis(fields: Fields, value: list[Any], where: str) -> tuple[float, ...] | None:
    if len(value) > MOST:
        fields.error(where, *values_problem([0.0] * len(value)) or ("", ""))
        return None
    numbers = [fields.number(entry, where) for entry in value]
    if None in numbers:
        return None
    axis = tuple(number for number in numbers if number is not None)
    if (problem := values_problem(axis)) is not None:
        fields.error(where, *problem)
        return None
    return axis
