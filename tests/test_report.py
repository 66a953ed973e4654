"""report/: tables that show every number, figures for every dimension."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import sympy
from atlasmoe import Block, Combine, Input, TaskGraph, Tiling, builtin
from atlasmoe.atlas import Atlas, Box, Chart, ExpressionMap, ExpressionTarget, ManifoldTask
from atlasmoe.errors import AtlasMoEError
from atlasmoe.explain import NeuronOrigin
from atlasmoe.moe.ledger import Claim, Known, Ledger
from atlasmoe.moe.model import Model
from atlasmoe.moe.network import Affine, MoELayer, Network
from atlasmoe.report import explanation, figure, ledger_table, render, report_table
from atlasmoe.report.evaluation import evaluate
from atlasmoe.verify.sample import Report, verify
from handmade import Arrays, circle_model, net, with_expert


@pytest.fixture(scope="module")
def model() -> Model:
    return circle_model()


@pytest.fixture(scope="module")
def report(model: Model) -> Report:
    return verify(model, samples=1000)


def test_the_ledger_is_a_tree_with_every_number() -> None:
    leaf = Claim("expert[north].target", "|F − g| ≤ ε/2", "Lemma 3.1", 0.5, 0.125, Known.FORMULA)
    margin = Claim("margin", "max τ ≥ 3/(4E)", "4.8 step 3", 0.375, 0.5, Known.SAMPLED, ">=", samples=1234, note="on a grid")
    root = Claim("total", "|f − Ψ| ≤ ε", "Theorem 4.8", 1.0, 0.25, Known.EXACT, children=(leaf, margin))
    assert render(ledger_table(Ledger(root)), 80).splitlines() == [
        "ledger: every claim holds",
        "",
        "  claim                     bound     budget  used  known",
        "  ─────────────────────────────────────────────────────────────────",
        "  ✓ total                    0.25  ≤       1   25%  exact",
        "  │   |f − Ψ| ≤ ε — Theorem 4.8",
        "  ├ ✓ expert[north].target  0.125  ≤     0.5   25%  formula",
        "  │     |F − g| ≤ ε/2 — Lemma 3.1",
        "  └ ✓ margin                  0.5  ≥   0.375   75%  sampled (1,234)",
        "        max τ ≥ 3/(4E) (on a grid) — 4.8 step 3",
    ]


def test_without_statements_tables_fit_a_narrow_terminal(report: Report) -> None:
    leaf = Claim("expert[north].target", "|F − g| ≤ ε/2", "Lemma 3.1", 0.0125, 0.00098761, Known.SAMPLED, samples=32_768)
    ledger = Ledger(Claim("total", "|f − Ψ| ≤ ε", "Theorem 4.8", 1.0, 0.25, Known.EXACT, children=(leaf,)))
    text = render(ledger_table(ledger, statements=False), 80)
    assert " ".join(text.splitlines()[-1].split()) == "└ ✓ expert[north].target 0.0009876 ≤ 0.0125 8% sampled (32,768)"
    text = render(report_table(report, statements=False), 80)
    assert "…" not in text
    assert len(text.splitlines()) < 2 * len(report.claims) + 8, "one line per claim"


def test_what_a_neuron_reads_is_written_as_a_sum() -> None:
    def reads(weights: dict[str, float], bias: float) -> str:
        text = render(explanation.neuron(NeuronOrigin(2, "north", 1, 0, "n", "Lemma 3.1", weights, bias, {})))
        return next(line for line in text.splitlines() if line.startswith("w·x + b")).removeprefix("w·x + b").strip()

    assert reads({"x": -1.0}, 0.0) == "−x"
    assert reads({"x": 1.0, "y": -0.25}, -2.0) == "x − 0.25·y − 2"
    assert reads({}, 0.5) == "0.5"
    assert reads({}, 0.0) == "0"


def test_long_families_are_shortened_but_nothing_that_fails_is_hidden() -> None:
    children = [Claim(f"expert[{k}]", "", "", 1.0, k / 100, Known.SAMPLED) for k in range(50)]
    children[3] = replace(children[3], bound=2.0, known=Known.REFUTED)
    ledger = Ledger(Claim("total", "", "", 1.0, 0.5, Known.SAMPLED, children=(*children, Claim("carried", "", "", 0.0, 0.0, Known.EXACT))))
    text = render(ledger_table(ledger), 150)
    assert "✗ expert[3]" in text
    assert "NOT every claim holds" in text
    assert "✓ expert[49]" in text
    assert "expert[20]" not in text
    assert "carried" in text
    assert "43 more with more slack" in text
    assert "expert[20]" in render(ledger_table(ledger, every=True), 150)


def test_the_report_table_names_witness_and_routes(model: Model, report: Report) -> None:
    text = render(report_table(report), 180)
    assert all(claim.name in text for claim in report.claims)
    assert "holds on every sampled point" in text
    assert "arc0 2" in text  # the share of an expert

    def negate(arrays: Arrays) -> None:
        arrays[1][0][:] *= -1

    broken = verify(model, samples=300, network=with_expert(model.network, 1, 1, negate))
    text = render(report_table(broken), 180)
    assert "REFUTED" in text
    assert "total fails at (" in text
    assert "routed to arc1" in text


def flat_model(d: int, ambient: int) -> Model:
    """f = Σu on the graph of ½|u|² over the unit box (its inputs padded or bent into R^ambient), one expert."""
    u = sympy.symbols(f"u0:{d}")
    x = sympy.symbols(f"x1:{ambient + 1}")
    heights = (sum(v**2 for v in u) / 2,) * (ambient - d)
    chart = Chart("patch", Box((0.0,) * d, (1.0,) * d), ExpressionMap(u, (*u, *heights)), ExpressionMap(x, x[:d]), ((True, True),) * d)
    task = ManifoldTask(f"graph{d}", Atlas(tuple(map(str, x)), (chart,)), ExpressionTarget(ExpressionMap(x, (sum(x[:d]),))))
    weight = np.concatenate([np.ones(d), np.zeros(ambient - d)])[None]
    expert = net((np.concatenate([weight, -weight]), np.zeros(2)), (np.array([[1.0, -1.0]]), np.full(1, 1e-3)))
    layer = MoELayer(Affine(np.zeros((1, ambient)), np.ones(1)), (expert,), (0,), ("patch",), ("y[0]",))
    root = Claim("total", "", "", 1e-2, 1e-3, Known.SAMPLED)
    facts = {"theorem": "4.8", "routing": "theorem", "epsilon": 1e-2, "delta": 0.25, "mu": 1.0, "multiplicity": 1, "plateau_level": None}
    return Model(Network((layer,), tuple(map(str, x))), Ledger(root), task, facts)


@pytest.mark.parametrize(("d", "ambient"), [(1, 1), (2, 2), (2, 3), (3, 4)])
def test_a_figure_for_every_dimension(d: int, ambient: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    from atlasmoe.report import maps, surfaces

    monkeypatch.setattr(surfaces, "FACES", 400)
    monkeypatch.setattr(maps, "PIXELS", 16)
    model = flat_model(d, ambient)
    report = verify(model, samples=200)
    assert report.holds
    assert report["total"].bound == pytest.approx(1e-3)
    path = tmp_path / ("with.svg" if d == 1 else "with.png")
    drawn = figure(model, report, path)
    assert path.stat().st_size > 5000
    title, found = drawn.get_suptitle().splitlines()
    assert title == f"graph{d}: Theorem 4.8, 1 expert, d = {d} in R^{ambient}, ε = 0.01"
    assert found.startswith("holds: worst error 0.001 on ")
    figure(model)  # without a report


def test_the_curve_figure_shows_the_functions_themselves(model: Model, report: Report) -> None:
    pytest.importorskip("matplotlib")
    axes = figure(model, report).axes
    u = axes[0].lines[0].get_xdata()
    seen = evaluate(model, 0, np.asarray(u)[:, None])
    assert np.array_equal(axes[0].lines[0].get_ydata(), seen.target[:, 0])
    assert np.array_equal(axes[0].lines[1].get_ydata(), seen.output[:, 0])
    assert {line.get_label() for line in axes[4].lines} >= {"ε"}


def plain(*inputs: Input, blocks: list[Block]) -> Model:
    """A task graph of sums, compiled."""
    last = Combine.parse("f", [block.name for block in blocks], " + ".join(block.name for block in blocks))
    return atlasmoe.compile(TaskGraph("plain", (*inputs, *blocks, last), "f"), epsilon=2e-2, depth="L+1")


def test_maps_of_a_graph_number_the_pieces_as_the_task_does() -> None:
    pytest.importorskip("matplotlib")
    blocks = [Block.parse(name, (x,), Tiling.intervals((0, 1, 2)), [f"{x}", f"3 - {x}"]) for name, x in (("a", "s"), ("b", "t"))]
    drawn = figure(plain(Input("s", Box((0,), (2,))), Input("t", Box((0,), (2,))), blocks=blocks))
    (middle,) = [axes for axes in drawn.axes if axes.get_title(loc="left") == "routes: 4 of 4 pieces"]
    numbers = {text.get_text(): tuple(int(v) + 1 for v in text.get_position()) for text in middle.texts}
    assert numbers == {f"{i},{j}": (i, j) for i in (1, 2) for j in (1, 2)}


def test_a_graph_on_one_manifold_is_drawn_on_it(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    ring = builtin("circle", charts=3)
    blocks = [Block.parse("a", ("c_1", "c_2"), ring, "c_1*c_2"), Block.parse("b", ("c_1",), Tiling.intervals((-1, 0.3, 1)), ["c_1", "2"])]
    model = plain(Input("c", ring), blocks=blocks)
    drawn = figure(model, verify(model, samples=200), tmp_path / "ring.png")
    assert [axes.get_title(loc="left") for axes in drawn.axes[:3]] == ["chart arc0", "chart arc1", "chart arc2"]
    assert [label.get_text() for label in drawn.axes[6].get_yticklabels()] == ["a", "b"]
    jumps = np.abs(np.diff(drawn.axes[0].lines[0].get_ydata()))
    assert jumps.max() > 1, "the curve is f itself, with its jump"


def test_products_with_manifolds_show_the_error_of_every_node() -> None:
    pytest.importorskip("matplotlib")
    ring = builtin("circle", charts=3)
    blocks = [Block.parse("a", ("c_1", "c_2"), ring, "c_1*c_2"), Block.parse("b", ("t",), Tiling.intervals((0, 0.3, 1)), ["t**2", "2"])]
    model = plain(Input("c", ring), Input("t", Box((0,), (1,))), blocks=blocks)
    _, middle, right = figure(model).axes
    assert "block[a]" in [label.get_text() for label in middle.get_yticklabels()]
    assert [label.get_text() for label in right.get_yticklabels()] == ["a (3)", "b (2)"]
    assert sum(patch.get_width() for patch in right.patches) == pytest.approx(2)


def test_without_matplotlib_the_remedy_is_named(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(AtlasMoEError, match=r"pip install 'atlasmoe\[figures\]'"):
        figure(model)


def test_tables_do_not_load_matplotlib() -> None:
    code = "import sys, atlasmoe.report; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
