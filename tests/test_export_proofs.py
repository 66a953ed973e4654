"""Certificates and the forms in which models leave the house: what is proved for which engine, what that assumes, and that it holds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import sympy
import torch
from atlasmoe.atlas import ExpressionMap, ExpressionTarget, ManifoldTask
from atlasmoe.cli.main import main
from atlasmoe.errors import EpsilonNotReached, FolderError, InvalidArgument
from atlasmoe.export.carried import Carried, carried
from atlasmoe.export.exported import export_to
from atlasmoe.export.formats.c_run import compiler
from atlasmoe.export.integers import codes_of
from atlasmoe.export.quantise import moved_by, quantise
from atlasmoe.moe import Affine, Known, Model, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.moe.engines import ENGINES, assumed, needs
from atlasmoe.moe.sums import Sums
from atlasmoe.verify.check import check
from atlasmoe.verify.prove import certify
from atlasmoe.verify.prove.engines import ForEngine
from atlasmoe.verify.prove.evaluation import Evaluation
from atlasmoe.verify.prove.rounding import Sized
from atlasmoe.verify.prove.rounding import network as rounding
from certificates import certified, tampered, why
from click.testing import CliRunner

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler")
FLUSHED = "total.float32.flushed"


@pytest.fixture(scope="module")
def ring() -> Model:
    """f = x·y on S¹, two balls, float32."""
    x = sympy.symbols("x1:3", real=True)
    task = ManifoldTask(
        "ring", atlasmoe.builtin("sphere", dimension=1, atlas="ball", charts=4), ExpressionTarget(ExpressionMap(x, (x[0] * x[1],)))
    )
    return atlasmoe.compile(task, width=24, dtype="float32")


@pytest.fixture(scope="module")
def folder(ring: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certified(ring, tmp_path_factory.mktemp("engines") / "model", epsilon=0.05, for_=["c", "torch"])


def test_engines_are_named_and_confirmed(folder: Path) -> None:
    report = check(folder)
    assert report.verdict == "confirmed", why(report)
    assert FLUSHED in report.claims
    assert [engine.format for engine in report.engines] == ["c", "torch"]
    assert report.engines[0].assumptions == ("engine[c].arithmetic",)
    document = json.loads((folder / "certificate.json").read_text())
    (bound,) = (claim["bound"] for claim in document["claims"] if claim["name"] == FLUSHED)
    assert [engine.bound for engine in report.engines] == [bound, bound]


def test_nothing_is_said_of_engines_that_were_not_asked_for(ring: Model) -> None:
    document = certify(ring, epsilon=0.05, tightness=None).to_dict()
    assert "engines" not in document
    assert FLUSHED not in {claim["name"] for claim in document["claims"]}


def _drop(engine: dict) -> None:
    engine["assumptions"].clear()


def _less(engine: dict) -> None:
    engine["bound"] /= 2


def _other(engine: dict) -> None:
    engine["claim"] = "total.float32"


def _words(engine: dict) -> None:
    engine["statement"] = engine["statement"].replace("float32", "float16")


def _name(engine: dict) -> None:
    engine["format"] = "hf-mixtral"


def _again(engine: dict) -> None:
    engine["format"] = "torch"


@pytest.mark.parametrize("change", [_drop, _less, _other, _words, _name, _again])
def test_what_is_said_of_an_engine_is_what_it_needs(folder: Path, tmp_path: Path, change) -> None:
    report = check(tampered(folder, tmp_path / "model", lambda data: change(data["engines"][0])))
    assert report.verdict == "rejected"
    assert report.engines == ()


def test_flushing_that_is_too_small_is_rejected(folder: Path, tmp_path: Path) -> None:
    def change(data: dict) -> None:
        data["sites"][0]["rounding"]["float32.flushed"] /= 2

    report = check(tampered(folder, tmp_path / "model", change))
    assert report.verdict == "rejected"
    assert "rounding in float32.flushed may add" in why(report)


def small_network() -> Network:
    """Products of 1e-20 and 1e-20, which are subnormal in float32, made large again."""
    net = ReLUNet(
        (
            Affine(np.full((2, 1), 1e-20, np.float32), np.zeros(2, np.float32)),
            Affine(np.array([[3e-20, 5e-20]], np.float32), np.zeros(1, np.float32)),
            Affine(np.full((1, 1), 1e37, np.float32), np.zeros(1, np.float32)),
        ),
        ((NeuronGroup("a", 2, "test"),), (NeuronGroup("b", 1, "test"),)),
    )
    return Network((MoELayer(Affine(np.zeros((1, 1), np.float32), np.zeros(1, np.float32)), (net,), (0,), ("a",), ("y",)),), ("x",))


def test_flushing_breaks_other_bounds_and_keeps_its_own() -> None:
    """PyTorch with subnormal numbers flushed to 0 is off by more than float32 that keeps them may be, and by no more than is claimed."""
    network = small_network()
    ways = [Evaluation("float32", Sums.PLAIN, 2), Evaluation("float32", Sums.PLAIN, 2, flushed=True)]
    x = Sized(np.array([[0.5]]), np.array([[1.0]]), np.zeros((2, 1, 1)))
    _, (kept, flushed) = rounding(network, x, ways)
    points = torch.linspace(0.5, 1, 101)[:, None]
    exact = network.astype(float)(points.numpy().astype(float))
    module = atlasmoe.to_torch(network)
    with torch.no_grad():
        assert np.abs(module(points).numpy() - exact).max() <= kept[0]
        assert torch.set_flush_denormal(True)
        try:
            off = np.abs(module(points).numpy() - exact).max()
        finally:
            torch.set_flush_denormal(False)
    assert kept[0] < off <= flushed[0]


def test_stored_weights_may_be_flushed_too() -> None:
    """A weight that is subnormal itself counts as 0, which no product's own rounding says."""
    weight = np.array([[1e-39]], np.float32)
    net = ReLUNet((Affine(weight, np.zeros(1, np.float32)),), ())
    network = Network((MoELayer(Affine(np.zeros((1, 1), np.float32), np.zeros(1, np.float32)), (net,), (0,), ("a",), ("y",)),), ("x",))
    x = Sized(np.array([[0.0]]), np.array([[1e30]]), np.zeros((1, 1, 1)))
    _, added = rounding(network, x, [Evaluation("float32", Sums.PLAIN, 1, flushed=True)])
    assert added[0, 0] >= 1e30 * float(weight[0, 0])


