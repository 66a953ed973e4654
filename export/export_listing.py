"""export.json: what an export says of itself; which model it holds, if it holds one, and what was proved of it since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import FolderError
from ..moe.typed_json import MEND, parse_json
from .export_card import CARD, PROVED, proved_section

LISTING, INSIDE = "export.json", "model"
MODEL = f"{INSIDE}/config.json"


def is_export(folder: Path) -> bool:
    """Whether it is what `export_to` wrote, and no model."""
    return (folder / LISTING).is_file()


def read_listing(folder: Path) -> dict[str, Any]:
    """export.json. Raises `FolderError` if it is none, or a file that it lists is missing or was changed."""
    path = folder / LISTING
    try:
        document = parse_json(path.read_bytes(), path)
    except OSError as error:
        raise FolderError(f"{path}: cannot be read ({error.strerror}); export the model again") from error
    files = document.get("files") if isinstance(document, dict) else None
    if not isinstance(files, dict) or not isinstance(document.get("format"), str):
        raise FolderError(f"{path}: does not say what was exported; export the model again with this version")
    for name, digest in files.items():
        if (Path(name).name != name and name != MODEL) or not (folder / name).is_file():
            raise FolderError(f"{folder / name}: is missing; {MEND}")
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise FolderError(f"{folder / name}: was changed after it was exported (its SHA-256 does not match); export the model again")
    return dict(document)


def model_inside(folder: Path) -> Path:
    """The model of other weights than the original's that an export holds. Raises `FolderError` if it holds none."""
    listing = read_listing(folder)
    if (folder / INSIDE).is_dir():
        return folder / INSIDE
    raise FolderError(
        f"{folder}: holds an export as {listing['format']}, with the weights of the model itself; certify and check the folder of the "
        f"model (`atlasmoe certify DIR --for {listing['format']}`), and export it again: the card then says what is proved"
    )


def restate(folder: Path, proof: Mapping[str, Any]) -> None:
    """Write into an export what was proved of the model that it holds; README.md says it in its last section."""
    listing = {**read_listing(folder), "proof": dict(proof)}
    head, _, _ = (folder / CARD).read_text(encoding="utf-8").partition(PROVED)
    (folder / CARD).write_text(head + proved_section(listing), encoding="utf-8")
    (folder / LISTING).write_text(json.dumps(listing, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
