"""All that a page holds, as one JSON document."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import numpy as np

from ...atlas import TaskGraph
from ...atlas.graph import as_graph
from ...atlas.wanted import measure
from ...doctor import doctor
from ...errors import AtlasMoEError, written
from ...moe import Model
from ...moe.beside import BOXES, CERTIFICATE, CONFIG, hashes_of, sha256
from ...progress import track
from ..figures import headline
from ..graph_tree import summary
from ..health import TITLES
from .claims import blueprint
from .leaves import certificate
from .network import MOST_NUMBERS, network_of
from .places import SHARE_POINTS, loads, places
from .store import Store
from .target import target

ROOM_POINTS = 256
"""Points at which the size of what the network computes is looked at."""


def document(folder: Path, model: Model, seed: int) -> dict[str, Any]:
    """What a page about the model in `folder` shows."""
    graph, store = as_graph(model.task), Store()
    said = model.explain(graph.sample(1, seed)[0])
    steps: dict[str, Any] = {
        "about": lambda: _about(folder, model, graph),
        "target": lambda: target(model.task, graph),
        "blueprints": lambda: [blueprint("ledger.json", model.claimed)],
        "network": lambda: network_of(model, graph, store, said),
        "places": lambda: places(model, graph, store, seed),
        "loads": lambda: {"points": SHARE_POINTS, "blocks": loads(model, graph, seed)},
        "doctor": lambda: _doctor(model, seed),
        "certificate": lambda: certificate(folder, store),
        "versions": lambda: _versions(folder),
    }
    found = {name: steps[name]() for name in track(list(steps), "writing the page")}
    found["stated"] = {"bound": said.bound, "known": said.known, "source": said.source, "found": said.found}
    found["stated"]["room"] = model.room(graph.sample(ROOM_POINTS, seed))
    found["limits"] = {"numbers": MOST_NUMBERS}
    found["store"] = store.text()
    return found


def _about(folder: Path, model: Model, graph: TaskGraph) -> dict[str, Any]:
    network, root = model.network, model.ledger.root
    return {
        "name": model.task.name,
        "folder": folder.absolute().name,
        "alone": model.design.alone,
        "headline": headline(model, None),
        "summary": "" if model.design.alone else summary(graph),
        "epsilon": root.budget,
        "measure": measure(graph.wanted),
        "unit": " of the ε of each target" if graph.wanted else "",
        "layers": len(network.layers),
        "parameters": network.parameters,
        "active": network.active_parameters,
        "dtype": str(network.dtype),
        "theorem": str(model.facts.get("theorem", "")),
        "dimension": sum(node.domain.dimension for node in graph.inputs),
        "base": len(graph.coordinates),
        "ambient": graph.ambient_dimension,
    }


def _doctor(model: Model, seed: int) -> dict[str, Any]:
    try:
        health = doctor(model, seed=seed)
    except AtlasMoEError as error:
        return {"absent": f"It could not be examined: {error}"}
    return {
        "healthy": health.healthy,
        "source": health.source,
        "assumes": list(health.assumes),
        "diagnoses": [one.to_dict() | {"title": TITLES[one.sign], "remedy": written(one.remedy, shell=True)} for one in health],
        "unanswered": [
            {"title": TITLES[one.sign], "where": one.where, "needs": written(one.needs, shell=True)} for one in health.unanswered
        ],
    }


def _versions(folder: Path) -> dict[str, Any]:
    from ... import __version__

    config = json.loads((folder / CONFIG).read_bytes())
    files = hashes_of(folder)
    files |= {name: sha256(folder / name) for name in (CERTIFICATE, BOXES) if (folder / name).is_file()}
    return {
        "compiled": str(config.get("atlasmoe")),
        "digest": str(config.get("digest")),
        "files": files,
        "page": {"atlasmoe": __version__, "python": platform.python_version(), "numpy": np.__version__},
    }