def test_of_graphs_engines_have_to_keep_subnormal_numbers() -> None:
    of = needs(small_network(), manifold=False)
    assert of.claim == "total.float32"
    (taken,) = assumed(ENGINES["c"], of)
    assert "subnormal numbers kept, and of equal logits the first" in taken.statement
    assert needs(small_network().astype(float), manifold=False).claim == "total"


def test_engines_that_are_none(ring: Model) -> None:
    with pytest.raises(InvalidArgument, match=r"nothing can be proved for 'hf-mixtral'.*choose from c, numpy, onnx, pt2, torch"):
        certify(ring, for_="hf-mixtral")


@pytest.mark.parametrize("to", ["c", "numpy"])
def test_a_certificate_carries_over(to: str, ring: Model, folder: Path, tmp_path: Path) -> None:
    """As c it names the engine; as numpy it holds all the same, where subnormal numbers are kept."""
    done = export_to(ring, to, tmp_path / "out", certificate=folder)
    assert isinstance(done.proof, Carried)
    assert done.proof.named == (to == "c")
    assert done.proof.claim == (FLUSHED if to == "c" else "total.float32")
    assert (tmp_path / "out" / "certificate.json").read_bytes() == (folder / "certificate.json").read_bytes()
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"≤ {done.proof.bound:.6g} for every point x of M" in card
    assert done.proof.root in card
    assert f"engine[{to}].arithmetic" in card


def test_certificates_that_say_nothing_of_it_are_not_carried(ring: Model, folder: Path, tmp_path: Path) -> None:
    assert export_to(ring, "numpy", tmp_path / "none").proof == (
        "the model has no certificate: `atlasmoe certify FOLDER --for numpy` makes one"
    )
    stale = tampered(folder, tmp_path / "stale", lambda data: data["files"].update({"model.safetensors": "0" * 64}))
    done = export_to(ring, "numpy", tmp_path / "out", certificate=stale)
    assert isinstance(done.proof, str)
    assert "proves nothing of these weights" in done.proof
    assert not (tmp_path / "out" / "certificate.json").exists()
    assert "Nothing, what is above was measured." in (tmp_path / "out" / "README.md").read_text()
    other = replace(ring, network=ring.network.rounded("bfloat16"), facts={**ring.facts, "epsilon": 1.0})
    with pytest.raises(FolderError, match="is not what was certified"):
        export_to(other, "numpy", tmp_path / "other", certificate=folder)


