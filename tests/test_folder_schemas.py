"""Folders of the general layer, and folders of schema 1."""

from __future__ import annotations

import json
import shutil
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas.graph import as_graph
from atlasmoe.errors import FolderError
from atlasmoe.moe import Model
from atlasmoe.moe.channels import Input, Score, Value
from atlasmoe.moe.design import Design, Join, Site
from atlasmoe.moe.design_file import describe_design, read_design
from atlasmoe.moe.promise import ScorePromise
from atlasmoe.moe.typed_json import Fields
from atlasmoe.verify.check import check
from atlasmoe.verify.sample.product import Product
from folders import arrays, assert_same_places, resign
from general_layers import KINDS, general_network


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_layers_of_every_kind_come_back_bit_for_bit(kind: str, dtype: str, circle: Model, tmp_path: Path) -> None:
    network = general_network(kind).astype(dtype)
    folder = atlasmoe.save(replace(circle, network=network, design=None), tmp_path / "m")
    again = atlasmoe.load(folder).network
    assert [array.tobytes() for array in arrays(again)] == [array.tobytes() for array in arrays(network)]
    assert_same_places(again, network)
    x = np.random.default_rng(0).normal(size=(50, 2))
    assert again(x).tobytes() == network(x).tobytes()
    again_folder = atlasmoe.save(atlasmoe.load(folder), tmp_path / "again")
    assert (again_folder / "config.json").read_bytes() == (folder / "config.json").read_bytes()


@pytest.mark.parametrize(
    ("kind", "key", "value", "complaint"),
    [
        ("everything", "top_k", 4, "top_k = 4, but there are 3 gate outputs"),
        ("everything", "top_k", 0, "top_k = 0"),
        ("everything", "weighting", "loudest", "\"weighting\" is 'loudest', not one of softmax, uniform, rectified"),
        ("everything", "gate", None, r"3 names|tensor layers\.1\.gate"),
        ("everything", "gate", {"hidden": []}, r"model\.safetensors: has no tensor layers\.1\.gate\.weight"),
        ("everything", "shared", None, r"has the tensor layers\.1\.shared\.affines\.0\.bias, which config\.json does not describe"),
        ("everything", "writes", [1], r"experts write channels \(1,\) of 1"),
        ("everything", "carries", [9], "layer 2: it carries channel 9"),
        ("everything", "carries", [0, 0], "2 entries say what is carried to 1 channels"),
        ("everything", "carries", [True], '"carries" is not an integer'),
        ("everything", "reads", [0, 99], "layer 2: it reads channel 99, but 4 arrive"),
        ("shared", "shared", {"hidden": 3}, '"hidden" is not a list'),
    ],
)
def test_places_that_do_not_fit_the_arrays_are_refused(
    kind: str, key: str, value: object, complaint: str, circle: Model, tmp_path: Path
) -> None:
    folder = atlasmoe.save(replace(circle, network=general_network(kind), design=None), tmp_path / "m")
    resign(folder, lambda config: config["network"]["layers"][-1].update({key: value}))
    with pytest.raises(FolderError, match=complaint):
        atlasmoe.load(folder)


@pytest.mark.parametrize("name", ["circle", "graph", "graph_affine"])
def test_folders_of_schema_1_still_load(name: str, tmp_path: Path) -> None:
    """They held no design; the one that is found is where the same task is compiled to today, and promises nothing of graphs."""
    folder = Path(__file__).parent / "folders_v1" / name
    model = atlasmoe.load(folder)
    assert json.loads((folder / "config.json").read_text())["schema"] == 1
    options: dict[str, Any] = {"width": model.facts["m"]}
    options |= {"theorem": "4.8", "routing": "plateau"} if name == "circle" else {"depth": model.facts["depth_kind"]}
    today = atlasmoe.compile(model.task, **options)
    assert model.design.states == today.design.states
    places, others = ([replace(site, promise=None, budget=None) for site in found.design.sites] for found in (model, today))
    assert places == others
    if name == "circle":
        assert model.design.sites[0].promise == today.design.sites[0].promise is not None
    assert [(join.node, join.layer) for join in model.design.joins] == [(join.node, join.layer) for join in today.design.joins]
    # Fits have become others since; each is near f on its domain.
    graph = as_graph(model.task)
    x = Product(graph, np.dtype(float)).sample(200, 0).ambient
    np.testing.assert_allclose(model(x), today(x), rtol=0, atol=model.ledger.root.bound + today.ledger.root.bound)
    again = atlasmoe.load(atlasmoe.save(model, tmp_path / "m"))
    assert json.loads((tmp_path / "m/config.json").read_text())["schema"] == 2
    assert again.design == model.design
    assert [array.tobytes() for array in arrays(again.network)] == [array.tobytes() for array in arrays(model.network)]


