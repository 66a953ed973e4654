"""What becomes of a module in bfloat16 or float16: routes stay as they are, and what the experts lose is said.

Rounding weights to 8 or 11 bits changes the function. For experts that costs an error of that size, for gates it sends points to
other experts: on SO(3) 23 of 2048. So gates, and whatever computes what a gate reads, keep at least float32 through `.to(dtype)`,
`.half()` and `.bfloat16()`: all layers before the last gate, and of its own layer the gate. Experts behind it go along.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..atlas import ManifoldTask, TaskGraph
from ..atlas.wanted import Wanted, largest
from ..errors import PrecisionWarning
from ..moe import Network

SAMPLES = 256
"""Points of M that a module carries, to measure itself when it is rounded."""
SINGLE = 4
"""Bytes of a float32: what gates keep at least."""
NOTHING = nullcontext()
Conversion = Callable[[Tensor], Tensor]


def reduced(dtype: torch.dtype) -> bool:
    """Whether it has fewer bits than float32."""
    return dtype.is_floating_point and dtype.itemsize < SINGLE


def at_least_single(convert: Conversion) -> Conversion:
    """The conversion, to float32 where it would go below."""

    def kept(tensor: Tensor) -> Tensor:
        out = convert(tensor)
        if not reduced(out.dtype) or reduced(tensor.dtype):
            return out
        return tensor.to(out.device, torch.promote_types(out.dtype, torch.float32))

    return kept


def as_stored(x: Tensor, wanted: bool = True) -> AbstractContextManager[object]:
    """Inside, autocast leaves the dtypes of weights alone, if that is wanted."""
    on = wanted and torch.is_autocast_enabled("cpu" if x.is_cpu else x.device.type)
    return torch.autocast(x.device.type, enabled=False) if on else NOTHING


@dataclass(frozen=True, eq=False)
class Sample:
    """Points x of M [N, D], f(x) [N, out], and what the network makes of them as compiled."""

    points: np.ndarray
    truth: np.ndarray
    routes: tuple[np.ndarray, ...]
    error: float
    wanted: tuple[Wanted, ...] = ()
    """The targets, where there are several: errors are in units of their ε."""

    @staticmethod
    def of(network: Network, task: ManifoldTask | TaskGraph) -> Sample:
        """Low-discrepancy points, always the same."""
        if isinstance(task, ManifoldTask):
            drawn = task.atlas.sample(SAMPLES, 0, low_discrepancy=True)
            points, truth = drawn.ambient, task.evaluate(drawn)
        else:
            points = task.sample(SAMPLES, 0, low_discrepancy=True)
            truth = task.evaluate(points)
        trace = network.trace(points.astype(network.dtype))
        return Sample(points, truth, trace.chosen, float(largest(trace.output - truth, task.wanted).max()), task.wanted)

    def compared(self, y: Tensor, routes: tuple[Tensor, ...]) -> tuple[float, int]:
        """The largest error of outputs y at the points, and how many rows take another route anywhere."""
        error = float(largest(y.double().cpu().numpy() - self.truth, self.wanted).max())
        other = np.zeros(len(self.points), bool)
        for ours, theirs in zip(self.routes, routes, strict=True):
            other |= (theirs.cpu().numpy().reshape(ours.shape) != ours).any(1)
        return error, int(other.sum())


def warn(dtype: torch.dtype, sample: Sample | None, measured: tuple[float, int] | None) -> None:
    """Say what a module loses in this dtype."""
    name = str(dtype).removeprefix("torch.")
    kept = "gates and what they read stay in float32 at least"
    if sample is None or measured is None:
        text = f"experts rounded to {name} are another function ({kept}), and how far off it is nobody knows here; give to_torch a Model"
    else:
        error, other = measured
        text = (
            f"with experts in {name} the largest error on {len(sample.points)} points of M is {error:.3g}, it was {sample.error:.3g}; "
            f"{other} of them take another route ({kept}). What is proved of the model says nothing about {name}"
        )
    warnings.warn(text, PrecisionWarning, stacklevel=4)
