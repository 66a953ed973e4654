"""`Certificate`: what was proved about a network, box by box, and the two files that hold it.

certificate.json says in words and numbers what is claimed and binds it to the weights and the task by SHA-256;
certificate.safetensors holds the boxes. docs/certificate.md specifies both.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import numpy as safetensors

from ...atlas import ManifoldTask, TaskGraph
from ...errors import FolderError
from ...moe.ledger import Claim, Known
from ...moe.network import Network
from .error import TAGS
from .tree import Tree

SCHEMA = 1
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
    trees: Mapping[str, Tree] = field(repr=False)
    """Parametrising chart ↦ its boxes; of a graph, node/chart or node/piece ↦ boxes."""
    scores: Mapping[str, Tree] = field(repr=False)
    """The same for the claims about τ, if there are any."""
    winners: tuple[str, ...] = field(repr=False)
    """Names of the gate outputs that the sets of the boxes number."""
    found: float
    """The largest error found anywhere."""
    eta: float
    """The logits are taken to be known to ±η."""
    seconds: float
    versions: Mapping[str, str] = field(repr=False)
    network: Network = field(repr=False)
    problem: ManifoldTask | TaskGraph = field(repr=False)

    @property
    def status(self) -> Known:
        """Of the claims that together are the theorem (`PRINCIPAL`): PROVED if all are; REFUTED if one is; else UNKNOWN."""
        graph = isinstance(self.problem, TaskGraph)
        known = {claim.known for claim in self.claims if claim.name in PRINCIPAL or (graph and claim.name.endswith(".cover"))}
        return Known.REFUTED if Known.REFUTED in known else Known.UNKNOWN if Known.UNKNOWN in known else Known.PROVED

    def __getitem__(self, name: str) -> Claim:
        """The claim of that name."""
        return next(claim for claim in self.claims if claim.name == name)

    @property
    def bound(self) -> float:
        """What was proved of |f − Ψ|, for real arithmetic."""
        return self["total"].bound

    @property
    def boxes(self) -> int:
        """Leaves of all trees."""
        return sum(len(tree) for tree in self.trees.values())

    def to_dict(self) -> dict[str, Any]:
        """All but the boxes, as JSON."""
        return {
            "schema": SCHEMA,
            "task": self.task,
            "kind": "graph" if isinstance(self.problem, TaskGraph) else "manifold",
            "dtype": self.dtype,
            "epsilon": _number(self.epsilon),
            "tightness": self.tightness,
            "status": str(self.status),
            "bound": _number(self.bound),
            "found": _number(self.found),
            "eta": self.eta,
            "claims": [{**claim.to_dict(), "budget": _number(claim.budget), "bound": _number(claim.bound)} for claim in self.claims],
            "charts": [{"name": name, "boxes": len(tree)} for name, tree in self.trees.items()],
            "winners": list(self.winners),
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
        arrays = {f"{n}.{key}": array for n, tree in enumerate(self.trees.values()) for key, array in tree_arrays(tree).items()}
        arrays |= {f"scores.{n}.{key}": array for n, tree in enumerate(self.scores.values()) for key, array in tree_arrays(tree).items()}
        data = safetensors.save(arrays, metadata={"schema": str(SCHEMA)})
        document = self.to_dict()
        hashes = {name: sha256(folder / name) for name in BOUND if (folder / name).is_file()}
        document["sha256"] = {**hashes, BOXES: hashlib.sha256(data).hexdigest()}
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        for name, content in ((BOXES, data), (CERTIFICATE, text.encode())):
            _replace(folder / name, content)
        return folder / CERTIFICATE

    def _require_same(self, folder: Path) -> None:
        try:
            stored = safetensors.load_file(folder / "model.safetensors")
        except (OSError, ValueError) as error:
            raise FolderError(f"{folder}: holds no model that this certificate could be about ({error}); save the model first") from error
        for number, layer in enumerate(self.network.layers):
            maps = {"gate": layer.affine_gate}
            for k, net in enumerate(layer.experts):
                maps |= {f"experts.{k}.affines.{j}": affine for j, affine in enumerate(net.affines)}
            for part, affine in maps.items():
                for kind, array in (("weight", affine.weight), ("bias", affine.bias)):
                    name = f"layers.{number}.{part}.{kind}"
                    if name not in stored or stored[name].dtype != array.dtype or not np.array_equal(stored[name], array):
                        raise FolderError(f"{folder / 'model.safetensors'}: {name} is not what was certified; save the certified network")


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
