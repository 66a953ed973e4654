"""The program of the format `numpy`, as it is written: it reads weights.npz beside it and needs NumPy only."""

PROGRAM = '''"""$about

    import $name
    y = $name.evaluate(x)             # [N, $inputs] to [N, $outputs]
    y, routes = $name.evaluate(x, routes=True)

Needs NumPy only; weights are in weights.npz beside this file.

Inputs: $channels.
"""

import json
import math
from pathlib import Path

import numpy as np

ARRAYS = np.load(Path(__file__).with_name("weights.npz"), allow_pickle=False)
ARRAYS = {name: ARRAYS[name] for name in ARRAYS.files}
LAYERS = json.loads(ARRAYS.pop("layers").tobytes())
ERFC = np.vectorize(math.erfc, otypes=[float])
LINEAR, CUBIC = $linear, $cubic


def activated(name, z):
    if name == "relu":
        return np.maximum(z, 0)
    if name == "relu2":
        return np.maximum(z, 0) ** 2
    if name == "silu":
        return z * logistic(z)
    if name == "gelu":
        return z * (ERFC(-z * math.sqrt(0.5)) / 2).astype(z.dtype)
    if name == "gelu_tanh":
        return z * logistic(z * (z.dtype.type(LINEAR) + z.dtype.type(CUBIC) * z * z))
    return z


def logistic(z):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-z))


def affine(name, x):
    out = x @ ARRAYS[name + ".weight"].T
    return out + ARRAYS[name + ".bias"] if name + ".bias" in ARRAYS else out


def run(net, x):
    for j, (runs, up) in enumerate(net["hidden"]):
        z = affine(f"{net['name']}.{j}", x)
        parts = np.split(z, np.cumsum([count for count, _ in runs])[:-1], axis=1)
        z = np.concatenate([activated(name, part) for part, (_, name) in zip(parts, runs)], axis=1)
        x = z * affine(f"{net['name']}.{j}.up", x) if up else z
    return affine(f"{net['name']}.{len(net['hidden'])}", x)


def one_expert(layer, x, chosen):
    stored = np.asarray(layer["serves"])[chosen]
    out = np.empty((len(x), layer["writing"]), x.dtype)
    for k in np.unique(stored):
        rows = stored == k
        out[rows] = run(layer["experts"][k], x[rows])
    return out


def advance(layer, x):
    logits = np.zeros((len(x), 1), x.dtype) if layer["gate"] is None else run(layer["gate"], x[:, layer["sees"]])
    chosen = np.argsort(-logits, axis=1, kind="stable")[:, : layer["top_k"]]
    read = x[:, layer["reads"]]
    low = read if layer["latent"] is None else affine(layer["latent"], read)
    scores = np.take_along_axis(logits, chosen, axis=1)
    if layer["weighting"] == "softmax":
        weights = np.exp(scores - scores.max(1, keepdims=True))
        weights = weights / weights.sum(1, keepdims=True)
    elif layer["weighting"] == "rectified":
        weights = np.maximum(scores, 0)
    else:
        weights = np.full_like(scores, 1 / layer["top_k"])
    written = sum(weights[:, k : k + 1] * one_expert(layer, low, chosen[:, k]) for k in range(layer["top_k"]))
    if layer["shared"] is not None:
        written = written + run(layer["shared"], read)
    sources = np.array(layer["carries"])
    out = np.where(sources >= 0, x[:, sources], 0).astype(x.dtype)
    out[:, layer["writes"]] += written
    return out, chosen


def evaluate(x, routes=False):
    x = np.atleast_2d(np.asarray(x, "$dtype"))
    taken = []
    for layer in LAYERS:
        x, chosen = advance(layer, x)
        taken.append(chosen)
    return (x, taken) if routes else x
'''
