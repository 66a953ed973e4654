"""`Field`: a function of several variables that no formula says: a table with its interpolant, a series, a function in Python.

Expressions call fields by name beside the functions of the grammar, so that a field may stand wherever an expression may: as a target,
in a chart, a piece, a combination, inside other functions. Whoever runs an expression over numbers of its own (floats, intervals, forms,
jets) asks the field for what these numbers need: its derivatives, of order 0 on, at points or enclosed over boxes. A kind of field is
one class; three that there may be: a tensor product of splines (`intervals.splines`), spherical harmonics, a Python function with
a declared Lipschitz constant.

What a field promises. On its domain, a box (unbounded where a variable may be anything), it is continuous and Lipschitz. Derivatives
∂^α are those that exist almost everywhere; `enclose` holds all of them on a box, and their limits at points where they jump. On a box on
which `order` says r the derivatives of orders below r are continuous and those of order r bounded, so that for c and y in it

    f(y) ∈ Σ_{|α| < t} ∂^α f(c)/α!·(y − c)^α + Σ_{|α| = t} [∂^α f]/α!·(y − c)^α        for every t ≤ r, [·] enclosures over the box

by Taylor's formula with the remainder as an integral along the segment (its neighbours almost all avoid the jumps).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from .box import Array
from .tree import Lookup, Node, postorder

SMOOTH = 64
"""The `order` of a box on which all derivatives are continuous."""

Orders = tuple[int, ...]
"""α, one for every variable."""
Bounds = tuple[Array, Array]

_KNOWN: dict[int, Field] = {}


@dataclass(frozen=True, eq=False)
class Expansion:
    """All components of a field about points c, one for every box: to a degree n,

        |f(c + δ) − Σ_{|α| ≤ n} a_α·δ^α| ≤ Σ_{k > n} sizes_k·|δ|^k      wherever c + δ is in the box,

    the a_α known up to `off`, and |δ| the Euclidean length. It is `sizes_k`·|δ|^k at most what f consists of in degree k ≥ 1, and
    `sizes_0` what |f| is on the box.
    """

    numbers: Array
    """a, (monomials, outputs, N): of 1, δ_1, δ_2, …, δ_1², δ_1·δ_2, …, by degree, the first variables first; finite."""
    off: Array
    """The same shape."""
    sizes: Array
    """(degrees, outputs, N), ∞ where nothing is known."""


class Field(ABC):
    """A function R^inputs → R^outputs on a box. Fields with one `key` are one function."""

    name: str
    """What expressions call it; the components of several are name_1, name_2, …"""
    inputs: int
    outputs: int
    key: int
    """The first bits of a SHA-256 of its name and all that it is made of (`key_of`)."""
    lower: Array
    """(inputs,): its domain; −∞ where there is no end."""
    upper: Array
    expanded = False
    """Whether `about` says something."""

    @abstractmethod
    def evaluate(self, component: int, orders: Orders, points: Array) -> Array:
        """∂^orders of a component in floats, (N, inputs) → (N,); NaN outside of the domain."""

    @abstractmethod
    def enclose(self, component: int, orders: Orders, lower: Array, upper: Array, *, again: bool = False) -> Bounds:
        """What ∂^orders of a component lies in on boxes (N, inputs) of the domain, (N,) each; ±∞ where nothing is known.

        `again`: by another way than the one that is used in a search; whoever checks what a search found asks for it.
        """

    @abstractmethod
    def order(self, lower: Array, upper: Array) -> NDArray[np.intp]:
        """(N,): the r ≥ 1 of boxes (N, inputs), as above; `SMOOTH` where there is no end."""

    @abstractmethod
    def exactly(self, component: int, orders: Orders, at: Sequence[tuple[Fraction, Fraction]]) -> tuple[Fraction, Fraction] | None:
        """What a component lies in for variables in these intervals, which lie in the domain; None where that is not known exactly."""

    def about(self, center: Array, lower: Array, upper: Array, degree: int) -> Expansion | None:
        """What all components are on boxes (N, inputs) of the domain about a point of each, to a degree; None: that is no more than
        `enclose` says of one component after the other."""
        return None

    def kinks(self, variable: int) -> Field | None:
        """A field of this variable alone that changes its sign where first derivatives jump along it; None where none does."""
        return None

    @property
    def components(self) -> tuple[str, ...]:
        """What expressions call the components."""
        return (self.name,) if self.outputs == 1 else tuple(f"{self.name}_{k + 1}" for k in range(self.outputs))

    def __hash__(self) -> int:
        return self.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Field) and self.key == other.key


@dataclass(frozen=True)
class Component:
    """One component of a field, as the names of an expression hold it."""

    field: Field
    index: int

    @property
    def text(self) -> str:
        return self.field.components[self.index]

    def __call__(self, *parts: Node) -> Lookup:
        return Lookup(self.field, self.index, (0,) * self.field.inputs, parts)


def key_of(name: str, parts: Iterable[bytes | NDArray]) -> int:
    """A key from what a field is made of."""
    digest = hashlib.sha256(name.encode())
    for part in parts:
        data = part if isinstance(part, bytes) else str((part.dtype.str, part.shape)).encode() + np.ascontiguousarray(part).tobytes()
        digest.update(len(data).to_bytes(8, "little") + data)
    return int.from_bytes(digest.digest()[:15], "little")


def known(field: Field) -> int:
    """The key of a field that has been made known, by which `field_of` finds it."""
    _KNOWN.setdefault(field.key, field)
    return field.key


def field_of(key: int) -> Field:
    return _KNOWN[key]


def callables(*fields: Field) -> dict[str, Component]:
    """The components of fields by what expressions call them."""
    return {name: Component(field, k) for field in fields for k, name in enumerate(field.components)}


def fields_in(trees: Iterable[Node]) -> list[Field]:
    """The fields that trees call, each once, in the order in which they occur."""
    return list(dict.fromkeys(node.field for node in postorder(*trees) if isinstance(node, Lookup)))
