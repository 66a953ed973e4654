"""Model folders in tests: what to compare, and how to make hashes fit again after tampering."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from atlasmoe.moe import Network
from atlasmoe.moe.typed_json import canonical


def resign(folder: Path, change: Callable[[dict[str, Any]], object] = lambda config: None) -> None:
    """Make hashes and digest fit again after tampering, so that what lies behind them is tested."""
    config = json.loads((folder / "config.json").read_text())
    for name, entry in config["files"].items():
        data = (folder / name).read_bytes()
        entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    change(config)
    config.pop("digest", None)
    config["digest"] = hashlib.sha256(canonical(config)).hexdigest()
    (folder / "config.json").write_text(json.dumps(config))


def arrays(network: Network) -> list[np.ndarray]:
    affines = [affine for layer in network.layers for net in layer.nets for affine in net.affines]
    return [array for affine in affines for array in (affine.weight, affine.bias)]


def assert_same_places(ours: Network, theirs: Network) -> None:
    """Everything of the layers but their numbers."""
    for layer, other in zip(ours.layers, theirs.layers, strict=True):
        for field in ("serves", "names", "channels", "reads", "writes", "carries", "top_k", "weighting"):
            assert getattr(layer, field) == getattr(other, field), field
        assert (layer.gate is None, layer.shared is None) == (other.gate is None, other.shared is None)
        assert [net.groups for net in layer.nets] == [net.groups for net in other.nets]
