"""Tables in specs: read, called, written back, compiled, proved and checked; and files that are none."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import re
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from atlasmoe import check, load, save
from atlasmoe.atlas import ChartTarget, TaskGraph, lint, load_task, task_from_spec, task_to_spec
from atlasmoe.atlas.spec import npz
from atlasmoe.atlas.spec.npz import beside, read_npz
from atlasmoe.errors import FolderError, InvalidArgument, Severity, SpecError
from atlasmoe.front.compile import compile
from atlasmoe.intervals.splines import interpolant
from atlasmoe.moe.ledger import Known
from atlasmoe.moe.typed_json import canonical
from atlasmoe.verify.prove import certify
from certificates import bind, certified
from numpy.typing import NDArray
from safetensors import numpy as safetensors

BAND = """
[task]
name = "band"
[manifold]
ambient = ["x", "y", "z"]
intrinsic = ["lon", "lat"]
[[chart]]
name = "west"
domain = [[-2.2, 2.2], [-1, 1]]
boundary = [[false, false], [true, true]]
inverse = ["cos(lat)*cos(lon)", "cos(lat)*sin(lon)", "sin(lat)"]
forward = ["atan2(y, x)", "asin(z)"]
[[chart]]
name = "east"
domain = [[1.0, 5.2], [-1, 1]]
boundary = [[false, false], [true, true]]
inverse = ["cos(lat)*cos(lon)", "cos(lat)*sin(lon)", "sin(lat)"]
forward = ["pi + atan2(-y, -x)", "asin(z)"]
[target]
table = "data/field.npz"
coordinates = "chart"
interpolation = "bicubic"
"""
PIECES = """
[task]
name = "pieces"
kind = "graph"
output = "out"
[[table]]
name = "T"
file = "line.npz"
axes = "t"
interpolation = "bilinear"
[[table]]
name = "S"
file = "line.npz"
axes = "t"
values = ["values", "other"]
interpolation = "bicubic"
[[input]]
name = "t"
domain = [0, 1]
[[block]]
name = "a"
reads = ["t"]
[[block.piece]]
domain = [0, 0.5]
expression = "T(t)"
[[block.piece]]
domain = [0.5, 1]
expression = "S_1(t) + 0.1*S_2(1 - t)**2"
[[combine]]
name = "out"
expression = "a*a + 0.5*a"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    lon, lat = np.linspace(0, 2 * np.pi, 13), np.linspace(-1, 1, 7)
    values = np.cos(lat) ** 2 + 0.2 * np.outer(np.sin(2 * lon), np.cos(lat))
    values[-1] = values[0]
    np.savez(tmp_path / "data" / "field.npz", lon=lon, lat=lat, values=values)
    t = np.linspace(0, 1, 6)
    np.savez(tmp_path / "line.npz", t=t, values=np.sin(3 * t), other=t**2)
    (tmp_path / "band.toml").write_text(BAND + 'periodic = ["lon"]\n')
    (tmp_path / "pieces.toml").write_text(PIECES)
    return tmp_path


def test_a_table_in_chart_coordinates_is_one_function(folder: Path) -> None:
    task = load_task(folder / "band.toml")
    assert lint(task) == []
    assert isinstance(task.target, ChartTarget)
    points = np.array([[np.cos(3.0) * np.cos(0.5), np.sin(3.0) * np.cos(0.5), np.sin(0.5)]])
    assert task(points) == pytest.approx(np.cos(0.5) ** 2 + 0.2 * np.sin(6.0) * np.cos(0.5), abs=0.02)


def test_charts_have_to_agree(folder: Path) -> None:
    """One table of the angle of two charts that count it from opposite points."""
    chart = '[[chart]]\nname = "{0}"\ndomain = [[-2, 2]]\ninverse = ["{1}cos(t)", "{1}sin(t)"]\nforward = ["atan2({1}y, {1}x)"]\n'
    text = '[task]\nname = "circle"\n[manifold]\nambient = ["x", "y"]\nintrinsic = ["t"]\n' + chart.format("r", "") + chart.format("l", "-")
    np.savez(folder / "angle.npz", t=np.linspace(-2, 2, 9), values=np.linspace(-2, 2, 9) ** 3)
    (folder / "circle.toml").write_text(f'{text}[target]\ntable = "angle.npz"\ncoordinates = "chart"\ninterpolation = "linear"\n')
    found = [finding for finding in lint(load_task(folder / "circle.toml")) if "differs" in finding.problem]
    assert len(found) == 1
    assert found[0].witness is not None


def test_a_table_that_ends_too_soon_is_found(folder: Path) -> None:
    (folder / "band.toml").write_text(BAND)
    problems = [finding.problem for finding in lint(load_task(folder / "band.toml"))]
    assert any("lie in [0, 6.28319] × [-1, 1]" in problem for problem in problems)


