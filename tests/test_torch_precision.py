"""Modules in bfloat16 and float16: gates keep float32, and what is lost is said once."""

from __future__ import annotations

import copy
import warnings

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe.errors import PrecisionWarning
from general_layers import KINDS, general_network
from test_torch import random_network

HALVES = [torch.bfloat16, torch.float16]


def points(model: atlasmoe.Model, count: int = 2048) -> torch.Tensor:
    return torch.tensor(model.task.atlas.sample(count, seed=3).ambient)


@pytest.mark.parametrize("dtype", HALVES)
def test_routes_stay_and_the_figure_is_said(circle32: atlasmoe.Model, dtype: torch.dtype) -> None:
    x = points(circle32)
    module = atlasmoe.to_torch(circle32)
    before = module(x, return_routes=True)
    with pytest.warns(PrecisionWarning, match=r"largest error on 256 points of M is 0\.\d+, it was 0\.\d+; 0 of them take another") as said:
        assert module.to(dtype) is module
    assert len(said) == 1
    after = module(x, return_routes=True)
    assert after.y.dtype == module(x).dtype == dtype
    for ours, theirs in zip(after.routes, before.routes, strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(after.logits, before.logits, strict=True):
        assert torch.equal(ours, theirs), "gates read and compute what they did"
    stated = float(str(said[0].message).split(" is ")[1].split(",")[0])
    truth = circle32.task.evaluate(circle32.task.atlas.sample(256, 0, low_discrepancy=True))
    seen = module(torch.tensor(circle32.task.atlas.sample(256, 0, low_discrepancy=True).ambient)).double().detach().numpy()
    assert abs(np.abs(seen - truth).max() - stated) < 0.01 * stated
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module.to(dtype)  # nothing new is lost


def test_what_a_gate_reads_stays_and_what_is_behind_the_last_gate_goes(circle32: atlasmoe.Model) -> None:
    module = atlasmoe.to_torch(circle32)
    with pytest.warns(PrecisionWarning):
        module.half()
    dtypes = {name: parameter.dtype for name, parameter in module.named_parameters()}
    assert {name for name, dtype in dtypes.items() if dtype == torch.float16} == {
        f"layers.1.experts.{n}.{kind}" for n in (0, 1) for kind in ("weight", "bias")
    }
    assert set(dtypes.values()) == {torch.float16, torch.float32}
    back = module.float()
    assert {parameter.dtype for parameter in back.parameters()} == {torch.float32}


def test_a_float64_module_keeps_its_gates_and_converts_as_ever(circle: atlasmoe.Model) -> None:
    module = atlasmoe.to_torch(circle)
    single = copy.deepcopy(module).float()
    assert {parameter.dtype for parameter in single.parameters()} == {torch.float32}
    with pytest.warns(PrecisionWarning, match="0 of them take another route"):
        module.bfloat16()
    assert module.stack[1].router.weight.dtype == torch.float32
    assert module.stack[1].experts.dtype == torch.bfloat16


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", HALVES)
def test_layers_of_every_kind_run_rounded(kind: str, dtype: torch.dtype) -> None:
    network = general_network(kind).astype(np.float32)
    x = torch.tensor(np.random.default_rng(0).normal(size=(300, 2)))
    module = atlasmoe.to_torch(network)
    before = module(x, return_routes=True)
    with pytest.warns(PrecisionWarning, match=r"how far off .* give to_torch a Model"):
        module.to(dtype)
    after = module(x, return_routes=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(after.routes, before.routes, strict=True))
    assert after.y.dtype == dtype
    torch.testing.assert_close(after.y.double(), before.y.double(), rtol=0.1, atol=0.1 * float(before.y.detach().abs().max()))
    assert torch.isfinite(module(x)).all()


@pytest.mark.parametrize("sums", ["plain", "blocks", "float64"])
def test_rounded_modules_in_every_order(sums: str) -> None:
    module = atlasmoe.to_torch(random_network(6).astype(np.float32), sums=sums)
    x = torch.tensor(np.random.default_rng(0).normal(size=(300, 5)))
    before = module(x)
    with pytest.warns(PrecisionWarning):
        module.bfloat16()
    torch.testing.assert_close(module(x).double(), before.double(), rtol=0.1, atol=0.1 * float(before.detach().abs().max()))


def test_autocast_leaves_gates_alone(circle32: atlasmoe.Model) -> None:
    module, x = atlasmoe.to_torch(circle32), points(circle32).float()
    logits = module(x, return_routes=True).logits[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = module(x, return_routes=True).logits[0]
    assert inside.dtype == torch.float32
    assert torch.equal(inside, logits)


def test_float64_points_are_rounded_on_the_way_in(circle32: atlasmoe.Model) -> None:
    module, x = atlasmoe.to_torch(circle32), points(circle32)
    assert x.dtype == torch.float64
    assert torch.equal(module(x), module(x.float()))
    assert module(x).dtype == torch.float32


def test_graphs_carry_points_too() -> None:
    from test_certify_graph import sum_graph

    module = atlasmoe.to_torch(atlasmoe.compile(sum_graph(2, 2), epsilon=0.1, dtype="float32"))
    assert module.sample is not None
    with pytest.warns(PrecisionWarning, match="256 points of M"):
        module.bfloat16()
