"""Experts as one operator, `atlasmoe::experts`: what a graph of `torch.compile` has in the place of dispatch.

The graph knows the operator's shape, [N, out], and nothing else of it; whenever the graph runs, the operator looks at its rows' routes
and takes the cheapest way, as the module itself does. So nothing is recorded of the example, the graph neither breaks nor grows with
experts, and compiled layers are no slower than others. Programs that are to run without this library cannot have it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..moe.sums import Sums
from .dispatch import Stages, choose_dispatch
from .stages import Bend, Stage


def operated(stages: Stages, x: Tensor, expert: Tensor) -> Tensor:
    """[N, in] and the expert of every row, [N], to [N, out]; without gradients."""
    arrays = [array for stage in stages for array in (stage.weight, stage.bias, *(stage.up or ()))]
    return experts(x, expert, arrays, "|".join(written(stage) for stage in stages))


def written(stage: Stage) -> str:
    """What a stage is beside its arrays: `start:stop:activation` of its bend, and `*` if it has a second map."""
    return ",".join(f"{rows.start}:{rows.stop}:{name}" for rows, name in stage.bend) + "*" * (stage.up is not None)


def read(arrays: list[Tensor], texts: str) -> list[Stage]:
    """The stages again."""
    left, stages = iter(arrays), []
    for text in texts.split("|"):
        weight, bias = next(left), next(left)
        up = (next(left), next(left)) if text.endswith("*") else None
        stages.append(Stage(weight, bias, _bend(text.removesuffix("*")), up))
    return stages


def _bend(text: str) -> Bend:
    parts = (part.split(":") for part in text.split(",") if part)
    return tuple((slice(int(start), int(stop)), name) for start, stop, name in parts)


@torch.library.custom_op("atlasmoe::experts", mutates_args=(), schema="(Tensor x, Tensor expert, Tensor[] arrays, str stages) -> Tensor")
def experts(x: Tensor, expert: Tensor, arrays: list[Tensor], stages: str) -> Tensor:
    """As `operated`, of what graphs can hold."""
    nets = read(arrays, stages)
    return choose_dispatch(nets, len(x), expert)(nets, x, expert, Sums.PLAIN)


@experts.register_fake
def _(x: Tensor, expert: Tensor, arrays: list[Tensor], stages: str) -> Tensor:
    return x.new_empty(x.shape[0], read(arrays, stages)[-1].bias.shape[-1])
