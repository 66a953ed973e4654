"""Writing a folder all at once: into a temporary sibling, which is then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import FolderError


def admit(folder: Path, overwrite: bool, holds: tuple[str, ...], what: str) -> None:
    """Raises `FolderError` unless nothing is there, or an empty folder, or, with `overwrite`, one that
    holds what is written into such folders; otherwise "it is `what`"."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise FolderError(f"{folder}: is a file, not a folder; choose another place")
    if not any(folder.iterdir()):
        return
    if not all((folder / name).is_file() for name in holds):
        raise FolderError(f"{folder}: is not empty and holds no {holds[0]}, so it is {what}; choose another place")
    if not overwrite:
        raise FolderError(f"{folder}: exists already; choose another place, or replace it with --force (overwrite=True)")


@contextmanager
def staged(folder: Path, admit: Callable[[], None]) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place when the block ends without an exception.

    `admit` raises if what stands at `folder` must not be replaced; it is asked before and after the block. Replacing is
    two renames, and if the second fails the first is undone. After an exception (Ctrl-C too) everything is as before.
    """
    folder = Path(os.path.realpath(folder))
    admit()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    except OSError as error:
        raise FolderError(f"{folder}: cannot be created ({error.strerror}); choose another place") from error
    try:
        yield stage
        stage.chmod(0o777 & ~_umask())
        _sync(stage)
        admit()  # something may have appeared there while we were writing
        _replace(folder, stage)
    except OSError as error:
        raise FolderError(f"{folder}: cannot be written ({error.strerror or error}); free some space or choose another place") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _replace(folder: Path, stage: Path) -> None:
    if not folder.exists():
        stage.rename(folder)
        return
    retired = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".replaced", dir=folder.parent)) / "model"
    try:
        folder.rename(retired)
        try:
            stage.rename(folder)
        except BaseException:
            retired.rename(folder)
            raise
    finally:
        shutil.rmtree(retired.parent, ignore_errors=True)


def _sync(stage: Path) -> None:
    """Have the files on disk before the name points to them: otherwise a power cut could leave empty ones."""
    for path in stage.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
