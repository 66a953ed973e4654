"""The documentation as a site: every page in its place, every link at its target, every label explained, every name in the reference."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import atlasmoe
import click
import pytest
from atlasmoe.cli import main
from conftest import circle_model

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
OTHERS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
ROOMS = ("atlas", "cli", "constructions", "doctor", "explain", "export", "expressions", "front", "intervals", "moe", "report", "verify")
LABEL = re.compile(r"\b[RBN]\d{1,2}\b")
NO_LABELS = {"B0", "B99"}
"""What only looks like one: a name in a proof in Coq, and in an example of a message."""


def plain(path: Path) -> str:
    """The text of a page without what stands in code."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+)[^\n]*?\1", "", text)


def anchors(path: Path) -> set[str]:
    """Of its headings, as they are made from them: lower case, hyphens for spaces, no punctuation."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*?)\s*$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", plain(page)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link}: there is no such file"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{link}: there is no such heading"


EATEN = re.compile(r"(?<![\w\\_])_(?![_\s])[^_]?.*?(?<![\s_\\])_(?!\w)", re.DOTALL)
"""Two underscores that Markdown takes for emphasis: the first behind no letter, the second before none."""


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_index_is_taken_for_emphasis(page: Path) -> None:
    """‖a‖_∞ ≤ ‖b‖_∞ would lose both of its underscores; behind a backslash they stay. Emphasis is written with stars."""
    text = re.sub(r"^    .*$", "", re.sub(r"\]\([^)\s]+\)", "]", plain(page)), flags=re.MULTILINE)
    assert [found for part in re.split(r"\n\s*\n|\n(?=\s*[*|])", text) for found in EATEN.findall(part)] == []


def commands(text: str) -> list[str]:
    """The commands of its shell blocks, line by line, and those that stand in a sentence with something to read."""
    blocks = "".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    sentences = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    written = re.findall(r"^atlasmoe (.*)$", blocks, re.MULTILINE)
    return written + [one for one in re.findall(r"`atlasmoe ([^`]+)`", sentences) if re.match(r"\w+ (out/|\w+\.toml)", one)]


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_whole(page: Path) -> None:
    """Whoever types a page's commands in their order lacks no option and no argument, and writes to no folder that is there."""
    text = page.read_text(encoding="utf-8")
    folders = re.findall(r'atlasmoe\.save\(\w+, "([^"]+)"', text)
    for line in commands(text):
        name, *words = shlex.split(line.split("  #")[0])
        command = main.get_command(click.Context(main), name)
        assert command is not None, line
        given, _, _ = command.make_parser(click.Context(command)).parse_args(words)
        asked = [part.name for part in command.params if part.required]
        assert [part for part in asked if not given.get(part)] == [], line
        if name in {"compile", "export"}:
            folders.append(str(given["output"]))
    assert len(set(folders)) == len(folders), f"{folders}: one is written twice, which is refused"


def listed(nav: list) -> list[str]:
    found = []
    for entry in nav:
        found += [entry] if isinstance(entry, str) else [page for pages in entry.values() for page in listed(pages)]
    return found


def test_every_page_is_in_the_navigation_once() -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    assert sorted(listed(nav)) == sorted(str(path.relative_to(DOCS)) for path in PAGES)


def test_every_label_is_in_the_glossary() -> None:
    glossary = (DOCS / "glossary.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| \[([RBN]\d+)\]\(theory/", glossary, re.MULTILINE))
    headings = {
        label for path in (DOCS / "theory").glob("*.md") for label in re.findall(r"^## ([RBN]\d+):", path.read_text(), re.MULTILINE)
    }
    assert explained == headings
    sources = [*PAGES, *OTHERS, *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]
    used = {label for path in sources for label in LABEL.findall(path.read_text(encoding="utf-8"))}
    assert used - NO_LABELS <= explained


def test_the_reference_has_every_public_name() -> None:
    named = re.findall(r"^::: atlasmoe\.(\w+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(atlasmoe.__all__)


def test_what_the_guides_do_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of howto/, one block after the other, with the circle in the place of the sphere."""
    monkeypatch.chdir(tmp_path)
    atlasmoe.save(circle_model(), "out/sphere")
    for page in sorted((DOCS / "howto").glob("*.md")):
        for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            exec(compile(block, str(page), "exec"), {})


def test_the_gallery_has_every_example() -> None:
    gallery = (DOCS / "gallery.md").read_text(encoding="utf-8")
    examples = [path for path in (ROOT / "examples").iterdir() if path.suffix in {".toml", ".py"}]
    assert [path.name for path in examples if f"examples/{path.name}" not in gallery] == []
