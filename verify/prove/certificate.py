"""`Certificate`: what was proved about a network, box by box, and the two files that hold it.

certificate.json says in words and numbers what is claimed and binds it to the weights and the task by SHA-256;
certificate.safetensors holds the boxes. docs/certificate.md specifies both.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import numpy as safetensors

from ...atlas import ManifoldTask, TaskGraph
from ...atlas.graph import as_graph
from ...errors import FolderError
from ...moe.layout import tensors
from ...moe.ledger import Claim, Known
from ...moe.network import Network
from ...moe.typed_json import canonical
from .error import TAGS
from .problem import ScoreProof
from .sites import ReadOut, SiteProof
from .tree import Tree

SCHEMA = 2
CERTIFICATE, BOXES = "certificate.json", "certificate.safetensors"
BOUND = ("model.safetensors", "config.json", "task.toml", "atlas.safetensors")
"""Files of a model folder that a certificate is about; the last is there for large atlases only."""
PRINCIPAL = ("total", "routing.valid", "cover")
"""The error and the routing of every point of M. Claims about evaluation in floats, and about τ, stand on their own."""


@dataclass(frozen=True, eq=False)
class Certificate:
    """Claims about every point of M, and the boxes that prove them."""

    task: str
    dtype: str
    epsilon: float
    """∞ if none was given."""
    tightness: float | None
    claims: tuple[Claim, ...]
    sites: tuple[SiteProof, ...] = field(repr=False)
    """Each after those whose values it reads; of a task on one manifold there is one."""
    read_out: ReadOut | None = field(repr=False)
    """How the total follows from them; None where it does not."""
    found: float
    """The largest error found anywhere."""
    seconds: float
    versions: Mapping[str, str] = field(repr=False)
    network: Network = field(repr=False)
    problem: ManifoldTask | TaskGraph = field(repr=False)

    @cached_property
    def kind(self) -> str:
        """manifold or graph."""
        return "graph" if as_graph(self.problem).blocks[0].given is None else "manifold"

    @property
    def status(self) -> Known:
        """Of the claims that together are the theorem (`PRINCIPAL`): PROVED if all are; REFUTED if one is; else UNKNOWN."""
        known = {claim.known for claim in self.claims if claim.name in PRINCIPAL or claim.name.endswith("].cover")}
        return Known.REFUTED if Known.REFUTED in known else Known.UNKNOWN if Known.UNKNOWN in known else Known.PROVED

    def __getitem__(self, name: str) -> Claim:
        """The claim of that name."""
        return next(claim for claim in self.claims if claim.name == name)

    @property
    def bound(self) -> float:
        """What was proved of |f − Ψ|."""
        return self["total"].bound

    @property
    def eta(self) -> float:
        """The logits are taken to be known to ±η."""
        return max((site.solution.eta for site in self.sites), default=0.0)

    @property
    def trees(self) -> dict[str, Tree]:
        """Parametrising chart ↦ its boxes; of a graph, node/chart or node/piece ↦ boxes."""
        return {self._label(site, name): tree for site in self.sites for name, tree in site.solution.trees.items()}

    @property
    def scores(self) -> dict[str, Tree]:
        """The same for the claims about τ, where there are any."""
        scored = [(site, site.scores) for site in self.sites if site.scores is not None]
        return {self._label(site, name): tree for site, scores in scored for name, tree in scores.trees.items()}

    def _label(self, site: SiteProof, piece: str) -> str:
        return piece if self.kind == "manifold" else f"{site.name}/{piece}"

    @property
    def boxes(self) -> int:
        """Leaves of all trees of errors."""
        return sum(site.solution.boxes for site in self.sites)

    def to_dict(self) -> dict[str, Any]:
        """All but the boxes, as JSON."""
        return {
            "schema": SCHEMA,
            "task": self.task,
            "kind": self.kind,
            "dtype": self.dtype,
            "epsilon": _number(self.epsilon),
            "tightness": self.tightness,
            "status": str(self.status),
            "bound": _number(self.bound),
            "found": _number(self.found),
            "eta": self.eta,
            "claims": [{**claim.to_dict(), "budget": _number(claim.budget), "bound": _number(claim.bound)} for claim in self.claims],
            "sites": [_describe(site) for site in self.sites],
            "readout": None if self.read_out is None else _describe_read_out(self.read_out),
            "tags": {str(code): word for code, word in TAGS.items()},
            "seconds": round(self.seconds, 3),
            "versions": dict(self.versions),
        }

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write both files into the folder of the model they are about; bytes of each are complete before they get their name.

        Raises `FolderError` if the folder holds no model, or other weights than those that were certified.
        """
        folder = Path(folder)
        self._require_same(folder)
        data = safetensors.save(self._arrays(), metadata={"schema": str(SCHEMA)})
        document = self.to_dict()
        hashes = {name: sha256(folder / name) for name in BOUND if (folder / name).is_file()}
        document["sha256"] = {**hashes, BOXES: hashlib.sha256(data).hexdigest()}
        for name, content in ((BOXES, data), (CERTIFICATE, canonical(document) + b"\n")):
            _replace(folder / name, content)
        return folder / CERTIFICATE

    def _arrays(self) -> dict[str, NDArray]:
        """All trees, numbered by site and piece."""
        trees: dict[str, Tree] = {}
        for s, site in enumerate(self.sites):
            trees |= {f"{s}.{n}": tree for n, tree in enumerate(site.solution.trees.values())}
            if site.scores is not None:
                trees |= {f"scores.{s}.{n}": tree for n, tree in enumerate(site.scores.trees.values())}
        return {f"{name}.{key}": array for name, tree in trees.items() for key, array in tree_arrays(tree).items()}

    def _require_same(self, folder: Path) -> None:
        try:
            stored = safetensors.load_file(folder / "model.safetensors")
        except (OSError, ValueError) as error:
            raise FolderError(f"{folder}: holds no model that this certificate could be about ({error}); save the model first") from error
        for name, array in tensors(self.network).items():
            if name not in stored or stored[name].dtype != array.dtype or not np.array_equal(stored[name], array):
                raise FolderError(f"{folder / 'model.safetensors'}: {name} is not what was certified; save the certified network")


