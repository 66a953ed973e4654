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


def sine_of_a_sum(E: int, L: int) -> TaskGraph:
    """L blocks of E parabolas that jump, and a sine of what they add up to."""
    x = Input("x", Box((0.0,) * L, (float(E),) * L))
    blocks = [
        Block.parse(
            f"f{n}", (name,), Tiling.intervals(range(E + 1)), [f"{(3 * i + n) % E / E} + ({name}-{i})*({i + 1}-{name})" for i in range(E)]
        )
        for n, name in enumerate(x.components)
    ]
    names = tuple(block.name for block in blocks)
    return TaskGraph(f"{E}^{L}", (x, *blocks, Combine.parse("f", names, f"sin({' + '.join(names)})")), "f")


def test_the_residual_form_stores_little_besides_the_pieces(tmp_path: Path) -> None:
    """Gates see scores only, the sine's neurons one sum; and all of it is proved, confirmed, and computed by PyTorch."""
    model = atlasmoe.compile(sine_of_a_sum(4, 6), epsilon=0.1, form="residual")
    content = sum(net.parameters for layer in model.network.layers if len(layer) > 1 for net in layer.experts)
    assert model.network.parameters < 3 * content
    gates = [layer for layer in model.network.layers if layer.gate is not None]
    assert all(layer.sees is not None and len(layer.sees) == len(layer) for layer in gates)
    assert model.network.layers[-1].experts[0].widths[0] == 2, "σ(c) and σ(−c), c the sum"
    x = model.task.sample(3000, 1)
    y = model(x)
    np.testing.assert_array_equal(y, model.network.trace(x).output)
    np.testing.assert_allclose(atlasmoe.to_torch(model)(torch.from_numpy(x)).detach().numpy(), y, rtol=0, atol=1e-13)
    loaded = atlasmoe.load(atlasmoe.save(model, tmp_path / "m"))
    np.testing.assert_array_equal(loaded(x), y)
    assert [layer.sees for layer in loaded.network.layers] == [layer.sees for layer in model.network.layers]
    certificate = atlasmoe.certify(model)
    assert certificate.status == "proved"
    certificate.write(tmp_path / "m")
    assert check(tmp_path / "m").verdict == "confirmed"


def test_what_saves_numbers_changes_no_bit() -> None:
    """Plainly written, a network computes the same: rows of the first map are products with ±1, unseen channels have weight 0."""
    network = atlasmoe.compile(sine_of_a_sum(2, 5), epsilon=0.1, form="residual").network
    plainly = network.plainly()
    last, plain = network.layers[-1].experts[0], plainly.layers[-1].experts[0]
    assert (len(last.widths), len(plain.widths)) == (2, 1)
    np.testing.assert_array_equal(plain.affines[0].weight, last.affines[1].weight[:, :1] @ last.affines[0].weight[:1])
    assert all(layer.sees is None for layer in plainly.layers)
    x = np.random.default_rng(0).uniform(0, 2, (2000, 5))
    ours, theirs = network.trace(x), plainly.trace(x)
    for a, b in zip(ours.chosen, theirs.chosen, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(ours.output, theirs.output, rtol=0, atol=1e-14)
