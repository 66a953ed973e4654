"""`exported`: a model in another form, written, run and compared with the network before anybody gets it."""

from __future__ import annotations

import difflib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import FolderError, InvalidArgument
from ..moe import Model
from ..moe.typed_json import finite_json
from .formats import FORMATS, Comparison, Format, Standing, Written, compared
from .staging import staged

LISTING, CARD = "export.json", "README.md"
OTHER = "other weights than those of the model: certify proves them as a network of their own"


@dataclass(frozen=True)
class Exported:
    """What was written, and how it was found to agree with the network."""

    path: Path
    format: str
    standing: Standing
    because: str
    how: str
    """What ran it."""
    comparison: Comparison | None
    """None if it could not be run here."""
    numbers: int
    """Of the network that the files hold."""

    def to_dict(self) -> dict[str, Any]:
        compared_with = None if self.comparison is None else self.comparison.to_dict()
        return {**self.__dict__, "path": str(self.path), "standing": str(self.standing), "comparison": compared_with}


def export_to(model: Model, to: str, path: str | os.PathLike[str], *, overwrite: bool = False, **options: Any) -> Exported:
    """Write the model as `to` into the folder `path`, run it there on fresh points and on the hardest ones (ties, interfaces, corners,
    worst points), and compare outputs and routes. export.json and README.md of the folder say what was found.

    Options are those of the format. Nothing is left behind if it takes another way where no logits are tied, or misses ε. Raises
    `InvalidArgument` for formats and options that there are not, and for what a format cannot hold; `FolderError` for the folder.
    """
    form = _known(to)
    wrong = sorted(name for name, value in options.items() if name not in form.options and value is not None)
    if wrong:
        known = f"its options are {', '.join(form.options)}" if form.options else "it has none"
        raise InvalidArgument(f"format {to!r} has no option {wrong[0]!r}; {known}")
    if problem := form.unfit(model.network):
        raise InvalidArgument(f"format {to!r} cannot hold this model: {problem}")
    folder = Path(path)
    with staged(folder, lambda: _admit(folder, overwrite)) as stage:
        written = form.write(model, stage, **{name: value for name, value in options.items() if value is not None})
        found = None if written.run is None else compared(model, written.run, written.network)
        if found is not None and not found.holds:
            raise InvalidArgument(_refusal(to, found))
        exact = written.network is model.network
        standing, because = form.standing(model.network) if exact else (Standing.MEASURED, OTHER)
        done = Exported(folder.absolute(), to, standing, because, written.how, found, written.network.parameters)
        listing = json.dumps(finite_json({"schema": 1, **done.to_dict()}), indent=1, ensure_ascii=False)
        (stage / LISTING).write_text(listing + "\n", encoding="utf-8")
        (stage / CARD).write_text(_card(model, form, written, done), encoding="utf-8")
    return done


def _known(to: str) -> Format:
    if to not in FORMATS:
        near = difflib.get_close_matches(str(to), list(FORMATS), n=1)
        raise InvalidArgument(f"format {to!r} is not one of {', '.join(FORMATS)}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return FORMATS[to]


def _admit(folder: Path, overwrite: bool) -> None:
    """Raises `FolderError` unless nothing is there, or an empty folder, or, with `overwrite`, what was exported before."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise FolderError(f"{folder}: is a file, not a folder; choose another place")
    if not any(folder.iterdir()):
        return
    if not (folder / LISTING).is_file():
        raise FolderError(f"{folder}: is not empty and holds no {LISTING}, so it is nothing that was exported; choose another place")
    if not overwrite:
        raise FolderError(f"{folder}: exists already; choose another place, or replace it with --force (overwrite=True)")


def _refusal(to: str, found: Comparison) -> str:
    where = "" if found.worst is None else f", first at {', '.join(f'{v:.6g}' for v in found.worst[:8])}"
    if found.flips:
        return f"as {to!r} {found.flips} of {found.points:,} points take another way than in the network{where}; nothing was written"
    missed = f"the error is {found.error:.3g}, but ε is {found.epsilon:.3g}"
    return f"as {to!r} {missed}; nothing was written: compile to a smaller ε, or keep more digits"


def _card(model: Model, form: Format, written: Written, done: Exported) -> str:
    """README.md of what was exported."""
    found = done.comparison
    lines = [
        f"# {' '.join(model.task.name.split())}, as {done.format}",
        "",
        f"A mixture of experts, compiled by atlasmoe: {model.ledger.root.statement}, ε = {model.ledger.root.budget:.3g}. "
        f"{done.numbers:,} numbers, {written.network.dtype}.",
        "",
        written.use,
        "",
        "## Is it the same function?",
        "",
        f"{done.standing.capitalize()}: {done.because}.",
        "",
    ]
    if found is None:
        lines.append(f"It was {done.how}.")
    else:
        lines += [
            f"Run with {done.how}, at {found.points:,} points, {found.hardest:,} of them ties, interfaces, corners and worst points:",
            "",
            "| | |",
            "|---|---|",
            f"| largest difference from the network, along the same routes | {found.difference:.3g} |",
            f"| points that take another way | {found.flips} |",
            f"| points that take another way where logits are tied | {found.ties} |",
            f"| largest error | {found.error:.3g} |",
        ]
    lines += ["", f"{form.summary}.", ""]
    return "\n".join(lines)
