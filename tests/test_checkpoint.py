"""Checkpoints: what an interrupted proof goes on from is where boxes were cut, never what was said of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.errors import FolderError
from atlasmoe.moe import Affine, Known, Model, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.moe.strict import parse_tensors
from atlasmoe.verify.prove import certify
from atlasmoe.verify.prove.tree import Search, children_of
from safetensors import numpy as safetensors

EPSILON, SPIKE, WIDTH = 0.02, 0.37123, 1e-7
"""A network that is right within ε but for a spike, too narrow to be sampled, at one point."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    spec = tmp_path_factory.mktemp("spec") / "t.toml"
    spec.write_text('[task]\nname="i"\n[manifold]\nbuiltin="interval"\ncharts=3\n[target]\nexpression="exp(x1)"\n')
    return atlasmoe.compile(atlasmoe.load_task(str(spec)), epsilon=EPSILON)


@pytest.fixture(scope="module")
def spiked(model: Model) -> Network:
    """Three more neurons in every expert: a hat of height 50 over an interval of 2e-7."""

    def with_hat(net: ReLUNet) -> ReLUNet:
        inner, outer = net.affines
        ones, x = np.eye(1, inner.weight.shape[1]).repeat(3, 0), np.array([SPIKE - WIDTH, SPIKE, SPIKE + WIDTH])
        first = Affine(np.concatenate([inner.weight, ones]), np.concatenate([inner.bias, -x]))
        last = Affine(np.concatenate([outer.weight, 50 / WIDTH * np.array([[1.0, -2.0, 1.0]])], 1), outer.bias)
        return ReLUNet((first, last), ((NeuronGroup("n", len(first.bias), "by hand"),),))

    *before, last = model.network.layers
    layer: MoELayer = replace(last, experts=tuple(with_hat(net) for net in last.experts))
    network = Network((*before, layer), model.network.inputs)
    assert abs(network(np.array([[SPIKE]]))[0, 0] - np.exp(SPIKE)) > 1
    return network


def interrupted(network: Network, model: Model, place: Path) -> str:
    """Stop a proof early, and return the key of what it left."""
    certificate = certify(network, model.task, epsilon=EPSILON, boxes=300, checkpoint=place)
    assert certificate.status is Known.UNKNOWN
    return parse_tensors(place.read_bytes(), place)[1]["key"]


def believing(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a search that believed its file would take for settled boxes: every name that ever stood in one."""
    found = dict(arrays)
    for name in arrays:
        leaves = (len(arrays[name]) + 1) // 2
        found[f"{name}/nodes"], found[f"{name}/volume"] = np.array([len(arrays[name])]), np.array([1.0])
        found[f"{name}/leaves.number"], found[f"{name}/leaves.size"] = np.arange(leaves), np.zeros(leaves, int)
        found[f"{name}/leaves.tag"], found[f"{name}/leaves.bound"] = np.full(leaves, 1, np.uint8), np.zeros(leaves)
        found[f"{name}/lowest"], found[f"{name}/highest"], found[f"{name}/found"] = np.zeros(1), np.zeros(1), np.zeros(1)
    return found


POISONS = {
    "believed": believing,
    "coarse": lambda arrays: dict.fromkeys(arrays, np.array([1, 0, 0], np.uint8)),
    "one leaf": lambda arrays: dict.fromkeys(arrays, np.zeros(1, np.uint8)),
    "no tree": lambda arrays: dict.fromkeys(arrays, np.array([0, 0, 1], np.uint8)),
    "other sides": lambda arrays: dict.fromkeys(arrays, np.array([9, 0, 0], np.uint8)),
    "no cuts": lambda arrays: dict.fromkeys(arrays, np.ones(3)),
    "too deep": lambda arrays: dict.fromkeys(arrays, np.array([1, 0] * 60 + [0], np.uint8)),
    "nothing": lambda arrays: {},
}


@pytest.mark.parametrize("poison", POISONS)
def test_nothing_in_a_checkpoint_is_believed(poison: str, spiked: Network, model: Model, tmp_path: Path) -> None:
    place = tmp_path / "progress"
    key = interrupted(spiked, model, place)
    arrays = safetensors.load_file(place)
    place.write_bytes(safetensors.save(POISONS[poison](arrays), metadata={"key": key}))
    certificate = certify(spiked, model.task, epsilon=EPSILON, tightness=None, boxes=4000, checkpoint=place)
    assert certificate.status is not Known.PROVED


@pytest.mark.parametrize("poison", POISONS)
def test_a_true_proof_is_none_the_worse(poison: str, model: Model, tmp_path: Path) -> None:
    place, options = tmp_path / "progress", {"epsilon": EPSILON, "tightness": 1.1}
    key = parse_tensors(_left(model, place, **options).read_bytes(), place)[1]["key"]
    arrays = safetensors.load_file(place)
    place.write_bytes(safetensors.save(POISONS[poison](arrays), metadata={"key": key}))
    certificate = certify(model.network, model.task, **options, checkpoint=place)  # type: ignore[arg-type]
    assert certificate.status is Known.PROVED
    assert not place.exists()


def _left(model: Model, place: Path, **options: float) -> Path:
    certify(model.network, model.task, **options, boxes=300, checkpoint=place)  # type: ignore[arg-type]
    assert place.is_file()
    return place


def test_damaged_files_are_as_good_as_none(model: Model, tmp_path: Path) -> None:
    place = tmp_path / "progress"
    good = _left(model, place, epsilon=EPSILON).read_bytes()
    for bad in (b"", b"\0" * 64, good[:-1], good + b"\0", good[:40], b"{}" * 99):
        place.write_bytes(bad)
        with pytest.raises(FolderError):
            parse_tensors(bad, place)
        assert certify(model.network, model.task, epsilon=EPSILON, checkpoint=place).status is Known.PROVED


def test_what_is_left_is_cuts_alone(model: Model, tmp_path: Path) -> None:
    """A tree in preorder for every search, and a key: nothing that somebody could believe."""
    arrays, metadata = parse_tensors(_left(model, tmp_path / "progress", epsilon=EPSILON).read_bytes(), tmp_path)
    assert set(metadata) == {"key"}
    assert len(arrays) == 3
    for cuts in arrays.values():
        assert cuts.dtype == np.uint8
        children_of(cuts)
    json.dumps(metadata)


def test_resumed_cuts_give_the_same_boxes() -> None:
    rng = np.random.default_rng(0)
    lower, upper = np.array([-1.0, 0.25]), np.array([0.5, 1.0])
    search = Search(lower, upper)
    for _ in range(4):
        number, depth, low, high = search._take(100)
        search._cut(number, depth, low, high, rng.integers(0, 2, len(number)))
    again = Search.resumed(lower, upper, search.so_far())
    assert again is not None
    before, after = search.tree(), again.tree()
    np.testing.assert_array_equal(before.cuts, after.cuts)
    for ours, theirs in zip(before.leaves(), after.leaves(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (after.tags == 255).all()
    assert again.nodes == search.nodes
