"""JSON that says what is wrong with it: strict parsing, and access to fields by type."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FolderError, InvalidArgument

NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How JSON, which has no such numbers, holds them: as strings."""
MEND = "restore it or compile the model again"


def canonical(data: Any) -> bytes:
    """The one way to write `data`: sorted keys, no spaces, UTF-8. What digests are taken of."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def finite_json(data: Any) -> Any:
    """`data` with tuples as lists, numpy scalars as Python's, and NaN and ±∞ as strings.

    Raises `InvalidArgument` for anything that JSON cannot hold.
    """
    if isinstance(data, np.generic | np.ndarray):
        data = data.tolist()
    if isinstance(data, Mapping):
        return {str(key): finite_json(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite_json(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return "NaN" if math.isnan(data) else "Infinity" if data > 0 else "-Infinity"
    if data is None or isinstance(data, bool | int | float | str):
        return data
    raise InvalidArgument(f"{type(data).__name__} {data!r} cannot be written as JSON")


def parse_json(data: bytes, path: Path) -> Any:
    """The document in `data`; `FolderError` naming `path` if there is none, or if it could be read in two ways: a key that is there twice,
    a number beyond float64, half of a surrogate pair.
    """

    def finite(token: str) -> float:
        if math.isinf(number := float(token)):
            raise ValueError(f"{token[:40]} is beyond float64")
        return number

    def refuse(token: str) -> float:
        raise ValueError(f"{token} is not JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            raise ValueError(f"{next(key for key, n in Counter(keys).items() if n > 1)[:80]!r} is there twice")
        return found

    try:
        document = json.loads(data.decode(), parse_constant=refuse, parse_float=finite, object_pairs_hook=once)
        if b"\\u" in data:
            canonical(document)  # what was escaped may be text that no file can hold
        return document
    except (ValueError, RecursionError) as error:
        raise FolderError(f"{path}: is not valid JSON ({error}); {MEND}") from error


@dataclass(frozen=True)
class Fields:
    """A JSON object whose fields are asked for by type; a field that is missing or of another type is a `FolderError`."""

    data: Mapping[str, Any]
    path: Path
    where: str = ""

    @staticmethod
    def of(data: Any, path: Path, where: str = "") -> Fields:
        if not isinstance(data, dict):
            raise FolderError(f"{path}: {where or 'the document'} is not a JSON object; {MEND}")
        return Fields(data, path, where)

    def error(self, problem: str) -> FolderError:
        return FolderError(f"{self.path}: {self.where + ': ' if self.where else ''}{problem}; {MEND}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __getitem__(self, key: str) -> Any:
        if key not in self.data:
            raise self.error(f'"{key}" is missing')
        return self.data[key]

    def get(self, key: str) -> Any:
        return self.data.get(key)

    def items(self) -> Iterator[tuple[str, Any]]:
        return iter(self.data.items())

    def only(self, *keys: str) -> None:
        """Raises `FolderError` if there are fields beside these."""
        if strangers := sorted(self.data.keys() - set(keys)):
            raise self.error(f"{strangers[0][:80]!r} is no field of it")

    def _typed(self, key: str, kind: type | tuple[type, ...], words: str) -> Any:
        value = self[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(f'"{key}" is not {words}')
        return value

    def _below(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def text(self, key: str) -> str:
        return self._typed(key, str, "a string")

    def flag(self, key: str) -> bool:
        if not isinstance(self[key], bool):
            raise self.error(f'"{key}" is not true or false')
        return self[key]

    def integer(self, key: str) -> int:
        value = self._typed(key, int, "an integer")
        if not 0 <= value < 2**63:
            raise self.error(f'"{key}" is {value if abs(value) < 2**63 else "beyond 64 bits"}, not a count')
        return value

    def number(self, key: str) -> float:
        """A float; NaN and ±∞ as strings."""
        value = self[key]
        if isinstance(value, str) and value in NON_FINITE:
            return NON_FINITE[value]
        try:
            return float(self._typed(key, (int, float), "a number"))
        except OverflowError:
            raise self.error(f'"{key}" is beyond float64') from None

    def list(self, key: str) -> list[Any]:
        return self._typed(key, list, "a list")

    def texts(self, key: str) -> tuple[str, ...]:
        values = self.list(key)
        if not all(isinstance(value, str) for value in values):
            raise self.error(f'"{key}" is not a list of strings')
        return tuple(values)

    def integers(self, key: str) -> tuple[int, ...]:
        return tuple(Fields({key: value}, self.path, self.where).integer(key) for value in self.list(key))

    def flags(self, key: str) -> tuple[bool, ...]:
        return tuple(Fields({key: value}, self.path, self.where).flag(key) for value in self.list(key))

    def numbers(self, key: str) -> tuple[float, ...]:
        return tuple(Fields({key: value}, self.path, self.where).number(key) for value in self.list(key))

    def mapping(self, key: str) -> dict[str, Any]:
        return self._typed(key, dict, "an object")

    def child(self, key: str) -> Fields:
        return Fields(self.mapping(key), self.path, self._below(key))

    def children(self, key: str) -> tuple[Fields, ...]:
        return tuple(Fields.of(value, self.path, f"{self._below(key)}[{k}]") for k, value in enumerate(self.list(key)))
