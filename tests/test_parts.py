"""Combinations that are proved part by part: what is gained, and that no other parts, terms or neurons can be made to pass."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Box, FolderError
from atlasmoe.atlas import Block, Combine, Input, TaskGraph, Tiling
from atlasmoe.expressions.additive import in_forms, terms, total
from atlasmoe.expressions.parse import read_expression
from atlasmoe.expressions.text import text_of
from atlasmoe.moe.layout import describe, read_network
from atlasmoe.moe.typed_json import Fields
from atlasmoe.verify.check import check
from atlasmoe.verify.prove.ledger import expert_bounds
from atlasmoe.verify.prove.parts import grouped
from certificates import CERTIFICATE, WEIGHTS, Arrays, Document, certified, edited, reweighted, tampered, why
from safetensors import numpy as safetensors

NAMES = tuple("abcde")


def pieces_graph(outer: str | list[str], names: tuple[str, ...] = NAMES) -> TaskGraph:
    """Blocks of three pieces that jump, and what is made of their values."""
    inputs = [Input(f"x{name}", Box((0.0,), (3.0,))) for name in names]
    tiling = Tiling.intervals(range(4))
    texts = {name: [f"{i + 1}*(x{name} - {i})*({i + 1} - x{name}) - {i}/3" for i in range(3)] for name in names}
    blocks = [Block.parse(name, (f"x{name}",), tiling, texts[name]) for name in names]
    return TaskGraph("pieces", (*inputs, *blocks, Combine.parse("f", names, outer)), "f")


def test_a_text_is_the_sum_of_its_terms():
    rng = np.random.default_rng(0)
    for text in (
        "a*b + c*d - e",
        "2*(a*b - c/3) + 1",
        "-(a - (b - 0.3*c))*(-2)",
        "3*sin(a)/2 - 4*(exp(b) + a*c)/7",
        "1/(a + 4) - 0*log(c + 3)",
    ):
        tree = read_expression(text, NAMES).tree
        values = dict(zip(NAMES, rng.uniform(-1, 1, (5, 20)), strict=True))
        parts = [evaluated(text_of(term), values) for term in terms(tree)]
        np.testing.assert_allclose(sum(parts), evaluated(text, values), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(evaluated(text_of(total(terms(tree))), values), evaluated(text, values), rtol=1e-12, atol=1e-12)


def evaluated(text: str, values: dict[str, np.ndarray]) -> np.ndarray:
    """In the way of Python's own arithmetic."""
    known = {"sin": np.sin, "exp": np.exp, "log": np.log}
    return eval(text, known | values) + 0 * values["a"]


def test_terms_share_a_variable_through_whatever_they_hold():
    written = "Max(a, b) + Piecewise((c, d > 0), (1, True)) - 2*(e + Abs(a))"
    found = [text_of(term) for term in terms(read_expression(written, NAMES).tree)]
    assert found == ["Max(a, b)", "Piecewise((c, d > 0), (1, True))", "-2*e", "-2*Abs(a)"]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("sin(2*(a + 3*b))", "sin(2*t)"), ("exp(1 - a - 3*b)*(a + 3*b)", "exp(-t + 1)*t"),
        ("sin(a + 2*b)", None), ("a + 3*b + sin(a)", None),
        ("c*(2*a + 6*b)", None), ("Piecewise((1, a + 3*b > 2), (2, True))", "Piecewise((1, t > 2), (2, True))"), ("5", "5"),
        ("Piecewise((1, a > 2), (a + 3*b, True))", None), ("a - a", "0"),
    ],
)  # fmt: skip
def test_what_is_seen_through_one_form(text: str, seen: str | None):
    found = in_forms(read_expression(text, NAMES).tree, {"t": {"a": Fraction(1), "b": Fraction(3)}})
    assert (None if found is None else text_of(found)) == seen


def test_groups_hold_every_set_and_small_ones_are_joined():
    sets = [frozenset(text) for text in ("ab", "cd", "e", "a", "de")]
    assert sorted(map(sorted, grouped(sets))) == [["a", "b"], ["c", "d", "e"]]
    chain = [frozenset(text) for text in ("ab", "bc", "cd", "d")]
    assert sorted(map(sorted, grouped(chain))) == [["a", "b"], ["b", "c"], ["c", "d"]]


