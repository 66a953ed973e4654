"""The theory compiled once for all models, in the user's cache, under a name made of its sources and Coq's version."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ...errors import FolderError
from ...progress import track
from .project import all_theory, theory_of, theory_text


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


def compiled_theory(folder: Path, arithmetic: str) -> None:
    """Put the compiled theory into the folder of a proof, from the cache, which is filled on first use, and again where it is not whole.

    Texts are those of this package. Of what coqc made of them nothing is known but that it lies beside the same texts. Raises
    `FolderError` if Coq does not accept it: then libraries are missing.
    """
    cached = cache_folder(arithmetic, coq_version())
    if not _whole(cached, arithmetic):
        shutil.rmtree(cached, ignore_errors=True)
        _fill(cached, arithmetic)
    for name in all_theory(arithmetic):
        if name in theory_of(arithmetic) or (folder / "theory" / f"{name}.v").exists():
            for suffix in (".v", ".vo"):
                shutil.copy2(cached / f"{name}{suffix}", folder / "theory" / f"{name}{suffix}")


def _whole(cached: Path, arithmetic: str) -> bool:
    """Whether every file lies there, compiled, under the text that it has in this package."""
    try:
        return all(
            (cached / f"{name}.v").read_text(encoding="utf-8") == theory_text(name) and (cached / f"{name}.vo").stat().st_size
            for name in all_theory(arithmetic)
        )
    except (OSError, UnicodeDecodeError):
        return False


def _fill(cached: Path, arithmetic: str) -> None:
    cached.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=".compiling-", dir=cached.parent))
    try:
        for name in all_theory(arithmetic):
            (place / f"{name}.v").write_text(theory_text(name), encoding="utf-8")
        for name in track(all_theory(arithmetic), "the theory, once"):
            command = ["coqc", "-w", "-ambiguous-paths", "-Q", ".", "AtlasMoE", f"{name}.v"]
            done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
            if done.returncode:
                needs = "needs Coq 8.16 with coq-interval, coq-flocq and coq-coquelicot"
                raise FolderError(f"{name}.v: coqc does not accept the theory, which {needs}: {done.stderr.strip()[-600:]}")
        try:
            os.replace(place, cached)
        except OSError:
            if not cached.exists():  # else somebody else was faster
                raise
    finally:
        shutil.rmtree(place, ignore_errors=True)
