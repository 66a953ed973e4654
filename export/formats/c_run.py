"""C files compiled by this machine's compiler and called through ctypes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from ...errors import InvalidArgument
from ...moe import Network
from ...moe.network import Floats, Indices
from .comparison import Run

FLAGS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic")
"""What files are compiled with; a warning is a defect of ours."""
SECONDS = 600


def compiler() -> str | None:
    """The C compiler: $CC, or whichever of cc, gcc and clang there is."""
    wanted = os.environ.get("CC")
    return next((found for name in ([wanted] if wanted else ["cc", "gcc", "clang"]) if (found := shutil.which(name))), None)


def version(cc: str) -> str:
    """The first line of what the compiler says of itself."""
    return subprocess.run([cc, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout.splitlines()[0]


def build(cc: str, arguments: list[str]) -> None:
    """Raises `InvalidArgument` with what the compiler says if it fails."""
    done = subprocess.run([cc, *FLAGS, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise InvalidArgument(f"{cc} does not compile what was written: {done.stderr.strip()[:2000]}")


def runner(cc: str, folder: Path, prefix: str, network: Network) -> Run:
    """The function of the files in `folder`, from a shared library that lives as long as it does."""
    built = tempfile.TemporaryDirectory(prefix="atlasmoe-c-")
    library = Path(built.name) / "model.so"
    build(cc, ["-shared", "-fPIC", "-I", str(folder), str(folder / f"{prefix}.c"), "-o", str(library), "-lm"])
    function = getattr(ctypes.CDLL(str(library)), f"{prefix}_evaluate")
    function.restype = None
    counts = [layer.top_k for layer in network.layers]

    def run(x: Floats) -> tuple[Floats, list[Indices]]:
        assert built is not None  # the library stays on disk while it is used
        x = np.ascontiguousarray(x, network.dtype)
        y = np.empty((len(x), len(network.outputs)), network.dtype)
        routes = np.empty((len(x), sum(counts)), np.uintc)
        for row in range(len(x)):
            function(*(ctypes.c_void_p(array[row].ctypes.data) for array in (x, y, routes)))
        return y, [part.astype(np.intp) for part in np.split(routes, np.cumsum(counts)[:-1], axis=1)]

    return run
