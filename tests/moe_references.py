"""Mixture-of-experts layers for the fixtures: sound ones in NumPy and in torch, and ones with an error of a kind that was reported."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

Tensor = torch.Tensor
Array = npt.NDArray[Any]

MUTANTS = {
    "last index": "the highest index wins a tie",
    "index subtracted": "3e-7 times the index is subtracted from scores, to break ties",
    "bfloat16 logits": "logits are rounded to bfloat16",
    "bfloat16 logits of many": "logits of more than 8 tokens are rounded to bfloat16",
    "bfloat16 scores": "scores are rounded to bfloat16 before they are compared",
    "always divided": "weights are divided by their sum whatever the settings say",
    "never divided": "weights are never divided by their sum",
    "divided across tokens": "with top_k = 1 weights lose their last dimension and are divided by the sum over tokens",
    "softmax of the chosen": "softmax of the chosen logits alone, where weights are not to be divided",
    "raw logits": "weights that are not to be divided are logits, not their softmax",
    "no scale": "the factor of routed experts is left out",
    "scale twice": "the factor of routed experts is applied twice",
    "scale where divided": "the factor is left out where weights are not divided",
    "scale of nothing": "with top_k = 1 the factor is applied to a buffer that was never written",
    "scale on shared": "the factor is applied to the shared expert too",
    "no shared": "the shared expert is left out",
    "weighted shared": "the shared expert is weighted by 1/2",
    "bias weights": "the bias is in the weights",
    "no bias": "the bias is left out",
    "bias subtracted": "scores are got back as (score + bias) - bias, in float32",
    "bfloat16 bias scores": "scores with bias are rounded to bfloat16",
    "mask of zero": "groups that are not kept have score 0",
    "interleaved groups": "expert e is in group e mod groups",
    "groups by maximum": "groups are ranked by their largest score",
    "groups by two": "groups are ranked by their two largest scores",
    "maximum from zero": "running maxima begin at 0: experts with negative scores are not proposed, but expert 0 is",
    "no maximum": "softmax does not subtract the largest logit",
    "nan wins always": "with a NaN in a row the same expert is taken top_k times",
    "nan spreads": "dense sums over all experts, with 0 times NaN",
    "selected again": "an expert at -inf that was taken is taken again",
    "empty offset": "an empty expert's offset is dropped: later experts run on its neighbour's weights",
    "first two": "experts 0 and 1 alone ever run",
    "half of the experts": "experts of the upper half are never proposed",
    "block of 64": "the last row of every 64 of an expert is lost",
    "block of 65": "rows from the 65th of an expert on are lost",
    "one token lost": "of several tokens of an expert the first alone is computed",
    "squeezed": "a single token loses its dimension",
    "no tokens fails": "no tokens are an error",
    "capacity one more": "an expert takes one token more than its capacity",
    "capacity one fewer": "an expert takes one token fewer than its capacity",
    "no capacity": "capacity is ignored",
    "unsorted": "rows come back in the order of experts",
    "last input lost": "the router does not read the last input",
    "last neuron lost": "experts leave out their last hidden neuron",
    "last output lost": "the last output of experts is never written",
    "neighbour": "expert e has the down projection of expert e + 1",
    "top_k minus one": "the last of the chosen experts is left out",
    "weights permuted": "weights of the chosen experts are in the reverse order",
    "tanh": "activations are off by one percent",
}
"""Every mutant and what is wrong with it."""


def activation(name: str, z: Tensor) -> Tensor:
    formula = {
        "relu": torch.relu,
        "relu2": lambda z: torch.relu(z) ** 2,
        "silu": functional.silu,
        "gelu": functional.gelu,
        "gelu_tanh": lambda z: functional.gelu(z, approximate="tanh"),
        "reglu": torch.relu,
        "swiglu": functional.silu,
        "geglu": functional.gelu,
    }
    return formula[name](z)


def expert(x: Tensor, up: Tensor, gate: Tensor | None, down: Tensor, name: str) -> Tensor:
    """down·act(up·x), or down·(act(gate·x)·(up·x))."""
    if name == "clamped_swiglu":
        assert gate is not None
        g, z = (x @ gate.T).clamp(max=7), (x @ up.T).clamp(-7, 7)
        return (g * torch.sigmoid(1.702 * g) * (z + 1)) @ down.T
    h = activation(name, x @ up.T) if gate is None else activation(name, x @ gate.T) * (x @ up.T)
    return h @ down.T


def in_torch(tensors: dict[str, Tensor], s: dict[str, Any], mutant: str | None = None, dtype: torch.dtype | None = torch.float64) -> Any:
    """(output, experts, weights). `dtype` None: in the dtype of the tensors, scores in float32 or wider; else all in this one."""
    own = tensors["x"].dtype
    t = {name: v if name == "like" or dtype is None else v.to(dtype) for name, v in tensors.items()}
    x, count = t["x"], len(t["x"])
    if not count and mutant == "no tokens fails":
        raise RuntimeError("empty grid")
    wide = torch.promote_types(x.dtype, torch.float32)
    experts, weights = routes(t, s, mutant, wide, own)
    out = x.new_zeros(x.shape)
    load = [0] * s["experts"]
    busy = sorted({int(e) for e in experts.flatten()})
    for e in range(s["experts"]):
        rows, places = (experts == e).nonzero(as_tuple=True)
        rows, places = accepted(rows, places, s, mutant)
        load[e] = len(rows)
        if not len(rows) or (mutant == "first two" and e > 1):
            continue
        w = busy.index(e) if mutant == "empty offset" else e
        down = t["down"][(w + 1) % s["experts"] if mutant == "neighbour" else w]
        up, gate = t["up"][w], t["gate"][w] if "gate" in t else None
        if mutant == "last neuron lost":
            up, gate, down = up[:-1], gate if gate is None else gate[:-1], down[:, :-1]
        y = expert(x[rows], up, gate, down, s["activation"])
        y = y * 1.01 if mutant == "tanh" else y
        if mutant == "last output lost":
            y[:, -1] = 0
        out.index_add_(0, rows, weights[rows, places, None].to(x.dtype) * y)
    if mutant == "scale of nothing" and s["top_k"] == 1 and s["scale"] != 1:
        out = torch.zeros_like(out)
    if mutant == "nan spreads":
        out = out + (torch.zeros(count, s["experts"], dtype=x.dtype).scatter(1, experts, weights.to(x.dtype)).T.sum(1) * 0).sum()
    if mutant == "unsorted":
        out = out[torch.argsort(experts[:, 0], stable=True)]
    if s["shared"] and mutant != "no shared":
        factor = {"scale on shared": s["scale"], "weighted shared": 0.5}.get(str(mutant), 1)
        out = out + factor * expert(
            x, t["shared_up"][0], t["shared_gate"][0] if "gate" in t else None, t["shared_down"][0], s["activation"]
        )
    if mutant == "squeezed" and count == 1:
        out = out[0]
    return out, experts, weights


def routes(t: dict[str, Tensor], s: dict[str, Any], mutant: str | None, wide: torch.dtype, own: torch.dtype) -> tuple[Tensor, Tensor]:
    if "logits" in t:
        logits = t["logits"].to(wide)
    else:
        x, router = t["x"], t["router"]
        logits = (x[:, :-1] @ router[:, :-1].T if mutant == "last input lost" else x @ router.T).to(wide)
    if mutant == "bfloat16 logits" or (mutant == "bfloat16 logits of many" and len(logits) > 8):
        logits = logits.bfloat16().to(wide)
    scores = logits
    if s["scoring"] == "softmax":
        scores = torch.exp(logits) / torch.exp(logits).sum(-1, keepdim=True) if mutant == "no maximum" else torch.softmax(logits, -1)
        scores = scores.to(own).to(wide) if mutant == "no maximum" and wide == torch.float64 and own != wide else scores
    elif s["scoring"] == "sigmoid":
        scores = torch.sigmoid(logits)
    if mutant == "no maximum" and s["scoring"] == "softmax":
        narrow = logits.to(torch.promote_types(own, torch.float32))
        scores = (torch.exp(narrow) / torch.exp(narrow).sum(-1, keepdim=True)).to(wide)
    keys = scores if s["groups"] is not None or s["bias"] else logits
    if s["bias"] and mutant != "no bias":
        keys = scores + t["bias"].to(wide)
    if mutant in ("bfloat16 scores", "bfloat16 bias scores"):
        keys = (
            (scores + t["bias"].to(wide) if s["bias"] else scores).bfloat16().to(wide) if mutant == "bfloat16 scores" or s["bias"] else keys
        )
    if mutant == "index subtracted":
        keys = keys - 3e-7 * torch.arange(s["experts"])
    if mutant == "half of the experts":
        keys = keys.clone()
        keys[:, s["experts"] // 2 :] = -torch.inf
    if mutant == "maximum from zero":
        keys = torch.where(keys > 0, keys, torch.where(torch.arange(s["experts"]) < s["top_k"], 0.0, -torch.inf))
    if s["groups"] is not None:
        keys = grouped(keys, s, mutant)
    experts = largest(keys, s["top_k"], mutant)
    source = keys if mutant == "bias weights" else scores
    if mutant == "bias subtracted" and s["bias"]:
        source = ((scores.float() + t["bias"].float()) - t["bias"].float()).to(wide)
    weights = source.gather(1, experts) if s["scoring"] != "none" or mutant == "bias weights" else torch.ones(experts.shape, dtype=wide)
    if mutant == "softmax of the chosen" and s["scoring"] == "softmax":
        weights = torch.softmax(logits.gather(1, experts), -1)
    if mutant == "raw logits" and s["scoring"] == "softmax" and not s["normalise"]:
        weights = logits.gather(1, experts)
    divide = {"always divided": s["scoring"] != "none", "never divided": False}.get(str(mutant), s["normalise"])
    if divide and mutant == "divided across tokens" and s["top_k"] == 1:
        weights = weights / weights.sum(0, keepdim=True)
    elif divide:
        weights = weights / weights.sum(-1, keepdim=True)
    left_out = mutant == "no scale" or (mutant == "scale where divided" and not divide)
    weights = weights * (1 if left_out else s["scale"] ** (2 if mutant == "scale twice" else 1))
    if mutant == "top_k minus one":
        weights = torch.cat([weights[:, :-1], 0 * weights[:, -1:]], 1)
    return experts, weights.flip(1) if mutant == "weights permuted" else weights


def grouped(keys: Tensor, s: dict[str, Any], mutant: str | None) -> Tensor:
    groups, size = s["groups"], s["experts"] // s["groups"]
    split = keys.view(-1, size, groups).mT if mutant == "interleaved groups" else keys.view(-1, groups, size)
    by = {"groups by maximum": "max", "groups by two": "top2"}.get(str(mutant), s["group_score"])
    ranks = split.topk(2, -1)[0].sum(-1) if by == "top2" else split.amax(-1)
    kept = torch.zeros_like(ranks, dtype=torch.bool).scatter(1, ranks.topk(s["top_groups"], -1)[1], True)
    shaped = torch.where(kept[:, :, None], split, 0.0 if mutant == "mask of zero" else -torch.inf)
    return (shaped.mT if mutant == "interleaved groups" else shaped).reshape(keys.shape)


def largest(keys: Tensor, top_k: int, mutant: str | None) -> Tensor:
    """The indices of the top_k largest, the lowest first among equals; NaN is the largest."""
    if mutant == "last index":
        return (keys.shape[1] - 1 - torch.sort(keys.flip(1), dim=-1, descending=True, stable=True)[1])[:, :top_k]
    found = torch.sort(keys, dim=-1, descending=True, stable=True)[1][:, :top_k]
    if mutant == "nan wins always":
        found = torch.where(keys.isnan().any(1, keepdim=True), 0, found)
    if mutant == "selected again":
        found = torch.where(keys.gather(1, found) == -torch.inf, 0, found)
    return found


def accepted(rows: Tensor, places: Tensor, s: dict[str, Any], mutant: str | None) -> tuple[Tensor, Tensor]:
    count = len(rows)
    if s["capacity"] is not None:
        count = min(count, s["capacity"] + {"capacity one more": 1, "capacity one fewer": -1, "no capacity": count}.get(str(mutant), 0))
    keep = torch.arange(count)
    if mutant == "block of 64":
        keep = keep[keep % 64 != 63]
    if mutant == "block of 65":
        keep = keep[keep < 64]
    if mutant == "one token lost":
        keep = keep[:1]
    return rows[keep], places[keep]


def in_numpy(tensors: dict[str, Array], s: dict[str, Any]) -> tuple[Array, Array, Array]:
    """Token by token, in float64, in as plain a way as there is."""
    t = {name: value.astype(np.float64) for name, value in tensors.items()}
    outputs, chosen, weights = [], [], []
    load = [0] * s["experts"]
    logits = t["logits"] if "logits" in t else t["x"] @ t["router"].T
    for x, row in zip(t["x"], logits, strict=True):
        with np.errstate(all="ignore"):
            score = {
                "softmax": lambda r: np.exp(r - r.max()) / np.exp(r - r.max()).sum(),
                "sigmoid": lambda r: 1 / (1 + np.exp(-r)),
                "none": lambda r: r,
            }[s["scoring"]](row)
        key = score + t["bias"] if s["bias"] else score if s["groups"] else row
        if s["groups"]:
            size = s["experts"] // s["groups"]
            best = [
                np.sort(key[g * size : (g + 1) * size])[::-1][: 1 if s["group_score"] == "max" else 2].sum() for g in range(s["groups"])
            ]
            kept = np.argsort(-np.array(best), kind="stable")[: s["top_groups"]]
            key = np.where(np.isin(np.arange(s["experts"]) // size, kept), key, -np.inf)
        pick = np.argsort(np.where(np.isnan(key), -np.inf, -key), kind="stable")[: s["top_k"]]
        w = np.ones(s["top_k"]) if s["scoring"] == "none" else score[pick]
        w = w / w.sum() * s["scale"] if s["normalise"] else w * s["scale"]
        y = np.zeros_like(x)
        for e, weight in zip(pick, w, strict=True):
            load[e] += 1
            if s["capacity"] is None or load[e] <= s["capacity"]:
                y = y + weight * _expert(x, t["up"][e], t["gate"][e] if "gate" in t else None, t["down"][e], s["activation"])
        if s["shared"]:
            y = y + _expert(x, t["shared_up"][0], t["shared_gate"][0] if "gate" in t else None, t["shared_down"][0], s["activation"])
        outputs.append(y), chosen.append(pick), weights.append(w)
    k = s["top_k"]
    return np.array(outputs).reshape(t["x"].shape), np.array(chosen, np.int64).reshape(-1, k), np.array(weights, float).reshape(-1, k)


def _expert(x: Array, up: Array, gate: Array | None, down: Array, name: str) -> Array:
    erf = np.vectorize(math.erf)
    z = up @ x
    g = z if gate is None else gate @ x
    if name == "clamped_swiglu":
        g, z = np.minimum(g, 7), np.clip(z, -7, 7)
        return down @ (g / (1 + np.exp(-1.702 * g)) * (z + 1))
    act = {
        "relu": lambda v: np.maximum(v, 0),
        "relu2": lambda v: np.maximum(v, 0) ** 2,
        "silu": lambda v: v / (1 + np.exp(-v)),
        "gelu": lambda v: v * (1 + erf(v / np.sqrt(2))) / 2,
        "gelu_tanh": lambda v: v * (1 + np.tanh(np.sqrt(2 / np.pi) * (v + 0.044715 * v**3))) / 2,
    }[{"reglu": "relu", "swiglu": "silu", "geglu": "gelu"}.get(name, name)](g)
    return down @ (act if gate is None else act * z)
