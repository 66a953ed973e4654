"""What the certificate of a model says of the form in which it leaves the house.

A certificate is about stored weights. It holds of other files with the same weights as far as the arithmetic of whoever evaluates them is
one that a claim is about (`moe.engines`): that is what "carried over" means, and the claim, its bound and what it assumes are copied out.
Whether the certificate itself is right is not asked here: `check` says so, of the model's folder.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..atlas.graph import as_graph
from ..errors import FolderError
from ..moe import Model
from ..moe.beside import CERTIFICATE, earlier
from ..moe.engines import ENGINES, assumed, needs
from ..moe.ledger import Assumption
from ..moe.typed_json import parse_json
from ..verify.prove.binding import require_same
from .export_listing import INSIDE, read_listing, restate
from .folder import save


@dataclass(frozen=True)
class Carried:
    """A claim of a certificate that holds of exported files."""

    claim: str
    bound: float
    root: str
    """The one hash of the certificate."""
    named: bool
    """Whether the certificate itself names the engine; else the claim holds of it all the same, and nobody asked for it."""
    task: tuple[str, ...]
    """Names of what the certificate assumes of the task."""
    engine: tuple[Assumption, ...]
    """What is assumed of whoever evaluates the files."""
    document: bytes
    """certificate.json, to be copied."""

    def to_dict(self) -> dict[str, Any]:
        said = {key: getattr(self, key) for key in ("claim", "bound", "root", "named")}
        return {**said, "assumed": [*self.task, *(f"{taken.name}: {taken.statement}" for taken in self.engine)]}


def carried(model: Model, folder: Path | None, to: str) -> Carried | str:
    """What a certificate proves of the model as `to`, one whose arithmetic is known; or why nothing. The certificate is that in `folder`,
    or the model's own. Raises `FolderError` if the folder holds another model.
    """
    if folder is not None:
        if (folder / CERTIFICATE).exists():
            require_same(folder, model.network, model.task, model.design)
        return _read(model, folder, to)
    if model.certificate is None:
        return f"the model has no certificate: `atlasmoe certify FOLDER --for {to}` makes one"
    with tempfile.TemporaryDirectory(prefix="atlasmoe-") as place:
        return _read(model, save(model, Path(place) / "model"), to)


def _read(model: Model, folder: Path, to: str) -> Carried | str:
    path = folder / CERTIFICATE
    again = f"`atlasmoe certify {folder.name} --for {to}`"
    if not path.exists():
        return f"the model has no certificate: {again} makes one"
    if (found := earlier(folder)) is None or not found.proved:
        return f"the certificate beside the model proves nothing of these weights: {again} makes a new one"
    data = path.read_bytes()
    document = parse_json(data, path)
    if not isinstance(document, dict) or not isinstance(document.get("root"), str):
        return f"the certificate is of an old schema: {again} makes a new one"
    try:
        return _said(model, document, data, to, again)
    except (KeyError, TypeError, ValueError) as error:
        raise FolderError(f"{path}: says something that no certificate says ({error!r}); {again} writes it anew") from error


def _said(model: Model, document: dict[str, Any], data: bytes, to: str, again: str) -> Carried | str:
    of = needs(model.network, as_graph(model.task).blocks[0].given is not None)
    claims = {claim["name"]: claim for claim in document["claims"]}
    named = any(entry["format"] == to for entry in document.get("engines", ()))
    of = of if named else of.kept()  # what was not asked for holds where subnormal numbers are kept
    found = claims.get(of.claim)
    if found is None or found["known"] != "proved":
        bound = "" if found is None or found["bound"] is None else f": its bound is {found['bound']:.6g}, above ε"
        return f"the certificate does not prove {of.claim}{bound}; {again} says what would help"
    taken = tuple(str(entry["name"]) for entry in document["assumptions"])
    engine = tuple(assumed(ENGINES[to], of))
    return Carried(str(found["name"]), float(found["bound"]), str(document["root"]), named, taken, engine, data)


def state(folder: Path, model: Model) -> Carried | str:
    """Say in the card of an export what the certificate of the model inside it proves by now."""
    proof = carried(model, folder / INSIDE, str(read_listing(folder)["format"]))
    restate(folder, {"proved": False, "why": proof} if isinstance(proof, str) else {"proved": True, "inside": True, **proof.to_dict()})
    return proof
