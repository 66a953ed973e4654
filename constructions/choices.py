"""`Choice`: what was asked for, block by block. Every option is an option of a block; one value for all goes to each that it fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ..atlas import Block, Combine, TaskGraph
from ..atlas.options import COMBINE_OPTIONS, OPTIONS, OptionValue
from ..errors import InvalidArgument, did_you_mean
from .routers.base import Router
from .routers.hinge import HalfSpaces, Hinge
from .routers.named import DUPLICATES, ROUTERS

THEOREMS = {"auto": None, "4.8": True, "4.9": True, "affine": True, "5.2": True, "5.3": False, "dense": None, "chen": True}
"""Theorem ↦ whether it is about blocks on charts; 5.3 is about pieces, None about both."""
UNDIVIDED = ("dense", "chen")
"""Those that build one net for all charts, which chooses nothing."""
DEPTHS = ("paper", "L+1", "L", "shared", "path", "1")
PROJECTED = "projected"
"""Experts behind an encoder that changes their charts (N10)."""
GROUPED = ("path", "1")
"""Those whose layers have several blocks each (N15)."""
ROUTINGS = ("auto", *ROUTERS, DUPLICATES)
Routing = str | HalfSpaces
DEFAULTS: Mapping[str, OptionValue] = MappingProxyType({name: option.default for name, option in OPTIONS.items()})
"""What a block gets of which nothing is said."""
SIMPLE = ("activation", "gate", "experts", "top_k", "weighting", "shared")
"""Options whose values need nothing but to be among those that there are."""


@dataclass(frozen=True)
class Choice:
    """How one block is to be built."""

    theorem: str = "auto"
    routing: Routing = "auto"
    depth: str = "paper"
    activation: str = "relu"
    gated: bool = False
    gate: str = "linear"
    experts: str = "dense"
    top_k: int = 1
    weighting: str = "softmax"
    shared: bool | str = False

    @property
    def variants(self) -> dict[str, OptionValue]:
        """The options that make another mixture of the theorem's, where they are not the defaults."""
        return {name: value for name in SIMPLE[1:] if (value := getattr(self, name)) != DEFAULTS[name]}

    @property
    def routing_name(self) -> str:
        return self.routing if isinstance(self.routing, str) else "hinge"

    @property
    def router(self) -> Router | None:
        """The one router that was asked for; None for "auto"."""
        if isinstance(self.routing, HalfSpaces):
            return Hinge(self.routing)
        return ROUTERS.get(self.routing)


@dataclass(frozen=True)
class Choices:
    """The choice of every block by name."""

    blocks: Mapping[str, Choice]
    depth: str
    combines: Mapping[str, Choice] = field(default_factory=dict)
    """Of combinations, which have `COMBINE_OPTIONS` only."""

    def __getitem__(self, node: Block | Combine) -> Choice:
        return self.blocks[node.name] if node.name in self.blocks else self.combines[node.name]

    @staticmethod
    def of(graph: TaskGraph, depth: str = "paper", **options: Any) -> Choices:
        """From values of the options of blocks, each for all blocks or a mapping from names of blocks; None says nothing. What
        is asked of a block by its name goes first, then what the block says itself, then a value for all; of a task on one manifold, which
        has but one block, what is asked for goes first.

        Raises `InvalidArgument` for values that do not exist, and for those that fit no block, or not the one they were given for.
        """
        if depth not in DEPTHS:
            raise InvalidArgument(f"depth {depth!r} is not one of {', '.join(DEPTHS)}")
        found = {}
        for block in graph.blocks:
            said = {name: _own(graph, block, name, options.get(name)) for name in DEFAULTS}
            simple: dict[str, Any] = {name: _simple(block, name, *said[name]) for name in SIMPLE}
            simple["gate"] = _gate(graph, block, simple["gate"], said["gate"][1])
            theorem, routing = _theorem(graph, block, *said["theorem"]), _routing(graph, block, *said["routing"])
            found[block.name] = Choice(theorem, routing, depth, gated=_gated(block, *said["gated"]), **simple)
            _agree(block, found[block.name])
        for name, given in options.items():
            for block_name in given if isinstance(given, Mapping) else ():
                if block_name not in found:
                    _require_combination(graph, name, block_name, found)
        return Choices(found, depth, {node.name: _combination(node, options) for node in graph.combines})


def _require_combination(graph: TaskGraph, option: str, name: str, blocks: Iterable[str]) -> None:
    """Raises `InvalidArgument` for an option of a node that there is not, or that does not have it."""
    if name not in {node.name for node in graph.combines}:
        raise InvalidArgument(f"{option}: there is no block {name!r}; the blocks are {', '.join(blocks)}")
    if option not in COMBINE_OPTIONS:
        raise InvalidArgument(f"{option}: {name!r} is a combination, whose options are {', '.join(COMBINE_OPTIONS)}; leave it out")


