"""The neurons of a branch of the stream, and what they are in the classes: product lanes without biases, or plain neurons without.

Lemma. Let the stream hold the constant 1, and let g be a number with a(g) = g exactly: 1 for ReLU and relu², 64 for SiLU and GELU, of which
1/(1 + exp(−64)) and (1 + erf(45.2…))/2 round to 1. Then, of lanes a(W·h)·(U·h) and sums of them, with no other rounding:

* a(w·h + b) is a lane whose w has b in the column of the 1, and whose u is that column;
* the constant d is d·[a(g·1)·(1/g·1)], and a linear neuron z is a(g·1)·(z/g): g is a power of two.

Of plain neurons a(W·h): d = (d/g)·a(g·1), and z = a(z) − a(−z) for ReLU, GELU and SiLU, for ReLU exactly.

A ReLU among SiLU or GELU neurons is a(β·z)/β, β = 2⁴⁰, which multiplies exactly: z where β·z > 18, 0 where β·z < −104 (or exp overflows
to what rounds to it), in float32; in between, |z| < 10⁻¹⁰, it is off by at most |z|.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ....moe import Affine
from ....moe.activations import IDENTITY
from ....moe.network import Floats
from .decoder import Branch, Decoder, Unfit

SATURATED = {"relu": 1.0, "relu2": 1.0, "gelu": 64.0, "gelu_tanh": 64.0, "silu": 64.0}
"""Activation ↦ g."""
STEEP = 2.0**40
"""β."""
CALLED = {"relu": "relu", "relu2": "relu2", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "silu": "silu"}
"""Activation ↦ its name in transformers."""


@dataclass(frozen=True, eq=False)
class Lanes:
    """out·[a(weight·r + bias)·(up·r + constant)] + offset; `kinds` names the activations. r has R numbers, the output W."""

    weight: Floats
    bias: Floats
    kinds: NDArray[np.str_]
    up: Floats
    constant: Floats
    out: Floats
    offset: Floats

    def beside(self, other: Lanes) -> Lanes:
        """The sum of both."""
        return Lanes(
            np.concatenate([self.weight, other.weight]),
            np.concatenate([self.bias, other.bias]),
            np.concatenate([self.kinds, other.kinds]),
            np.concatenate([self.up, other.up]),
            np.concatenate([self.constant, other.constant]),
            np.concatenate([self.out, other.out], axis=1),
            self.offset + other.offset,
        )

    @property
    def linear(self) -> NDArray[np.bool_]:
        """Which neurons have no activation, (m,)."""
        return np.asarray(self.kinds == IDENTITY.name)

    def bent(self, act: str) -> Lanes:
        """With ReLUs as steep neurons of the class's activation, if that is another."""
        if act == "relu" or not (steep := self.kinds == "relu").any():
            return self
        rows, columns = np.where(steep, STEEP, 1).astype(self.bias.dtype), np.where(steep, 1 / STEEP, 1).astype(self.bias.dtype)
        kinds = np.where(steep, act, self.kinds)
        return replace(self, weight=self.weight * rows[:, None], bias=self.bias * rows, kinds=kinds, out=self.out * columns)

    @property
    def plain(self) -> bool:
        """Whether no lane is a product."""
        return not self.up.any() and bool((self.constant == 1).all())


def lanes(branch: Branch, reading: int, writing: int, writes: Sequence[int] | None = None) -> Lanes:
    """The neurons of a branch, in so many numbers that are read and written; `writes`: where, if not where the branch says."""
    first = _spread(branch.first, branch.reads, reading)
    width = len(first.bias)
    kinds = np.full(width, IDENTITY.name, dtype="<U16")
    for rows, activation in branch.bends:
        kinds[rows] = activation.name
    linear = kinds == IDENTITY.name
    up = Affine(np.zeros_like(first.weight), np.ones_like(first.bias)) if branch.up is None else _spread(branch.up, branch.reads, reading)
    if (linear & (up.weight.any(1) | (up.bias != 1))).any():
        raise Unfit("it has products of two linear neurons; take {activation=relu} or {activation=silu}")
    out, offset = np.zeros((writing, width), first.bias.dtype), np.zeros(writing, first.bias.dtype)
    for row, place in enumerate(branch.writes if writes is None else writes):
        out[place] += branch.last.weight[row]
        offset[place] += branch.last.bias[row]
    return Lanes(first.weight, first.bias, kinds, up.weight, up.bias, out, offset)


def _spread(map_: Affine, reads: Sequence[int], reading: int) -> Affine:
    """An affine map of some numbers as one of all."""
    weight = np.zeros((len(map_.bias), reading), map_.weight.dtype)
    for column, place in zip(map_.weight.T, reads, strict=True):
        weight[:, place] += column
    return Affine(weight, map_.bias)


spread = _spread


def activation(made: Decoder) -> str:
    """The activation that a class needs; ReLU if there is none. Raises `Unfit` for several, ReLU beside smooth ones excepted."""
    found = {act.name for stage in made.stages for branch in stage.branches for _, act in branch.bends if act is not IDENTITY}
    if len(found) > 1 and "relu2" not in found:
        found.discard("relu")
    if len(found) > 1:
        raise Unfit(f"its neurons are of {' and '.join(sorted(found))}, and a class has one activation for all; take {{activation=relu}}")
    return found.pop() if found else "relu"


def gated(made: Lanes, act: str, one: int) -> tuple[Floats, Floats, Floats]:
    """Rows of gates and of what they multiply, (m, R) each, and the map behind, (W, m); the number in place `one` is 1."""
    g = SATURATED[act]
    weight, up, out = made.weight.copy(), made.up.copy(), made.out
    weight[:, one] += made.bias
    up[:, one] += made.constant
    up[made.linear] = weight[made.linear] / g
    weight[made.linear] = 0
    weight[made.linear, one] = g
    if made.offset.any():
        row = np.zeros((1, weight.shape[1]), weight.dtype)
        row[0, one] = 1
        weight, up = np.concatenate([weight, g * row]), np.concatenate([up, row / g])
        out = np.concatenate([out, made.offset[:, None]], axis=1)
    return weight, up, out


def plain(made: Lanes, act: str, one: int) -> tuple[Floats, Floats]:
    """Rows of neurons, (m, R), and the map behind, (W, m). Raises `Unfit` for product lanes, and for linear neurons of relu²."""
    if not made.plain:
        raise Unfit("its experts have product lanes, and those of this class are plain; leave {gated=True} out, or export to hf-mixtral")
    if made.linear.any() and act == "relu2":
        raise Unfit("it has linear neurons, which relu² cannot be; leave {experts=dense}, or export to hf-mixtral")
    weight, out = made.weight.copy(), made.out
    weight[:, one] += made.bias
    weight, out = np.concatenate([weight, -weight[made.linear]]), np.concatenate([out, -out[:, made.linear]], axis=1)
    if made.offset.any():
        row = np.zeros((1, weight.shape[1]), weight.dtype)
        row[0, one] = SATURATED[act]
        weight, out = np.concatenate([weight, row]), np.concatenate([out, made.offset[:, None] / SATURATED[act]], axis=1)
    return weight, out
