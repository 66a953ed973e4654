"""Files that can be read in one way only: JSON, TOML and safetensors, refused where two readers could see different things in them.

A reader that takes the first of two equal keys, or the last, or does not look at bytes that nothing points to, sees another document
than the next one; then a hash binds bytes, but not what they say. So equal keys, unknown fields, bytes before or behind, numbers that
are not finite, and tensors that overlap or leave gaps are errors here, which name the file and the place.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from ..errors import FolderError
from .typed_json import MEND, Fields, parse_json

DTYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes of an entry, of the dtypes that a file of ours may hold."""
LONGEST_HEADER = 32 << 20
"""Bytes of the header of a safetensors file."""
DEEPEST = 64
"""Tables within tables of a TOML document."""
MOST_DIMENSIONS = 8


def parse_tensors(data: bytes, path: Path) -> tuple[dict[str, NDArray], dict[str, str]]:
    """The arrays of a safetensors file by name, and its metadata.

    Raises `FolderError` unless the header is one JSON object without equal keys, every tensor has a dtype, a shape and offsets that fit
    each other, and the tensors fill the rest of the file without gap or overlap.
    """
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= min(LONGEST_HEADER, len(data) - 8):
        raise FolderError(f"{path}: is no safetensors file, it does not begin with the size of a header that it holds; {MEND}")
    text = data[8 : 8 + size]
    if not text.startswith(b"{"):
        raise FolderError(f"{path}: is no safetensors file, its header is no JSON object; {MEND}")
    header = Fields.of(parse_json(text, path), path, "its header")
    metadata = header.data.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise header.error('"__metadata__" is not an object of strings')
    names = [name for name in header if name != "__metadata__"]
    spans = sorted((*_span(Fields.of(header[name], path, f"tensor {name[:80]}")), name) for name in names)
    end = 0
    for begin, until, name in spans:
        if begin != end:
            raise header.error(f"tensor {name[:80]} begins at byte {begin}, but what is before it ends at {end}")
        end = until
    if end != len(data) - 8 - size:
        raise header.error(f"its tensors fill {end} bytes, but there are {len(data) - 8 - size}")
    try:
        return safetensors.load(data), metadata
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FolderError(f"{path}: is no safetensors file that can be read ({error}); {MEND}") from error


def _span(tensor: Fields) -> tuple[int, int]:
    """The bytes of a tensor, from and to, of the size that its dtype and shape say."""
    tensor.only("dtype", "shape", "data_offsets")
    dtype, shape, offsets = tensor.text("dtype"), tensor.integers("shape"), tensor.integers("data_offsets")
    if dtype not in DTYPES:
        raise tensor.error(f'"dtype" is {dtype[:80]!r}, not one of {", ".join(DTYPES)}')
    if len(shape) > MOST_DIMENSIONS or len(offsets) != 2:
        raise tensor.error('"shape" or "data_offsets" has the wrong number of entries')
    if offsets[1] - offsets[0] != math.prod(shape) * DTYPES[dtype]:
        raise tensor.error(f"it has {offsets[1] - offsets[0]} bytes, but its dtype and shape say {math.prod(shape) * DTYPES[dtype]}")
    return offsets[0], offsets[1]


def tensors_of_schema(data: bytes, path: Path, schemas: tuple[int, ...]) -> dict[str, NDArray]:
    """The arrays of a file whose metadata is a schema version and nothing else."""
    arrays, metadata = parse_tensors(data, path)
    if metadata not in [{"schema": str(version)} for version in schemas]:
        reads = " and ".join(map(str, schemas))
        raise FolderError(
            f"{path}: its metadata is {str(metadata)[:80]}, but it has to be a schema version, {reads}, and nothing else; {MEND}"
        )
    return arrays


def parse_toml(data: bytes, path: Path) -> dict[str, Any]:
    """The document in `data`. Raises `FolderError` for what is no TOML, and for numbers that are not finite, dates, and tables too deep."""
    try:
        document = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise FolderError(f"{path}: is not valid TOML ({error}); {MEND}") from error
    for where, problem in _odd(document):
        raise FolderError(f"{path}: {where}: {problem}; {MEND}")
    return document


def _odd(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Places and what is odd there."""
    waiting: list[tuple[str, Any, int]] = [("", document, 0)]
    while waiting:
        where, value, depth = waiting.pop()
        if depth > DEEPEST:
            yield where[:80], f"is more than {DEEPEST} tables deep"
        elif isinstance(value, dict):
            waiting += [(f"{where}.{key}" if where else key, entry, depth + 1) for key, entry in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{where}[{k}]", entry, depth + 1) for k, entry in enumerate(value)]
        elif isinstance(value, float) and not math.isfinite(value):
            yield where[:80], f"is {value}, which is no number that a task holds"
        elif isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
            yield where[:80], "is an integer beyond 64 bits"
        elif isinstance(value, date | time):
            yield where[:80], "is a date or a time, which no task holds"