def test_claims_above_epsilon_are_not_carried(ring: Model, tmp_path: Path) -> None:
    """ε is proved in real arithmetic, and rounding adds too much."""
    found = certify(ring, epsilon=0.05, tightness=None, for_="c")
    claims = tuple(replace(claim, bound=0.06, known=Known.UNKNOWN) if claim.name == FLUSHED else claim for claim in found.claims)
    engine = ForEngine.of("c", needs(ring.network, manifold=True), claims)
    assert engine.known is Known.UNKNOWN
    atlasmoe.save(ring, tmp_path / "model")
    replace(found, claims=claims, engines=(engine,)).write(tmp_path / "model")
    assert check(tmp_path / "model").engines == ()
    done = export_to(ring, "numpy", tmp_path / "numpy", certificate=tmp_path / "model")
    assert isinstance(done.proof, Carried)
    said = carried(ring, tmp_path / "model", "c")
    assert (
        said
        == f"the certificate does not prove {FLUSHED}: its bound is 0.06, above ε; `atlasmoe certify model --for c` says what would help"
    )


@needs_compiler
@pytest.mark.parametrize("to", ["int8", "int16"])
def test_small_integers_are_a_model_with_a_ledger(to: str, ring: Model, tmp_path: Path) -> None:
    made = quantise(ring, to, epsilon=0.2)
    assert made.ledger.holds
    claim, seen = made.ledger["quantised"], made.ledger["quantised.measured"]
    assert 0 < seen.bound <= claim.bound
    assert claim.bound < 20 * seen.bound
    atlasmoe.save(made, tmp_path / "model")
    again = atlasmoe.load(tmp_path / "model")
    assert {code.bits for code in codes_of(again).values()} == {int(to[3:])}
    np.testing.assert_array_equal(again.network(np.ones((1, 2))), made.network(np.ones((1, 2))))
    done = export_to(again, "c", tmp_path / "c")
    assert f"{to}_t code" in (tmp_path / "c" / "ring.c").read_text()
    assert done.comparison is not None
    assert done.comparison.holds


def test_the_bound_of_what_integers_move_counts_every_map(ring: Model) -> None:
    """Weights moved elsewhere, by random parts of what a scale allows, stay within it; the largest difference is near to it."""
    made = quantise(ring, "int8", epsilon=0.2)
    points = ring.task.atlas.sample(4096, 3).ambient
    (bound,) = moved_by(ring, made.network)
    gap = np.abs(made.network.astype(float)(points) - ring.network.astype(float)(points)).max()
    assert bound / 20 < gap <= bound
    assert moved_by(ring, ring.network) == 0


def test_integers_that_miss_epsilon_are_refused(ring: Model) -> None:
    with pytest.raises(EpsilonNotReached, match=r"experts as int8: error .* allow more: epsilon="):
        quantise(ring, "int8", epsilon=1e-6)
    with pytest.raises(InvalidArgument, match="quantise 'int4' is not one of int8, int16"):
        quantise(ring, "int4")
    with pytest.raises(InvalidArgument, match=r"epsilon must be a positive number, or a percentage .*, got -1"):
        quantise(ring, "int8", epsilon=-1)


@needs_compiler
def test_the_command_proves_what_it_wrote(ring: Model, folder: Path, tmp_path: Path) -> None:
    """export, certify, check of the C files; then a file is changed."""
    run, out = CliRunner(), str(tmp_path / "out")
    done = run.invoke(main, ["export", str(folder), "--to", "c", "-o", out, "--option", "quantise=int8", "--option", "epsilon=0.2"])
    assert done.exit_code == 0, done.output
    assert "Nothing is proved of it" in done.output
    assert "Nothing, what is above was measured." in Path(out, "README.md").read_text()
    proved = run.invoke(main, ["certify", out, "--tightness", "none"])
    assert proved.exit_code == 0, proved.output
    assert "c, by total.float32.flushed: |f − Ψ̂| ≤" in proved.output
    card = Path(out, "README.md").read_text()
    assert "claim `total.float32.flushed` of model/certificate.json, which names this engine" in card
    confirmed = run.invoke(main, ["check", out])
    assert confirmed.exit_code == 0, confirmed.output
    assert "assuming engine[c].arithmetic" in " ".join(confirmed.output.split())
    Path(out, "ring.c").write_text(Path(out, "ring.c").read_text() + "/* */\n")
    changed = run.invoke(main, ["check", out])
    assert changed.exit_code == 2
    assert "was changed after it was exported" in changed.output
    # The file says something else, and export.json has its hash.
    source, listing = Path(out, "ring.c"), json.loads(Path(out, "export.json").read_text())
    text = source.read_text().removesuffix("/* */\n")
    start = text.index("static const")
    source.write_text(text[:start] + text[start:].replace("1", "2", 1))
    listing["files"]["ring.c"] = hashlib.sha256(source.read_bytes()).hexdigest()
    Path(out, "export.json").write_text(json.dumps(listing))
    for command in ("check", "certify"):
        changed = run.invoke(main, [command, out])
        assert changed.exit_code == 2
        assert "ring.c: is not what this version writes of the model in model/" in " ".join(changed.output.split())
    plain = str(tmp_path / "plain")
    assert run.invoke(main, ["export", str(folder), "--to", "numpy", "-o", plain]).exit_code == 0
    wrong = run.invoke(main, ["check", plain])
    assert wrong.exit_code == 2
    assert "certify and check the folder of the model" in " ".join(wrong.output.split())
    unproved = run.invoke(main, ["certify", str(folder), "--for", "fortran"])
    assert unproved.exit_code == 2
    assert "choose from c, numpy, onnx, pt2, torch" in unproved.output


