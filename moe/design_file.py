"""The design inside config.json: every channel, site and join, and back, with every type checked."""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from typing import Any

from ..atlas import TaskGraph
from ..errors import InvalidArgument
from .channels import Channel, Input, Score, Value
from .design import Design, Join, Site
from .grammar import misfits
from .network import Network
from .promise import ScorePromise
from .typed_json import Fields

UNSAID = {"first": 0, "wider": 0.0}
"""Values of a site that are not written."""


def describe_design(design: Design) -> dict[str, Any]:
    """The design as JSON."""
    return {
        "form": design.form,
        "alone": design.alone,
        "states": [[_channel(channel) for channel in state] for state in design.states],
        "sites": [_described(site) for site in design.sites],
        "joins": [asdict(join) for join in design.joins],
    }


def _described(site: Site) -> dict[str, Any]:
    """A site as JSON; what stands in `UNSAID` goes without saying."""
    described = asdict(site)
    return {key: value for key, value in described.items() if key not in UNSAID or value != UNSAID[key]}


def _channel(channel: Channel) -> list[Any]:
    match channel:
        case Input(index):
            return ["input", index]
        case Score(block, piece):
            return ["score", block, piece]
        case Value(component):
            return ["value", component]


def read_design(fields: Fields) -> Design:
    """What `describe_design` wrote. Raises `FolderError` for anything else; whether it fits a network is `check_network`'s to say."""
    fields.only("form", "alone", "states", "sites", "joins")
    return Design(
        states=tuple(tuple(_read_channel(fields, entry) for entry in _entries(fields, state)) for state in fields.list("states")),
        sites=tuple(_site(data) for data in fields.children("sites")),
        joins=tuple(_join(data) for data in fields.children("joins")),
        form=fields.text("form"),
        alone=fields.flag("alone"),
    )


def require_design(config: Fields, graph: TaskGraph, network: Network, design: Design) -> None:
    """Raises `FolderError` unless the design of a config.json is of this network, with the blocks of the task for sites, and facts that a
    reader goes by are of the right type.
    """
    facts = config.child("facts")
    for name in ("theorem", "routing"):
        facts.text(name)
    facts.number("epsilon")
    for name in ("delta", "mu", "plateau_level", "multiplicity"):
        if facts.get(name) is not None:
            facts.number(name)
    if [(site.block, set(site.pieces)) for site in design.sites] != [(block.name, set(block.names)) for block in graph.blocks]:
        raise config.error("design: its sites are not the blocks of the task, each with all its pieces")
    if found := list(misfits(network, design)):
        raise config.error(f"design: {found[0]}")


def _entries(fields: Fields, state: object) -> list[object]:
    if not isinstance(state, list):
        raise fields.error('"states" is not a list of lists')
    return state


def _read_channel(fields: Fields, entry: object) -> Channel:
    match entry:
        case ["input", int(index)] if not isinstance(index, bool) and 0 <= index < 2**31:
            return Input(index)
        case ["score", str(block), str(piece)]:
            return Score(block, piece)
        case ["value", str(component)]:
            return Value(component)
    raise fields.error(f'"states" holds {str(entry)[:80]}, which is no channel')


def _join(data: Fields) -> Join:
    data.only(*(field.name for field in dataclass_fields(Join)))
    return Join(data.text("node"), data.integer("layer"), _number(data, "budget"))


def _site(data: Fields) -> Site:
    data.only(*(field.name for field in dataclass_fields(Site)))
    for key, value in UNSAID.items():
        if data.get(key) == value:
            raise data.error(f'"{key}" is {value:g}, which is not written')
    promise = None
    if data["promise"] is not None:
        said = data.child("promise")
        said.only(*(field.name for field in dataclass_fields(ScorePromise)))
        try:
            promise = ScorePromise(said.number("floor"), said.number("delta"), _number(said, "plateau_level"), said.flag("balls"))
        except InvalidArgument as error:
            raise said.error(str(error)) from error
    return Site(
        block=data.text("block"),
        layer=data.integer("layer"),
        pieces=data.texts("pieces"),
        scores=None if data["scores"] is None else data.integer("scores"),
        router=data.text("router"),
        promise=promise,
        budget=_number(data, "budget"),
        either=data.flag("either"),
        ambient=data.flag("ambient"),
        first=0 if data.get("first") is None else data.integer("first"),
        wider=0.0 if data.get("wider") is None else data.number("wider"),
    )


def _number(data: Fields, key: str) -> float | None:
    return None if data[key] is None else data.number(key)
