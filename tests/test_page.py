"""The page of `atlasmoe report`, in a browser: it loads nothing, says what `explain` says, and can be read and used by anybody."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Block, Box, Combine, Input, Model, TaskGraph, Tiling
from atlasmoe.atlas.graph import as_graph
from atlasmoe.atlas.graph.nodes import expression_map
from atlasmoe.cli import main
from atlasmoe.errors import FolderError, InvalidArgument
from atlasmoe.moe.ledger import Claim, Known, Ledger
from atlasmoe.report.page import network as page_network
from atlasmoe.report.page import write_report
from atlasmoe.report.page.claims import MOST_CLAIMS, blueprint
from atlasmoe.report.page.leaves import CELLS, _gridded
from atlasmoe.report.page.write import embedded
from atlasmoe.verify.check.trees import PROVED, Tree
from click.testing import CliRunner

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = "</script><script>window.owned=1</script><img src=x onerror=window.owned=2>\"'&\u2028${owned}"


def on(manifold: str, text: str, epsilon: float, **options: Any) -> Model:
    atlas = atlasmoe.builtin(manifold)
    task = atlasmoe.ManifoldTask(manifold, atlas, atlasmoe.ExpressionTarget(expression_map(atlas.coordinates, text)))
    return atlasmoe.compile(task, epsilon=epsilon, **options)


def graph() -> TaskGraph:
    return TaskGraph(
        "two blocks",
        (
            Input("x", Box((0, 0, 0), (2, 1, 1)), ("r", "s", "t")),
            Block.parse("a", ("r",), Tiling.intervals((0, 0.7, 2)), ["r", "3 - r**2"]),
            Block.parse("b", ("s",), Tiling.intervals((0, 0.5, 1)), ["s", "1 - s"]),
            Combine.parse("f", ("t", "a", "b"), "a*b + t"),
        ),
        output="f",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, Model]:
    """Models that are pages too: a surface with a certificate, a graph of dots, curves in float32 and with smooth lanes."""
    made = {
        "sphere": on("sphere", "x1*x2 + x3", 0.08),
        "graph": atlasmoe.compile(graph(), epsilon=0.1, form="residual", depth="shared"),
        "single": on("circle", "x1*x2", 0.05, dtype="float32"),
        "smooth": on("circle", "x1*x2", 0.05, activation="gelu", gated=True, top_k=2),
        "tanh": on("circle", "x1*x2", 0.05, activation="gelu_tanh", gate="nonlinear"),
        "silu": on("circle", "x1*x2", 0.05, activation="silu"),
    }
    for name, model in made.items():
        atlasmoe.save(model, folder / name)
        if name == "sphere":
            atlasmoe.certify(model, tightness=None, epsilon=0.2).write(folder / name)
        write_report(folder / name, folder / f"{name}.html")
    return {name: atlasmoe.load(folder / name) for name in made}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="pages are looked at with playwright: pip install 'atlasmoe[test]'")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"there is no browser: none of {', '.join(BROWSERS)}; .ci/run installs one")
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


class Sight:
    """A page in a window, with all that it said and asked for."""

    def __init__(self, browser: Any, path: Path, width: int = 1280, dark: bool = False) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light")
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready=true]")

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, *_: object) -> None:
        said, asked = self.said, self.asked
        self.context.close()
        assert said == []
        assert len(asked) == 1  # the page itself


def base_of(page: Any) -> list[float]:
    return json.loads(page.get_attribute("#point dl", "data-base"))


def numbers(page: Any, selector: str) -> list[float]:
    return [float(text) for text in page.eval_on_selector_all(selector, "all => all.map(one => one.dataset.value)")]


def agrees(page: Any, model: Model) -> None:
    """What the page says of a point is what `explain` says."""
    found = model.explain(as_graph(model.task).embed([base_of(page)])[0])
    near = {"rel": 1e-9, "abs": 1e-10} if model.network.dtype == np.float64 else {"rel": 2e-5, "abs": 2e-5}
    told = numbers(page, "#outputs td[data-value]")
    assert told[0::3] == pytest.approx(list(found.output.values()), **near)
    if not np.isnan(told[1]):
        assert found.truth is not None
        assert told[1::3] == pytest.approx(list(found.truth), rel=1e-12, abs=1e-12)
        assert max(told[2::3]) == pytest.approx(found.error, rel=1e-3, abs=near["abs"])
    matter = [step for step in found.layers if step.matters]
    leads = [value for value in numbers(page, "#layers td[data-value]") if not np.isnan(value)]
    assert leads == pytest.approx([step.margin for step in matter], **near)
    experts = page.eval_on_selector_all("#layers tbody tr", "rows => rows.map(row => row.children[1].textContent)")
    assert [text for text, step in zip(experts, found.layers, strict=True) if len(step.chosen) == 1] == [
        step.expert for step in found.layers if len(step.chosen) == 1
    ]
    for choice in found.blocks:
        assert f"{choice.block} takes " in page.text_content(f'[data-block="{choice.block}"]')
        assert choice.piece in page.text_content(f'[data-block="{choice.block}"] p')
        told = numbers(page, f'[data-block="{choice.block}"] details td[data-value]')
        assert told == pytest.approx([score.tau for score in choice.scores[: len(told)]], **near)


@pytest.mark.parametrize("name", ["sphere", "graph", "single", "smooth", "tanh", "silu"])
def test_a_point_is_explained_as_explain_does(browser: Any, models: dict[str, Model], folder: Path, name: str) -> None:
    model = models[name]
    with Sight(browser, folder / f"{name}.html") as page:
        agrees(page, model)  # the worst point, to begin with
        box = page.query_selector("#view").bounding_box()
        for share in (0.4, 0.55):
            page.mouse.click(box["x"] + share * box["width"], box["y"] + share * box["height"])
            agrees(page, model)
        for base in as_graph(model.task).unembed(as_graph(model.task).sample(8, 3)):
            page.fill("#coordinates", " ".join(map(repr, base.tolist())))
            page.press("#coordinates", "Enter")
            assert base_of(page) == base.tolist()
            agrees(page, model)
        page.fill("#coordinates", "1, x")
        page.click("#ask")
        assert "Give" in page.text_content("#point")


def test_numbers_are_written_as_python_writes_them(browser: Any, models: dict[str, Model], folder: Path) -> None:
    with Sight(browser, folder / "sphere.html") as page:
        pairs = page.eval_on_selector_all("td[data-value]", "all => all.map(one => [one.dataset.value, one.textContent])")
        assert len(pairs) > 5
        for value, text in pairs:
            assert text in {f"{float(value):.{digits}g}" for digits in (3, 4, 6, 8)} | {"–" if value == "NaN" else ""}


TEXTS = """() => {
  const found = [];
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v <= 10.31475 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = (one) => { for (let at = one; at; at = at.parentElement) {
    const c = rgb(getComputedStyle(at).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const one = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || one.closest("script, style, noscript, title, .skip") || !one.getClientRects().length) continue;
    const style = getComputedStyle(one), svg = one.namespaceURI.endsWith("svg");
    const rect = svg && getComputedStyle(one.parentElement.querySelector("rect")).fill;
    const under = svg && rect !== "none" ? rgb(rect) : ground(one), ink = rgb(svg ? style.fill : style.color);
    const [a, b] = [light(ink), light(under)].sort((x, y) => y - x);
    found.push([parseFloat(style.fontSize), (a + 0.05) / (b + 0.05), walk.currentNode.data.trim().slice(0, 40)]);
  }
  return found;
}"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("name", ["sphere", "graph"])
def test_it_can_be_read(browser: Any, models: dict[str, Model], folder: Path, name: str, width: int, dark: bool) -> None:
    with Sight(browser, folder / f"{name}.html", width, dark) as page:
        page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        texts = page.evaluate(TEXTS)
        assert len(texts) > 60
        assert [text for size, _, text in texts if size < 12] == []
        assert [(round(contrast, 2), text) for _, contrast, text in texts if contrast < 4.5] == []
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(int(part) for part in ground[4:-1].split(",")) < 200) == dark