def _combination(node: Combine, options: Mapping[str, Any]) -> Choice:
    """What a combination is asked to be: by its name, then by itself, then by a value for all."""
    found: dict[str, Any] = {}
    for option, kind in COMBINE_OPTIONS.items():
        given = options.get(option)
        own = node.options.get(option)
        value = given.get(node.name, own) if isinstance(given, Mapping) else own if own is not None else given
        if value is None:
            continue
        if (problem := kind.problem(value)) is not None:
            raise InvalidArgument(f'combine "{node.name}": {option}: {problem[0]}; {problem[1]}')
        found[option] = value
    return Choice(**found)


def called(block: Block) -> str:
    """What messages call a block; a task on one manifold by its name."""
    return f'block "{block.name}"' if block.given is None else f'task "{block.given.name}"'


def _own(graph: TaskGraph, block: Block, option: str, value: object) -> tuple[object, bool]:
    """The value of an option for one block, and whether it was said of this block alone."""
    if isinstance(value, Mapping) and block.name in value:
        return value[block.name], True
    says_nothing = value is None or isinstance(value, Mapping) or value == DEFAULTS[option] == "auto"
    if option in block.options and (says_nothing or block.given is None):
        return block.options[option], True
    return (DEFAULTS[option], False) if says_nothing else (value, len(graph.blocks) == 1)


def _unknown(block: Block, mine: bool, problem: str, value: object, accepted: Iterable[str]) -> InvalidArgument:
    """The error for a word that does not exist, with the nearest that does, and the block that it was said of."""
    hint = did_you_mean(value, accepted)
    return InvalidArgument(f"{called(block)}: {problem}{hint}" if mine and block.given is None else problem + hint)


def _theorem(graph: TaskGraph, block: Block, value: object, mine: bool) -> str:
    if not isinstance(value, str) or value not in THEOREMS:
        raise _unknown(block, mine, f"theorem {value!r} is not one of {', '.join(THEOREMS)}", value, THEOREMS)
    pieces = block.domain.exclusive
    if pieces and value == "chen":
        raise InvalidArgument(f"{called(block)} is given on pieces, and theorem 'chen' is about charts; theorem 'dense' is for both")
    if pieces == THEOREMS[value]:
        kind, other = ("pieces", "5.3") if pieces else ("charts", "5.2")
        if mine or value in ("5.2", "5.3") or all(other.domain.exclusive == pieces for other in graph.blocks):
            raise InvalidArgument(f'{called(block)} is given on {kind}, which is Theorem {other}; use theorem "auto"')
        return "auto"
    return "auto" if value in ("5.2", "5.3") else value


def _routing(graph: TaskGraph, block: Block, value: object, mine: bool) -> Routing:
    if isinstance(value, HalfSpaces):
        return value
    if not isinstance(value, str) or value not in ROUTINGS:
        raise _unknown(block, mine, f"routing {value!r} is not one of {', '.join(ROUTINGS)}, or HalfSpaces", value, ROUTINGS)
    if value in ("auto", DUPLICATES) or not block.domain.exclusive:
        return value
    if mine or all(other.domain.exclusive for other in graph.blocks):
        raise InvalidArgument(
            f"{called(block)} is given on pieces, whose faces route by themselves (B10); routing {value!r} compares scores of charts: "
            "leave it out, or give it to a block on charts"
        )
    return "auto"


def _simple(block: Block, name: str, value: object, mine: bool) -> Any:
    """The value of an option of `SIMPLE`."""
    option = OPTIONS[name]
    if option.problem(value) is None:
        return value
    if option.kind is int:
        raise InvalidArgument(f"{f'{called(block)}: ' if mine and block.given is None else ''}{name}: {option.problem(value)[0]}")  # type: ignore[index]
    words = (*option.words, *(("True", "False") if option.switch else ()))
    raise _unknown(block, mine, f"{name} {value!r} is not one of {', '.join(words)}", value, words)


def _gate(graph: TaskGraph, block: Block, value: str, mine: bool) -> str:
    """A gate of two levels is one of balls: of blocks on pieces only where it is asked for by name, and then refused."""
    if value != "tree" or not block.domain.exclusive:
        return value
    if mine or all(other.domain.exclusive for other in graph.blocks):
        raise InvalidArgument(
            f"{called(block)} is given on pieces, but a gate of two levels looks up the nearest of many balls; use gate 'nonlinear', "
            "which needs no layer of scores, or leave it out"
        )
    return "linear"


def _gated(block: Block, value: object, mine: bool) -> bool:
    if (problem := OPTIONS["gated"].problem(value)) is not None:
        raise InvalidArgument(f"{f'{called(block)}: ' if mine and block.given is None else ''}gated: {problem[0]}; give True or False")
    return bool(value)


