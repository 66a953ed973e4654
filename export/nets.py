"""Nets from modules: the numbers that are there now, with the names that neurons were compiled with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..moe import Affine, Net, NeuronGroup
from ..moe.activations import ACTIVATIONS
from .stacks import ExpertStack, Hidden, SingleNet
from .stages import Bend, Stage
from .views import Expert
from .watched import Probe

Indices = NDArray[np.intp]
ADDED = "padding of a stack that was given weights after compilation"
"""Where neurons come from that no theorem put there."""


def array(tensor: Tensor) -> NDArray[np.floating]:
    """Its numbers, at least in float32; a copy."""
    wide = tensor.detach().cpu().to(torch.promote_types(tensor.dtype, torch.float32))
    return np.array(wide.numpy())


def map_of(linear: nn.Linear) -> Affine:
    """The affine map of a linear module, without bias if it has none."""
    weight = array(linear.weight)
    return Affine.without_bias(weight) if linear.bias is None else Affine(weight, array(linear.bias))


def net_of(module: nn.Linear | SingleNet) -> Net:
    """The net of a gate or a shared expert."""
    if isinstance(module, nn.Linear):
        return map_of(module).net
    linear, hidden = cast(list[nn.Linear], list(module)[::2]), cast(list[Hidden], list(module)[1::2])
    ups = tuple(None if part.up is None else map_of(part.up) for part in hidden)
    return Net(tuple(map(map_of, linear)), tuple(part.groups for part in hidden), ups)


def experts_of(stack: ExpertStack, each: Sequence[Expert]) -> tuple[Net, ...]:
    """The stored experts of a layer; `each` of its gate outputs says what neurons are called."""
    stages = [_detached(stage) for stage in stack.stages]
    first = {expert.number: expert for expert in reversed(each)}
    return tuple(_expert([_one(stage, k) for stage in stages], first[k]) for k in range(stack.stored))


Arrays = tuple[NDArray[np.floating], NDArray[np.floating]]
"""Weight and bias."""
Layer = tuple[Arrays, Arrays | None, Bend]
"""A map, that of lanes, and activations."""


def _detached(stage: Stage) -> Layer:
    up = None if stage.up is None else (array(stage.up[0]), array(stage.up[1]))
    return (array(stage.weight), array(stage.bias)), up, stage.bend


def _one(layer: Layer, k: int) -> Layer:
    (weight, bias), up, bend = layer
    return (weight[k], bias[k]), None if up is None else (up[0][k], up[1][k]), bend


def _expert(layers: Sequence[Layer], expert: Expert) -> Net:
    """One net: its own neurons, and padding in which something was put."""
    columns = np.arange(layers[0][0][0].shape[1])
    affines, groups, ups = [], [], []
    for j, (((weight, bias), up, bend), (following, _, _)) in enumerate(pairwise(layers)):
        own = _own(expert, j, len(bias))
        extra = _filled(weight[:, columns], bias, following[0], own)
        rows = np.concatenate([own, extra])
        names = cast(Probe, expert.get_submodule(f"hidden{j + 1}")).groups
        added = tuple(NeuronGroup(f"added{k}", 1, ADDED, ACTIVATIONS[_bend_at(bend, int(row))]) for k, row in enumerate(extra))
        affines.append(Affine(weight[np.ix_(rows, columns)], bias[rows]))
        groups.append((*names, *added))
        ups.append(None if up is None else _lanes(up, rows, columns, f"up{j + 1}" in dict(expert.named_children())))
        columns = rows
    weight, bias = layers[-1][0]
    affines.append(Affine(weight[:, columns], bias))
    linear = zip(affines, expert.linear, strict=True)
    return Net(tuple(Affine(a.weight, a.bias, flag and not a.bias.any()) for a, flag in linear), tuple(groups), tuple(ups))


def _own(expert: Expert, layer: int, padded: int) -> Indices:
    return np.arange(padded)[expert.rows[layer]]


def _filled(weight: NDArray[np.floating], bias: NDArray[np.floating], following: NDArray[np.floating], own: Indices) -> Indices:
    """Rows of padding that something enters and leaves; activations of 0 are 0, so others are nothing."""
    used = (weight.any(1) | (bias != 0)) & following.any(0)
    used[own] = False
    return np.flatnonzero(used)


def _lanes(up: Arrays, rows: Indices, columns: Indices, had: bool) -> Affine | None:
    """The second map of a hidden layer; None where the layer has had none, and it is 1 still."""
    weight, bias = up[0][np.ix_(rows, columns)], up[1][rows]
    return Affine(weight, bias) if had or weight.any() or (bias != 1).any() else None


def _bend_at(bend: Bend, row: int) -> str:
    return next(name for rows, name in bend if rows.start <= row < rows.stop)
