"""Theorem 4.8 and Corollary 4.9: a manifold task becomes a two-layer mixture of experts, step by step.

Theorem 4.8 (paper; regular atlas of E charts): some Ψ of two MoE layers, E experts each, linear gates, has
‖f − Ψ‖ ≤ max_i ‖F_i − g_i‖ + max_i Lip(g_i)·‖φ_i − ψ_i‖ (in the form of B15), every input going through one expert a layer.
Corollary 4.9 (affine charts): ψ_i = φ_i exactly, the second term vanishes and experts lose one layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import DTypeLike

from ..atlas import ManifoldTask
from ..moe.network import Affine, MoELayer, Network, NeuronGroup, ReLUNet
from ..progress import track
from .experts.batching import shared_targets
from .experts.cells import Cell
from .experts.charts import Expert, Workshop, passthrough
from .routers.scores import Routing


def scores_layer(task: ManifoldTask, routing: Routing) -> MoELayer:
    """Step 2, layer 1: E equal experts x ↦ (x, τ(x)), stored once; its gate is arbitrary, so 0."""
    D, E = task.atlas.ambient_dimension, len(task.atlas)
    carry, carried = passthrough(D)
    tau = routing.tau.net
    hidden = Affine(np.concatenate([carry.weight, tau.affines[0].weight]), np.concatenate([carry.bias, tau.affines[0].bias]))
    out = np.zeros((D + E, len(hidden.bias)))
    out[:D, : 2 * D] = carry.weight.T
    out[D:, 2 * D :] = tau.affines[1].weight
    groups: tuple[NeuronGroup, ...] = (carried, *tau.groups[0])
    net = ReLUNet((hidden, Affine(out, np.concatenate([np.zeros(D), tau.affines[1].bias]))), (groups,))
    channels = (*input_names(task), *(f"tau[{name}]" for name in task.atlas.names))
    gate = Affine(np.zeros((E, D)), np.zeros(E))
    return MoELayer(gate.net, (net,), (0,) * E, task.atlas.names, channels)


def chart_layer(task: ManifoldTask, experts: list[Expert]) -> MoELayer:
    """Steps 3 and 4, layer 2: gate [0, I] on (x, τ(x)), so i_x = argmax τ_i(x); expert i reads x and computes g_i∘ψ_i."""
    D, E = task.atlas.ambient_dimension, len(task.atlas)
    gate = Affine(np.concatenate([np.zeros((E, D)), np.eye(E)], axis=1), np.zeros(E))
    nets = tuple(expert.net for expert in experts)
    outputs = tuple(f"y[{k}]" for k in range(task.outputs))
    return MoELayer(gate.net, nets, tuple(range(E)), task.atlas.names, outputs, reads=tuple(range(D)))


def build_experts(workshop: Workshop, cells: Sequence[Cell]) -> list[Expert]:
    """Step 4 for every chart: local targets together where they share a dictionary, then experts beside each other through joblib.

    The first expert is the pilot of the search for the others' widths.
    """
    ready = shared_targets(workshop, cells)
    pilot = workshop.build(cells[0], None, ready.get(0))
    jobs = (delayed(workshop.build)(cell, pilot, ready.get(index)) for index, cell in enumerate(cells) if index)
    rest = Parallel(prefer="threads", return_as="generator")(jobs)
    return [pilot, *track(rest, "experts", total=len(cells) - 1)]


def assemble(task: ManifoldTask, routing: Routing, experts: list[Expert], dtype: DTypeLike) -> Network:
    """The whole network, Ψ = layer 2 ∘ layer 1, with its numbers rounded to `dtype`."""
    return Network((scores_layer(task, routing), chart_layer(task, experts)), input_names(task)).astype(dtype)


def input_names(task: ManifoldTask) -> tuple[str, ...]:
    return tuple(f"x[{k}]" for k in range(task.atlas.ambient_dimension))
