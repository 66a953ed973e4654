"""`save` and `load`: bit-exact, all or nothing, and every damaged folder is a FolderError that names the file."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas import ExpressionTarget, ManifoldTask, builtin, embed, task_to_spec
from atlasmoe.atlas.graph import expression_map
from atlasmoe.atlas.spec import task_from_spec
from atlasmoe.errors import FolderError, InvalidArgument, SpecError
from atlasmoe.export import folder as folder_module
from atlasmoe.moe import Affine, Claim, Known, Ledger, Model, MoELayer, Network
from folders import arrays, assert_same_places, resign

FILES = {"model.safetensors", "config.json", "task.toml", "ledger.json", "README.md"}


@pytest.fixture
def saved(circle: Model, tmp_path: Path) -> Path:
    return atlasmoe.save(circle, tmp_path / "circle")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_roundtrip_is_bit_exact(dtype: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model: Model = request.getfixturevalue("circle" if dtype == "float64" else "circle32")
    folder = atlasmoe.save(model, tmp_path / "m")
    assert {path.name for path in folder.iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["m"], "nothing temporary is left"
    again = atlasmoe.load(folder)
    for ours, theirs in zip(arrays(again.network), arrays(model.network), strict=True):
        assert ours.dtype == theirs.dtype == dtype
        assert ours.tobytes() == theirs.tobytes()
    assert again.ledger == model.ledger
    assert again.facts == model.facts
    assert again.network.inputs == model.network.inputs
    assert_same_places(again.network, model.network)
    assert again.design == model.design
    points = model.task.atlas.sample(100, seed=0)
    np.testing.assert_array_equal(again(points.ambient), model(points.ambient))
    np.testing.assert_array_equal(again.task(points.ambient), model.task(points.ambient))


def test_a_design_of_other_blocks_is_refused(saved: Path) -> None:
    resign(saved, lambda config: config["design"]["sites"][0].update(pieces=["east", "north", "west"]))
    with pytest.raises(FolderError, match="its sites are not the blocks of the task"):
        atlasmoe.load(saved)
    resign(saved, lambda config: config.pop("design"))
    with pytest.raises(FolderError, match='"design" is missing'):
        atlasmoe.load(saved)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"epsilon": 1e-6}, "epsilon is 1e-06, but the budget of the ledger's 'total' is 0.02"),
        ({"quantised": "int8"}, "quantised is 'int8', but the ledger has no such claim"),
    ],
)
def test_facts_that_the_ledger_does_not_say_are_refused(facts: dict[str, Any], message: str, saved: Path) -> None:
    resign(saved, lambda config: config["facts"].update(facts))
    with pytest.raises(FolderError, match=message):
        atlasmoe.load(saved)


def test_what_the_spec_says_of_its_arrays_has_to_be_so() -> None:
    def read(**said: object) -> object:
        made = embed(builtin("circle", atlas="ball", charts=12), 3, seed=1)
        spec, arrays = task_to_spec(ManifoldTask("t", made, ExpressionTarget(expression_map(made.coordinates, "x1"))))
        spec["manifold"] |= {key: value for key, value in said.items() if key != "embed"}
        spec["manifold"]["embed"] |= said.get("embed", {})  # type: ignore[operator]
        return task_from_spec(spec, arrays=arrays)

    assert read()
    for said, message in (
        ({"embed": {"dimension": 5}}, "the dimension is 5, but the arrays embed in R.3"),
        ({"embed": {"seed": 2}}, "seed 2 does not make the embedding of the arrays"),
        ({"charts": 13}, "there are to be 13 balls, but the arrays have 12"),
        ({"radius": 7.0}, "the radius is 7.0, but the arrays have"),
    ):
        with pytest.raises(SpecError, match=message):
            read(**said)


def test_saving_again_gives_the_same_files(saved: Path, tmp_path: Path) -> None:
    again = atlasmoe.save(atlasmoe.load(saved), tmp_path / "again")
    for name in FILES:
        assert (again / name).read_bytes() == (saved / name).read_bytes(), name


def test_infinite_bounds_survive_as_valid_json(circle: Model, tmp_path: Path) -> None:
    claim = Claim("open", "nobody knows", "B8", math.inf, math.nan, Known.UNKNOWN, witness=(0.0, 1.0), note="∞")
    folder = atlasmoe.save(replace(circle, ledger=Ledger(replace(circle.ledger.root, children=(claim,)))), tmp_path / "m")
    text = (folder / "ledger.json").read_text()
    json.loads(text, parse_constant=lambda token: pytest.fail(f"{token} is not JSON"))
    read = atlasmoe.load(folder).ledger["open"]
    assert (read.budget, read.witness) == (math.inf, (0.0, 1.0))
    assert math.isnan(read.bound)


def test_card_says_what_it_is_and_its_code_runs(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (saved / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: atlasmoe\n")
    for fact in ("`x*y`", "| theorem | 4.8 |", "| experts E | 3 |", "4 / 40", "| dtype | float64 |", "sampled (2,000 points)"):
        assert fact in card, fact
    code = card.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(saved)
    scope: dict[str, Any] = {}
    exec(code, scope)
    assert scope["y"].shape == (1, 1)


# overwriting


def test_existing_folder_is_refused_and_replaced_on_request(saved: Path, circle32: Model) -> None:
    before = (saved / "config.json").read_bytes()
    with pytest.raises(FolderError, match=r"exists already.*--force"):
        atlasmoe.save(circle32, saved)
    assert (saved / "config.json").read_bytes() == before
    atlasmoe.save(circle32, saved, overwrite=True)
    assert atlasmoe.load(saved).network.dtype == np.float32
    assert [path.name for path in saved.parent.iterdir()] == ["circle"]


def test_force_is_offered_only_where_it_would_do(circle: Model, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(FolderError, match=r"exists already: it holds a\.txt") as caught:
        atlasmoe.save(circle, tmp_path / "notes")
    assert "--force" not in str(caught.value)


def test_git_lfs_is_mentioned_where_it_is_the_cause(saved: Path) -> None:
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(FolderError, match="restore it or compile"):
        atlasmoe.load(saved)
    weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n")
    with pytest.raises(FolderError, match="run git lfs pull"):
        atlasmoe.load(saved)


def test_strangers_are_never_replaced(circle: Model, saved: Path, tmp_path: Path) -> None:
    (saved / "thesis.tex").write_text("years of work")
    with pytest.raises(FolderError, match=r"holds thesis\.tex"):
        atlasmoe.save(circle, saved, overwrite=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "README.md").write_text("not a model")
    with pytest.raises(FolderError, match="not a model that atlasmoe wrote"):
        atlasmoe.save(circle, other, overwrite=True)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.json").write_text('{"model_type": "llama"}')
    (foreign / "model.safetensors").write_bytes(b"precious")
    with pytest.raises(FolderError, match="not a model that atlasmoe wrote"):
        atlasmoe.save(circle, foreign, overwrite=True)
    with pytest.raises(FolderError, match="is a file"):
        atlasmoe.save(circle, saved / "thesis.tex", overwrite=True)
    assert (saved / "thesis.tex").read_text() == "years of work"
    assert (foreign / "model.safetensors").read_bytes() == b"precious"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert atlasmoe.save(circle, empty) == empty


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_interrupted_save_leaves_everything_as_it_was(
    failure: BaseException, circle32: Model, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    written = 0
    write = Path.write_bytes

    def fail_late(path: Path, data: bytes) -> int:
        nonlocal written
        written += 1
        if written == 3:
            raise failure
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fail_late)
    expected = FolderError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        atlasmoe.save(circle32, saved, overwrite=True)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert [path.name for path in saved.parent.iterdir()] == ["circle"]


def test_failed_rename_brings_the_old_model_back(circle32: Model, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def fail_in_place(path: Path, target: Path) -> Path:
        if path.name.endswith(".partial"):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_in_place)
    with pytest.raises(KeyboardInterrupt):
        atlasmoe.save(circle32, saved, overwrite=True)
    assert atlasmoe.load(saved).network.dtype == np.float64
    assert [path.name for path in saved.parent.iterdir()] == ["circle"]


def test_weights_that_are_not_finite_are_not_saved(circle: Model, tmp_path: Path) -> None:
    first, last = circle.network.layers
    gate = Affine(np.full((3, 5), np.nan), np.zeros(3))
    broken = Network((first, MoELayer(gate, last.experts, last.serves, last.names, last.channels, last.reads)), circle.network.inputs)
    with pytest.raises(InvalidArgument, match=r"layers\.1\.gate\.weight has weights that are not finite"):
        atlasmoe.save(replace(circle, network=broken), tmp_path / "m")
    assert not list(tmp_path.iterdir())


# damage


@pytest.mark.parametrize("name", sorted(FILES))
def test_any_changed_truncated_missing_or_swapped_file_is_found(name: str, saved: Path) -> None:
    path = saved / name
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(good), 40):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1 << rng.integers(8)]) + good[position + 1 :])
        with pytest.raises(FolderError, match=name):
            atlasmoe.load(saved)
    for length in (0, 1, len(good) // 2, len(good) - 2):  # the last byte may be a newline
        path.write_bytes(good[:length])
        with pytest.raises(FolderError, match=name):
            atlasmoe.load(saved)
    path.write_bytes((saved / next(other for other in sorted(FILES) if other != name)).read_bytes())
    with pytest.raises(FolderError):
        atlasmoe.load(saved)
    path.unlink()
    with pytest.raises(FolderError, match=name):
        atlasmoe.load(saved)
    path.mkdir()
    with pytest.raises(FolderError, match=name):
        atlasmoe.load(saved)


def test_no_folder_and_no_model(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"nothing: there is no such folder; `atlasmoe compile SPEC -o"):
        atlasmoe.load(tmp_path / "nothing")
    with pytest.raises(FolderError, match=r"no model folder, it has no config\.json"):
        atlasmoe.load(tmp_path)


def test_weights_of_another_model_are_refused_even_when_signed(saved: Path, circle32: Model, tmp_path: Path) -> None:
    other = atlasmoe.save(circle32, tmp_path / "other")
    (saved / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    resign(saved)
    with pytest.raises(FolderError, match=r"layers\.0\..* is float32, but config\.json says float64"):
        atlasmoe.load(saved)


@pytest.mark.parametrize("name", ["model.safetensors", "task.toml", "ledger.json"])
def test_signed_garbage_is_refused(name: str, saved: Path) -> None:
    good = (saved / name).read_bytes()
    header = b'{"a":{"dtype":"F64","shape":[9999999],"data_offsets":[0,8]}}'
    for garbage in (
        b"",
        b"\x00" * 100,
        b"\xff\xfe",
        good[:-9],
        b"[" * 100_000,
        b"[[a]]",
        len(header).to_bytes(8, "little") + header,
        b"{}",
    ):
        (saved / name).write_bytes(garbage)
        resign(saved)
        with pytest.raises(FolderError, match=name):
            atlasmoe.load(saved)


def mutations(document: Any, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    """Every place in a JSON document, with a value of a wrong type or out of range to put there."""
    found: list[tuple[tuple[str | int, ...], Any]] = []
    items = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for key, value in items:
        wrong: tuple[Any, ...] = (None, True, -1, 10**30, "?", [], [[0]], {}) if not isinstance(value, str) else (None, 0, [], {})
        found += [((*path, key), bad) for bad in wrong]
        found += mutations(value, (*path, key))
    return found


def put(document: Any, path: tuple[str | int, ...], value: Any) -> None:
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


@pytest.mark.parametrize("name", ["config.json", "ledger.json"])
def test_wrong_types_in_signed_json_never_give_a_traceback(name: str, saved: Path) -> None:
    """Each mutation either gives a FolderError or a model; free text such as names may be anything."""
    original = {file: (saved / file).read_bytes() for file in FILES}
    places = mutations(json.loads(original[name]))
    rng = np.random.default_rng(1)
    refused, tried = 0, rng.permutation(len(places))[:150]
    for k in tried:
        path, bad = places[k]
        if name == "config.json":
            resign(saved, lambda config, path=path, bad=bad: put(config, path, bad))  # type: ignore[misc]
        else:
            document = json.loads(original[name])
            put(document, path, bad)
            (saved / name).write_text(json.dumps(document))
            resign(saved)
        try:
            atlasmoe.load(saved)
        except FolderError as error:
            refused += 1
            assert str(saved) in str(error)  # noqa: PT017
        for file, data in original.items():
            (saved / file).write_bytes(data)
    assert refused > len(tried) / 2


def test_other_schema_version_is_named(saved: Path) -> None:
    resign(saved, lambda config: config.update(schema=3))
    with pytest.raises(FolderError, match=r"config\.json: has schema version 3, this version of atlasmoe reads 1 and 2"):
        atlasmoe.load(saved)


def test_oversized_text_is_not_read(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "TEXT_LIMIT", 100)
    with pytest.raises(FolderError, match=r"config\.json: has more than 100 bytes"):
        atlasmoe.load(saved)


def test_files_outside_the_folder_cannot_be_listed(saved: Path) -> None:
    resign(saved, lambda config: config["files"].update({"../secret": {"bytes": 1, "sha256": "", "schema": 1}}))
    with pytest.raises(FolderError, match=r"unknown file \.\./secret"):
        atlasmoe.load(saved)


def test_large_arrays_of_the_task_go_into_a_file_of_their_own(circle: Model, tmp_path: Path) -> None:
    """An embedding into R⁵, given as a matrix, comes back bit for bit, and is guarded like the weights."""
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 2)))[0]
    task = replace(circle.task, atlas=replace(circle.task.atlas, embedding=Q))
    unembed = Affine(Q.T.copy(), np.zeros(2))
    first, last = circle.network.layers
    nets = tuple(type(net)((net.affines[0].after(unembed), *net.affines[1:]), net.groups) for net in first.experts)
    layer = MoELayer(first.gate.affine.after(unembed), nets, first.serves, first.names, first.channels)
    model = replace(circle, task=task, network=Network((layer, last), tuple(f"x[{k}]" for k in range(5))), design=None)
    folder = atlasmoe.save(model, tmp_path / "m")
    assert {path.name for path in folder.iterdir()} == {*FILES, "atlas.safetensors"}
    again = atlasmoe.load(folder)
    assert again.task.atlas.embedding is not None
    assert again.task.atlas.embedding.tobytes() == Q.tobytes()
    x = task.atlas.sample(50, seed=0).ambient
    np.testing.assert_array_equal(again(x), model(x))
    np.testing.assert_allclose(again(x), task(x), atol=0.02)
    path = folder / "atlas.safetensors"
    good = path.read_bytes()
    for bad in (good[:-1], good[:-1] + bytes([good[-1] ^ 1]), b""):
        path.write_bytes(bad)
        with pytest.raises(FolderError, match=r"atlas\.safetensors"):
            atlasmoe.load(folder)
        resign(folder)
        if bad != good[:-1] + bytes([good[-1] ^ 1]):  # a signed flip of the last bit is another isometry, nearly
            with pytest.raises(FolderError, match=r"atlas\.safetensors"):
                atlasmoe.load(folder)


def test_a_python_target_is_given_again_on_load(circle: Model, tmp_path: Path) -> None:
    target = atlasmoe.CallableTarget(lambda points: points[:, :1] * points[:, 1:], 1, "product")
    folder = atlasmoe.save(replace(circle, task=replace(circle.task, target=target)), tmp_path / "m")
    points = circle.task.atlas.sample(20, seed=0)
    without = atlasmoe.load(folder)
    np.testing.assert_array_equal(without(points.ambient), circle(points.ambient))
    assert without.explain(points.ambient[0]).truth is None
    with pytest.raises(atlasmoe.InvalidArgument, match=r"the Python function 'product', which no file can hold; pass it when loading"):
        atlasmoe.verify(without, samples=10)
    np.testing.assert_array_equal(atlasmoe.load(folder, target=target).task(points.ambient), circle.task(points.ambient))
