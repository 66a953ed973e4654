"""The two forms of one compiled graph: channels carried inside experts (paper), or beside them (residual, N8)."""

from __future__ import annotations

from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe import Block, Box, Combine, Input, TaskGraph, Tiling
from atlasmoe.moe import Model
from atlasmoe.verify.check import check

FORMS = ("paper", "residual")


def graph() -> TaskGraph:
    """Charts of an embedded circle, pieces that jump, a coordinate that two blocks read, a block that reads a value, a product."""
    circle = atlasmoe.builtin("circle", atlas="ball", charts=4)
    nodes = (
        Input("p", atlasmoe.embed(circle, 5)),
        Input("t", Box((0, 0), (1, 1)), ("a", "b")),
        Block.parse("u", ("p_1", "p_2"), circle, "p_1*p_2"),
        Block.parse("v", ("a", "b"), Tiling.grid([[0, 0.7, 1], [0, 1]]), ["sin(a)+b", "b**2*a"]),
        Block.parse("w", ("b",), Tiling.intervals([0, 0.5, 1]), ["b", "b-1"]),
        Combine.parse("f", ("u", "v", "w"), ["u*v + w", "v"]),
    )
    return TaskGraph("forms", nodes, "f")


@pytest.fixture(scope="module", params=["paper", "L+1"])
def models(request: pytest.FixtureRequest) -> dict[str, Model]:
    """One compilation in both forms, by depth."""
    return {form: atlasmoe.compile(graph(), epsilon=0.1, depth=request.param, form=form) for form in FORMS}


@pytest.mark.parametrize(("dtype", "unit"), [("float64", 2.0**-53), ("float32", 2.0**-24)])
def test_routes_and_carried_channels_agree_bit_for_bit_and_values_to_roundings(models: dict[str, Model], dtype: str, unit: float) -> None:
    x = graph().sample(3000, 1)
    ours, theirs = (models[form].network.astype(dtype).trace(x) for form in FORMS)
    for number, (a, b) in enumerate(zip(ours.chosen, theirs.chosen, strict=True)):
        gates = [models[form].network.layers[number].gate for form in FORMS]
        if all(gate is not None for gate in gates):
            np.testing.assert_array_equal(a, b)
    design = models["residual"].design
    assert design.states == models["paper"].design.states
    exact = set(design.states[0])
    for number, state in enumerate(design.states[1:]):
        mine, other = ours.states[number], theirs.states[number]
        columns = [k for k, channel in enumerate(state) if channel in exact]
        assert mine[:, columns].tobytes() == other[:, columns].tobytes()
        size = np.abs(other).max()
        assert np.abs(mine.astype(float) - other).max() <= 2000 * unit * max(size, 1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_torch_and_folders_know_both_forms(models: dict[str, Model], dtype: str, tmp_path: Path) -> None:
    for form, model in models.items():
        network = model.network.astype(dtype)
        x = graph().sample(1000, 2).astype(dtype)
        result = atlasmoe.to_torch(network)(torch.from_numpy(x), return_routes=True)
        trace = network.trace(x)
        for ours, theirs in zip(result.routes, trace.chosen, strict=True):
            np.testing.assert_array_equal(ours.numpy()[:, None], theirs)
        np.testing.assert_allclose(result.y.detach().numpy(), trace.output, rtol=0, atol=1e-12 if dtype == "float64" else 1e-4)
        if dtype == "float64":
            again = atlasmoe.load(atlasmoe.save(model, tmp_path / form))
            assert again.design == model.design
            assert again(x).tobytes() == model(x).tobytes()


def test_the_residual_form_stores_fewer_numbers(models: dict[str, Model]) -> None:
    paper, residual = (models[form].network for form in FORMS)
    assert residual.parameters < paper.parameters
    assert residual.active_parameters < paper.active_parameters


@pytest.mark.parametrize("models", ["L+1"], indirect=True)
def test_both_forms_are_proved_with_the_same_bound_and_confirmed(models: dict[str, Model], tmp_path: Path) -> None:
    bounds = []
    for form, model in models.items():
        certificate = atlasmoe.certify(model, tightness=None)
        assert certificate.status == "proved"
        certificate.write(atlasmoe.save(model, tmp_path / form))
        report = check(tmp_path / form)
        assert report.verdict == "confirmed", report.failures
        bounds.append(report.bound)
    np.testing.assert_allclose(*bounds, rtol=1e-9)
