"""One-layer networks of groups by hand (N15): graphs of blocks on tilings that are added up, and gates by signs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from atlasmoe.atlas import Block, Box, Combine, Input, TaskGraph, Tiling
from atlasmoe.moe import Affine, Claim, Known, Ledger, Model, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.moe.channels import Input as Column
from atlasmoe.moe.channels import Value
from atlasmoe.moe.design import Design
from atlasmoe.moe.layer import Weighting

SLOPE = 256.0
BEND = 0.5
"""Half the second derivative of every piece."""


def sum_of_blocks(knots: Sequence[Sequence[float]], factors: Sequence[float], constant: float = 0.0, closed: str = "lower") -> TaskGraph:
    """f = Σ_l a_l·b_l(x_l) + c, b_l on intervals: on piece i BEND·x² + s·x + t with numbers of its own, and jumps between."""
    inputs = [Input(f"x{k}", Box((float(ends[0]),), (float(ends[-1]),))) for k, ends in enumerate(knots)]
    blocks = [
        Block.parse(
            f"b{k}",
            (f"x{k}",),
            Tiling.intervals(ends, closed),
            [f"{BEND}*x{k}**2 + {slope(k, i)}*x{k} + {offset(k, i)}" for i in range(len(ends) - 1)],
        )
        for k, ends in enumerate(knots)
    ]
    out = " + ".join(f"({a})*b{k}" for k, a in enumerate(factors)) + f" + ({constant})"
    return TaskGraph("sum by hand", (*inputs, *blocks, Combine.parse("f", [b.name for b in blocks], out)), "f")


def slope(block: int, piece: int) -> float:
    return 0.25 * (piece + 1) - 0.5 * block


def offset(block: int, piece: int) -> float:
    return float(piece % 3) - 0.25 * block


def interpolant(low: float, high: float, block: int, piece: int, parts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """(knots, slopes that change there, slope at the left, value at 0) of the chords of the piece's function."""
    at = np.linspace(low, high, parts + 1)
    values = BEND * at**2 + slope(block, piece) * at + offset(block, piece)
    slopes = np.diff(values) / np.diff(at)
    return at[1:-1], np.diff(slopes), slopes[:1], float(values[0] - slopes[0] * at[0])


def grouped_network(
    knots: Sequence[Sequence[float]],
    factors: Sequence[float],
    constant: float = 0.0,
    closed: str = "lower",
    parts: int = 4,
    weighting: Weighting = Weighting.SOFTMAX,
    dtype: str = "float64",
    nulls: int = 0,
) -> Network:
    """The one layer that computes it: two neurons of the gate an inner interface, expert (l, i) = K·a_l·g_li, the constant in all."""
    L, K = len(knots), len(knots) + nulls
    rows, biases, out = list[np.ndarray](), list[float](), list[dict[int, float]]()
    experts, names = list[ReLUNet](), list[str]()
    for k, ends in enumerate(knots):
        for i, (low, high) in enumerate(pairwise(ends)):
            faces = {}
            for sign, end, outer in ((-1.0, low, i == 0), (1.0, high, i == len(ends) - 2)):
                if not outer:
                    faces[len(rows)] = -1.0
                    rows.append(sign * SLOPE * np.eye(L)[k])
                    biases.append(-sign * SLOPE * threshold(end, sign, closed, dtype))
            out.append(faces)
            names.append(f"b{k}[{i}]")
            inner, changes, first, value = interpolant(low, high, k, i, parts)
            hidden = np.concatenate([np.outer(np.ones(len(inner)), np.eye(L)[k]), [np.eye(L)[k], -np.eye(L)[k]]])
            weight = np.concatenate([changes, first, -first])[None] * K * factors[k]
            last_bias = np.array([K * factors[k] * value + constant])
            maps = Affine(hidden, np.concatenate([-inner, [0.0, 0.0]])), Affine(weight, last_bias)
            experts.append(ReLUNet(maps, ((NeuronGroup("h", len(hidden), "by hand"),),)))
    for n in range(nulls):
        out.append({})
        names.append(f"null{n}")
        experts.append(ReLUNet((Affine(np.zeros((1, L)), np.array([constant])),), ()))
    last = np.zeros((len(out), len(rows)))
    for n, faces in enumerate(out):
        last[n, list(faces)] = list(faces.values())
    gate = ReLUNet(
        (Affine(np.array(rows), np.array(biases)), Affine(last, np.zeros(len(out)))), ((NeuronGroup("face", len(rows), "by hand"),),)
    )
    layer = MoELayer(gate, tuple(experts), tuple(range(len(experts))), tuple(names), ("f",), top_k=K, weighting=weighting)
    return Network((layer,), tuple(f"x{k}" for k in range(L))).astype(dtype)


def threshold(end: float, sign: float, closed: str, dtype: str) -> float:
    """Where a logit begins to be negative: the last number of the dtype, 0 or normal, that the piece on this side of the interface owns."""
    kind, inward = np.dtype(dtype).type, -sign * np.inf
    own = (closed == "lower") == (sign < 0)
    t = kind(end)
    if (float(t) - end) * sign > 0 or (float(t) == end and not own):
        t = np.nextafter(t, kind(inward))
    smallest = float(np.finfo(dtype).smallest_normal)
    return float(np.sign(inward) * smallest if 0 < abs(t) < smallest else t)


def grouped_model(graph: TaskGraph, network: Network, epsilon: float) -> Model:
    """As a model without a word on where its blocks are: whoever proves or checks has to find that in the weights."""
    root = Claim("total", "|f − Ψ| ≤ ε", "by hand", epsilon, epsilon, Known.SAMPLED)
    states = (tuple(Column(k) for k in range(len(network.inputs))), (Value("f"),))
    facts = {"theorem": "N15", "routing": "graph", "epsilon": epsilon, "experts": len(network.layers[0])}
    return Model(network, Ledger(root), graph, facts, Design(states, ()))


def hat_network(w: float = 0.25, dtype: str = "float64") -> tuple[TaskGraph, Network]:
    """|x0| + |x1|/2 from four exact linear experts, weighed by hats of width w (N18)."""
    inputs = [Input(f"x{k}", Box((-1.0,), (1.0,))) for k in range(2)]
    blocks = [Block.parse(f"b{k}", (f"x{k}",), Tiling.intervals([-1, 0, 1]), [f"-x{k}", f"x{k}"]) for k in range(2)]
    graph = TaskGraph("hats by hand", (*inputs, *blocks, Combine.parse("f", ["b0", "b1"], "b0 + b1/2")), "f")
    rows, experts = [], []
    for k, factor in enumerate((1.0, 0.5)):
        for side in (1.0, -1.0):
            rows.append(side / w * np.eye(2)[k])
            experts.append(Affine(-side * factor * np.eye(2)[k][None], np.zeros(1)).net)
    gate = ReLUNet((Affine(np.array(rows), np.full(4, 0.5)), Affine(-np.eye(4), np.ones(4))), ((NeuronGroup("ramp", 4, "by hand"),),))
    names = tuple(f"e{k}" for k in range(4))
    layer = MoELayer(gate, tuple(experts), (0, 1, 2, 3), names, ("f",), top_k=4, weighting=Weighting.RECTIFIED)
    return graph, Network((layer,), ("x0", "x1")).astype(dtype)