@pytest.mark.parametrize("name", ["circle", "graph", "graph_affine"])
def test_models_of_schema_1_are_verified_and_their_certificates_confirmed(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(Path(__file__).parent / "folders_v1" / name, tmp_path / "m")
    model = atlasmoe.load(folder)
    assert atlasmoe.verify(model, samples=1000).holds
    certificate = atlasmoe.certify(model, tightness=None)
    assert certificate.status == "proved"
    certificate.write(folder)
    assert check(folder).verdict == "confirmed"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"routes": {"u": 99, "v": 4}}, "layer 99 does not route block 'u'"),
        ({"routes": {"u": 3, "v": 4}}, "its sites are not the blocks of the task"),
        ({"routes": {"v": 4}}, 'facts.routes: "u" is missing'),
        ({"routers": {"u": 1, "v": "intervals"}}, '"u" is not a string'),
    ],
)
def test_facts_of_schema_1_that_make_no_design_are_refused(change: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    folder = shutil.copytree(Path(__file__).parent / "folders_v1/graph", tmp_path / "m")
    resign(folder, lambda config: config["facts"].update(change))
    with pytest.raises(FolderError, match=complaint):
        atlasmoe.load(folder)


def test_a_promise_that_cannot_be_is_refused_in_schema_1(tmp_path: Path) -> None:
    folder = shutil.copytree(Path(__file__).parent / "folders_v1/circle", tmp_path / "m")
    resign(folder, lambda config: config["facts"].update(delta=0.9))
    with pytest.raises(FolderError, match=r"makes no promise .*need 0 < delta < floor/2"):
        atlasmoe.load(folder)
    resign(folder, lambda config: config["facts"].pop("delta"))
    with pytest.raises(FolderError, match="makes no promise"):
        atlasmoe.load(folder)


def test_every_word_of_a_design_comes_back() -> None:
    """Fields that are added to a design have to be read too: none of those here has its default."""
    promise = ScorePromise(1.0, 0.25, 0.5, True)
    site = Site("u", 1, ("a", "b"), 0, "plateau", promise, 0.125, True, True, 3, 0.5)
    for part in (promise, site, Join("w", 2, 0.5)):
        defaults = [field for field in fields(part) if field.default is not MISSING]
        assert all(getattr(part, field.name) != field.default for field in defaults)
    states = ((Input(0),), (Input(0), Score("u", "a"), Score("u", "b")), (Value("u"),), (Value("w"),))
    design = Design(states, (site,), (Join("w", 2, 0.5),), "residual", True)
    text = json.dumps(describe_design(design))
    assert read_design(Fields.of(json.loads(text), Path("config.json"))) == design


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"states": [["x"]]}, '"states" holds x, which is no channel'),
        ({"states": [[["input", -1]]]}, "which is no channel"),
        ({"states": [[["input", True]]]}, "which is no channel"),
        ({"states": ["x"]}, '"states" is not a list of lists'),
        ({"form": "loose"}, "form 'loose' is not one of paper, dense, residual"),
        ({"alone": 1}, '"alone" is not true or false'),
        ({"sites": []}, "its sites are not the blocks of the task"),
    ],
)
def test_designs_that_say_nonsense_are_refused(change: dict[str, Any], complaint: str, circle: Model, tmp_path: Path) -> None:
    folder = atlasmoe.save(circle, tmp_path / "m")
    resign(folder, lambda config: config["design"].update(change))
    with pytest.raises(FolderError, match=complaint):
        atlasmoe.load(folder)
