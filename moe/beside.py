"""What a certificate in a model's folder says of the files there, read in a moment and believed as far as its hashes go.

`atlasmoe check` is who confirms a certificate. Whoever shows a model wants to know no more than what was proved of these weights, if
anything was: the strongest statement that there is, with how it is known.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import FolderError
from .typed_json import parse_json

CERTIFICATE, BOXES = "certificate.json", "certificate.safetensors"
WEIGHTS, CONFIG, TASK, ARRAYS, LEDGER = "model.safetensors", "config.json", "task.toml", "atlas.safetensors", "ledger.json"
BOUND = (WEIGHTS, CONFIG, TASK, ARRAYS, LEDGER)
"""Files of a model folder that a certificate is about; the arrays are there for large atlases only."""
RANKS = ("unknown", "refuted", "proved")
"""How much a certificate says, the least first: a refutation holds at one ε, a proof for every point of M."""


@dataclass(frozen=True)
class Earlier:
    """A certificate that a folder holds, about the files as they are now: what it says. It was not checked here."""

    status: str
    """proved, refuted or unknown."""
    epsilon: float | None
    bound: float
    """∞ where it says none."""
    found: float | None = None
    """The largest error that the search found."""
    assumptions: tuple[str, ...] = ()
    """Names of what the proof takes from the task."""
    targets: tuple[tuple[str, float, float], ...] = ()
    """Of several targets the name, ε and bound of each; `bound` is then the largest of these over its ε."""

    @property
    def proved(self) -> bool:
        """Whether its bound holds at every point of M, if what it says is so."""
        return self.status == "proved" and math.isfinite(self.bound)

    @property
    def rank(self) -> tuple[int, float]:
        """Larger is better: what it says, and then by how small a bound, or how large an error refutes."""
        place = RANKS.index(self.status)
        return place, (self.found or 0.0) if self.status == "refuted" else -self.bound

    def __str__(self) -> str:
        if self.proved:
            return f"a bound of {self.bound:.6g}{' of every ε' if self.targets else ''} is proved of these files"
        size = "" if self.found is None else f", with an error of {self.found:.6g} found"
        return f"these files are {self.status}" + (size if self.status == "refuted" else "")


def hashes_of(folder: Path) -> dict[str, str]:
    """The SHA-256 of every bound file that the folder holds."""
    return {name: sha256(folder / name) for name in BOUND if (folder / name).is_file()}


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def earlier(folder: Path) -> Earlier | None:
    """What a certificate in the folder says of the files as they are now; None if there is none that is about them."""
    try:
        document = parse_json((folder / CERTIFICATE).read_bytes(), folder / CERTIFICATE)
    except (OSError, FolderError):
        return None
    if not isinstance(document, dict) or document.get("status") not in RANKS:
        return None
    listed = document.get("files", document.get("sha256"))
    if not isinstance(listed, dict):
        return None
    now = hashes_of(folder) | ({BOXES: sha256(folder / BOXES)} if (folder / BOXES).is_file() else {})
    if any(listed.get(name) != digest for name, digest in now.items() if name in listed) or BOXES not in now or WEIGHTS not in listed:
        return None
    bound, search, taken = _number(document, "bound"), document.get("search"), document.get("assumptions")
    if document["status"] == "proved" and (bound is None or bound != _number(_total(document), "bound")):
        return None
    names = [one.get("name") for one in taken if isinstance(one, dict)] if isinstance(taken, list) else []
    return Earlier(
        status=document["status"],
        epsilon=_number(document, "epsilon"),
        bound=math.inf if bound is None else bound,
        found=_number(search, "found") if isinstance(search, dict) else None,
        assumptions=tuple(name for name in names if isinstance(name, str)),
        targets=tuple(_targets(document.get("targets"))),
    )


def _total(document: Mapping[str, object]) -> Mapping[str, object]:
    """The claim about the whole, which says the bound a second time."""
    claims = document.get("claims")
    listed = [one for one in claims if isinstance(one, dict)] if isinstance(claims, list) else []
    return next((one for one in listed if one.get("name") == "total" and one.get("known") == "proved"), {})


def _targets(listed: object) -> Iterator[tuple[str, float, float]]:
    for one in listed if isinstance(listed, list) else ():
        epsilon = _number(one, "epsilon") if isinstance(one, dict) else None
        if epsilon is not None and isinstance(one.get("name"), str):
            bound = _number(one, "bound")
            yield one["name"], epsilon, math.inf if bound is None else bound


def _number(document: Mapping[str, object], key: str) -> float | None:
    value = document.get(key)
    return float(value) if isinstance(value, float | int) and not isinstance(value, bool) else None
