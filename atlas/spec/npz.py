"""Arrays of an .npz file that anybody may have made: numbers only, of bounded size, read without pickle."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ...errors import InvalidArgument

MAX_ARRAYS = 64
MAX_BYTES = 64 << 20
"""Of all arrays of a file, as they are when unpacked."""
HEADER = 4096
"""Bytes of the header of one array at most."""
KINDS = "fiu"
"""Floats and integers."""


def beside(folder: Path, name: str) -> Path:
    """The file of this name in a folder or below it. Raises `InvalidArgument` for a name that leads out of the folder, or to no file."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in name or "\0" in name:
        raise InvalidArgument(f"{name!r} leads out of the folder of the spec; put the table beside the spec and give its name")
    path = folder / parts
    if not path.is_file():
        raise InvalidArgument(f"{name!r} is no file beside the spec; paths of tables are relative to the spec")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InvalidArgument(f"{name!r} is a link that leads out of the folder of the spec; put the table itself beside the spec")
    return path


def read_npz(path: Path, names: Collection[str]) -> dict[str, NDArray[np.float64]]:
    """Arrays of a file by these names, as floats.

    Raises `InvalidArgument` for a file that is none or too large, and for arrays that are not there or hold anything but numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if len(members) > MAX_ARRAYS or total > MAX_BYTES:
                problem = f"{path.name}: holds {len(members)} arrays of {total} bytes"
                raise InvalidArgument(f"{problem}; a table has at most {MAX_ARRAYS} arrays of {MAX_BYTES} bytes in all: give a coarser one")
            found = {}
            there = {member.filename.removesuffix(".npy"): member for member in members}
            for name in names:
                if (member := there.get(name)) is None:
                    listed = ", ".join(repr(one)[:40] for one in sorted(there)[:8])
                    remedy = f"name one of those that it holds: {listed}" if there else f"write it with numpy.savez, {name}=…"
                    raise InvalidArgument(f"{path.name} holds no array {name!r}; {remedy}")
                with archive.open(member) as file:  # reads no more than the size that the directory states, and checks its sum
                    found[name] = _array(path, name, file.read(member.file_size + 1))
            return found
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        if isinstance(error, InvalidArgument):
            raise
        raise InvalidArgument(f"{path.name}: is no .npz file that can be read ({error}); write it with numpy.savez") from None


def _array(path: Path, member: str, data: bytes) -> NDArray[np.float64]:
    """One array, whose header says no more than there is."""
    where = f"{path.name}: {member!r}"
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version} of the format")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file, max_header_size=HEADER)
    except Exception as error:  # a header is a literal of Python's, which numpy reads: whatever it stumbles over is the finding
        raise InvalidArgument(f"{where} is no array ({str(error)[:100]}); write it with numpy.savez") from None
    if dtype.kind == "c":
        raise InvalidArgument(f"{where} holds complex numbers; write their .real and .imag as two components")
    if dtype.kind not in KINDS or dtype.itemsize > 8:
        raise InvalidArgument(f"{where} holds {dtype}, not numbers of at most 64 bits; write it with astype(float)")
    count = 1
    for length in shape:
        count *= int(length)
    rest = data[file.tell() :]
    if count * dtype.itemsize != len(rest):
        raise InvalidArgument(f"{where} is said to have the shape {shape}, but has {len(rest)} bytes; write it again with numpy.savez")
    values = np.frombuffer(rest, dtype, count).astype(np.float64)
    if dtype.kind in "iu" and dtype.itemsize == 8 and (np.abs(values) > 2.0**53).any():
        raise InvalidArgument(f"{where} holds integers beyond 2^53, which no float64 is; write it with astype(float)")
    return values.reshape(shape, order="F" if fortran else "C")