def test_it_can_be_used_by_keyboard(browser: Any, models: dict[str, Model], folder: Path) -> None:
    picture = "document.getElementById('view').toDataURL()"
    with Sight(browser, folder / "sphere.html") as page:
        order = []
        for _ in range(40):
            page.keyboard.press("Tab")
            order.append(
                page.evaluate("document.activeElement.id || document.activeElement.getAttribute('role') || document.activeElement.tagName")
            )
        assert [name for name in order if name in ("view", "coordinates", "ask", "treeitem")][:5] == [
            "view",
            "coordinates",
            "ask",
            "treeitem",
            "treeitem",
        ]
        page.focus("#view")
        for key in ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "+", "-"):
            before = page.evaluate(picture)
            page.keyboard.press(key)
            assert page.evaluate(picture) != before
        page.keyboard.press("Home")
        page.keyboard.press("Enter")
        agrees(page, models["sphere"])
        front = base_of(page)
        for _ in range(8):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        assert base_of(page) != front
        tree = page.query_selector_all(".tree")[1]
        tree.query_selector("[tabindex='0']").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        names = [claim.name for claim in models["sphere"].ledger]
        assert page.text_content("#claim h3") == names[2]
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        assert page.text_content("#claim h3") == names[1]


def test_the_blueprint_says_what_the_ledger_says(browser: Any, models: dict[str, Model], folder: Path) -> None:
    ledger = models["sphere"].ledger
    with Sight(browser, folder / "sphere.html") as page:
        tree = page.query_selector_all(".tree")[1]
        groups = {one.get_attribute("aria-label").partition(":")[0]: one for one in tree.query_selector_all("[role=treeitem]")}
        assert list(groups) == [claim.name for claim in ledger]
        sure = (Known.EXACT, Known.FORMULA, Known.PROVED)
        for claim in ledger:
            classes = groups[claim.name].get_attribute("class").split()
            assert str(claim.known) in classes
            assert ("dark" in classes) == all(one.known in sure for _, one in claim.walk())
            groups[claim.name].click()
            assert numbers(page, "#claim [data-value]") == [claim.bound, claim.budget]
            assert claim.statement in page.text_content("#claim")
            assert claim.source in page.text_content("#claim")
        proof = page.query_selector_all(".tree")[0]
        assert all("proved" in one.get_attribute("class") for one in proof.query_selector_all("[role=treeitem]"))