COMBINED = {
    "apart": ("a*b + c*d - e", NAMES, [("a", "b"), ("c", "d"), ("e",)]),
    "chained": ("a*b + b*c + c*d", NAMES[:4], [("a", "b", "c"), ("c", "d")]),  # b·(a + c) is two squares
    "one sum": ("sin(2*(a + b + c + d))", NAMES[:4], [("t1",)]),
    "lanes": ("a*b + c*d - e", NAMES, [("a", "b"), ("c", "d"), ("e",)]),  # exact products, of two lanes each
    "two outputs": (["a*b + c", "a - d*c"], NAMES[:4], [("a", "b"), ("c",), ("a",), ("c", "d")]),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The certified model of a combination, made once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            outer, names, _ = COMBINED[name]
            model = atlasmoe.compile(pieces_graph(outer, names), epsilon=0.1, activation={"f": "exact"} if name == "lanes" else None)
            made[name] = certified(model, tmp_path_factory.mktemp("parts") / "model", tightness=1.1, boxes=300_000)
        return made[name]

    return folder


@pytest.mark.parametrize("name", COMBINED)
def test_what_falls_apart_is_proved_in_few_boxes_and_confirmed(name: str, folders: Callable[[str], Path]):
    folder = folders(name)
    document = json.loads((folder / CERTIFICATE).read_text())
    site = next(site for site in document["sites"] if site["name"] == "f")
    assert sorted(tuple(part["variables"]) for part in site["parts"]) == sorted(COMBINED[name][2])
    widest = max(len(part["variables"]) for part in site["parts"])
    assert sum(piece["boxes"] for piece in site["pieces"]) < (20_000 if widest <= 2 else 60_000)
    report = check(folder)
    assert report.verdict == "confirmed", why(report)
    assert report.boxes <= 5 * report.leaves
    model = atlasmoe.load(folder)
    points = model.task.sample(20_000, 5)
    assert np.abs(model.network(points) - model.task.evaluate(points)).max() <= report.bound <= 0.1


def test_what_a_gate_or_a_shared_term_holds_together_is_proved_as_a_whole():
    model = atlasmoe.compile(pieces_graph("a*b + Max(a, b)/4", NAMES[:2]), epsilon=0.2)
    certificate = atlasmoe.certify(model)
    assert certificate.status == "proved"
    assert certificate.sites[-1].parts == ()


def test_what_is_proved_of_the_expert_is_what_its_parts_add_up_to():
    certificate = atlasmoe.certify(atlasmoe.compile(pieces_graph("a*b + c", NAMES[:3]), epsilon=0.1))
    (*_, site) = certificate.sites
    assert expert_bounds(certificate)["combine[f].expert[all]"] == site.solution.bound >= sum(p.solution.bound for p in site.parts)


def part(number: int, key: str, value: object, site: int = -1) -> Callable[[Document], None]:
    """A change of one entry of a part of the last site."""

    def change(data: Document) -> None:
        holder = data["sites"][site]["parts"][number]
        holder[key] = value(holder[key]) if callable(value) else value

    return change


def scaled(factor: float) -> Callable[[float], float]:
    return lambda number: number * factor


def without(number: int) -> Callable[[Document], None]:
    def change(data: Document) -> None:
        for key in ("parts", "pieces"):
            del data["sites"][-1][key][number]

    return change


def exchanged(data: Document) -> None:
    """Parts change places; their trees do not."""
    parts = data["sites"][-1]["parts"]
    parts[0], parts[1] = parts[1], parts[0]


EDITS = {
    "apart": [
        part(0, "bound", scaled(0.5)), part(0, "offset", scaled(1.01)), part(1, "offset", 0.0),
        part(0, "slope", lambda slope: [s + 0.5 for s in slope]),
        part(0, "lower", 0.0), part(0, "upper", scaled(0.1)), part(0, "spread", 0.0), part(0, "spread", -1.0), part(0, "component", "a"),
        part(0, "variables", ["a", "c"]), part(0, "variables", ["b", "a"]), part(0, "variables", ["a", "a"]),
        part(0, "variables", ["t", "b"]),
        part(0, "forms", [[1.0, 0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0]]), part(0, "forms", [[2.0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0]]),
        part(0, "forms", [[1.0, 0, 1.0, 0, 0], [0, 1.0, 0, 0, 0]]), part(2, "forms", [[0.0, 0, 0, 0, 0]]),
        part(2, "forms", [[0, 0, 0, 0, 2.0]]),
        edited("sites/5/parts", []), without(0), without(2), exchanged, edited("sites/5/bound", scaled(0.5)),
        edited("sites/5/values/0/spread", 0.0), edited("sites/5/values/0/lower", 0.0), edited("sites/5/moves", [0.0] * 5),
        edited("sites/5/values/0/error", scaled(0.9)), edited("sites/5/routes", [0]), edited("sites/5/rounding", {"float64": 0.0}),
    ],
    "one sum": [
        part(0, "forms", [[1.0, 1.0, 1.0, 0.0]]), part(0, "forms", [[1.0, 1.0, 1.0, 2.0]]), part(0, "variables", ["a"]),
        part(0, "forms", [[2.0, 2.0, 2.0, 2.0]]), part(0, "slope", [1.0]),
    ],
    "two outputs": [part(0, "component", "f_2"), part(1, "component", "f_2"), part(3, "component", "f_1")],
}  # fmt: skip


@pytest.mark.parametrize(("name", "number"), [(name, number) for name in EDITS for number in range(len(EDITS[name]))])
def test_edited_parts_are_not_confirmed(name: str, number: int, folders: Callable[[str], Path], tmp_path: Path):
    folder = tampered(folders(name), tmp_path / "copy", EDITS[name][number])
    with contextlib.suppress(FolderError):
        assert check(folder).verdict != "confirmed"


@pytest.mark.parametrize("name", ["apart", "chained", "one sum", "lanes"])
def test_no_mutation_of_any_neuron_of_any_part_is_confirmed_falsely(name: str, folders: Callable[[str], Path], tmp_path: Path):
    """Weights of the layer that combines, one after the other; and a certificate that is made anew is true as well."""
    folder, rng = folders(name), np.random.default_rng(1)
    model = atlasmoe.load(folder)
    points = model.task.sample(20_000, 7)
    truth = model.task.evaluate(points)
    last = len(model.network.layers) - 1
    names = [key for key in safetensors.load_file(folder / WEIGHTS) if key.startswith(f"layers.{last}.experts")]
    false = confirmed = quick = 0
    for number in range(8):
        key, factor = names[rng.integers(len(names))], (0.0, -1.0, 1 + 1e-3, 1.5)[rng.integers(4)]

        def change(found: Arrays, key: str = key, factor: float = factor) -> None:
            flat = found[key].reshape(-1)
            place = rng.integers(len(flat))
            flat[place] = flat[place] * factor + (0.05 if flat[place] == 0 else 0.0)

        report = check(reweighted(folder, tmp_path / str(number), change))
        if report.verdict == "rejected":
            quick += report.boxes <= report.leaves
        if report.verdict == "confirmed":
            confirmed += 1
            arrays = safetensors.load_file(tmp_path / str(number) / WEIGHTS)
            network = read_network(Fields.of(json.loads(json.dumps(describe(model.network))), folder / "config.json"), arrays)
            false += np.abs(network(points) - truth).max() > report.bound
    assert false == 0
    assert confirmed < 4
    assert quick >= 2, "once a leaf is refuted no other one is cut"


def test_a_spike_in_one_part_is_seen(folders: Callable[[str], Path]):
    """A narrow hat that one product does not have, away from every sample of the others."""
    model = atlasmoe.load(folders("apart"))
    last = model.network.layers[-1]
    net = last.experts[0]
    first, outer = net.affines
    columns = np.flatnonzero(np.abs(first.weight).sum(0))
    row = np.zeros(first.weight.shape[1])
    row[columns[:2]] = 1.0, 0.5
    knots = np.array([-1e-4, 0.0, 1e-4]) - 0.1234
    spiked = type(net)(
        (
            type(first)(np.concatenate([first.weight, np.tile(row, (3, 1))]), np.concatenate([first.bias, -knots])),
            type(outer)(np.concatenate([outer.weight, np.array([[1.0, -2.0, 1.0]]) * 0.2 / 1e-4], 1), outer.bias),
        ),
        ((type(net.groups[0][0])("all", len(first.bias) + 3, "by hand"),),),
    )
    layers = (*model.network.layers[:-1], dataclasses.replace(last, experts=(spiked,)))
    network = type(model.network)(layers, model.network.inputs)
    assert atlasmoe.certify(network, model.task, epsilon=0.1, boxes=300_000).status != "proved"


def test_open_boxes_of_a_part_are_explained():
    model = atlasmoe.compile(pieces_graph("a*b + c*d - e"), epsilon=0.1)
    certificate = atlasmoe.certify(model, boxes=9000)
    assert certificate.status == "unknown"
    assert certificate["combine[f].error"].known == "unknown"
    assert any("boxes or time ran out" in str(cause) for cause in certificate.diagnosis["combine[f].error"])
    assert certificate["total"].bound == np.inf
