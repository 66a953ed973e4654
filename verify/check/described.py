"""What certificate.json says of claims, sites and the read-out, every field by its type, and no field beside them."""

from __future__ import annotations

import numpy as np

from ...moe.typed_json import Fields
from .documents import PartSaid, Promise, ReadOut, Site, Value, number_or_none
from .layers import DTYPES
from .rounding import HALF, ORDERS
from .slices import Origin

TOP = ("schema", "kind", "task", "dtype", "epsilon", "status", "bound", "eta", "claims", "tags")
FREE = ("tightness", "found", "seconds", "versions")
"""What older schemas say of the search at the top; it proves nothing."""
FIELDS = {
    1: (*TOP, *FREE, "sha256", "charts", "winners"),
    2: (*TOP, *FREE, "sha256", "sites", "readout"),
    3: (*TOP, "targets", "assumptions", "engines", "sites", "readout", "search", "files", "root"),
}
"""Of certificate.json, by schema."""
SEARCH = ("found", "tightness", "notes", "witnesses", "seconds", "versions", "diagnosis")
CLAIM = ("name", "statement", "source", "budget", "bound", "sense", "known")
OLD_CLAIM = (*CLAIM, "note", "witness", "samples", "children")
SITE = (
    *("name", "kind", "components", "channels", "reads", "variables", "moves", "domain", "pieces", "winners", "routes"),
    *("eta", "bound", "rounding", "values", "scores", "folded"),
)
ENGINE = ("format", "statement", "claim", "bound", "known", "assumptions")
AFFINE = ("components", "task", "network", "block", "constant", "spread")


def require_fields(certificate: Fields, schema: int) -> None:
    """Raises `FolderError` if the document, or one of its claims, has fields that its schema does not have."""
    certificate.only(*FIELDS[schema])
    for claim in certificate.children("claims"):
        claim.only(*(CLAIM if schema > 2 else OLD_CLAIM))
    if schema > 2:
        certificate.child("search").only(*SEARCH)
        for taken in certificate.children("assumptions"):
            taken.only("name", "statement")
        for target in certificate.children("targets") if "targets" in certificate else ():
            target.only("name", "epsilon", "bound", "readout")
        for engine in certificate.children("engines") if "engines" in certificate else ():
            engine.only(*ENGINE)
            for taken in engine.children("assumptions"):
                taken.only("name", "statement")


def site_of(data: Fields) -> Site:
    """What is said of a site, without its trees."""
    data.only(*SITE, "parts", "shift", "amiss")
    return Site(
        name=data.text("name"),
        kind=_word(data, "kind", ("block", "combine")),
        components=data.texts("components"),
        channels=_origins(data, "channels"),
        reads=frozenset(_origins(data, "reads")),
        variables=data.texts("variables"),
        moves=np.array(_finite(data, "moves")),
        charts=_word(data, "domain", ("charts", "boxes")) == "charts",
        pieces=tuple(_piece(piece) for piece in data.children("pieces")),
        winners=data.texts("winners"),
        routes=None if data["routes"] is None else data.integers("routes"),
        eta=data.number("eta"),
        bound=or_infinite(data, "bound"),
        rounding=_by_dtype(data.child("rounding")),
        values=tuple(_value(value) for value in data.children("values")),
        scores=None if data["scores"] is None else _promise(data.child("scores")),
        folded=data.flag("folded"),
        parts=tuple(map(_part, data.children("parts"))) if "parts" in data else (),
        amiss=data.number("amiss") if "amiss" in data else None,
        shift=np.array(_finite(data, "shift")) if "shift" in data else np.zeros(0),
    )


def _part(data: Fields) -> PartSaid:
    data.only("component", "variables", "forms", "slope", "offset", "bound", "lower", "upper", "spread")
    rows = [_finite(Fields({"forms": row}, data.path, data.where), "forms") for row in data.list("forms")]
    forms, slope = np.array(rows if len(set(map(len, rows))) == 1 else []), np.array(_finite(data, "slope"))
    if not (np.isfinite(forms).all() and np.isfinite(slope).all() and np.isfinite(data.number("offset"))):
        raise data.error("has forms, slopes or an offset that are not finite")
    numbers = (or_infinite(data, key) for key in ("bound", "lower", "upper", "spread"))
    return PartSaid(data.text("component"), data.texts("variables"), forms, slope, data.number("offset"), *numbers)


def _piece(data: Fields) -> tuple[str, int]:
    data.only("name", "boxes")
    return data.text("name"), data.integer("boxes")


def _promise(data: Fields) -> Promise:
    data.only("delta", "floor", "level", "bound", "least")
    level = number_or_none(data, "level")
    if level is not None and not 0 < level < np.inf:
        raise data.error(f'"level" is {level}')
    return Promise(data.number("delta"), data.number("floor"), level, or_infinite(data, "bound"), or_infinite(data, "least"))


def _value(data: Fields) -> Value:
    data.only("component", "lower", "upper", "spread", "error")
    return Value(data.text("component"), *(or_infinite(data, key) for key in ("lower", "upper", "spread", "error")))


def read_out_of(data: Fields) -> ReadOut:
    """How the total follows."""
    error, rounding = np.array(_finite(data, "error")), _by_dtype(data.child("rounding"))
    if _word(data, "kind", ("site", "affine")) == "site":
        data.only("kind", "site", "error", "rounding")
        return ReadOut(data.text("site"), error, rounding)
    data.only("kind", "error", "rounding", *AFFINE)
    block = None if data["block"] is None else data.text("block")
    matrices = []
    for key in ("task", "network"):
        rows = [_finite(Fields({key: row}, data.path, data.where), key) for row in data.list(key)]
        if len({len(row) for row in rows}) > 1:
            raise data.error(f'"{key}" is no matrix')
        matrices.append(np.array(rows))
    constant, spread = (np.array(_finite(data, key)) for key in ("constant", "spread"))
    return ReadOut(None, error, rounding, data.texts("components"), matrices[0], matrices[1], block, constant, spread)


def or_infinite(fields: Fields, key: str) -> float:
    found = number_or_none(fields, key)
    return np.inf if found is None or np.isnan(found) else found


def _finite(fields: Fields, key: str) -> list[float]:
    """A list of numbers; ∞ for null."""
    return [or_infinite(Fields({key: entry}, fields.path, fields.where), key) for entry in fields.list(key)]


def _word(fields: Fields, key: str, allowed: tuple[str, ...]) -> str:
    if fields.text(key) not in allowed:
        raise fields.error(f'"{key}" is {fields.text(key)[:80]!r}, not one of {", ".join(allowed)}')
    return fields.text(key)


def _by_dtype(fields: Fields) -> dict[str, float]:
    if unknown := set(fields) - {*DTYPES, *(f"float32{order}" for order in ORDERS), "float64.flushed", *HALF}:
        raise fields.error(f"{sorted(unknown)[0][:80]!r} is no evaluation that is known here")
    return {dtype: or_infinite(fields, dtype) for dtype in fields}


def _origins(fields: Fields, key: str) -> tuple[Origin, ...]:
    found = []
    for entry in fields.list(key):
        if not isinstance(entry, list) or len(entry) != 2:
            raise fields.error(f'"{key}" holds {str(entry)[:80]}, which is no pair of a layer and a channel')
        layer, channel = Fields({key: entry}, fields.path, fields.where).integers(key)
        found.append((layer, channel))
    return tuple(found)