def test_kinks_of_linear_tables_are_warned_of(folder: Path) -> None:
    for word, count in (("bilinear", 1), ("bicubic", 0)):
        (folder / "band.toml").write_text(BAND.replace("bicubic", word) + 'periodic = ["lon"]\n')
        found = lint(load_task(folder / "band.toml"))
        assert ["kink" in finding.problem and finding.severity is Severity.WARNING for finding in found] == [True] * 2 * count


def test_the_example_is_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "examples")
    table_field = importlib.import_module("table_field")
    np.savez(tmp_path / "temperature.npz", **table_field.grid())
    (tmp_path / "temperature.toml").write_text(table_field.SPEC)
    assert lint(load_task(tmp_path / "temperature.toml")) == []


@pytest.mark.parametrize("name", ["band", "pieces"])
def test_what_is_written_is_what_was_read(folder: Path, name: str) -> None:
    task = load_task(folder / f"{name}.toml")
    spec, arrays = task_to_spec(task)
    again = task_from_spec(spec, arrays=arrays)
    assert task_to_spec(again)[0] == spec
    if isinstance(task, TaskGraph):
        points = np.linspace(0, 1, 50)[:, None]
        assert np.array_equal(task(points), again(points))
    arrays = dict(arrays)
    missing = {key: array for key, array in arrays.items() if not key.endswith("coefficients")}
    for wrong in (missing, arrays | {"table/Q/axis1": np.zeros(3)}, {k: a.astype(np.float32) for k, a in arrays.items()}):
        with pytest.raises(SpecError):
            task_from_spec(spec, arrays=wrong)
    with pytest.raises(SpecError, match="beside a spec file only"):
        task_from_spec({**spec, "table": [{"name": "T", "file": "x.npz", "axes": ["t"], "interpolation": "linear"}]})


def test_pieces_with_tables_are_proved_and_a_changed_table_is_not(folder: Path) -> None:
    model = compile(load_task(folder / "pieces.toml"), epsilon=0.05)
    certificate = certify(model)
    assert certificate.status is Known.PROVED
    save(model, folder / "out")
    certificate.write(folder / "out")
    (folder / "line.npz").unlink()
    assert check(folder / "out").confirmed
    points = np.linspace(0, 1, 101)[:, None]
    assert np.abs(load(folder / "out").network(points) - model.task(points)).max() <= certificate.bound
    arrays = folder / "out" / "atlas.safetensors"
    data = arrays.read_bytes()
    arrays.write_bytes(data[:-8] + struct.pack("<d", 0.123))
    with pytest.raises(FolderError, match="changed"):
        load(folder / "out")
    assert not check(folder / "out").confirmed


def other_arrays(folder: Path, copy: Path, change: Callable[[dict[str, NDArray]], object]) -> Path:
    """A copy whose table is another one, with all hashes right again."""
    shutil.copytree(folder, copy)
    arrays = {name: array.copy() for name, array in safetensors.load_file(copy / "atlas.safetensors").items()}
    change(arrays)
    (copy / "atlas.safetensors").write_bytes(safetensors.save(arrays, metadata={"schema": "2"}))
    config = json.loads((copy / "config.json").read_text())
    data = (copy / "atlas.safetensors").read_bytes()
    config["files"]["atlas.safetensors"] |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    config.pop("digest")
    config["digest"] = hashlib.sha256(canonical(config)).hexdigest()
    (copy / "config.json").write_text(json.dumps(config))
    certificate = json.loads((copy / "certificate.json").read_text())
    bind(copy, certificate)
    (copy / "certificate.json").write_text(json.dumps(certificate))
    return copy


def test_a_proof_of_one_table_is_none_of_another(folder: Path) -> None:
    x, y = np.linspace(0, 1, 5), np.linspace(0, 1, 4)
    np.savez(folder / "box.npz", x1=x, x2=y, values=np.outer(x, y**2))
    (folder / "box.toml").write_text(
        '[task]\nname = "box"\n[manifold]\nbuiltin = "box"\n[target]\ntable = "box.npz"\ncoordinates = "ambient"\n'
        'interpolation = "bicubic"\n'
    )
    whole = certified(compile(load_task(folder / "box.toml"), epsilon=0.1), folder / "whole")
    assert check(other_arrays(whole, folder / "kept", id)).verdict == "confirmed"

    def up(arrays: dict[str, NDArray]) -> None:
        arrays["table/table/coefficients"][0, 2, 1] += 0.8

    def short(arrays: dict[str, NDArray]) -> None:
        arrays["table/table/axis1"][-1] = np.nextafter(1.0, 0)

    def odd(arrays: dict[str, NDArray]) -> None:
        arrays["table/table/coefficients"][0, 0, 0] = np.nan

    def turned(arrays: dict[str, NDArray]) -> None:
        arrays["table/table/axis1"] = arrays["table/table/axis1"][::-1]

    assert check(other_arrays(whole, folder / "up", up)).verdict == "rejected"
    assert not check(other_arrays(whole, folder / "short", short)).holds
    for name, change in (("odd", odd), ("turned", turned)):
        with pytest.raises(FolderError):
            check(other_arrays(whole, folder / name, change))


