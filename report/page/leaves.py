"""The certificate of a folder as the page shows it: what it claims, and its boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import AtlasMoEError
from ...moe.beside import BOXES, CERTIFICATE, earlier
from ...moe.ledger import Claim, Known
from ...moe.typed_json import parse_json
from ...verify.check.documents import Documents
from ...verify.check.files import read
from ...verify.check.trees import PROVED, UNSETTLED, Tree
from ..evaluation import names_of_panels
from .claims import blueprint
from .store import Store

MOST_BYTES = 32 << 20
"""Of the file of boxes: a larger one takes minutes to read."""
MOST_PANELS = 24
MOST_LEAVES = 3000
"""Of one panel that are drawn as they are; more are put on a grid, every cell with the largest bound that reaches into it."""
CELLS = 96
"""Of a grid along one side."""
BINS = 40
SENSES = ("<=", ">=", ">")


def certificate(folder: Path, store: Store) -> dict[str, Any]:
    """What a page says of a folder's certificate: `absent` in words, or its claims, status and boxes."""
    if not (folder / CERTIFICATE).is_file():
        return {"absent": f"There is none: atlasmoe certify {folder.name} makes one."}
    said = earlier(folder)
    if said is None:
        return {"absent": "certificate.json is about other files than those that the folder holds now, so nothing of it is shown."}
    document = parse_json((folder / CERTIFICATE).read_bytes(), folder / CERTIFICATE)
    try:
        panels, remark = _panels(folder, store)
        return {
            "status": said.status,
            "bound": said.bound,
            "epsilon": said.epsilon,
            "found": said.found,
            "assumptions": [[str(one["name"]), str(one["statement"])] for one in document["assumptions"]],
            "engines": [str(one.get("engine", one.get("name", ""))) for one in document.get("engines", [])],
            "root": document.get("root"),
            "blueprint": blueprint("certificate.json", _claims(document)),
            "panels": panels,
            "remark": remark,
        }
    except (AtlasMoEError, KeyError, TypeError, ValueError, AttributeError) as error:  # written by others, and not checked yet
        return {"absent": f"It cannot be read ({type(error).__name__}): atlasmoe check {folder.name} says what is wrong with it."}


def _claims(document: dict[str, Any]) -> Claim:
    """The total, and below it the other claims that a certificate needs for it."""
    search = document.get("search", {})
    claims = [_claim(one, search) for one in document["claims"]]
    total = next(claim for claim in claims if claim.name == "total")
    others = tuple(claim for claim in claims if claim is not total)
    return Claim(**{**{key: getattr(total, key) for key in total.__dataclass_fields__}, "children": others})


def _claim(one: dict[str, Any], search: dict[str, Any]) -> Claim:
    sense = one["sense"]
    if sense not in SENSES:
        raise ValueError(sense)
    witness = search.get("witnesses", {}).get(one["name"])
    return Claim(
        name=str(one["name"]),
        statement=str(one["statement"]),
        source=str(one["source"]),
        budget=_number(one["budget"]),
        bound=_number(one["bound"]),
        known=Known(one["known"]),
        sense=sense,
        witness=None if witness is None else tuple(float(v) for v in witness),
        note=str(search.get("notes", {}).get(one["name"], "")),
    )


def _number(value: Any) -> float:
    return float("inf") if value is None else float(value)


def _panels(folder: Path, store: Store) -> tuple[list[dict[str, Any]], str]:
    """The boxes of the first pieces, and what is said of what was left out."""
    size = (folder / BOXES).stat().st_size
    if size > MOST_BYTES:
        return [], f"Boxes are left out: {BOXES} has {size:,} bytes, and pages show up to {MOST_BYTES:,}."
    documents = read(folder)
    trees = list(_named(documents))
    names = names_of_panels(documents.graph)
    # Of several targets in units of the ε of each, as everything that compares them.
    units = {one.name: float(one.epsilon) for one in documents.graph.wanted}
    panels = []
    for name, tree in trees[:MOST_PANELS]:
        said = _panel(name, tree, units.get(name.split("/")[0], 1.0), store)
        panels.append(said | {"coordinates": list(names(name, said["dimension"]))})
    left = f"{MOST_PANELS} of {len(trees)} trees are shown. " if len(trees) > MOST_PANELS else ""
    return panels, f"{left}{sum(len(tree.tags) for _, tree in trees):,} boxes in all."


def _named(documents: Documents) -> Any:
    for site in documents.sites:
        for (piece, _), tree in zip(site.pieces, site.trees, strict=False):
            yield (piece if documents.manifold and not documents.graph.wanted else f"{site.name}/{piece}"), tree


def _panel(name: str, tree: Tree, unit: float, store: Store) -> dict[str, Any]:
    tree = tree._replace(bounds=tree.bounds / unit)
    dimension = tree.lower.shape[1]
    said = {"name": name, "leaves": len(tree.tags), "dimension": dimension, "proved": int((tree.tags == PROVED).sum())}
    said["open"] = int((tree.tags == UNSETTLED).sum())
    if dimension > 2:
        return said | {"histogram": _histogram(tree)}
    root = tree.root
    lower, upper, bounds, tags = tree.lower, tree.upper, tree.bounds, tree.tags
    if len(tags) > MOST_LEAVES:
        lower, upper, bounds, tags = _gridded(tree)
    boxes = np.concatenate([lower, upper], axis=1)
    return said | {
        "root": root.tolist(),
        "boxes": store.put(boxes, "f4"),
        "bounds": store.put(np.where(tags == PROVED, bounds, np.nan), "f8"),
        "tags": store.put(tags, "u1"),
        "gridded": len(tags) != len(tree.tags),
    }


def _gridded(tree: Tree) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Cells of a grid in the place of boxes: a cell is open if an open box reaches into it, else it has the largest bound that does."""
    d = tree.lower.shape[1]
    low, width = tree.root[0], (tree.root[1] - tree.root[0]) / CELLS
    first = np.clip(np.floor((tree.lower - low) / width), 0, CELLS - 1).astype(int)
    last = np.clip(np.ceil((tree.upper - low) / width), first + 1, CELLS).astype(int)
    bounds, tags = np.zeros((CELLS,) * d), np.zeros((CELLS,) * d, np.uint8)
    for box in np.argsort(tree.tags, kind="stable"):  # outside, elsewhere, proved, open: each above those before
        cells = tuple(slice(a, b) for a, b in zip(first[box], last[box], strict=True))
        tags[cells] = tree.tags[box]
        if tree.tags[box] == PROVED:
            np.maximum(bounds[cells], tree.bounds[box], out=bounds[cells])
    corner = low + width * np.stack(np.meshgrid(*[np.arange(CELLS)] * d, indexing="ij"), axis=-1).reshape(-1, d)
    return corner, corner + width, bounds.ravel(), tags.ravel()


def _histogram(tree: Tree) -> dict[str, Any]:
    proved = tree.tags == PROVED
    volume = (tree.upper - tree.lower).prod(1)[proved]
    heights, edges = np.histogram(tree.bounds[proved], bins=BINS, weights=volume) if proved.any() else (np.zeros(1), np.zeros(2))
    return {"edges": edges.tolist(), "shares": (heights / max(heights.sum(), 1e-300)).tolist()}