def _agree(block: Block, choice: Choice) -> None:
    router = choice.router
    if choice.theorem in UNDIVIDED:
        _agree_on_nothing_to_choose(block, choice)
    if choice.theorem == "affine" and router is not None and not router.gate_alone:
        raise InvalidArgument(
            f'{called(block)}: theorem "affine" routes by its gate alone; routing {choice.routing_name!r} belongs to theorems 4.8 and 4.9'
        )
    if choice.theorem == "4.8" and router is not None and router.gate_alone:
        raise InvalidArgument(f"{called(block)}: theorem 4.8 routes by scores; routing {choice.routing!r} belongs to theorem affine")
    if choice.experts == PROJECTED and (block.domain.exclusive or choice.theorem in UNDIVIDED):
        what = "is given on pieces" if block.domain.exclusive else f"has theorem {choice.theorem!r}"
        raise InvalidArgument(
            f"{called(block)} {what}, but tangent charts of balls are what is projected (N10); use experts 'encoder', or leave it out"
        )
    _agree_on_gate(block, choice)
    _agree_on_several(block, choice)


def _agree_on_nothing_to_choose(block: Block, choice: Choice) -> None:
    """What a net without a gate has no use for."""
    chosen: dict[str, Any] = {name: choice.variants[name] for name in ("gate", "top_k", "weighting", "shared") if name in choice.variants}
    if choice.routing != "auto":
        chosen["routing"] = choice.routing_name
    if choice.depth in GROUPED and block.given is None:
        chosen["depth"] = choice.depth
    if choice.theorem == "chen" and (choice.gated or choice.experts != "dense" or choice.activation == "auto"):
        raise InvalidArgument(
            f"{called(block)}: theorem 'chen' has local nets of one activation without lanes, stored whole; leave gated and experts "
            "out, and name the activation"
        )
    if chosen:
        said = ", ".join(f"{name} {value!r}" for name, value in chosen.items())
        raise InvalidArgument(f"{called(block)}: theorem {choice.theorem!r} is one net, which chooses nothing; leave {said} out")


def _agree_on_several(block: Block, choice: Choice) -> None:
    """What `top_k` and `weighting` go with."""
    if choice.depth in GROUPED and block.given is None:
        _agree_on_groups(block, choice)
        return
    if choice.weighting == "rectified":
        raise InvalidArgument(f"{called(block)}: rectified weights do not add up to 1; use weighting 'softmax' or 'uniform'")
    if choice.top_k == 1:
        for name in ("scaled", DUPLICATES):
            if choice.routing == name:
                raise InvalidArgument(f"{called(block)}: routing {name!r} is about several experts; ask for top_k 2 or more")
        if choice.weighting != "softmax":
            raise InvalidArgument(
                f"{called(block)}: one expert has weight 1, whatever the weighting; leave it out, or ask for top_k 2 or more"
            )
        return
    if len(block) == 1:
        kind = "piece" if block.domain.exclusive else "chart"
        raise InvalidArgument(f"{called(block)}: of its one {kind} no {choice.top_k} can be chosen; leave top_k out, or use more {kind}s")
    if choice.routing == "scaled" and choice.shared:
        raise InvalidArgument(f"{called(block)}: what bounds scaled logits (N12) knows of no shared expert; leave shared out")
    if choice.routing == "scaled" and choice.weighting != "softmax":
        raise InvalidArgument(f"{called(block)}: only softmax weights tell valid experts from others (N12); leave weighting out")


def _agree_on_groups(block: Block, choice: Choice) -> None:
    """What a layer of several blocks does not go with."""
    if choice.top_k > 1:
        raise InvalidArgument(f"{called(block)}: a layer of several blocks chooses one expert of each; leave top_k out, or use depth 'L'")
    if choice.shared is True:
        raise InvalidArgument(
            f"{called(block)}: a layer of several blocks adds up the experts of all, and shares none; leave {{shared=true}} out, or use "
            "{depth=L}"
        )
    if choice.experts not in ("dense", "auto"):
        raise InvalidArgument(
            f"{called(block)}: a layer of several blocks stores experts whole; leave {{experts={choice.experts}}} out, or use {{depth=L}}"
        )


def _agree_on_gate(block: Block, choice: Choice) -> None:
    """A nonlinear gate is a net of scores; a tree is one of centres."""
    router = choice.router
    if choice.gate != "linear" and choice.depth in GROUPED and block.given is None:
        raise InvalidArgument(
            f"{called(block)}: a layer of several blocks has the one gate that picks an expert of each; leave gate "
            f"{choice.gate!r} out, or use depth 'L'"
        )
    if choice.gate == "tree" and choice.top_k > 1:
        raise InvalidArgument(f"{called(block)}: a gate of two levels picks one expert; leave gate 'tree' out, or top_k")
    centres = choice.theorem == "affine" or (router is not None and router.gate_alone)
    if choice.gate == "nonlinear" and centres:
        raise InvalidArgument(
            f"{called(block)}: nearest centres are compared by an affine gate, which needs no hidden layer; leave gate 'nonlinear' out, "
            "or ask for scores, routing 'plateau'"
        )
    if choice.gate == "tree" and (choice.theorem in ("4.8", "4.9") or (router is not None and not router.gate_alone)):
        said = f"theorem {choice.theorem}" if choice.theorem in ("4.8", "4.9") else f"routing {choice.routing_name!r}"
        raise InvalidArgument(
            f"{called(block)}: {said} compares scores, but a gate of two levels looks up the nearest of many balls; use "
            "theorem 'affine', or leave gate 'tree' out"
        )
