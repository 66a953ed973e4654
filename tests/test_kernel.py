"""The kernel over all experts computes what other ways do, and is loaded when it has become worth it."""

from __future__ import annotations

import itertools

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe.export import kernel, quick
from atlasmoe.export.from_torch import network_of
from atlasmoe.export.stages import Stage
from atlasmoe.moe import Network
from atlasmoe.verify.enclosure import fast
from general_layers import general_network
from random_networks import random_network
from smooth_nets import mixed_network

pytest.importorskip("numba", reason="the extra `fast` is not installed")


def stack(widths: tuple[int, ...], form: str, dtype: torch.dtype, experts: int = 40) -> list[Stage]:
    """Random experts whose weights lie as those of a module."""
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    pairs = list(itertools.pairwise(widths))
    return [
        Stage(drawn(experts, i, o).mT / i**0.5, drawn(experts, o), ((slice(0, o), form),) if n < len(pairs) - 1 else ())
        for n, (i, o) in enumerate(pairs)
    ]


def exact(stages: list[Stage], x: torch.Tensor, expert: torch.Tensor) -> torch.Tensor:
    """In float64, row by row."""
    rows = []
    for row, k in zip(x.double(), expert.tolist(), strict=True):
        for stage in stages:
            z = stage.weight[k].double() @ row + stage.bias[k].double()
            row = z if not stage.bend else z.relu() if stage.bend[0][1] == "relu" else torch.nn.functional.silu(z)
        rows.append(row)
    return torch.stack(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("widths", "form"), [((7, 33, 5), "relu"), ((3, 20, 9, 1), "relu"), ((6, 18, 2), "silu"), ((5, 4), "relu")])
@pytest.mark.parametrize("cached", [True, False])
def test_the_kernel_agrees_to_rounding(widths: tuple[int, ...], form: str, dtype: torch.dtype, cached: bool) -> None:
    """One row and many, experts with none, one, two and many, in chunks of 16; whatever other rows there are, the same bits."""
    loops, stages = kernel.load(), stack(widths, form, dtype)
    assert kernel.fits(stages)
    assert kernel.fits_alone(stages)
    rng = np.random.default_rng(0)
    expert = torch.from_numpy(rng.choice(40, 90, p=[0.3, 0.2, *[0.5 / 36] * 36, 0, 0]))
    x = torch.from_numpy(rng.normal(size=(90, widths[0]))).to(dtype)
    held = kernel.experts(stages)
    held = held._replace(maps=tuple(part._replace(cached=cached) for part in held.maps))
    y, some = x.new_empty(90, widths[-1]), x.new_empty(50, widths[-1])
    kernel.rows(loops, held, expert, x, y, [x.new_empty(16, width) for width in widths[1:-1]])
    kernel.rows(loops, held, expert[40:], x[40:], some, [x.new_empty(50, width) for width in widths[1:-1]])
    alone = torch.cat([kernel.row(loops, held, int(k), x[n : n + 1]) for n, k in enumerate(expert)])
    within = 1e-13 if dtype is torch.float64 else 1e-5
    torch.testing.assert_close(y.double(), exact(stages, x, expert), rtol=0, atol=within)
    torch.testing.assert_close(alone.double(), exact(stages, x, expert), rtol=0, atol=within)
    if form == "relu":
        assert torch.equal(y[40:], some)
        assert torch.equal(y, alone)


def test_nothing_that_is_not_a_number_gets_lost() -> None:
    loops, stages = kernel.load(), stack((3, 8, 2), "relu", torch.float64)
    x, expert = torch.ones(4, 3, dtype=torch.float64), torch.tensor([5, 1, 5, 5])
    x[2, 1] = torch.nan
    y = x.new_empty(4, 2)
    kernel.rows(loops, kernel.experts(stages), expert, x, y, [x.new_empty(4, 8)])
    assert torch.isnan(y).all(-1).tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    "network", [general_network("everything"), mixed_network("silu, relu", lanes=True), random_network(90)], ids=["top K", "lanes", "many"]
)
def test_modules_compute_the_same_with_the_kernel(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Top-K layers, product lanes, several layers; float32 too; weights that are changed in place are seen."""
    x = torch.from_numpy(np.random.default_rng(3).normal(size=(60, len(network.inputs))))
    module = atlasmoe.to_torch(network)
    with torch.no_grad():
        monkeypatch.setattr(quick, "cheapest", lambda stages, rows, also: "kernel" if "kernel" in also else "segmented")
        monkeypatch.setattr(kernel, "loops", lambda missed=0: kernel.load())
        np.testing.assert_allclose(module(x), network(x.numpy()), rtol=0, atol=1e-11)
        assert all("kernel" in layer.experts.slices.also for layer in module.stack)
        for parameter in module.parameters():
            parameter.mul_(2)
        alone = torch.cat([module(row[None]) for row in x[:5]])
        torch.testing.assert_close(module(x)[:5], alone, rtol=1e-12, atol=1e-11)
        torch.testing.assert_close(module(x)[:5], torch.from_numpy(network_of(module)(x[:5].numpy())))


def test_views_of_negated_numbers_are_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    """An imaginary part of a conjugate, of which NumPy has no view: one row and many, by NumPy and by the kernel; and as weights."""
    x = torch.from_numpy(np.random.default_rng(4).normal(size=(8, 2)))
    module = atlasmoe.to_torch(general_network("top 1, softmax"))
    with torch.no_grad():
        for loops in (None, kernel.load()):
            monkeypatch.setattr(kernel, "loops", lambda missed=0, loops=loops: loops)
            for rows in (x, x[:1]):
                seen = torch._neg_view(-rows)
                assert seen.is_neg()
                torch.testing.assert_close(module(seen), module(rows))
    stages = stack((3, 5), "relu", torch.float64)
    assert kernel.fits(stages)
    assert not kernel.fits([stage._replace(bias=torch._neg_view(stage.bias)) for stage in stages])


def test_it_is_loaded_when_it_has_become_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other ways run until, by the model of costs, enough is lost; then it is there for all; without numba never."""
    monkeypatch.setattr(kernel, "_loops", [])
    monkeypatch.setattr(kernel, "_missed", [0.0])
    stages = stack((16, 64, 16), "relu", torch.float32, experts=1024)
    slices = quick.Slices().of(stages)
    ways: list[str] = []
    while not ways or ways[-1] != "kernel":
        ways.append(quick.way_of(slices, stages, 1000))
    assert 100 < len(ways) < 10_000
    assert set(ways[:-1]) == {"gathered"}
    assert quick.way_of(slices, stages, 1000) == "kernel"
    monkeypatch.setattr(fast, "available", lambda: False)
    monkeypatch.setattr(kernel, "_loops", [])
    fast.loaded.cache_clear()
    assert kernel.load() is None
    assert quick.way_of(quick.Slices().of(stages), stages, 1000) == "gathered"
    fast.loaded.cache_clear()


def test_what_the_kernel_leaves_to_libraries() -> None:
    """Weights that lie otherwise, that are large, or that are no numbers of ours."""
    assert not kernel.fits([Stage(torch.zeros(4, 5, 3), torch.zeros(4, 5))])
    assert not kernel.fits([Stage(torch.zeros(4, 1024, 1024).mT, torch.zeros(4, 1024))])
    assert not kernel.fits(stack((3, 5), "relu", torch.bfloat16))
    assert not kernel.fits_alone(stack((3, 5, 2), "gelu", torch.float32))
    assert quick.Slices(ridge=True).of(stack((3, 5), "relu", torch.float32)).also == ()
