"""`write_report`: one page about a model, with its data and its programs inside, that asks for nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from ...atlas import arguments
from ...errors import InvalidArgument
from ...export.folder import load
from ...expressions.given import place
from ...moe.typed_json import finite_json
from .document import document

SCRIPTS = (
    "numbers.js",
    "network.js",
    "explain.js",
    "elements.js",
    "target.js",
    "blueprint.js",
    "scene.js",
    "view.js",
    "tables.js",
    "leaves.js",
    "main.js",
)
"""In the order in which they lean on each other."""
SUFFIXES = (".html", ".htm")


def write_report(folder: str | os.PathLike[str], path: str | os.PathLike[str], *, seed: int = 0, trust_code: bool = False) -> Path:
    """Write one HTML page about the model in `folder` to `path`, and return its absolute path.

    The page shows the ledger as a blueprint, the domain with routes, margin and error, loads, the doctor's findings, the boxes of a
    certificate, versions and hashes, and explains any point by running the network in the browser. It is one file, loads nothing, and
    its policy (Content-Security-Policy) lets no other program run than its own: texts of the model are shown as texts. Deterministic
    for a seed. `trust_code`: as for `load`. Raises `InvalidArgument` for a suffix other than .html or a folder that is not there,
    `FolderError` for what is no model.
    """
    target, source = place("write_report", path, "file"), place("write_report", folder)
    check_report_path(target)
    seed = arguments.seed(seed)
    data = finite_json(document(source, load(source, trust_code=trust_code), seed))
    text = page(str(data["about"]["name"]), data)
    temporary = target.with_name(f".{target.name}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target.absolute()


def check_report_path(path: Path) -> None:
    """Refuse what could not be written, before the work."""
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidArgument(f"{path}: a report is a page, a file ending in .html; choose such a name")
    if not path.absolute().parent.is_dir():
        raise InvalidArgument(f"{path}: there is no folder {path.absolute().parent}; make it, or choose another place")


def page(title: str, data: dict[str, Any]) -> str:
    """The page: its policy names the hashes of its own style and program, and nothing else may run or be loaded."""
    style = _asset("page.css")
    program = "\n".join(['"use strict";', "(() => {", *(_asset(name) for name in SCRIPTS), "})();\n"])
    policy = (
        f"default-src 'none'; script-src '{_hash(program)}'; style-src '{_hash(style)}'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    template = Template(_asset("page.html"))
    return template.substitute(policy=policy, title=html.escape(title), style=style, data=embedded(data), program=program)


def embedded(data: Any) -> str:
    """JSON that may stand inside a script element: nothing in it is a tag, a comment or the end of a line for HTML or JavaScript."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
