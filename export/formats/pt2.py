"""`pt2`: the module as an exported program of PyTorch, for any number of rows; it runs without this library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...moe import Model, Network
from ...moe.network import Floats, Indices
from ..torch_module import AtlasMoE, to_torch
from .base import Format, Standing, Written
from .c_source import identifier
from .comparison import Run

EXAMPLE_ROWS = 4
"""Rows of the example; any number will do."""


class Pt2(Format):
    """`NAME.pt2`."""

    name = "pt2"
    summary = "a program of torch.export with a dynamic batch, routes behind the outputs; every kind of layer"

    def standing(self, network: Network) -> tuple[Standing, str]:
        return (
            Standing.CARRIES,
            "the stored weights in their own dtype, sums by PyTorch's libraries in some order: bounds for plain sums hold of any order",
        )

    def write(self, model: Model, folder: Path, **_: Any) -> Written:
        network, name = model.network, identifier(model.task.name)
        module = to_torch(network)
        for part in module.parameters():
            part.data = part.data.contiguous()  # as the file holds them
        program = exported_program(module)
        torch.export.save(program, folder / f"{name}.pt2")
        use = (
            "```python\nimport torch\n\n"
            f'module = torch.export.load("{name}.pt2").module()\n'
            f"y, *routes = module(x)  # x [N, {len(network.inputs)}], {network.dtype}\n```"
        )
        return Written(network, _runner(folder / f"{name}.pt2", network), f"torch {torch.__version__}, CPU", use)


class _WithRoutes(nn.Module):
    """The outputs, and behind them the routes of every layer."""

    def __init__(self, module: AtlasMoE) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = self.module(x, return_routes=True)
        return (found.y, *found.routes)


def exported_program(module: AtlasMoE) -> torch.export.ExportedProgram:
    """x [N, D] ↦ y [N, out] and of every layer its routes, [N], or [N, K] where it chooses K > 1; N is any number from 1 on."""
    x = torch.zeros(EXAMPLE_ROWS, len(module.inputs), dtype=module.stack[0].reading)
    with torch.no_grad():
        return torch.export.export(_WithRoutes(module).eval(), (x,), dynamic_shapes={"x": {0: torch.export.Dim("N", min=1)}})


def _runner(path: Path, network: Network) -> Run:
    module = torch.export.load(path).module()

    def run(x: Floats) -> tuple[Floats, Sequence[Indices]]:
        with torch.no_grad():
            y, *routes = module(torch.from_numpy(np.ascontiguousarray(x, network.dtype)))
        return y.numpy(), [route.numpy().reshape(len(x), -1) for route in routes]

    return run
