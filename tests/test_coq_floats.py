"""The bound that Coq is asked to prove of evaluation in binary64, against evaluations; and what is written for it. Without coqc."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from atlasmoe.atlas import Box, Chart, ExpressionMap
from atlasmoe.cli.main import main
from atlasmoe.errors import InvalidArgument
from atlasmoe.export.folder import save
from atlasmoe.expressions.precise import Enclosed
from atlasmoe.moe import Affine, Model, MoELayer, Network
from atlasmoe.moe.activations import RELU, activation
from atlasmoe.moe.exact import evaluate
from atlasmoe.moe.nets import Net, NeuronGroup
from atlasmoe.verify.coq.floats import floats_of
from atlasmoe.verify.coq.numbers import dyadic
from atlasmoe.verify.coq.project import files
from atlasmoe.verify.coq.statement import statement_of
from atlasmoe.verify.coq.weights import weights
from click.testing import CliRunner
from sympy import symbols

U, V = symbols("u v", real=True)
CHART = Chart("square", Box((-1.5, -1.0), (0.75, 1.0)), ExpressionMap((U, V), (U, V)))


def affine(rng: np.random.Generator, outputs: int, inputs: int) -> Affine:
    return Affine(rng.normal(size=(outputs, inputs)) * 2.0 ** rng.integers(-6, 4), rng.normal(size=outputs))


def net(rng: np.random.Generator, inputs: int, outputs: int, name: str, lanes: bool = False) -> Net:
    groups = (NeuronGroup("a", 5, "test", activation(name)), NeuronGroup("b", 4, "test", RELU))
    ups = (affine(rng, 9, inputs),) if lanes else (None,)
    return Net((affine(rng, 9, inputs), affine(rng, outputs, 9)), (groups,), ups)


def network(seed: int) -> Network:
    """Two layers with all that floats are followed through: lanes, relu², carried channels, a shared expert, an encoder."""
    rng = np.random.default_rng(seed)
    first = MoELayer(
        Affine(rng.normal(size=(3, 2)), rng.normal(size=3)).net,
        tuple(net(rng, 2, 2, "relu2", lanes=seed % 2 == 0) for _ in range(3)),
        (0, 1, 2),
        ("a", "b", "c"),
        ("x", "y", "z"),
        writes=(2, 0),
        carries=(0, 1, -1),
        shared=net(rng, 2, 2, "identity"),
    )
    second = MoELayer(
        None, (net(rng, 4, 2, "relu", lanes=True),), (0,), ("all",), ("f", "g"), reads=(2, 0), latent=affine(rng, 4, 2), carries=(1, -1)
    )
    return Network((first, second), ("u", "v"))


@pytest.mark.parametrize("seed", range(6))
def test_evaluations_are_within_the_bound_of_the_exact_values(seed: int) -> None:
    made = network(seed)
    claim = floats_of(made, [CHART], None, 1.0)
    assert claim.reach == 1
    assert claim.epsilon >= 1.0 + claim.adds > 1.0
    points = np.random.default_rng(seed).uniform(CHART.domain.lower, CHART.domain.upper, (40, 2))
    floats = {sums: made(points, sums=sums) for sums in ("plain", "blocks", "float64")}
    largest = coarse = 0.0
    coarser = made(points.astype(np.float32).astype(float)) - in_float32(made)(points)
    for row, point in enumerate(points.tolist()):
        exact = evaluate(made, [Enclosed(Fraction(x), Fraction(x)) for x in point])[0]
        for values in floats.values():
            largest = max(largest, *(abs(float(Fraction(v) - e.lower)) for v, e in zip(values[row].tolist(), exact, strict=True)))
        coarse = max(coarse, float(np.abs(coarser[row]).max()))
    assert 0 < largest <= claim.adds
    assert coarse > claim.adds  # binary32 is not within it, so that the bound says something


def in_float32(made: Network) -> Network:
    return Network(tuple(layer.astype(np.float32) for layer in made.layers), made.inputs)


def test_what_the_network_reads_decides_how_large_numbers_are() -> None:
    made = network(1)
    for factor, reach in ((1.0, 1), (8.0, 4), (0.01, -5)):
        assert floats_of(made, [CHART], factor * np.eye(2), 1.0).reach == reach


@pytest.mark.parametrize("name", ["silu", "gelu_tanh"])
def test_activations_that_ieee_does_not_define_are_refused(name: str) -> None:
    rng = np.random.default_rng(0)
    made = Network((MoELayer(None, (net(rng, 2, 1, name),), (0,), ("all",), ("f",)),), ("u", "v"))
    with pytest.raises(InvalidArgument, match=f"layer 1 of the network has neurons with {name}, and exp is no operation"):
        floats_of(made, [CHART], None, 1.0)


def test_the_exact_gelu_is_refused_with_the_one_that_needs_no_error_function() -> None:
    made = Network((MoELayer(None, (net(np.random.default_rng(0), 2, 1, "gelu"),), (0,), ("all",), ("f",)),), ("u", "v"))
    with pytest.raises(InvalidArgument, match=r"neurons with gelu, the proof in Coq follows .*; compile with activation gelu_tanh"):
        weights(made, "t")


def test_networks_that_are_evaluated_in_float32_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="the network is evaluated in float32, which rounds otherwise than the binary64"):
        floats_of(in_float32(network(1)), [CHART], None, 1.0)


def test_several_experts_and_numbers_near_overflow_are_refused() -> None:
    made = network(1)
    several = Network((replace(made.layers[0], top_k=2), made.layers[1]), made.inputs)
    with pytest.raises(InvalidArgument, match="layer 1 of the network takes 2 experts"):
        floats_of(several, [CHART], None, 1.0)
    huge = Affine(np.full((1, 2), 1e300), np.zeros(1)).net
    chain = tuple(
        MoELayer(None, (huge if k == 0 else Affine(np.full((1, 1), 1e300), np.zeros(1)).net,), (0,), ("all",), ("f",)) for k in (0, 1)
    )
    with pytest.raises(InvalidArgument, match="may overflow"):
        floats_of(Network(chain, ("u", "v")), [CHART], None, 1.0)


def test_the_files_say_what_is_proved_of_floats(circle: Model, tmp_path: Path) -> None:
    statement = statement_of(circle, floats=True)
    assert statement.floats is not None
    assert 0 < statement.floats.adds < 1e-10
    written = files(statement, [[0]] * len(statement.charts), "big")
    m, e = dyadic(statement.floats.epsilon)
    assert f"Definition wide : dyadic := ({m},{e})." in written["Task.v"]
    assert "Definition reach : Z := 1." in written["Task.v"]
    assert "From AtlasMoE Require Import Semantics Floats BigFloats." in written["Chart0.v"]
    assert "D.accepted_floats Chart0.chart false Target.f Q network eps reach wide" in written["Chart0.v"]
    said = "forall o, fl_network_of network x o -> exists psi, o = Some psi /\\ close wide Target.f y psi."
    assert said in written["Main.v"]
    assert written["Main.v"].endswith("Print Assumptions theorems.\n")
    assert repr(statement.floats.epsilon) in written["README.md"]
    assert "nothing about floating-point" not in written["README.md"]
    assert {"theory/Floats.v", "theory/Ieee.v", "theory/FloatChecker.v", "theory/BigFloats.v"} <= set(written)
    plain = files(statement_of(circle), [[0]] * len(statement.charts), "big")
    assert not any("Float" in name for name in plain)
    folder = save(circle, tmp_path / "model")
    done = CliRunner().invoke(main, ["prove", str(folder), "-o", str(tmp_path / "proof"), "--floats", "--no-run"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "proof" / "Task.v").read_text() == written["Task.v"]
