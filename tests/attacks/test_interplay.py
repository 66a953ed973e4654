"""Where rooms meet: dtypes and interfaces, ε and rounding, sizes and floats. Each was sought without end, told wrongly, or a traceback."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas import Block, Box, Combine, Input, TaskGraph, Tiling
from atlasmoe.atlas.spec import task_from_spec
from atlasmoe.cli.main import main
from atlasmoe.cli.options import WIDTHS
from atlasmoe.constructions.advice import WIDEST
from atlasmoe.constructions.relu import NARROWEST
from atlasmoe.constructions.relu.spline.knots import place
from atlasmoe.errors import EpsilonNotReached, InvalidArgument, LintError
from atlasmoe.moe import Known, Model
from atlasmoe.verify.check import CheckReport, check
from atlasmoe.verify.prove import Certificate, certify
from atlasmoe.verify.prove.interfaces import neighbours
from click.testing import CliRunner


def steps(*, at: float, dtype: str) -> Model:
    """Two pieces that jump."""
    block = Block.parse("k", ("u",), Tiling.intervals([-1, at, 1]), ["u/4", "1 - u"])
    return atlasmoe.compile(TaskGraph("steps", (Input("u", Box((-1.0,), (1.0,))), block), "k"), epsilon=0.05, dtype=dtype)


def interval(expression: str, lower: float = 0.0, upper: float = 1.0) -> atlasmoe.ManifoldTask:
    manifold = {"builtin": "interval", "domain": [lower, upper]}
    return task_from_spec({"task": {"name": "t"}, "manifold": manifold, "target": {"expression": expression}})


def checked(model: Model, certificate: Certificate, folder: Path) -> CheckReport:
    atlasmoe.save(model, folder)
    certificate.write(folder)
    return check(folder)


def test_an_interface_that_the_dtype_has_no_number_for_is_refuted(tmp_path: Path) -> None:
    """Between 0.3 and where the gate changes in float32 lies 10⁻⁸ of M: boxes were cut down to it two million times, and then were open."""
    model = steps(at=0.3, dtype="float32")
    certificate = certify(model, tightness=None)
    assert certificate.status is Known.REFUTED
    below, above = neighbours(0.3, np.dtype("float32"))
    assert f"write {below!r} or {above!r}" in certificate["total"].note
    assert checked(model, certificate, tmp_path / "m").verdict == "refuted"
    assert certify(steps(at=above, dtype="float32"), tightness=None).status is Known.PROVED
    assert certify(steps(at=0.3, dtype="float64"), tightness=None).status is Known.PROVED


def test_an_error_below_rounding_is_not_looked_for(tmp_path: Path) -> None:
    """ε is less than what float64 adds: a bound of −10⁻¹⁵ would have settled a box. The open certificate was rejected."""
    block = Block.parse("k", ("u",), Tiling.intervals([-1, 0.25, 1]), ["u/4", "1 - u"])
    graph = TaskGraph("steps", (Input("u", Box((-1.0,), (1.0,))), block), "k")
    model = atlasmoe.compile(graph, epsilon=0.05, dtype="float32")
    certificate = certify(model, epsilon=1e-17)
    assert certificate.status is Known.UNKNOWN
    assert sum(len(tree) for site in certificate.sites for tree in site.solution.trees.values()) == 512
    ((cause,),) = (causes for name, causes in certificate.diagnosis.items() if name == "block[k].error")
    assert "no more than what evaluation in float64 may add" in cause.what
    assert certify(model, epsilon=float(cause.remedy.split()[-3]), tightness=None).status is Known.PROVED
    assert checked(model, certificate, tmp_path / "m").verdict == "undecided"


def test_a_model_without_any_error_asks_for_an_epsilon() -> None:
    model = atlasmoe.compile(interval("1/2"), width=8)
    with pytest.raises(InvalidArgument, match="found to make no error at all"):
        certify(model)
    assert certify(model, epsilon=1e-6).status is Known.PROVED


@pytest.mark.parametrize(
    ("lower", "upper", "problem"),
    [
        (1e300, 2e300, "reaches beyond 1e"),
        (1e-310, 2e-310, "is shorter than 1e-75"),
        (1.0, float(np.nextafter(1.0, 2.0)), "only 1 float64 numbers"),
    ],
)
def test_boxes_beyond_floats_are_named(lower: float, upper: float, problem: str) -> None:
    with pytest.raises(LintError, match=problem):
        atlasmoe.compile(interval("x1", lower, upper), epsilon=1e-3)


def test_pieces_and_images_beyond_floats_are_named() -> None:
    tiling = Tiling.intervals([0, 0.25, 0.25 + 2.0**-50, 1])
    block = Block.parse("k", ("u",), tiling, ["u", "1 - u", "u"])
    graph = TaskGraph("t", (Input("u", Box((0.0,), (1.0,))), block, Combine.parse("f", ("k",), "2*k")), "f")
    with pytest.raises(LintError, match='piece "piece2": domain: only 16 float64 numbers'):
        atlasmoe.compile(graph, epsilon=0.1)
    large = {"builtin": "ellipsoid", "axes": [1e100, 2e100]}
    with pytest.raises(LintError, match='chart "north": inverse: reaches beyond'):
        atlasmoe.compile(
            task_from_spec({"task": {"name": "t"}, "manifold": large, "target": {"expression": "x1/1e100"}}),
            epsilon=0.1,
        )


def test_widths_on_the_command_line_are_those_of_compile() -> None:
    assert (WIDTHS.min, WIDTHS.max) == (NARROWEST, WIDEST)


def test_numbers_beyond_float32_are_named(tmp_path: Path) -> None:
    """Of logits that may overflow no η is known: the certificate could not be written. Of experts nothing is said in float32."""
    far = atlasmoe.compile(interval("x1/1e40", 0.0, 1e40), epsilon=0.1)
    with pytest.raises(InvalidArgument, match="its logits may overflow in float32: measure what it reads in other units"):
        certify(replace(far, network=far.network.astype(np.float32)), epsilon=0.1)
    with pytest.raises(EpsilonNotReached, match="numbers overflow there: measure"):
        atlasmoe.compile(interval("x1/1e40", 0.0, 1e40), epsilon=0.1, dtype="float32")
    near = atlasmoe.compile(interval("sin(x1/1e38)", 0.0, 3e38), epsilon=0.1)
    near = replace(near, network=near.network.astype(np.float32))
    certificate = certify(near, epsilon=0.1, tightness=None)
    assert (certificate["total"].known, certificate["total.float32"].known) == (Known.PROVED, Known.UNKNOWN)
    assert checked(near, certificate, tmp_path / "m").verdict == "undecided"


def test_a_full_disk_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's error names no file: it was "[Errno 28] No space left on device"."""

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = atlasmoe.save(steps(at=0.25, dtype="float64"), tmp_path / "m")
    monkeypatch.setattr(Path, "write_text", full)
    done = CliRunner().invoke(main, ["report", str(folder), "-o", str(tmp_path / "page.html")])
    assert (done.exit_code, "free some space or choose another place" in done.output) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_an_infinite_tightness_is_no_number() -> None:
    """No certificate could be written that asked for it."""
    with pytest.raises(InvalidArgument, match="got inf: None asks for ε alone"):
        certify(steps(at=0.25, dtype="float64"), tightness=float("inf"))


def test_pieces_are_placed_by_densities_that_floats_can_add_up() -> None:
    """Tables of values of 1e-310 kept compile busy for ever: counts of pieces were whole numbers made of NaN."""
    edges, breaks = np.linspace(0.0, 1.0, 9), np.array([0.0, 1.0])
    for density in (np.nan, np.inf, 1e308):
        assert place(edges, np.full(8, density), breaks, 4) == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
    with pytest.raises(InvalidArgument, match="too small or too large for floats"):
        place(np.array([0.0, np.nan]), np.ones(1), breaks, 4)
