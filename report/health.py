"""`Health` for people: what is ill first, the number beside its threshold, which hypothesis fails, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from ..doctor import Diagnosis, Health, Unanswered
from ..doctor.signs import SIGNS
from ..errors import written
from .listing import LEFT, RIGHT, Listing, Row

TITLES = {sign.name: sign.title for sign in SIGNS}
MOST_WITNESSES, MOST_NUMBERS = 2, 6
COLUMNS = (("value", RIGHT), ("healthy if", LEFT), ("known", LEFT))


def health(found: Health, shell: bool = True) -> RenderableType:
    """All of it. `shell`: options as the command line has them."""
    parts: list[RenderableType] = [Text(f"{found.name} ({found.kind}): rows are {found.source}."), Text()]
    if found.ill:
        parts.append(Listing("Ill", "sign, and where", COLUMNS, [row for one in found.ill for row in _rows(one, True)]))
    if well := tuple(one for one in found if not one.ill):
        parts.append(Listing("Healthy", "sign, and where", COLUMNS, [row for rows in _by_sign(well) for row in rows]))
    if found.unanswered:
        parts += [*_unanswered(found.unanswered, shell), Text()]
    if found.assumes:
        parts.append(Text(f"Assumed: {'; '.join(found.assumes)}.", "dim"))
    parts.append(_verdict(found))
    return Group(*parts)


def _verdict(found: Health) -> Text:
    if found.healthy:
        left = f"; {len(found.unanswered)} more could not be made" if found.unanswered else ""
        return Text(f"healthy: {len(found.diagnoses)} examinations, no hypothesis fails{left}", "green")
    signs = list(dict.fromkeys(TITLES[one.sign] for one in found.ill))
    return Text(f"ill: {len(found.ill)} of {len(found.diagnoses)} examinations; {', '.join(signs)}", "red")


def _by_sign(which: tuple[Diagnosis, ...]) -> Iterator[list[Row]]:
    """What is healthy, sign by sign: at one gate in full, at several the worst of them."""
    groups: dict[str, list[Diagnosis]] = {}
    for one in which:
        groups.setdefault(one.sign, []).append(one)
    for same in groups.values():
        worst = min(same, key=lambda one: (one.threshold - one.value) * (1 if one.sense.startswith("<") else -1))
        rows = list(_rows(worst, False))
        if len(same) > 1:
            rows[0].label.append(f", the worst of {len(same)}")
        yield rows


def _rows(one: Diagnosis, told: bool) -> Iterator[Row]:
    color = "red" if one.ill else ""
    label = Text(f"{'✗' if one.ill else '✓'} {TITLES[one.sign]}: {one.where}", color)
    seen = f"{one.known}" + (f", {one.rows:,} rows" if one.rows is not None and str(one.known) == "sampled" else "")
    cells = (Text(f"{one.value:.4g}", color), Text(f"{one.sense} {one.threshold:.4g}"), Text(seen))
    yield Row(label, cells, Text(f"{one.quantity}: {one.what}"))
    if told:
        yield Row(Text(f"  fails: {one.hypothesis}", "dim"))
        if one.remedy:
            yield Row(Text(f"  do: {one.remedy}"))
        for witness in one.witnesses[:MOST_WITNESSES]:
            more = f", … {len(witness)} numbers" if len(witness) > MOST_NUMBERS else ""
            yield Row(Text(f"  at: ({', '.join(f'{v:.6g}' for v in witness[:MOST_NUMBERS])}{more})", "dim"))


def _unanswered(open_: tuple[Unanswered, ...], shell: bool) -> Iterator[Text]:
    """One line for every sign and need, with the places together."""
    yield Text("Not examined", "italic")
    groups: dict[tuple[str, str], list[str]] = {}
    for one in open_:
        groups.setdefault((one.sign, one.needs), []).append(one.where)
    for (sign, needs), places in groups.items():
        where = places[0] if len(places) == 1 else f"{places[0]} and {len(places) - 1} more"
        yield Text(f"  {TITLES[sign]} ({where}) needs {written(needs, shell=shell)}")
