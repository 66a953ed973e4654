"""Training: Adam or SGD on the mean square (or a p-norm), a number of steps as the budget, and one rule for learning rates.

*The rule*: of the rates RATES each trains the same network from the same start for a quarter of the steps; the one with the least mean
square on points kept apart is taken for all of them. Rates fall to 0 along half a cosine unless `constant` is asked for. Nothing else is
chosen; seeds are fixed, and no budget is measured by the clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from atlasmoe import InvalidArgument, ManifoldTask, TaskGraph
from atlasmoe.atlas.graph import as_graph
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]

RATES = (1e-2, 3e-3, 1e-3, 3e-4)
"""The grid, of Adam; SGD takes a hundred times these."""
SGD_RATES = tuple(100 * rate for rate in RATES)
PILOT = 4
"""One in so many steps for every rate of the grid."""
BALANCE = 1e-2
"""Weight of the load-balancing loss where it is on, that of Switch transformers."""
HELD_OUT = 4096
"""Points that a rate is validated on."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    steps: int = 4000
    batch: int = 512
    optimiser: str = "adam"
    """Or "sgd", without momentum."""
    rate: float | None = None
    """None: the rule."""
    balance: float = 0.0
    """Weight of the load-balancing loss, 0 for none."""
    constant: bool = False
    """Whether the rate stays what it is."""
    seed: int = 0
    """Of the order of the points."""
    power: float = 2
    """2: the mean square; p: the p-norm, (mean |error|^p)^(1/p)."""

    def __post_init__(self) -> None:
        if self.optimiser not in ("adam", "sgd"):
            raise InvalidArgument(f'optimiser {self.optimiser!r} is not "adam" or "sgd"')


@dataclass(frozen=True, eq=False)
class Data:
    """Points to train on and to validate on, and the values there; points are embedded by `map`, (D, k), batch by batch."""

    x: Tensor
    y: Tensor
    held_x: Tensor
    held_y: Tensor
    map: Tensor | None = None

    @staticmethod
    def of(task: ManifoldTask | TaskGraph, count: int = 1 << 15, seed: int = 1, dtype: torch.dtype = torch.float32) -> Data:
        """Points of the task's own distribution, uniform on charts or boxes."""
        graph = as_graph(task)
        parts, Q = [], None
        for number, one in ((count, 2 * seed), (HELD_OUT, 2 * seed + 1)):
            if isinstance(task, ManifoldTask):
                points = task.atlas.sample(number, one)
                x, y, Q = points.base, task.evaluate(points), task.atlas.embedding
            else:
                x = graph.sample(number, one)
                y = graph(x)
            parts += [torch.tensor(x, dtype=dtype), torch.tensor(y, dtype=dtype)]
        return Data(*parts, None if Q is None else torch.tensor(Q, dtype=dtype))

    def read(self, x: Tensor) -> Tensor:
        """As networks read it."""
        return x if self.map is None else x @ self.map.T


@dataclass(frozen=True)
class Trained:
    """What came of it."""

    rate: float
    steps: int
    loss: float
    """Mean square of the points kept apart, after the last step."""
    diverged: bool
    history: tuple[tuple[int, float], ...] = ()
    """Step and mean square of the points kept apart, where it was watched."""


def held_out(module: nn.Module, data: Data) -> float:
    """Mean square on the points kept apart."""
    with torch.no_grad():
        found = [
            (module(data.read(x)) - y.to(x.dtype)).double().square().mean(1)
            for x, y in zip(data.held_x.split(1024), data.held_y.split(1024), strict=True)
        ]
    return float(torch.cat(found).mean())


def _size(error: Tensor, power: float) -> Tensor:
    return error.square().mean() if power == 2 else error.abs().pow(power).mean() ** (1 / power)


def train(
    module: nn.Module, data: Data, recipe: Recipe, *, watch: Callable[[int, nn.Module], None] | None = None, every: int = 0
) -> Trained:
    """Train in place, with the recipe's own rate. `watch` is called every so many steps, before the first and after the last.

    Modules with `balanced(x)` have a load-balancing loss; others are refused if one is asked for. Parameters with `requires_grad=False`
    stay. Training ends where the loss is no longer finite, and says so.
    """
    if recipe.rate is None:
        raise InvalidArgument("the recipe has no rate; give one, or let `tuned` choose it")
    if recipe.balance and not hasattr(module, "balanced"):
        raise InvalidArgument(f"{type(module).__name__} has no load-balancing loss; train a Mixture, or set balance=0")
    parameters = [p for p in module.parameters() if p.requires_grad]
    made = torch.optim.Adam if recipe.optimiser == "adam" else torch.optim.SGD
    optimiser = made(parameters, lr=recipe.rate)
    generator = torch.Generator().manual_seed(recipe.seed)
    history, diverged, done = [], False, 0

    def look(step: int) -> None:
        history.append((step, held_out(module, data)))
        if watch is not None:
            watch(step, module)

    order, at = torch.empty(0, dtype=torch.int64), 0
    for step in range(recipe.steps):
        if every and step % every == 0:
            look(step)
        if at + recipe.batch > len(order):
            order, at = torch.randperm(len(data.x), generator=generator), 0
        rows, at = order[at : at + recipe.batch], at + recipe.batch
        if not recipe.constant:
            optimiser.param_groups[0]["lr"] = recipe.rate * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        x = data.read(data.x[rows])
        if recipe.balance:
            y, uneven = module.balanced(x)
            loss = _size(y - data.y[rows], recipe.power) + recipe.balance * uneven
        else:
            loss = _size(module(x) - data.y[rows], recipe.power)
        if not torch.isfinite(loss):
            diverged = True
            break
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        done = step + 1
    if every:
        look(done)
    last = held_out(module, data)
    return Trained(recipe.rate, done, last, diverged or not math.isfinite(last), tuple(history))


def tuned(make: Callable[[], nn.Module], data: Data, recipe: Recipe, rates: Sequence[float] | None = None) -> tuple[Any, Trained]:
    """The network that `make` starts, trained at the rate that the rule finds; a given rate is taken as it is.

    `make` has to start the same network every time. Pilots cost len(rates)/PILOT of the training itself.
    """
    if recipe.rate is None:
        grid = rates or (RATES if recipe.optimiser == "adam" else SGD_RATES)
        short = replace(recipe, steps=max(1, recipe.steps // PILOT))
        found = [(train(make(), data, replace(short, rate=rate)), rate) for rate in grid]
        losses = [math.inf if one.diverged else one.loss for one, _ in found]
        recipe = replace(recipe, rate=grid[int(np.argmin(losses))])
    module = make()
    return module, train(module, data, recipe)