def test_what_was_sampled_is_the_largest_of_all_samples(browser: Any, models: dict[str, Model], folder: Path) -> None:
    with Sight(browser, folder / "graph.html") as page:
        stated, worst = models["graph"].stated, numbers(page, "#outputs td[data-value]")[2]  # the page begins with its worst point
        assert stated.known == Known.SAMPLED
        assert f"≤ {max(stated.bound, worst):.4g} on all samples" in page.text_content("#verdict")
        assert f"up to {max(stated.bound, worst):.4g}: sampled, not proved" in page.text_content("#point")
    with Sight(browser, folder / "sphere.html") as page:
        assert f"≤ {models['sphere'].stated.bound:.4g} at every point: proved" in page.text_content("#verdict")


def test_loads_and_hashes_are_there(browser: Any, models: dict[str, Model], folder: Path) -> None:
    with Sight(browser, folder / "graph.html") as page:
        counts, names = (
            numbers(page, "#loads [data-value]"),
            page.eval_on_selector_all("#loads .name", "all => all.map(one => one.textContent)"),
        )
        assert sum(counts) == 2 * 16384
        assert counts[names.index("piece1")] / 16384 == pytest.approx(0.35, abs=0.02)  # of a: [0, 0.7) of [0, 2]
        assert json.loads((folder / "graph" / "config.json").read_text())["digest"] in page.text_content("#hashes")
        assert "atlasmoe certify graph" in page.text_content("#leaves")


