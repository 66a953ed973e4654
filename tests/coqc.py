"""coqc in tests: only where ATLASMOE_COQ is set, as `.ci/coq` does; and which file of a graph's proof it does not accept."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from atlasmoe.verify.coq.run import OPTIONS

needs_coq = pytest.mark.skipif(
    not os.environ.get("ATLASMOE_COQ") or shutil.which("coqc") is None, reason="needs coqc, and ATLASMOE_COQ to be set"
)


def refused(place: Path, contents: dict[str, str]) -> str | None:
    """The file that coqc does not accept."""
    names = [*("Weights", "Task", "Hints", "Values"), *(name[:-2] for name in contents if name.startswith("Block")), "Main"]
    changed = False
    for name in names:
        path = place / f"{name}.v"
        changed |= path.read_text(encoding="utf-8") != contents[path.name] or not path.with_suffix(".vo").exists()
        path.write_text(contents[path.name], encoding="utf-8")
        if changed and subprocess.run(["coqc", *OPTIONS, path.name], cwd=place, capture_output=True, check=False).returncode:
            return name
    return None
