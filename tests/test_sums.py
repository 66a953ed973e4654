"""Orders of sums: what each computes, how far off it may be, and that the fixed one gives the same bits whatever runs beside it."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, log2

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe.errors import InvalidArgument
from atlasmoe.intervals.rounding import gamma
from atlasmoe.moe import Affine, MoELayer, Network
from atlasmoe.moe.layer import Weighting
from atlasmoe.moe.sums import BLOCK, Sums, affine, pairwise
from general_layers import KINDS, general_network
from random_networks import random_network


def exact(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> list[list[Fraction]]:
    """W·x + b of a few rows without rounding."""

    def dot(row: np.ndarray, w: np.ndarray, b: float) -> Fraction:
        return sum((Fraction(float(p)) * Fraction(float(q)) for p, q in zip(row, w, strict=True)), Fraction(float(b)))

    return [[dot(row, w, b) for w, b in zip(weight, bias, strict=True)] for row in x]


def roundings(sums: Sums, n: int, last: bool) -> tuple[float, float]:
    """(γ of Σ|w·x| + |b|, relative rounding of the result) that the module promises."""
    if sums is Sums.BLOCKS and n > BLOCK:
        return gamma(BLOCK + 1 + ceil(log2(-(-n // BLOCK))), np.float32), 0.0
    if sums is Sums.FLOAT64:
        depth = 2 + (ceil(log2(n)) if n > 1 else 0)
        return (gamma(depth), gamma(1, np.float32)) if last else (gamma(depth, np.float32), 0.0)
    return gamma(n + 1, np.float32), 0.0


@pytest.mark.parametrize("sums", Sums)
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3, 31, 32, 33, 64, 65, 100, 1000])
@pytest.mark.parametrize("kind", ["spread", "cancelling", "ascending"])
def test_no_order_is_off_by_more_than_its_own_bound(sums: Sums, last: bool, n: int, kind: str) -> None:
    """Against exact fractions; sums that cancel to almost nothing, and terms that all round the same way."""
    rng = np.random.default_rng(n)
    x, weight = rng.normal(size=(4, n)), rng.normal(size=(3, n)) * 10.0 ** rng.uniform(-6, 6, n)
    if kind == "cancelling":
        x[:, 1::2], weight[:, 1::2] = x[:, : n // 2 * 2 : 2], -weight[:, : n // 2 * 2 : 2] * (1 + 1e-7)
    if kind == "ascending":
        x, weight = np.ones_like(x), np.full_like(weight, 1 + 2.0**-23) + np.arange(n) * 2.0**-12
    x, weight, bias = (np.asarray(a, np.float32) for a in (x, weight, rng.normal(size=3)))
    got, factors = affine(x, weight, bias, sums, last), roundings(sums, n, last)
    for row, found, true in zip(x, got, exact(x, weight, bias), strict=True):
        for w, b, value, truth in zip(weight, bias, found, true, strict=True):
            size = sum(abs(Fraction(float(p)) * Fraction(float(q))) for p, q in zip(row, w, strict=True)) + abs(Fraction(float(b)))
            most = Fraction(factors[0]) * size
            most += Fraction(factors[1]) * (abs(truth) + most) + Fraction(float(n + 1) * float(np.finfo(np.float32).smallest_subnormal))
            assert abs(Fraction(float(value)) - truth) <= most


def test_the_plain_bound_holds_in_every_order() -> None:
    """Shuffled terms, and sums by fused multiply-add, which rounds once where others round twice."""
    rng = np.random.default_rng(0)
    n = 40
    for trial in range(200):
        w, x = (rng.normal(size=n) * 10.0 ** rng.uniform(-4, 4, n) for _ in range(2))
        w, x = w.astype(np.float32), x.astype(np.float32)
        truth = sum(Fraction(float(p)) * Fraction(float(q)) for p, q in zip(w, x, strict=True))
        order, total, fused = rng.permutation(n), np.float32(0), np.float32(0)
        for k in order:
            total = np.float32(total + np.float32(w[k] * x[k]))
            fused = np.float32(np.float64(w[k]) * np.float64(x[k]) + np.float64(fused))  # the product is exact, the sum rounded twice
        bound = gamma(n + 1, np.float32) * np.abs(w.astype(float) * x).sum() + (n + 1) * float(np.finfo(np.float32).smallest_subnormal)
        assert abs(Fraction(float(total)) - truth) <= Fraction(bound), trial
        assert abs(Fraction(float(fused)) - truth) <= Fraction(bound), trial


@pytest.mark.parametrize("n", range(1, 70))
def test_idle_terms_at_the_end_change_nothing(n: int) -> None:
    terms = np.random.default_rng(n).normal(size=(n, 5)).astype(np.float32)
    for padded in (n + 1, 64, 128):
        if padded >= n:
            longer = np.concatenate([terms, np.zeros((padded - n, 5), np.float32)])
            np.testing.assert_array_equal(pairwise(longer), pairwise(terms.copy()))
    assert (pairwise(np.zeros((0, 5))) == 0).all()


def cases() -> list[tuple[str, Network]]:
    return [("two layers", random_network(60)), *((kind, general_network(kind)) for kind in KINDS)]


@pytest.mark.parametrize(("name", "network"), cases(), ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_fixed_order_gives_a_row_the_same_bits_in_every_batch(name: str, network: Network, dtype: str) -> None:
    network = network.astype(dtype)
    x = torch.tensor(np.random.default_rng(3).normal(size=(700, len(network.inputs))).astype(dtype))
    module = atlasmoe.to_torch(network, sums="float64")
    with torch.no_grad():
        whole, threads = module(x), torch.get_num_threads()
        for count in (1, 2, 3, 7, 8, 9, 31, 64, 100, 333):
            assert torch.equal(module(x[:count]), whole[:count]), count
            assert torch.equal(module(x[-count:]), whole[-count:]), count
        try:
            torch.set_num_threads(3 - min(threads, 2))
            assert torch.equal(module(x), whole)
            assert torch.equal(module(x.flip(0)).flip(0), whole)
        finally:
            torch.set_num_threads(threads)
    np.testing.assert_array_equal(network(x.numpy()[:7], sums="float64"), network(x.numpy(), sums="float64")[:7])
    if all(layer.weighting is not Weighting.SOFTMAX or layer.top_k == 1 for layer in network.layers):
        np.testing.assert_array_equal(whole.numpy(), network(x.numpy(), sums="float64"))  # padded experts and numpy: the same bits


def test_wide_and_narrow_maps_and_idle_neurons_have_the_same_bits() -> None:
    """Whichever axis is the inner one, and however the rows are cut."""
    rng = np.random.default_rng(1)
    for outputs, inputs in ((1, 700), (700, 1), (3, 90), (90, 3), (200, 200), (0, 4), (4, 0)):
        x, weight, bias = (rng.normal(size=s).astype(np.float32) for s in ((50, inputs), (outputs, inputs), (outputs,)))
        got = affine(x, weight, bias, Sums.FLOAT64, last=False)
        slow = np.stack([pairwise((weight * row).T.copy()) + bias for row in x])
        np.testing.assert_array_equal(got, slow)
        np.testing.assert_array_equal(affine(x[:1], weight, bias, Sums.FLOAT64, last=False), got[:1])


@pytest.mark.parametrize("sums", Sums)
@pytest.mark.parametrize("kind", KINDS)
def test_all_orders_compute_the_same_function(sums: Sums, kind: str) -> None:
    network = general_network(kind)
    x = np.random.default_rng(2).normal(size=(200, 2))
    module = atlasmoe.to_torch(network, sums=sums)
    np.testing.assert_allclose(network(x, sums=sums), network(x), rtol=0, atol=1e-12)
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach().numpy(), network(x), rtol=0, atol=1e-12)
    assert module.sums is sums
    routed = module(torch.from_numpy(x), return_routes=True)
    np.testing.assert_allclose(routed.y.detach().numpy(), network(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("sums", Sums)
def test_gradients_flow_in_every_order(sums: Sums) -> None:
    network = random_network(5)
    x = torch.tensor(np.random.default_rng(0).normal(size=(60, 5)), requires_grad=True)
    plain = torch.tensor(x.detach().numpy(), requires_grad=True)
    atlasmoe.to_torch(network, sums=sums)(x).sum().backward()
    atlasmoe.to_torch(network)(plain).sum().backward()
    torch.testing.assert_close(x.grad, plain.grad, rtol=0, atol=1e-11)


def test_blocks_and_the_fixed_order_err_less_than_plain_sums_may(circle32: atlasmoe.Model) -> None:
    """A wide net whose terms all have one sign: the longer the sums, the more plain ones lose."""
    rng = np.random.default_rng(0)
    m = 4096
    weight, outer = rng.uniform(1, 2, (m, 1)), rng.uniform(1, 2, (1, m))
    hidden, out = Affine(weight, np.zeros(m)).astype(np.float32), Affine(outer, np.zeros(1)).astype(np.float32)
    net = atlasmoe.ReLUNet((hidden, out), ((atlasmoe.NeuronGroup("n", m, "test"),),))
    layer = MoELayer(None, (net,), (0,), ("all",), ("f",))
    network = Network((layer,), ("x",))
    x = rng.uniform(1, 2, (50, 1)).astype(np.float32)
    truth = network.astype(float)(x.astype(float))
    off = {sums: float(np.abs(network(x, sums=sums) - truth).max() / truth.max()) for sums in Sums}
    assert off[Sums.FLOAT64] <= 2 * 2.0**-24 + gamma(2, np.float32)
    assert off[Sums.BLOCKS] <= gamma(BLOCK + 1 + 7 + 2, np.float32)


def test_other_words_are_refused(circle: atlasmoe.Model) -> None:
    for refuse in (lambda: atlasmoe.to_torch(circle, sums="kahan"), lambda: circle(np.zeros((1, 2)), sums="kahan")):
        with pytest.raises(InvalidArgument, match="sums='kahan' is not one of plain, blocks, float64"):
            refuse()
