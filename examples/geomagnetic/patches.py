"""Proofs patch by patch: the sphere as the faces of a cube, each cut into squares, and of each its own certificate of the same layer.

On a patch only balls count whose centres are within the patch's reach and the balls' radius: any point lies in the ball of the nearest
centre. So the gate and the experts of those alone, on the patch alone, are what the whole layer is there, and certificates of all patches
are one of the sphere. Patches are taken in an order that spreads over the sphere, so that a few of them say what all will cost.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
from atlasmoe import Atlas, Box, Chart, ManifoldTask
from atlasmoe.atlas.chart import Piece
from atlasmoe.atlas.graph import as_graph
from atlasmoe.expressions.maps import ExpressionMap
from atlasmoe.expressions.parse import read_expression, real_symbols
from atlasmoe.moe import Claim, Known, Ledger
from atlasmoe.moe.design import design_of
from atlasmoe.moe.network import Affine, Network

SIDE = 12
"""Squares along an edge of a face."""
PATCHES = 6 * SIDE**2
STRIDE = 545
"""Coprime to the number of patches: the order in which they are taken."""
LEAST_MARGIN = 1e-9
"""By how much a ball that is left out lies beyond what may be reached."""


def chart(number: int, coordinates: tuple[str, ...]) -> Chart:
    """A patch: (u, v) in a square of [−1, 1]², to the direction of a point of the cube's face."""
    face, place = divmod(number, SIDE**2)
    axis, sign = face // 2, 1 - 2 * (face % 2)
    names = ("u", "v")
    symbols = real_symbols(names)
    length = "sqrt(1 + u**2 + v**2)"
    sides = iter(names)
    texts = [f"{sign}/{length}" if k == axis else f"{next(sides)}/{length}" for k in range(3)]
    inverse = ExpressionMap.of(symbols.values(), [read_expression(text, symbols) for text in texts])
    outer = real_symbols(coordinates)
    across = [name for k, name in enumerate(coordinates) if k != axis]
    forward = ExpressionMap.of(outer.values(), [read_expression(f"{sign}*{name}/{coordinates[axis]}", outer) for name in across])
    low = np.array(divmod(place, SIDE)) * 2 / SIDE - 1
    return Chart(f"patch{number}", Box(tuple(low), tuple(low + 2 / SIDE)), inverse, forward, ((True, True), (True, True)))


def number_of(points: np.ndarray) -> np.ndarray:
    """Which patch directions (N, 3) lie in; on an edge, one of them."""
    axis = np.abs(points).argmax(1)
    along = points[np.arange(len(points)), axis]
    across = np.stack([np.delete(point, k) for point, k in zip(points, axis, strict=True)]) / np.abs(along)[:, None]
    first, second = np.clip(np.floor((across + 1) / 2 * SIDE), 0, SIDE - 1).astype(int).T
    return np.asarray((2 * axis + (along < 0)) * SIDE**2 + first * SIDE + second)


def on_patch(model: atlasmoe.Model, number: int) -> tuple[Network, ManifoldTask]:
    """What the layer is on a patch, and what it should be."""
    atlas, (layer,) = model.task.atlas, model.network.layers
    patch = chart(number, atlas.coordinates)
    corners = patch.inverse(np.array(patch.domain.lower) + np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) * 2 / SIDE)
    middle = patch.inverse(patch.domain.center[None])[0]
    far = np.linalg.norm(corners - middle, axis=1).max()  # of all points of the square: distances on a face grow outwards
    centers, radii = atlas.balls
    near = np.flatnonzero(np.linalg.norm(centers - middle, axis=1) <= far + radii.max() + LEAST_MARGIN)
    (gate,) = layer.gate.affines
    some = replace(
        layer,
        gate=Affine(gate.weight[near], gate.bias[near]),
        experts=tuple(layer.experts[layer.serves[i]] for i in near),
        serves=tuple(range(len(near))),
        names=tuple(f"ball{n}" for n in range(len(near))),
    )
    pieces = (Piece(0, patch.domain),)
    balls = tuple(replace(atlas.charts[i], name=f"ball{n}", pieces=pieces) for n, i in enumerate(near))
    here = Atlas(atlas.coordinates, balls, cover=(patch,))
    return Network((some,), model.network.inputs), ManifoldTask(f"crust{number}", here, model.task.target)


def kept(network: Network, task: ManifoldTask, certificate: atlasmoe.Certificate, folder: Path) -> None:
    """A patch as a model folder with its certificate, for `atlasmoe check`."""
    (block,) = as_graph(task).blocks
    statement = f"for every point of the patch: |f(x) − Ψ(x)| ≤ {certificate.epsilon:g}, largest component"
    total = Claim("total", statement, "certify", certificate.epsilon, certificate.bound, Known.PROVED)
    facts = {"theorem": "affine", "routing": "affine", "epsilon": certificate.epsilon, "parameters": network.parameters}
    design = design_of(network, block.name, block.names, block.components)
    atlasmoe.save(atlasmoe.Model(network, Ledger(total), task, facts, design, certificate), folder, overwrite=True)


def prove(model: atlasmoe.Model, log: Path, count: int, epsilon: float, seconds: float, folder: Path | None = None) -> list[dict]:
    """What is known of the first patches, one JSON object a line, proving those that the file does not have; `folder`: where to keep
    certificates of those that are proved."""
    found = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known = {one["patch"] for one in found}
    for number in [k * STRIDE % PATCHES for k in range(min(count, PATCHES))]:
        if number in known:
            continue
        begun = time.process_time()
        network, task = on_patch(model, number)
        certificate = atlasmoe.certify(network, task, epsilon=epsilon, tightness=None, seconds=seconds)
        if folder is not None and certificate.status is Known.PROVED:
            kept(network, task, certificate, folder / str(number))
        one = {
            "patch": number,
            "status": certificate.status.value,
            "bound": certificate.bound,
            "found": certificate.found,
            "boxes": certificate.boxes,
            "seconds": time.process_time() - begun,
        }
        with log.open("a") as file:
            file.write(json.dumps(one) + "\n")
        print(
            f"  patch {number}: {one['status']}, bound {one['bound']:.3g}, {one['boxes']:,} boxes, {one['seconds']:.0f} CPU seconds",
            flush=True,
        )
        found.append(one)
    return found