def packed(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def header(shape: str, descr: str = "'<f8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def as_bytes(array: NDArray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (header("(1000000000000,)") + b"\0" * 8, "is said to have"),
        (header("(2, -1)") + b"\0" * 8, "is said to have|is no array"),
        (header("(1,)", "'|O'") + b"\0" * 8, "not numbers"),
        (header("(1,)", "__import__('os')") + b"\0" * 8, "is no array"),
        (header("(1,)", "'<c16'") + b"\0" * 16, "complex numbers"),
        (header("(1,)", "[('a', '<f8')]") + b"\0" * 8, "not numbers"),
        (header("(3,)")[:30], "is no array"),
        (b"", "is no array"),
        (b"\x93NUMPY\x09\x00" + b"\0" * 80, "is no array"),
        (as_bytes(np.array(["a"])), "not numbers"),
        (as_bytes(np.array([None])), "not numbers"),
        (as_bytes(np.array([2**60 + 1])), "beyond 2"),
        (header("(2,)") + b"\0" * 15, "is said to have"),
    ],
)
def test_arrays_that_are_none(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        read_npz(packed(tmp_path / "a.npz", x=data), ("x",))


def test_files_that_unpack_to_too_much_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MAX_BYTES", 1 << 16)
    bomb = packed(tmp_path / "bomb.npz", x=header("(1000000,)") + b"\0" * 8_000_000)
    assert bomb.stat().st_size < 1 << 16
    with pytest.raises(InvalidArgument, match="bytes"):
        read_npz(bomb, ("x",))
    # A directory that lies about the size: no more is unpacked than it states.
    data = bytearray(bomb.read_bytes())
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 1000)
    (tmp_path / "liar.npz").write_bytes(bytes(data))
    with pytest.raises(InvalidArgument):
        read_npz(tmp_path / "liar.npz", ("x",))


@pytest.mark.parametrize(
    ("axes", "shape", "words"),
    [
        ([(4,), (6,)], (6, 4), r"lengths 4 × 6 \(a, b\); turn them with transpose\(1, 0\), or list the axes"),
        ([(4,), (6,)], (6, 4, 2), r"transpose\(1, 0, 2\)"),
        ([(4,), (6,), (5,)], (6, 5, 4), r"transpose\(2, 0, 1\)"),
        ([(4,), (6,)], (4, 5), "give them that shape"),
        ([(4, 1), (6,)], (4, 6), r"axis 'a' has the shape \(4, 1\).*ravel"),
        ([(1,), (6,)], (1, 6), "axis 'a' has 1 point, .*more points"),
    ],
)
def test_what_does_not_fit_says_what_would(axes: list[tuple[int, ...]], shape: tuple[int, ...], words: str) -> None:
    grids = [np.linspace(0, 1, int(np.prod(one))).reshape(one) for one in axes]
    values = np.random.default_rng(0).normal(size=shape)
    with pytest.raises(InvalidArgument, match=words):
        interpolant("T", grids, values, 1, called=("a", "b", "c")[: len(axes)])
    if found := re.search(r"transpose(\(.*?\))", words.replace("\\", "")):
        order = [int(k) for k in found[1].strip("()").split(", ")]
        interpolant("T", grids, values.transpose(order), 1)


def test_numbers_of_any_kind_are_read(tmp_path: Path) -> None:
    a = np.arange(6).reshape(2, 3)
    np.savez_compressed(tmp_path / "a.npz", i=a, f=np.asfortranarray(a.astype(np.float32)), b=a.astype(">f8"))
    found = read_npz(tmp_path / "a.npz", ("i", "f", "b"))
    assert all(np.array_equal(one, a) for one in found.values())


def test_tables_lie_beside_the_spec(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "a.npz").write_bytes(b"")
    (tmp_path / "inside" / "link.npz").symlink_to(tmp_path / "a.npz")
    assert beside(tmp_path, "a.npz") == tmp_path / "a.npz"
    for wrong in ("../a.npz", str(tmp_path / "a.npz"), "link.npz", "x/../../a.npz", "..\\a.npz", "nowhere.npz", ".", ""):
        with pytest.raises(InvalidArgument):
            beside(tmp_path / "inside", wrong)
