"""`check` on certificates of task graphs: site by site, and what they add up to; nothing that was tampered with is confirmed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Box, FolderError, builtin
from atlasmoe.atlas import Block, Combine, Input, TaskGraph, Tiling
from atlasmoe.verify.check import check
from certificates import CERTIFICATE, WEIGHTS, Arrays, Document, certified, edited, reweighted, tampered, why
from safetensors import numpy as safetensors


def sum_graph(blocks: int, pieces: int) -> TaskGraph:
    """Pieces that jump where they meet, and an affine read-out."""
    inputs = [Input(f"x{k}", Box((0.0,), (float(pieces),))) for k in range(blocks)]
    tiling = Tiling.intervals(range(pieces + 1))
    parts = [Block.parse(f"b{k}", (f"x{k}",), tiling, [f"sin({i + 1}*x{k}) + {i}" for i in range(pieces)]) for k in range(blocks)]
    read_out = Combine.parse("f", [part.name for part in parts], " + ".join(f"{k + 1}*b{k}" for k in range(blocks)) + " - 2")
    return TaskGraph("sum", (*inputs, *parts, read_out), "f")


def chain_graph() -> TaskGraph:
    """A block that reads what an earlier one computed, across a kink."""
    first = Block.parse("a", ("u",), Tiling.intervals([0, 1, 2]), ["u**2/2", "u - 1/2"])
    second = Block.parse("b", ("a",), Tiling.intervals([-1, 0.6, 3]), ["a", "3/5 + 2*(a - 3/5)"])
    return TaskGraph("chain", (Input("u", Box((0.0,), (2.0,))), first, second), "b")


def product_graph() -> TaskGraph:
    """Two blocks, multiplied by an expert of its own."""
    inputs = [Input(name, Box((0.0,), (2.0,))) for name in ("u", "v")]
    first = Block.parse("a", ("u",), Tiling.intervals([0, 1, 2]), ["u*(1 - u)", "2*(u - 1)*(2 - u)"])
    second = Block.parse("b", ("v",), Tiling.intervals([0, 1, 2]), ["v", "3 - v"])
    return TaskGraph("product", (*inputs, first, second, Combine.parse("f", ("a", "b"), "a*b")), "f")


def mixed_graph() -> TaskGraph:
    """A circle and an interval."""
    circle, point = Input("c", builtin("circle", charts=3)), Input("t", Box((-1.0,), (1.0,)))
    around = Block.parse("around", circle.coordinates, circle.manifold, "c_1*c_2")
    along = Block.parse("along", ("t",), Tiling.intervals([-1, 0, 1]), ["-t", "t"])
    return TaskGraph("mixed", (circle, point, around, along, Combine.parse("f", ("around", "along"), "around + along/2")), "f")


def tree_graph() -> TaskGraph:
    """Combinations of combinations, and a coordinate that two nodes share."""
    inputs = [Input(name, Box((0.0,), (1.0,))) for name in ("s", "t")]
    first = Block.parse("a", ("s",), Tiling.intervals([0, 0.5, 1]), ["s**2", "s - 1/4"])
    second = Block.parse("b", ("s",), Tiling.intervals([0, 0.25, 1]), ["s", "1/2 - s"])
    left = Combine.parse("left", ("a", "t"), "a*t")
    return TaskGraph("tree", (*inputs, first, second, left, Combine.parse("f", ("left", "b"), "left + 2*b")), "f")


def collar_graph() -> TaskGraph:
    """A point of a circle is computed, and read by a block on the circle."""
    point = Combine.parse("p", ("t",), ["cos(t)", "sin(t)"])
    around = Block.parse("g", ("p_1", "p_2"), builtin("circle", charts=3), "p_1*p_2")
    return TaskGraph("collar", (Input("t", Box((0.0,), (3.0,))), point, around), "g")


GRAPHS: dict[str, tuple[Callable[[], TaskGraph], dict]] = {
    "jumps": (lambda: sum_graph(2, 3), {"epsilon": 0.1}),
    "jumps in float32, scores one layer early": (lambda: sum_graph(3, 2), {"epsilon": 0.1, "depth": "L+1", "dtype": "float32"}),
    "product": (product_graph, {"epsilon": 0.1}),
    "chain": (chain_graph, {"epsilon": 0.05}),
    "mixed": (mixed_graph, {"epsilon": 0.2}),
    "tree": (tree_graph, {"epsilon": 0.1}),
    "collar": (collar_graph, {"epsilon": 0.1}),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The certified model of a graph, made once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            graph, options = GRAPHS[name]
            made[name] = certified(atlasmoe.compile(graph(), **options), tmp_path_factory.mktemp("graph") / "model")
        return made[name]

    return folder


@pytest.mark.parametrize("name", GRAPHS)
def test_honest_certificates_are_confirmed(name: str, folders: Callable[[str], Path]) -> None:
    report = check(folders(name))
    assert (report.verdict, report.failures) == ("confirmed", ()), why(report)
    proved = {found["name"] for found in json.loads((folders(name) / CERTIFICATE).read_text())["claims"] if found["known"] == "proved"}
    assert set(report.claims) == proved >= {"total"}


def test_more_pieces_than_anybody_can_count_are_confirmed(tmp_path: Path) -> None:
    report = check(certified(atlasmoe.compile(sum_graph(16, 4), epsilon=2.0), tmp_path / "model"))
    assert report.verdict == "confirmed", why(report)


@pytest.mark.parametrize("name", ["product", "chain", "jumps"])
def test_channels_that_are_carried_beside_experts(name: str, tmp_path: Path) -> None:
    graph, options = GRAPHS[name]
    report = check(certified(atlasmoe.compile(graph(), form="residual", **options), tmp_path / "model"))
    assert report.verdict == "confirmed", why(report)


def test_a_read_out_of_one_block_that_is_constant_on_a_piece(tmp_path: Path) -> None:
    block = Block.parse("a", ("s",), Tiling.intervals([0, 1, 2]), ["s**2", "1"])
    graph = TaskGraph("constant", (Input("s", Box((0.0,), (2.0,))), block, Combine.parse("f", ("a",), "2*a - 1")), "f")
    report = check(certified(atlasmoe.compile(graph, epsilon=0.1), tmp_path / "model"))
    assert report.verdict == "confirmed", why(report)


def test_what_is_exact_is_proved_to_be_as_near_as_rounding_leaves_it(tmp_path: Path) -> None:
    """Experts without neurons: two indicators, added."""
    inputs = [Input(name, Box((0.0,), (1.0,))) for name in ("s", "t")]
    blocks = [Block.parse(f"at_{name}", (name,), Tiling.intervals([0, 0.5, 1]), ["0", "1"]) for name in ("s", "t")]
    graph = TaskGraph("indicators", (*inputs, *blocks, Combine.parse("f", ("at_s", "at_t"), "at_s + at_t")), "f")
    folder = certified(atlasmoe.compile(graph, epsilon=0.01), tmp_path / "model", tightness=1.1)
    report = check(folder)
    assert report.verdict == "confirmed", why(report)
    assert report.bound <= 2 * (4 * 2.0**-46 + 2e-15), "two blocks, each with the room of four units for whoever confirms it"
    assert report.boxes == report.leaves
    (found, _) = json.loads((folder / CERTIFICATE).read_text())["sites"]
    assert found["bound"] <= 1e-13, "points of an interface are compared with the expert of the piece that owns them"


def test_a_constant_piece_beside_a_curved_one(tmp_path: Path) -> None:
    block = Block.parse("f", ("t",), Tiling.intervals([0, 1, 2]), ["0", "sin(t)"])
    graph = TaskGraph("mixed", (Input("t", Box((0.0,), (2.0,))), block), "f")
    report = check(certified(atlasmoe.compile(graph, epsilon=0.01), tmp_path / "model", tightness=1.1))
    assert report.verdict == "confirmed", why(report)


def scaled(factor: float) -> Callable[[float], float]:
    return lambda number: number * factor


def swapped(data: Document) -> None:
    data["sites"] = data["sites"][::-1]


def twice(data: Document) -> None:
    data["sites"] = [data["sites"][0], *data["sites"]]


def without(number: int) -> Callable[[Document], None]:
    def change(data: Document) -> None:
        del data["sites"][number]

    return change


def renamed(data: Document) -> None:
    """The first site says that it is the second."""
    data["sites"][0]["name"] = data["sites"][1]["name"]


def narrowed(data: Document) -> None:
    value = data["sites"][0]["values"][0]
    value["upper"] = value["lower"] + (value["upper"] - value["lower"]) / 2


EDITS = {
    "chain": [
        edited("sites/0/values/0/error", scaled(0.9)), edited("sites/0/values/0/spread", -1.0),
        edited("sites/1/values/0/spread", scaled(0.5)), edited("sites/1/moves", [0.0]), edited("sites/1/values/0/error", scaled(0.9)),
        edited("readout/error", [1e-9]), narrowed, edited("sites/0/channels", [[1, 0]]), edited("sites/0/channels", [[7, 0]]),
        edited("sites/0/channels", [[2, 5]]), edited("sites/0/reads", []), edited("sites/0/reads", [[0, 9]]),
        edited("sites/1/reads", [[0, 0]]), edited("sites/1/variables", ["u"]), edited("sites/1/kind", "combine"),
        edited("sites/0/routes", [0, 1]), edited("sites/0/winners", ["all"]), edited("sites/0/folded", True),
        edited("sites/0/eta", 1e-30), edited("sites/0/rounding", {"float64": 1e-30}), edited("sites/0/rounding", {}),
        edited("sites/0/domain", "charts"), edited("sites/0/pieces", []), edited("sites/0/bound", scaled(0.5)),
        edited("sites/0/components", ["b"]), edited("readout/site", "a"), edited("readout", None),
        edited("@block[b].routing/bound", 0.0), edited("@block[b].routing/budget", 1.0), swapped, twice, without(0), without(1),
        renamed, edited("sites", []), edited("kind", "manifold"), edited("@total/known", "sure"),
        edited("readout/rounding", {"float64": 1.0, "float32": 1.0}),
    ],
    "jumps": [
        edited("sites/0/values/0/lower", 5.0), edited("readout/network", [[2.0]]), edited("readout/components", []),
        edited("readout/error", [1e-9]), edited("readout/block", None), edited("readout/block", "b0"),
        edited("readout/rounding", {"float64": 0.0}), edited("sites/1/folded", False), without(1), edited("sites/0/routes", None),
        edited("sites/0/routes", [0, 0, 0]), swapped, edited("@total/bound", 1e-9), edited("epsilon", 1e-9), edited("eta", 0.0),
    ],
    "product": [
        edited("sites/2/moves", [0.0, 0.0]), edited("sites/2/values/0/spread", 0.0), edited("sites/2/variables", ["b", "a"]),
        edited("sites/2/values/0/upper", scaled(0.3)),
    ],
    "collar": [edited("sites/1/moves", [0.0, 0.0]), edited("sites/1/bound", scaled(0.5)), edited("sites/0/values/0/error", scaled(0.5))],
    "mixed": [
        edited("@block[around].cover/known", "unknown"), edited("sites/0/domain", "boxes"), edited("sites/0/routes", [0, 1, 2]),
        edited("sites/0/winners", ["all"]),
    ],
}  # fmt: skip


def fate(folder: Path) -> str:
    """The verdict, or that the files are not what they are called; anything else is a mistake of ours."""
    try:
        return check(folder).verdict
    except FolderError:
        return "no certificate"


@pytest.mark.parametrize(("name", "number"), [(name, number) for name in EDITS for number in range(len(EDITS[name]))])
def test_edited_documents_are_not_confirmed(name: str, number: int, folders: Callable[[str], Path], tmp_path: Path) -> None:
    assert fate(tampered(folders(name), tmp_path / "copy", EDITS[name][number])) != "confirmed"


def exchanged(arrays: Arrays) -> None:
    """The trees of the first two sites change places."""
    old = dict(arrays)
    for key, array in old.items():
        site, rest = key.split(".", 1)
        arrays[f"{1 - int(site)}.{rest}"] = array


def shrunk(arrays: Arrays) -> None:
    arrays["1.0.lower"] = arrays["1.0.lower"] + 1e-3


def all_tagged(tag: int) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        arrays["1.0.tags"] = np.full_like(arrays["1.0.tags"], tag)

    return change


def other_winners(arrays: Arrays) -> None:
    arrays["0.0.members"] = 1 - arrays["0.0.members"]


@pytest.mark.parametrize("change", [exchanged, shrunk, all_tagged(0), all_tagged(1), all_tagged(255), all_tagged(9), other_winners])
def test_changed_boxes_are_not_confirmed(change: Callable[[Arrays], None], folders: Callable[[str], Path], tmp_path: Path) -> None:
    assert fate(tampered(folders("chain"), tmp_path / "copy", boxes=change)) != "confirmed"


MALFORMED = [
    edited("sites", 3), edited("sites", [3]), edited("sites/0/channels", [[1]]), edited("sites/0/channels", [[-1, 0]]),
    edited("sites/0/reads", [["a", 0]]), edited("sites/0/moves", ["a"]), edited("sites/0/kind", "input"), edited("sites/0/values", {}),
    edited("sites/0/rounding", {"float8": 1.0}), edited("sites/0/routes", ["x"]), edited("sites/0/folded", 1),
    edited("sites/0/pieces", [{"name": "x", "boxes": 1}] * 3), edited("readout", []), edited("readout/kind", "none"),
    edited("readout/error", None), edited("sites/0/scores", {"level": 0.0}), edited("schema", 1),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(MALFORMED)))
def test_what_is_no_certificate_is_said_to_be_none(number: int, folders: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(FolderError):
        check(tampered(folders("chain"), tmp_path / "copy", MALFORMED[number]))


def moved_knot(arrays: Arrays) -> None:
    """A knot of the first router is a billionth off: between the knots lies an interval where the wrong piece is taken."""
    bias = arrays["layers.0.experts.0.affines.0.bias"]
    bias[np.flatnonzero(bias)[0]] += 1e-9


def leaking(arrays: Arrays) -> None:
    """An expert of the last layer takes something of another channel in."""
    arrays["layers.1.experts.0.affines.0.weight"][0, -1] += 1e-3


def not_quite_carried(arrays: Arrays) -> None:
    """Weights 1 of the first layer, with which channels pass it, are not quite 1."""
    weight = arrays["layers.0.experts.0.affines.1.weight"]
    weight[weight == 1] = np.nextafter(1, 2)


def overflowing(arrays: Arrays) -> None:
    """A neuron that nothing reads is beyond every float."""
    arrays["layers.0.experts.0.affines.0.weight"][0, 0] = 1e308
    arrays["layers.0.experts.0.affines.0.bias"][0] = 1e308
    arrays["layers.0.experts.0.affines.1.weight"][:, 0] = 0


@pytest.mark.parametrize("change", [moved_knot, leaking, not_quite_carried, overflowing])
def test_changed_weights_are_not_confirmed(change: Callable[[Arrays], None], folders: Callable[[str], Path], tmp_path: Path) -> None:
    assert fate(reweighted(folders("jumps"), tmp_path / "copy", change)) != "confirmed"


def numbers_in(data: object, path: tuple = ()) -> list[tuple]:
    """Paths to all numbers of a document."""
    if isinstance(data, dict | list):
        items = data.items() if isinstance(data, dict) else enumerate(data)
        return [found for key, value in items for found in numbers_in(value, (*path, key))]
    return [path] if isinstance(data, int | float) and not isinstance(data, bool) else []


HARMLESS = {"search", "schema"}
"""Where numbers prove nothing, or are no numbers."""


@pytest.mark.parametrize("name", ["chain", "jumps"])
def test_no_random_edit_makes_a_false_claim_true(name: str, folders: Callable[[str], Path], tmp_path: Path) -> None:
    """Numbers of the document made smaller or larger, weights changed: whatever is confirmed holds at every sample."""
    folder, rng = folders(name), np.random.default_rng(0)
    model = atlasmoe.load(folder)
    points = model.task.sample(4000, 3)
    truth = model.task.evaluate(points)
    document = json.loads((folder / CERTIFICATE).read_text())
    paths = [path for path in numbers_in(document) if not HARMLESS & set(path)]
    arrays = safetensors.load_file(folder / WEIGHTS)
    weights = sorted(arrays)
    honest, confirmed = check(folder), 0
    for number in range(36):
        copied = tmp_path / str(number)
        if number % 3 == 2:
            where = weights[rng.integers(len(weights))]
            place, factor = rng.integers(arrays[where].size), (0.0, -1.0, 1 + 1e-6, 3.0)[rng.integers(4)]

            def change(found: Arrays, where: str = where, place: int = place, factor: float = factor) -> None:
                flat = found[where].reshape(-1)
                flat[place] = flat[place] * factor + (1e-3 if flat[place] == 0 and factor == 3.0 else 0.0)

            reweighted(folder, copied, change)
        else:
            *parents, last = paths[rng.integers(len(paths))]
            edit = copy.deepcopy(document)
            holder = edit
            for key in parents:
                holder = holder[key]
            value = holder[last]
            smaller = value - 1 if isinstance(value, int) else value * rng.choice([0.0, 0.5, 0.99, 1.01, -1.0])

            def replace(data: Document, parents: list = parents, last: object = last, smaller: object = smaller) -> None:
                for key in parents:
                    data = data[key]
                data[last] = smaller

            tampered(folder, copied, replace)
        try:
            report = check(copied)
        except FolderError:
            continue
        if report.verdict == "confirmed":
            confirmed += 1
            assert report.bound == honest.bound
            network = loaded(copied, model)
            assert np.abs(network(points) - truth).max() <= report.bound, (number,)
    assert confirmed < 30


def loaded(folder: Path, model: atlasmoe.Model) -> atlasmoe.Network:
    """The model's network with the weights of a folder."""
    from atlasmoe.moe.layout import describe, read_network
    from atlasmoe.moe.typed_json import Fields

    description = Fields.of(json.loads(json.dumps(describe(model.network))), folder / "config.json")
    return read_network(description, safetensors.load_file(folder / WEIGHTS))
