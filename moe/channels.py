"""`Channel`: what a number between two layers is. A closed set of three; `Design.label` says how files and people call one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Input:
    """Input number `index` of the network, x_index."""

    index: int


@dataclass(frozen=True)
class Score:
    """τ of one chart or piece of a block, written to be compared with those of the others."""

    block: str
    piece: str


@dataclass(frozen=True)
class Value:
    """A component that a block or a combination computes."""

    component: str


Channel = Input | Score | Value