def _describe(site: SiteProof) -> dict[str, Any]:
    """What docs/certificate.md says of a site."""
    solution = site.solution
    return {
        "name": site.name,
        "kind": site.kind,
        "components": list(site.components),
        "channels": [list(origin) for origin in site.channels],
        "reads": [list(origin) for origin in site.part.reads],
        "variables": list(site.variables),
        "moves": _numbers(site.moves),
        "domain": "charts" if site.charts else "boxes",
        "pieces": [{"name": name, "boxes": len(tree)} for name, tree in solution.trees.items()],
        "winners": list(site.part.network.layers[-1].names),
        "routes": None if solution.problem.chosen is None else list(solution.problem.chosen),
        "eta": _number(solution.eta),
        "bound": _number(solution.bound),
        "rounding": {dtype: _number(found.outputs) for dtype, found in solution.roundings.items()},
        "values": [
            {
                "component": value.component,
                "lower": _number(value.lower),
                "upper": _number(value.upper),
                "spread": _number(value.spread),
                "error": _number(value.error),
            }
            for value in site.values
        ],
        "scores": None if site.scores is None else _describe_scores(site.scores),
        "folded": site.folded,
    }


def _describe_scores(scores: ScoreProof) -> dict[str, Any]:
    promise = scores.promise
    found = {"bound": _number(scores.bound), "least": _number(scores.least)}
    return {"delta": promise.delta, "floor": promise.floor, "level": promise.plateau_level, **found}


def _describe_read_out(found: ReadOut) -> dict[str, Any]:
    data: dict[str, Any] = {
        "error": _numbers(found.error),
        "rounding": {dtype: _number(added) for dtype, added in found.rounding.items()},
    }
    if found.site is not None:
        return {"kind": "site", "site": found.site, **data}
    return {
        "kind": "affine",
        "components": list(found.components),
        "task": found.task.tolist(),
        "network": found.network.tolist(),
        "block": found.block,
        "constant": _numbers(found.constant),
        "spread": _numbers(found.spread),
        **data,
    }


def tree_arrays(tree: Tree) -> dict[str, NDArray]:
    """A tree as arrays by name."""
    return {
        "lower": tree.lower,
        "upper": tree.upper,
        "cuts": tree.cuts,
        "tags": tree.tags,
        "bounds": tree.bounds,
        "offsets": tree.offsets,
        "members": tree.members,
    }


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _numbers(values: ArrayLike) -> Sequence[float | None]:
    return [_number(value) for value in np.asarray(values, float)]


def _replace(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then give it its own."""
    stage = path.with_name(f".{path.name}.partial")
    try:
        stage.write_bytes(content)
        os.replace(stage, path)
    except OSError as error:
        raise FolderError(f"{path}: cannot be written ({error.strerror or error}); free some space or choose another place") from error
    finally:
        stage.unlink(missing_ok=True)
