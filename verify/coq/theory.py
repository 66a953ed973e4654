"""The theory compiled for all models, in the user's cache, under a name made of its sources and Coq's version.

A file is compiled when it is needed first, and again where one that it rests on was.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ...errors import FolderError
from ...progress import track
from .project import all_theory, required, theory_text
from .several import THEORY as SEVERAL
from .statement import ARITHMETICS


def cache_folder(arithmetic: str, version: str) -> Path:
    """Where the compiled theory lies, or will lie."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(version.encode())
    for name in all_theory(arithmetic):
        digest.update(theory_text(name).encode())
    return base / "atlasmoe" / "coq" / digest.hexdigest()[:24]


def coq_version() -> str:
    """What coqc says of itself."""
    return subprocess.run(["coqc", "--print-version"], capture_output=True, text=True, check=True).stdout.strip()


def needed(roots: Collection[str], arithmetic: str) -> tuple[str, ...]:
    """These files and all that they rest on, each after those that it needs."""
    found = set(roots)
    for name in reversed(all_theory(arithmetic)):
        if name in found:
            found.update(required(name))
    return tuple(name for name in all_theory(arithmetic) if name in found)


def compiled_theory(folder: Path, arithmetic: str) -> None:
    """Put the compiled theory into the folder of a proof, from the cache; what of it is not there, or not whole, is compiled.

    Texts are those of this package. Of what coqc made of them nothing is known but that it lies beside the same texts. Raises
    `FolderError` if Coq does not accept it: then libraries are missing.
    """
    roots = {name for name in all_theory(arithmetic) if (folder / "theory" / f"{name}.v").exists()}
    names = needed({*roots, ARITHMETICS[arithmetic], SEVERAL}, arithmetic)
    cached = cache_folder(arithmetic, coq_version())
    cached.mkdir(parents=True, exist_ok=True)
    with _alone(cached):
        if missing := not_whole(cached, names):
            _fill(cached, missing, names, arithmetic)
        for name in names:
            for suffix in (".v", ".vo"):
                shutil.copy2(cached / f"{name}{suffix}", folder / "theory" / f"{name}{suffix}")


def not_whole(cached: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Files that do not lie there, compiled, under the text that they have in this package; and those that rest on them."""
    found: set[str] = set()
    for name in names:
        try:
            same = (cached / f"{name}.v").read_text(encoding="utf-8") == theory_text(name) and (cached / f"{name}.vo").stat().st_size > 0
        except (OSError, UnicodeDecodeError):
            same = False
        if not same or found & set(required(name)):
            found.add(name)
    return tuple(name for name in names if name in found)


@contextlib.contextmanager
def _alone(cached: Path) -> Iterator[None]:
    """Nobody else fills the folder meanwhile: files that were compiled in two runs do not fit together."""
    import fcntl

    with (cached / ".filling").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fill(cached: Path, missing: Sequence[str], names: Sequence[str], arithmetic: str) -> None:
    """Compile what is missing in a folder beside it, and put it there."""
    for path in cached.glob("*.vo"):
        if path.stem not in names and set(missing) & set(needed({path.stem}, arithmetic)):
            path.unlink()  # rests on what is compiled anew
    place = Path(tempfile.mkdtemp(prefix=".compiling-", dir=cached))
    try:
        for name in names:
            (place / f"{name}.v").write_text(theory_text(name), encoding="utf-8")
            if name not in missing:
                shutil.copy2(cached / f"{name}.vo", place / f"{name}.vo")
        for name in track(missing, "the theory, once"):
            command = ["coqc", "-w", "-ambiguous-paths", "-Q", ".", "AtlasMoE", f"{name}.v"]
            done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
            if done.returncode:
                needs = "needs Coq 8.16 with coq-interval, coq-flocq and coq-coquelicot"
                raise FolderError(f"{name}.v: coqc does not accept the theory, which {needs}: {done.stderr.strip()[-600:]}")
        for name in missing:
            for suffix in (".v", ".vo"):
                os.replace(place / f"{name}{suffix}", cached / f"{name}{suffix}")
    finally:
        shutil.rmtree(place, ignore_errors=True)
