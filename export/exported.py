"""`exported`: a model in another form, written, run and compared with the network before anybody gets it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import FolderError, InvalidArgument, did_you_mean
from ..expressions.given import place
from ..moe import Model
from ..moe.beside import CERTIFICATE
from ..moe.engines import ENGINES
from ..moe.opened import opened
from ..moe.typed_json import finite_json
from .carried import Carried, carried
from .export_card import CARD, card
from .export_listing import INSIDE, LISTING, MODEL, read_listing
from .folder import save
from .formats import FORMATS, Comparison, Format, Standing, Written, compared
from .staging import admit, staged

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
    proof: Carried | str
    """What a certificate proves of it for every point, or why nothing is."""

    def to_dict(self) -> dict[str, Any]:
        compared_with = None if self.comparison is None else self.comparison.to_dict()
        proof = {"proved": False, "why": self.proof} if isinstance(self.proof, str) else {"proved": True, **self.proof.to_dict()}
        said = {**self.__dict__, "path": str(self.path), "standing": str(self.standing)}
        return {**said, "comparison": compared_with, "proof": proof}


def export_to(
    model: Model,
    to: str,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    certificate: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Exported:
    """Write the model as `to` into the folder `path`, run it there on fresh points and on the hardest ones (ties, interfaces, corners,
    worst points), and compare outputs and routes. export.json and README.md of the folder say what was found.

    `certificate`: the folder of the model, whose certificate is looked at for what it proves of this form; the model's own, if it was
    proved when it was compiled, needs no folder. If it carries over it is copied, and the card says what is proved, and what that assumes.

    Other options are those of the format. Nothing is left behind if it takes another way where no logits are tied, or misses ε. Raises
    `InvalidArgument` for formats and options that there are not, and for what a format cannot hold; `FolderError` for the folder, and
    for a certificate of another model.
    """
    form, model = _known(to), opened(model, "export_to")
    wrong = sorted(name for name, value in options.items() if name not in form.options and value is not None)
    if wrong:
        known = f"its options are {', '.join(form.options)}" if form.options else "it has none"
        raise InvalidArgument(f"format {to!r} has no option {wrong[0]!r}; {known}")
    if problem := form.unfit(model.network):
        raise InvalidArgument(f"format {to!r} cannot hold this model: {problem}")
    folder = place("export_to", path)
    with staged(folder, lambda: admit(folder, overwrite, (LISTING,), "nothing that was exported")) as stage:
        written = form.write(model, stage, **{name: value for name, value in options.items() if value is not None})
        subject = model if written.model is None else written.model
        found = None if written.run is None else compared(subject, written.run, written.network)
        if found is not None and not found.holds:
            raise InvalidArgument(_refusal(to, found, written.advice))
        done = _done(model, form, written, found, folder, None if certificate is None else place("export_to: certificate", certificate))
        if written.model is not None:
            save(written.model, stage / INSIDE)
        if isinstance(done.proof, Carried):
            (stage / CERTIFICATE).write_bytes(done.proof.document)
        (stage / CARD).write_text(card(subject, form, written, done.to_dict()), encoding="utf-8")
        (stage / LISTING).write_text(_listing(done.to_dict(), stage), encoding="utf-8")
    return done


def require_written(folder: Path, model: Model) -> None:
    """That the files of an export evaluate the model inside it, byte for byte: hashes say no more than that whoever wrote export.json saw
    them. Raises `FolderError` where one says something else.
    """
    listing = read_listing(folder)
    named = {Path(file).stem for file in listing["files"] if file.endswith(".h")}
    texts = {file: text for name in named for file, text in _known(str(listing["format"])).evaluating(model, name).items()}
    if not texts:
        raise FolderError(f"{folder}: {LISTING} lists no file that evaluates the model in {INSIDE}/; export the model again")
    others = set(listing["files"]) - {MODEL, *(f"test_{name}.c" for name in named)}
    for file in sorted(others | set(texts)):
        if file not in texts or file not in others or (folder / file).read_bytes() != texts[file].encode():
            raise FolderError(
                f"{folder / file}: is not what this version writes of the model in {INSIDE}/, so nothing that is proved of the model is "
                "said of it; export the model again"
            )


def _done(model: Model, form: Format, written: Written, found: Comparison | None, folder: Path, certificate: Path | None) -> Exported:
    exact = written.network is model.network
    standing, because = (written.standing or form.standing(model.network)) if exact else (Standing.MEASURED, OTHER)
    if written.model is not None:
        because = f"the weights are those of the model in {INSIDE}/, whose ledger says how far it is from the one that was compiled"
    proof: Carried | str
    if written.model is not None:
        proof = f"{INSIDE}/ holds these weights as a model of its own: `atlasmoe certify` of this folder proves it"
    elif exact and standing is Standing.CARRIES and form.name in ENGINES:
        proof = carried(model, certificate, form.name)
    else:
        proof = because
    return Exported(folder.absolute(), form.name, standing, because, written.how, found, written.network.parameters, proof)


def _listing(done: Mapping[str, Any], stage: Path) -> str:
    """export.json: what was found, and the SHA-256 of every file beside it."""
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(stage.iterdir()) if file.is_file()}
    files = {name: digest for name, digest in files.items() if name not in (CARD, CERTIFICATE)}
    inside = stage / INSIDE / "config.json"  # which lists the hashes of the other files of the model
    if inside.is_file():
        files[MODEL] = hashlib.sha256(inside.read_bytes()).hexdigest()
    return json.dumps(finite_json({"schema": 2, **done, "files": files}), indent=1, ensure_ascii=False) + "\n"


def _known(to: str) -> Format:
    if to not in FORMATS:
        raise InvalidArgument(f"format {to!r} is not one of {', '.join(FORMATS)}{did_you_mean(to, FORMATS)}")
    return FORMATS[to]


def _refusal(to: str, found: Comparison, advice: str) -> str:
    where = "" if found.worst is None else f", first at {', '.join(f'{v:.6g}' for v in found.worst[:8])}"
    if found.flips:
        return f"as {to!r} {found.flips} of {found.points:,} points take another way than in the network{where}; nothing was written" + (
            f": {advice}" if advice else ""
        )
    missed = f"the error is {found.error:.3g}, but ε is {found.epsilon:.3g}"
    if found.ties:
        missed += f" ({found.ties} points where logits are tied take another way)"
    return f"as {to!r} {missed}; nothing was written: {advice or 'compile to a smaller ε, or keep more digits'}"
