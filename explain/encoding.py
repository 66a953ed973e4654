"""`encodings`: Enc and Dec of every expert of a block, to look at what an expert sees, and to ask whether a point is on the manifold.

Enc takes x ∈ R^D to the d local coordinates that the expert is a function of: read off the weights where these are stored apart
(`experts = "factorised"` or `"encoder"`), else the chart map of the task. Dec takes them back: x̂ = c_i + V_i·u for a ball, φ_i⁻¹(u)
for a chart. On a ball of a manifold of reach τ_M, |x − Dec Enc x| ≤ r²/(2τ_M) for its points (N11): what misses that is no point of M.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..atlas import Array, Atlas, BallChart, ManifoldTask, TaskGraph
from ..atlas.graph import as_graph
from ..atlas.reach import reach_of
from ..errors import InvalidArgument
from ..moe.activations import IDENTITY
from ..moe.channels import Input
from ..moe.model import Model
from ..moe.network import MoELayer, Net
from ..moe.opened import opened

PROVED = "reconstruction.proved"
"""The ledger's claim on |x − Dec Enc x| in all balls."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """Enc and Dec of one expert, for points [N, D] of the block's input as the network reads it."""

    name: str
    stored: bool
    """Whether Enc is made of the network's own weights."""
    atlas: Atlas
    chart: int
    enc: Net | None
    shift: Array
    """(d,), added to what the weights give."""
    tolerance: float | None
    """What |x − Dec Enc x| may be for points of the expert's ball: r²/(2τ_M) where the reach is known, else what the ledger has proved of
    all balls; None where neither is there.
    """

    def encode(self, x: ArrayLike) -> Array:
        """Local coordinates, [N, D] to [N, d]."""
        x = np.atleast_2d(np.asarray(x, float))
        if self.enc is not None:
            return np.asarray(self.enc(x.astype(self.enc.dtype)), float) + self.shift
        return np.asarray(self.atlas.charts[self.chart].forward(self.atlas.unembed(x)))  # type: ignore[misc]

    def decode(self, u: ArrayLike) -> Array:
        """Points of the tangent space, or of the chart: [N, d] to [N, D]."""
        u, chart = np.atleast_2d(np.asarray(u, float)), self.atlas.charts[self.chart]
        base = chart.center + u @ chart.frame.T if isinstance(chart, BallChart) else chart.inverse(u)
        return self.atlas.embed(base)

    def gap(self, x: ArrayLike) -> Array:
        """|x − Dec Enc x|, [N]."""
        x = np.atleast_2d(np.asarray(x, float))
        return np.asarray(np.linalg.norm(x - self.decode(self.encode(x)), axis=1))

    def off(self, x: ArrayLike) -> NDArray[np.bool_]:
        """Which points are surely none of M's part in the ball: too far from c_i, or from Dec Enc x by more than `tolerance`, [N].

        Raises `InvalidArgument` where neither a reach nor a proof of the ledger says how far they may be, or for charts that are no balls.
        """
        chart = self.atlas.charts[self.chart]
        if self.tolerance is None or not isinstance(chart, BallChart):
            raise InvalidArgument(
                f"{self.name}: of which points are off the manifold nothing is known without balls and a reach; give reach=…, or compile "
                'with {experts="factorised"}, which proves how far from Dec Enc points of the manifold may be'
            )
        x = np.atleast_2d(np.asarray(x, float))
        far = np.linalg.norm(x - self.atlas.embed(chart.center[None]), axis=1) > chart.radius
        return np.asarray(far | (self.gap(x) > self.tolerance * (1 + 1e-9)))


def encodings(model: Model, block: str | None = None, *, reach: float | None = None) -> dict[str, Encoding]:
    """Enc and Dec of every expert of a block on charts by the chart's name; `block` may be left out where there is one.

    `reach`: a promise of τ_M; that of the library's manifolds is known. Raises `InvalidArgument` for blocks on pieces, or none.
    """
    model = opened(model, "encodings")
    graph = as_graph(model.task) if isinstance(model.task, ManifoldTask) else model.task
    names = [one.name for one in graph.blocks]
    name = names[0] if block is None and len(names) == 1 else block
    if name not in names:
        raise InvalidArgument(f"there is no block {name!r}; the blocks are {', '.join(names)}")
    node = next(one for one in graph.blocks if one.name == name)
    if model.facts.get("stored", {}).get(name, {}).get("experts") == "projected":
        raise InvalidArgument(
            f"block {name!r}: its charts are seen through a projection, whose coordinates are none of tangent spaces, so Dec of those is "
            "not theirs; compile it with {experts=encoder}"
        )
    if node.atlas is None:
        raise InvalidArgument(f"block {name!r} is given on pieces, whose local coordinates are what it reads")
    source = next((i.domain.embedding for i in graph.inputs if i.coordinates == node.reads), None)
    atlas = (
        node.task.atlas
        if node.given is not None
        else Atlas(node.atlas.coordinates, node.atlas.charts, cover=node.atlas.cover, embedding=source)
    )
    tau = reach if reach is not None else reach_of(node.atlas)
    prefix = "" if model.design.alone else f"block[{name}]."
    proved = next((claim.bound for claim in model.ledger if claim.name == f"{prefix}{PROVED}"), None)
    site = model.design[name]
    layer = model.network.layers[site.layer]
    state = model.design.states[site.layer]
    reads = [state[c] for c in (range(len(state)) if layer.reads is None else layer.reads)]
    alone = reads == [Input(k) for k in _columns(graph, node.reads)]
    found = {}
    for chart, called in enumerate(atlas.names):
        enc = _stored(layer, site.pieces.index(called)) if alone and called in site.pieces else None
        ball = atlas.charts[chart]
        shift = -ball.frame.T @ ball.center if enc is not None and isinstance(ball, BallChart) else np.zeros(atlas.dimension)
        tolerance = None
        if isinstance(ball, BallChart):
            tolerance = proved if tau is None else ball.radius**2 / (2 * tau)
        found[called] = Encoding(called, enc is not None, atlas, chart, enc, shift, tolerance)
    return found


def _columns(graph: TaskGraph, reads: tuple[str, ...]) -> range:
    """The network's inputs that make up the input that a block reads all of; none if there is no such."""
    start = 0
    for node in graph.inputs:
        if node.coordinates == reads:
            return range(start, start + node.ambient_dimension)
        start += node.ambient_dimension
    return range(0)


def _stored(layer: MoELayer, output: int) -> Net | None:
    """Enc as the weights have it, up to the first linear layer of an expert, and through the encoder; None where it is multiplied in."""
    net = layer.experts[layer.serves[output]]
    depth = next((j for j, groups in enumerate(net.groups) if groups and all(group.activation is IDENTITY for group in groups)), None)
    if depth is None:
        return None
    inner = Net(net.affines[: depth + 1], net.groups[:depth], net.ups[:depth])
    return inner if layer.latent is None else inner.behind(layer.latent, "latent", "encoder")