def test_texts_of_a_model_are_never_read_as_html(browser: Any, folder: Path) -> None:
    """Names, notes and file names are somebody else's words."""
    model = on("circle", "x1*x2", 0.05)
    root = model.ledger.root
    told = Claim(HOSTILE, HOSTILE, HOSTILE, 1, 0.5, Known.SAMPLED, note=HOSTILE, witness=(1.0, np.inf))
    ledger = Ledger(Claim(**{**{key: getattr(root, key) for key in root.__dataclass_fields__}, "children": (told,)}))
    task = atlasmoe.ManifoldTask("<b>x</b>", model.task.atlas, model.task.target)  # type: ignore[union-attr]
    atlasmoe.save(Model(model.network, ledger, task, model.facts | {"theorem": HOSTILE}, model.design), folder / "hostile")
    path = write_report(folder / "hostile", folder / "hostile.html")
    text = path.read_text(encoding="utf-8")
    assert text.count("<script") == text.count("</script") == 2
    assert "window.owned=" not in text.replace("\\u003cscript\\u003ewindow.owned=", "").replace("onerror=window.owned=2\\u003e", "")
    with Sight(browser, path) as page:
        assert page.evaluate("window.owned") is None
        assert page.title() == "<b>x</b> – atlasmoe"
        assert page.query_selector("img, b > b, header b") is None
        page.click(".tree [role=treeitem]:nth-of-type(2)")
        assert HOSTILE in page.text_content("#claim")
        assert "∞" in page.text_content("#claim")
    sight = Sight(browser, path)
    refused = "() => { try { document.body.innerHTML = '<p>'; return ''; } catch (error) { return error.name; } }"
    assert sight.page.evaluate(refused) == "TypeError"  # the policy lets nobody set HTML, so that no mistake of ours could
    sight.page.evaluate("() => document.body.append(Object.assign(document.createElement('img'), { src: 'https://example.org/x.png' }))")
    assert any("Content Security Policy" in text for text in sight.said)
    sight.context.close()


def test_the_target_is_told_as_task_toml_has_it(browser: Any, models: dict[str, Model], folder: Path) -> None:
    """Its formulas, a long one shortened until it is opened; of a function in Python its name, whatever it is."""
    circle = atlasmoe.builtin("circle")
    texts = ["x1*x2", " + ".join(f"sin({k}*x1)/{k}" for k in range(1, 40))]
    f = atlasmoe.ExpressionTarget(expression_map(circle.coordinates, texts))
    g = atlasmoe.CallableTarget(lambda y: y[:, 0] * y[:, 1], name=HOSTILE.replace("\u2028", ""))
    for name, target in (("formulas", f), ("python", g)):
        atlasmoe.save(atlasmoe.compile(atlasmoe.ManifoldTask(name, circle, target), width=8), folder / name)
        write_report(folder / name, folder / f"{name}.html")
    written = tomllib.loads((folder / "formulas" / "task.toml").read_text(encoding="utf-8"))["target"]["expression"]
    with Sight(browser, folder / "formulas.html") as page:
        assert page.eval_on_selector_all("#target .code", "all => all.map(one => one.textContent)") == [
            f"f_{k + 1} = {text}" for k, text in enumerate(written)
        ]
        assert not page.query_selector_all("#target .code")[1].is_visible()
        assert "(155 operations, " in page.text_content("#target summary")  # 39 sines, 39 products, 39 quotients, 38 sums
        page.click("#target summary")
        assert page.query_selector_all("#target .code")[1].is_visible()
    with Sight(browser, folder / "python.html") as page:
        assert f"f is {g.name}, a function in Python" in page.text_content("#target")
        assert page.evaluate("window.owned") is None
        assert page.query_selector("#target img, #target script") is None
    with Sight(browser, folder / "graph.html") as page:
        titles = page.eval_on_selector_all("#target h3", "all => all.map(one => one.textContent)")
        assert titles == ["combination f", *(f"block {name}, piece piece{k}" for name in "ab" for k in (1, 2))]


