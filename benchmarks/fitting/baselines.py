"""What the constructions are compared with: fixed random neurons with least squares, and trained networks."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np
import torch

from fitting.targets import Array, Predictor, sample

ADAM_SHARE = 0.5
DEEP_LAYERS = 4


def output_weights(hidden: Callable[[Array], Array], u: Array, values: Array) -> Predictor:
    """Linear least squares on given hidden neurons, by singular values."""
    columns = np.concatenate([hidden(u), np.ones((len(u), 1))], axis=1)
    solution = np.linalg.lstsq(columns, values, rcond=1e-10)[0]
    return lambda x: np.concatenate([hidden(x), np.ones((len(x), 1))], axis=1) @ solution


def random_features(name: str, width: int) -> Predictor:
    """Directions uniform on the sphere, knots uniform on the range that the cube has along them."""
    u, values = sample(name, 10 * width + 1000, 1)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(width, u.shape[1]))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    low, high = np.minimum(rows, 0).sum(1), np.maximum(rows, 0).sum(1)
    knots = low + (high - low) * rng.random(width)
    return output_weights(lambda x: np.maximum(x @ rows.T - knots, 0), u, values)


def swim(name: str, width: int) -> Predictor:
    """SWIM's rule for ReLU (Bolager and others, 2023): pairs of samples, likelier the steeper the target is between them.

    The neuron of the pair (x, x′) is σ(w·(u − x)), w = (x′ − x)/|x′ − x|². Agrees with swimnetworks 0.0.2 up to chance.
    """
    u, values = sample(name, 10 * width + 1000, 1)
    rng = np.random.default_rng(0)
    first, second = rng.integers(len(u), size=(2, 20 * width))
    apart = np.linalg.norm(u[second] - u[first], axis=1)
    steep = np.where(apart > 0, np.abs(values[second] - values[first]).max(1) / np.maximum(apart, 1e-12), 0)
    chosen = rng.choice(len(steep), width, replace=False, p=steep / steep.sum())
    rows = (u[second] - u[first])[chosen] / apart[chosen, None] ** 2
    offsets = (rows * u[first][chosen]).sum(1)
    return output_weights(lambda x: np.maximum(x @ rows.T - offsets, 0), u, values)


def trained(name: str, widths: list[int], width: int, activation: type[torch.nn.Module], seconds: float) -> Predictor:
    """A network with these hidden widths: Adam on batches with a cosine schedule, then L-BFGS on all samples; float64, CPU seconds."""
    torch.manual_seed(0)
    u, values = (torch.from_numpy(array) for array in sample(name, 10 * width + 1000, 1))
    sizes = [u.shape[1], *widths, 1]
    layers: list[torch.nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(before, after, dtype=torch.float64), activation()]
    net = torch.nn.Sequential(*layers[:-1])
    start = time.process_time()
    adam = torch.optim.Adam(net.parameters(), lr=3e-3)
    while (spent := (time.process_time() - start) / (ADAM_SHARE * seconds)) < 1:
        for group in adam.param_groups:
            group["lr"] = 3e-3 * 0.5 * (1 + np.cos(np.pi * spent)) + 1e-6
        rows = torch.randint(len(u), (256,))
        adam.zero_grad()
        torch.nn.functional.mse_loss(net(u[rows]), values[rows]).backward()
        adam.step()
    lbfgs = torch.optim.LBFGS(net.parameters(), max_iter=5, history_size=20, line_search_fn="strong_wolfe", tolerance_change=0.0)

    def closure() -> torch.Tensor:
        lbfgs.zero_grad()
        loss = torch.nn.functional.mse_loss(net(u), values)
        loss.backward()
        return loss

    while time.process_time() - start < seconds:
        before = float(lbfgs.step(closure).detach())
        if not np.isfinite(before) or before < 1e-24:
            break

    def predict(x: Array) -> Array:
        with torch.no_grad():
            return net(torch.from_numpy(x)).numpy()

    return predict


def deep_width(dimension: int, width: int) -> int:
    """Width of DEEP_LAYERS hidden layers with about as many parameters as one hidden layer of `width`."""
    total = width * (dimension + 2) + 1
    return max(2, max(h for h in range(1, width + 1) if h * (dimension + 2) + (DEEP_LAYERS - 1) * h * (h + 1) + 1 <= max(total, 12)))