@needs_compiler
def test_graphs_of_small_integers(tmp_path: Path) -> None:
    """Two blocks, pieces that jump: routes stay, what is moved is bounded, C is that graph, and is proved and confirmed."""
    x, y = atlasmoe.Input("x", atlasmoe.Box((0.0,), (3.0,))), atlasmoe.Input("y", atlasmoe.Box((-1.0,), (1.0,)))
    steps = atlasmoe.Block.parse("a", ("x",), atlasmoe.Tiling.intervals(range(4)), ["x", "5 - x", "x**2/4"])
    ends = atlasmoe.Block.parse("b", ("y",), atlasmoe.Tiling.intervals((-1, 0, 1)), ["y**2", "2*y"])
    total = atlasmoe.Combine.parse("total", ("a", "b"), "a + b")
    model = atlasmoe.compile(atlasmoe.TaskGraph("halves", (x, y, steps, ends, total), "total"), epsilon=0.1)
    made = quantise(model, "int8", epsilon=0.2)
    assert made.ledger.holds
    claim, seen = made.ledger["quantised"], made.ledger["quantised.measured"]
    assert 0 < seen.bound <= claim.bound < 30 * seen.bound
    assert {code.bits for code in codes_of(made).values()} == {8}
    points = np.random.default_rng(0).uniform((0, -1), (3, 1), (4096, 2))
    before, behind = model.network.trace(points), made.network.trace(points)
    assert all(np.array_equal(a, b) for a, b in zip(before.chosen, behind.chosen, strict=True))
    assert 0 < np.abs(before.output - behind.output).max() <= claim.bound
    atlasmoe.save(model, tmp_path / "model")
    run, out = CliRunner(), str(tmp_path / "out")
    options = ["--option", "quantise=int8", "--option", "epsilon=0.2"]
    done = run.invoke(main, ["export", str(tmp_path / "model"), "--to", "c", "-o", out, *options])
    assert done.exit_code == 0, done.output
    assert "int8_t code" in Path(out, "halves.c").read_text()
    proved = run.invoke(main, ["certify", out, "--tightness", "none"])
    assert proved.exit_code == 0, proved.output
    assert "c, by total: |f − Ψ̂| ≤" in proved.output
    assert run.invoke(main, ["check", out]).exit_code == 0


def test_flushing_is_nothing_that_a_graph_may_claim(tmp_path: Path) -> None:
    """Engines of graphs keep subnormal numbers; a certificate that says more of one is rejected."""
    x = atlasmoe.Input("x", atlasmoe.Box((0.0,), (3.0,)))
    block = atlasmoe.Block.parse("a", ("x",), atlasmoe.Tiling.intervals(range(4)), ["x", "5 - x", "x**2"])
    model = atlasmoe.compile(atlasmoe.TaskGraph("steps", (x, block), "a"), epsilon=0.05)
    folder = certified(model, tmp_path / "model", for_="c")
    report = check(folder)
    assert report.verdict == "confirmed", why(report)
    (engine,) = report.engines
    assert engine.bound == json.loads((folder / "certificate.json").read_text())["bound"]

    def flushing(data: dict) -> None:
        for part in (*data["sites"], data["readout"]):
            part["rounding"]["float64.flushed"] = part["rounding"]["float64"]

    report = check(tampered(folder, tmp_path / "flushing", flushing))
    assert report.verdict == "rejected"
    assert "nothing can be said of evaluations that do it" in why(report)