def test_no_character_of_the_data_is_html() -> None:
    text = embedded({HOSTILE: [HOSTILE, 1.5, None]})
    assert json.loads(text) == {HOSTILE: [HOSTILE, 1.5, None]}
    assert not {"<", ">", "&", "\u2028", "\u2029", "\n"} & set(text)


def test_a_network_that_is_too_large_is_left_out(
    browser: Any, models: dict[str, Model], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_network, "MOST_NUMBERS", 10)
    small = write_report(folder / "sphere", folder / "small.html")
    with Sight(browser, small) as page:
        assert "it is left out" in page.text_content("#point")
        found = models["sphere"].explain(base_of(page))
        assert numbers(page, "#outputs td[data-value]")[:2] == pytest.approx([*found.output.values(), *(found.truth or ())], rel=1e-12)


def test_many_claims_are_counted_and_few_are_drawn() -> None:
    leaf = [Claim(f"expert[{k}]", "s", "B1", 1, k / 1000, Known.SAMPLED) for k in range(900)]
    few = blueprint("t", Claim("total", "s", "T", 1, 1, Known.EXACT, children=tuple(leaf)))
    assert len(few["nodes"]) == 8  # the total, six with the least slack, and how many more
    assert few["nodes"][-1] == {"parent": 0, "more": 894}
    assert (few["claims"], few["left"]) == (901, 894)
    assert few["nodes"][0]["sure"]
    assert not few["nodes"][0]["dark"]
    wide = [
        Claim(f"name{k}", "s", "B1", 1, 0.5, Known.EXACT, children=(Claim(f"below{k}", "s", "", 1, 0, Known.EXACT),)) for k in range(900)
    ]
    many = blueprint("t", Claim("total", "s", "T", 1, 1, Known.EXACT, children=tuple(wide)))
    assert len(many["nodes"]) <= MOST_CLAIMS + 1
    assert sum(1 for node in many["nodes"] if "name" in node) + many["left"] == many["claims"] == 1801
    assert many["nodes"][0]["dark"]


def test_a_grid_never_shows_less_than_its_boxes() -> None:
    rng = np.random.default_rng(0)
    edges = np.sort(np.concatenate([[0, 1], rng.uniform(size=300)]))
    lower, upper = np.stack([edges[:-1], np.zeros(301)], 1), np.stack([edges[1:], np.ones(301)], 1)
    tags = np.where(rng.uniform(size=301) < 0.1, 255, PROVED).astype(np.uint8)
    bounds = rng.uniform(size=301)
    low, high, shown, kinds = _gridded(Tree(np.array([[0.0, 0], [1, 1]]), lower, upper, tags, bounds, np.ones((301, 1), bool)))
    assert len(low) == CELLS**2
    for a, b, value, kind in zip(low[::97, 0], high[::97, 0], shown[::97], kinds[::97], strict=True):
        inside = (upper[:, 0] > a) & (lower[:, 0] < b)
        assert kind == tags[inside].max()
        if kind == PROVED:
            assert value >= bounds[inside].max()


def test_what_cannot_be_written_is_said_before_the_work(models: dict[str, Model], folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"ending in \.html"):
        write_report(folder / "sphere", tmp_path / "page.pdf")
    with pytest.raises(InvalidArgument, match="there is no folder"):
        write_report(folder / "sphere", tmp_path / "none" / "page.html")
    with pytest.raises(FolderError):
        write_report(tmp_path, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []
    done = CliRunner().invoke(main, ["report", str(folder / "single"), "-o", str(tmp_path / "page.html"), "--json"])
    assert done.exit_code == 0
    said = json.loads(done.stdout)
    assert said == {"report": str(tmp_path / "page.html"), "bytes": (tmp_path / "page.html").stat().st_size}
    assert (tmp_path / "page.html").read_bytes() == (folder / "single.html").read_bytes()  # deterministic
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
