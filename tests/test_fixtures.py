"""Fixtures: sound layers pass every case, every kind of error that was reported fails one, and what the manifest says is true."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import atlasmoe
import flint
import moe_references as layers
import numpy as np
import pytest
import torch
from atlasmoe.cli import main
from atlasmoe.export.fixtures.cases import CASES
from atlasmoe.export.fixtures.dtypes import DTYPES
from atlasmoe.export.fixtures.fixed_point import BITS, GATES, exp, sigmoid
from atlasmoe.export.fixtures.written import write_fixtures
from click.testing import CliRunner

SMALL = {"experts": 16, "top_k": 4, "dim": 32, "hidden": 40}
SETS: dict[str, dict[str, Any]] = {
    "float32 swiglu softmax": {},
    "bfloat16 relu unscaled": {"dtype": "bf16", "activation": "relu", "weighting": "unscaled"},
    "bfloat16 swiglu softmax": {"dtype": "bf16"},
    "float16 geglu sigmoid": {"dtype": "float16", "activation": "geglu", "weighting": "sigmoid", "shared": 1},
    "float64 gelu_tanh": {"dtype": "float64", "activation": "gelu_tanh", "weighting": "renormalised", "shared": 2, "dim": 33, "hidden": 7},
    "float64 relu2 top 1": {"dtype": "float64", "activation": "relu2", "weighting": "sigmoid_renormalised", "experts": 5, "top_k": 1},
    "clamped_swiglu top 9": {"activation": "clamped_swiglu", "top_k": 9},
}


@functools.cache
def written(name: str, folder: Path) -> Any:
    """The test file of a set, imported."""
    path = folder / name.replace(" ", "_")
    write_fixtures(path, **{**SMALL, **SETS[name]})
    spec = importlib.util.spec_from_file_location(f"fixtures_{path.name}", path / "test_moe.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fixtures")


def failures(module: Any, layer: Callable[..., Any], only: str | None = None, most: int = len(CASES)) -> dict[str, str]:
    """Case ↦ what is wrong, of those that the layer fails: of one, or of the first `most`."""
    found: dict[str, str] = {}
    for case in module.MANIFEST["cases"]:
        if len(found) == most or only not in (None, case["name"]):
            continue
        want = module.tensors_of(case)
        given = {name: tensor for name, tensor in want.items() if name not in module.MANIFEST["expected"]}
        try:
            what = module.wrong(case, want, layer(given, case["settings"]))
        except (RuntimeError, IndexError) as error:
            what = str(error)
        if what:
            found[case["name"]] = what
    return found


def numpy_layer(tensors: dict[str, torch.Tensor], settings: dict[str, Any]) -> tuple[torch.Tensor, ...]:
    arrays = {name: tensor.double().numpy() for name, tensor in tensors.items()}
    return tuple(torch.from_numpy(array) for array in layers.in_numpy(arrays, settings))


@pytest.mark.parametrize("name", SETS)
def test_sound_layers_pass_every_case(name: str, folder: Path) -> None:
    module = written(name, folder)
    assert len(module.MANIFEST["cases"]) + len(module.MANIFEST["left_out"]) == len(CASES)
    assert failures(module, layers.in_torch) == {}
    assert failures(module, numpy_layer) == {}
    assert failures(module, lambda t, s: layers.in_torch(t, s, dtype=None)) == {}  # in the stated dtype itself


CAUGHT = {
    "last index": "tie_lowest",
    "index subtracted": "margin_1_ulp",
    "bfloat16 logits": "large_offset",
    "bfloat16 logits of many": "margin_bfloat16",
    "bfloat16 scores": "margin_16_ulp",
    "always divided": "not_normalised",
    "never divided": "normalised",
    "divided across tokens": "normalised_top_1",
    "softmax of the chosen": "not_normalised",
    "raw logits": "not_normalised",
    "no scale": "scaling",
    "scale twice": "scaling",
    "scale where divided": "scaling",
    "scale of nothing": "scaling_top_1",
    "scale on shared": "scaling",
    "no shared": "shared_expert",
    "weighted shared": "shared_expert",
    "bias weights": "bias_selects",
    "no bias": "bias_selects",
    "bias subtracted": "bias_offset",
    "bfloat16 bias scores": "bias_negative",
    "mask of zero": "groups_negative",
    "interleaved groups": "groups_top2",
    "groups by maximum": "groups_top2",
    "groups by two": "groups_max",
    "maximum from zero": "all_negative",
    "no maximum": "large_logits",
    "nan wins always": "nan",
    "nan spreads": "nan",
    "selected again": "minus_infinity_most",
    "empty offset": "empty_ends",
    "first two": "once_each",
    "half of the experts": "once_each",
    "block of 64": "tokens_64",
    "block of 65": "tokens_65",
    "one token lost": "tokens_mixed",
    "squeezed": "tokens_1",
    "no tokens fails": "tokens_0",
    "capacity one more": "capacity_exceeded",
    "capacity one fewer": "capacity_reached",
    "no capacity": "capacity_exceeded",
    "unsorted": "unbalanced",
    "last input lost": "tokens_mixed",
    "last neuron lost": "tokens_mixed",
    "last output lost": "tokens_mixed",
    "neighbour": "once_each",
    "top_k minus one": "tokens_1",
    "weights permuted": "tokens_mixed",
    "tanh": "tokens_1",
}
"""Mutant ↦ the case that is made for it; docs/fixtures.md has the table."""


@pytest.mark.parametrize("mutant", layers.MUTANTS)
def test_every_error_fails_the_case_that_is_made_for_it(mutant: str, folder: Path) -> None:
    module = written("float32 swiglu softmax", folder)
    assert failures(module, lambda t, s: layers.in_torch(t, s, mutant), CAUGHT[mutant])


def test_outputs_alone_give_most_errors_away(folder: Path) -> None:
    """Without experts and weights only those pass that change nothing but these."""
    module = written("float32 swiglu softmax", folder)
    assert failures(module, lambda t, s: layers.in_torch(t, s)[0]) == {}
    passed = [m for m in layers.MUTANTS if not failures(module, lambda t, s, m=m: layers.in_torch(t, s, m)[0], most=1)]
    assert passed == ["nan wins always", "selected again"]


def test_the_page_says_which_case_finds_which_error() -> None:
    page = (Path(__file__).parent.parent / "docs" / "fixtures.md").read_text(encoding="utf-8")
    for mutant, what in layers.MUTANTS.items():
        assert f"| {what} | `{CAUGHT[mutant]}` |" in page, mutant
    for name in CASES:
        assert f"`{name}`" in page, name


@pytest.mark.parametrize("name", ["float32 swiglu softmax", "bfloat16 relu unscaled", "float64 gelu_tanh"])
def test_logits_are_exact_in_any_order(name: str, folder: Path) -> None:
    """Sums of products, taken in the dtype step by step in two orders, are the stored logits bit for bit."""
    module = written(name, folder)
    for case in module.MANIFEST["cases"]:
        want = module.tensors_of(case)
        if "router" not in want:
            continue
        x, router = want["x"], want["router"]
        for order in (range(x.shape[1]), reversed(range(x.shape[1]))):
            total = torch.zeros_like(want["expected_logits"])
            for j in order:
                total = total + x[:, j, None] * router[None, :, j]
            assert torch.equal(total, want["expected_logits"]), case["name"]


def test_margins_are_those_of_the_logits(folder: Path) -> None:
    module = written("float32 swiglu softmax", folder)
    for case in module.MANIFEST["cases"]:
        want, margin = module.tensors_of(case), case["margin"]
        if margin is None or margin["of"] != "logits" or "expected_logits" not in want or case["settings"]["groups"]:
            continue
        for logits in want["expected_logits"].double():
            exact = sorted((Fraction(float(v)) for v in logits), reverse=True)
            k = case["settings"]["top_k"]
            assert float(exact[k - 1] - exact[k]) >= margin["at_least"], case["name"]
    margins = {case["name"]: case["margin"] and case["margin"]["at_least"] for case in module.MANIFEST["cases"]}
    assert margins["margin_1_ulp"] == 2.0**-23
    assert margins["margin_bfloat16"] == 2.0**-8
    assert abs(margins["margin_1e-4"] - 1e-4) < 2.0**-24
    assert margins["tie_lowest"] == 0


def test_relu_without_weights_is_exact_in_any_order(folder: Path) -> None:
    """Neurons and experts in reverse order give the same bits, in bfloat16 too; and those are the stored ones."""
    module = written("bfloat16 relu unscaled", folder)
    assert all(case["exact"] for case in module.MANIFEST["cases"] if not case["name"].startswith("scaling"))
    case = next(case for case in module.MANIFEST["cases"] if case["name"] == "tokens_mixed")
    want = module.tensors_of(case)
    for order in (1, -1):
        out = torch.zeros_like(want["output"])
        for experts in want["routes"].long().T[::1] if order == 1 else want["routes"].long().T.flip(0):
            h = torch.relu(torch.einsum("nd,nhd->nh", want["x"], want["up"][experts]))
            for i in range(h.shape[1])[::order]:
                out = out + want["down"][experts][:, :, i] * h[:, i, None]
        assert torch.equal(out, want["output"])


def test_enclosures_hold_what_arb_computes() -> None:
    flint.ctx.prec = 400
    half = flint.arb(1) / 2
    silu: Callable[[Any], Any] = lambda z: z / (1 + (-z).exp())  # noqa: E731
    exact: dict[str, Callable[[Any], Any]] = {
        "silu": silu,
        "gelu": lambda z: z * (1 + (z * half.sqrt()).erf()) / 2,
        "gelu_tanh": lambda z: z * (1 + ((2 / flint.arb.pi()).sqrt() * (z + flint.arb("0.044715") * z**3)).tanh()) / 2,
    }
    for quarter in range(-160, 161, 7):
        z = Fraction(quarter, 4)
        ball = flint.arb(z.numerator) / z.denominator
        pairs = [
            (exp(z), ball.exp()),
            (sigmoid(z), 1 / (1 + (-ball).exp())),
            *((GATES[name](z), formula(ball)) for name, formula in exact.items()),
        ]
        for (low, high), truth in pairs:
            scaled = truth * flint.arb(2) ** BITS
            assert low <= scaled <= high
            assert high - low <= 2


def test_rounding_is_that_of_numpy_and_torch() -> None:
    draws = np.random.default_rng(0)
    values = np.concatenate(
        [draws.standard_normal(300) * 2.0 ** draws.integers(-160, 130, 300), [0.0, 1.0, 65504.0, 65520.0, 2.0**-24, 2.0**-25]]
    )
    for name, dtype in (("float32", torch.float32), ("float16", torch.float16), ("bfloat16", torch.bfloat16)):
        form = DTYPES[name]
        words = form.array(np.array([Fraction(float(v)) for v in values], object))
        signed = words.astype(f"<u{form.bits // 8}").view(f"<i{form.bits // 8}").copy()
        assert torch.equal(torch.from_numpy(signed).view(dtype), torch.from_numpy(values).to(dtype))


def test_the_same_bytes_every_time_and_small(tmp_path: Path) -> None:
    one, other = write_fixtures(tmp_path / "one", **SMALL), write_fixtures(tmp_path / "other", **SMALL)
    assert one.size == other.size <= 2**20
    for path in one.path.iterdir():
        assert path.read_bytes() == (other.path / path.name).read_bytes(), path.name
    assert len((one.path / "test_moe.py").read_text(encoding="utf-8").splitlines()) <= 40
    assert "atlasmoe" not in (one.path / "test_moe.py").read_text(encoding="utf-8")
    differing = write_fixtures(tmp_path / "seed", **SMALL, seed=1, cases=["tokens_0"]).path / "fixtures.safetensors"
    same = write_fixtures(tmp_path / "same", **SMALL, cases=["tokens_0"]).path / "fixtures.safetensors"
    assert differing.read_bytes() != same.read_bytes()


def test_the_file_runs_under_pytest(tmp_path: Path) -> None:
    """As README.md of the folder says: a layer that cannot hold a case says NotImplemented, one that is wrong fails with the sentence."""
    path = write_fixtures(tmp_path / "set", **SMALL, cases=["tie_lowest", "capacity_exceeded"]).path
    text = "import moe_references as m\ndef layer(t, s):\n    return NotImplemented if s['capacity'] else m.in_torch(t, s, 'last index')\n"
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    environment = {**os.environ, "MOE": "mine:layer", "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parent)])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path / "test_moe.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1, done.stdout
    assert "convention: The last place is tied" in done.stdout
    assert "1 failed, 1 passed" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dtype": "int8"}, "dtype 'int8' is not one of"),
        ({"activation": "swigly"}, "did you mean 'swiglu'"),
        ({"weighting": "softmx"}, "did you mean 'softmax'"),
        ({"top_k": 16}, "take top_k=15"),
        ({"top_k": 0}, "take top_k=1"),
        ({"dim": 8}, "dim=32"),
        ({"experts": 2.5}, "no whole number"),
        ({"cases": ["tie_lowst"]}, "did you mean 'tie_lowest'"),
        ({"cases": ["groups_max"], "experts": 10}, "cannot be made with these options: needs experts to be a multiple of 4"),
        ({"width": 3}, "no option 'width'"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(atlasmoe.InvalidArgument, match=said.replace("(", r"\(")):
        write_fixtures(tmp_path / "none", **{**SMALL, **options})
    assert not (tmp_path / "none").exists()


def test_the_command(tmp_path: Path) -> None:
    run = CliRunner()
    sizes = ["--experts", "16", "--top-k", "4", "--dim", "32", "--hidden", "8"]
    listed = run.invoke(main, ["fixtures", "--list"])
    assert listed.exit_code == 0
    assert all(f"{name}: " in listed.output for name in CASES)
    assert run.invoke(main, ["fixtures", *sizes]).exit_code == 2
    done = run.invoke(main, ["fixtures", *sizes, "--case", "tokens_0", "--json", "-o", str(tmp_path / "set")])
    assert done.exit_code == 0
    assert json.loads(done.output)["cases"] == ["tokens_0"]
    again = run.invoke(main, ["fixtures", *sizes, "-o", str(tmp_path / "set")])
    assert again.exit_code == 2
    assert "--force" in again.output
    wrong = run.invoke(main, ["fixtures", *sizes[:2], "--top-k", "16", "-o", str(tmp_path / "other")])
    assert wrong.exit_code == 2
    assert "take --top-k 15" in wrong.output
    assert not (tmp_path / "other").exists()


def test_in_memory() -> None:
    made = atlasmoe.fixtures(**SMALL, cases=["tie_all"])
    (case,) = made.cases
    assert case.routes.tolist() == [[0, 1, 2, 3]] * 3
    assert case.margin == 0
