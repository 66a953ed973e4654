"""N7: a shared expert writes the scores that the next layer's gate compares, so that L blocks with linear gates take L + 1 layers.

Statement. Let blocks b_1, …, b_L be routed one after the other, b_{l+1} reading nothing that the layer of b_l computes. Then that layer,
whose experts write y_l for the piece that they are chosen for, has beside them an expert for all inputs that writes τ^(l+1), a function
of what arrives at it; a layer before the first writes τ^(1). L + 1 layers for L blocks with scores, in the place of the 2L of Theorem 5.2,
whose routes and values they have: every τ and every expert is the same net of the same numbers. τ^(l+1) is stored once, where block l's
experts that emitted it (B2) would store it E_l times, and E scores pass a layer, where one that computes all of them first sends E·L.

A block that reads what the layer before its own computes, a chain, has scores that no expert there can see: they take a layer of their own,
for that block alone. So the number of layers is

    L + (joins of curved combinations) + (blocks with scores that are first, or read what the layer before theirs computes)

and the order of blocks is chosen for it: of those that are ready, one that needs no such layer goes before one that does, and of several
the one whose chains behind it come first (`_labels`). A layer of combinations hands on scores as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..atlas import Block, Combine, TaskGraph
from ..errors import InvalidArgument
from ..moe.channels import Value
from ..moe.ledger import Claim, Known
from .built import Built
from .choices import Choices
from .forms import Form

DEPTH = "shared"
"""What `depth` calls it."""


@dataclass(frozen=True)
class Turn:
    """One layer: a block, or combinations that share it; and, if the block's scores have a layer of their own before it, why."""

    nodes: tuple[Block | Combine, ...]
    apart: str | None = None

    @property
    def block(self) -> Block | None:
        return self.nodes[0] if isinstance(self.nodes[0], Block) else None

    @property
    def title(self) -> str:
        return "+".join(node.name for node in self.nodes)


def require(graph: TaskGraph, choices: Choices) -> None:
    """Raises `InvalidArgument` for a graph in which no block follows another."""
    if choices.depth == DEPTH and len(graph.blocks) < 2:
        raise InvalidArgument(
            f'depth "{DEPTH}" lets the layer of one block write the scores of the next (N7), but there is only one block; leave it out'
        )


def in_turn(nodes: Sequence[Block | Combine], built: Mapping[str, Built], forms: Mapping[str, Form], graph: TaskGraph) -> list[Turn]:
    """The layers, one after the other, scores apart. Raises `InvalidArgument` where no layer has scores to hand on."""
    needs = {node.name: _needs(node, forms, graph) for node in nodes}
    scored = {name for name, made in built.items() if made.scores is not None}
    labels = _labels(nodes, needs)
    turns, waiting, done = list[Turn](), list(nodes), set[str]()
    while waiting:
        last = {node.name for node in turns[-1].nodes} if turns else set()
        ready = [node for node in waiting if needs[node.name] <= done]
        blocks = sorted((node for node in ready if isinstance(node, Block)), key=lambda node: -labels[node.name])
        free = [block for block in blocks if block.name not in scored or (turns and not needs[block.name] & last)]
        combines = tuple(node for node in ready if isinstance(node, Combine))
        if free:
            turn = Turn((free[0],))
        elif combines:
            turn = Turn(combines)
        else:
            first = blocks[0]
            read = ", ".join(sorted(needs[first.name] & last))
            turn = Turn((first,), f"it reads {read}, which the layer before it computes" if turns else "no layer is before it")
        turns.append(turn)
        done |= {node.name for node in turn.nodes}
        waiting = [node for node in waiting if node.name not in done]
    _require_one(turns, scored)
    return turns


def _needs(node: Block | Combine, forms: Mapping[str, Form], graph: TaskGraph) -> set[str]:
    """The nodes with layers whose channels it reads, through affine combinations too."""
    channels = {channel for name in node.reads for channel in forms[name].weights}
    return {graph.sources[channel.component].name for channel in channels if isinstance(channel, Value)}


def _labels(nodes: Sequence[Block | Combine], needs: Mapping[str, set[str]]) -> dict[str, int]:
    """How early a node is to go, by Coffman and Graham: the node with the least list of labels of what reads it, largest first, gets the
    next label, from the end. One machine on which whatever reads a result waits a step for it is never idle more than it must be, if
    it always takes the largest label (Leung, Vornberger and Witthoff 1984).
    """
    names = [node.name for node in nodes]
    after = {name: {other for other in names if name in needs[other]} for name in names}
    beyond: dict[str, set[str]] = {}
    for name in reversed(names):  # nodes come in an order of dependence
        beyond[name] = after[name].union(*(beyond[other] for other in after[name]))
    direct = {name: after[name] - set().union(*(beyond[other] for other in after[name])) for name in names}
    labels: dict[str, int] = {}
    while len(labels) < len(names):
        ready = [name for name in reversed(names) if name not in labels and after[name] <= labels.keys()]
        chosen = min(ready, key=lambda name: sorted((labels[other] for other in direct[name]), reverse=True))
        labels[chosen] = len(labels)
    return labels


def _require_one(turns: Sequence[Turn], scored: set[str]) -> None:
    if not scored:
        raise InvalidArgument(
            f'depth "{DEPTH}" hands on scores (N7), but no block has any: the gates know by themselves, in one layer a block; use '
            "{depth=L}, or leave it out"
        )
    if not handed(turns, scored):
        chain = " → ".join(turn.title for turn in turns)
        raise InvalidArgument(
            f'depth "{DEPTH}" hands on scores to a block that reads nothing which the layer before it computes (N7), but there is none: '
            f"{chain} is a chain; leave it out"
        )


def handed(turns: Sequence[Turn], scored: set[str]) -> dict[str, str]:
    """Block ↦ the block or combinations whose layer writes its scores."""
    return {turn.title: before.title for before, turn in pairwise(turns) if turn.title in scored and turn.apart is None}


def claim(turns: Sequence[Turn], scored: set[str], layers: int, stored: int, paper: tuple[int, int], ahead: tuple[int, int]) -> Claim:
    """How many layers there are; `paper` and `ahead`: layers and numbers of the same blocks with a layer of scores for each, and with one
    for all that are ready together.
    """
    passed = handed(turns, scored)
    apart = [turn.title for turn in turns if turn.apart is not None]
    own = f", those of {', '.join(apart)} in layers of their own" if apart else ""
    statement = (
        f"the scores of {', '.join(passed)} are written by the layers of {', '.join(passed.values())}, by an expert for all inputs{own}: "
        f"{layers} layers, {stored:,} numbers; with a layer of scores for each block {paper[0]} layers, {paper[1]:,} numbers; with one for "
        f"all blocks that are ready together {ahead[0]} layers, {ahead[1]:,} numbers"
    )
    return Claim("scores.layers", statement, "N7", paper[0], layers, Known.EXACT)
