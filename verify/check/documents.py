"""What `check` reads of a certified model, as records: all schemas as the same list of sites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ...atlas import Array, TaskGraph
from ...moe.typed_json import Fields
from .layers import Layer
from .slices import Origin
from .trees import Tree


class Value(NamedTuple):
    """A component that a site computes: what it lies in, how far it moves with what the site reads, how far its channel is from it."""

    component: str
    lower: float
    upper: float
    spread: float
    error: float


class Promise(NamedTuple):
    """What is said of a site's scores: δ, the floor of max t, the level of plateaus (None: t = ρ), and the two bounds."""

    delta: float
    floor: float
    level: float | None
    bound: float
    least: float


class PartSaid(NamedTuple):
    """What a certificate says of a part of a combination (docs/certificate.md)."""

    component: str
    variables: tuple[str, ...]
    forms: Array
    """(variables, the site's variables): what each of them is."""
    slope: Array
    offset: float
    bound: float
    lower: float
    upper: float
    spread: float


class Site(NamedTuple):
    """What a certificate says of a site."""

    name: str
    kind: str
    components: tuple[str, ...]
    channels: tuple[Origin, ...]
    reads: frozenset[Origin]
    variables: tuple[str, ...]
    moves: Array
    charts: bool
    pieces: tuple[tuple[str, int], ...]
    winners: tuple[str, ...]
    routes: tuple[int, ...] | None
    eta: float
    bound: float
    rounding: Mapping[str, float]
    values: tuple[Value, ...]
    scores: Promise | None
    folded: bool
    parts: tuple[PartSaid, ...] = ()
    """One for every piece, or none."""
    trees: tuple[Tree, ...] = ()
    followed: tuple[Tree, ...] = ()
    """The trees about τ."""
    shift: Array = np.zeros(0)
    """Of a share of the output that a group adds to it: what of a constant is in it, per component; none of other sites."""
    amiss: float | None = None
    """What experts may weigh together whose charts do not hold a point; None: none may be chosen."""


class ReadOut(NamedTuple):
    """How the total follows: from the output's site, or from components with a channel, of which f and Ψ are affine."""

    site: str | None
    error: Array
    rounding: Mapping[str, float]
    components: tuple[str, ...] = ()
    task: Array = np.zeros((0, 0))
    network: Array = np.zeros((0, 0))
    block: str | None = None
    constant: Array = np.zeros(0)
    spread: Array = np.zeros(0)


class Documents(NamedTuple):
    """A certified model as read."""

    certificate: Fields
    schema: int
    manifold: bool
    """Whether the task is one on one manifold."""
    graph: TaskGraph
    dtype: str
    inputs: int
    layers: tuple[Layer, ...]
    plain: tuple[Layer, ...]
    """The same with layers of groups written out (`groups`): what origins are about."""
    grouped: bool
    """Whether what is said is about numbers of the dtype only, as there are such."""
    near: bool
    """Whether logits have to be known closely (`hats`)."""
    snapped: frozenset[int]
    """Layers of `plain`, from 1, whose gates are what an evaluation makes of them (`snaps`)."""
    sites: tuple[Site, ...]
    read_out: ReadOut | None
    promises: Mapping[str, tuple[float, float, float | None] | None]
    """Block ↦ what config.json promises of its scores: δ, the floor, the level of plateaus."""
    either: frozenset[str]
    """Blocks of which config.json says that experts may be chosen whose charts do not hold the point."""
    refutation: bytes | None
    """refutation.json, if there is one."""
    hashes: Mapping[str, str]
    """SHA-256 of the files that a refutation is about."""
    problems: list[str]
    """What is wrong with the files or the trees; if there is any, trees may be missing."""
    epsilon: float | None
    """What is claimed of the error is about this; 1 of several targets together, each in units of its own."""
    prefix: str = ""
    """Of the names of claims about one of several targets."""

    def claimed(self, site: str, name: str) -> bool:
        """Whether the certificate says that this is proved of a site's charts."""
        full = f"{self.prefix}{name}" if self.manifold else f"{self.prefix}block[{site}].{name}"
        return any(claim.get("name") == full and claim.get("known") == "proved" for claim in self.certificate.children("claims"))


def number_or_none(fields: Fields, key: str) -> float | None:
    """A number, or null for one that is not finite."""
    return None if fields[key] is None else fields.number(key)
