"""The affine maps of all experts of a layer at one depth, in one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..moe import Affine
from ..moe.sums import Sums
from .stages import Bend, Stage
from .sums import affine
from .watched import Watched

Places = list[NDArray[np.intp]]
"""For every expert where in a stack its rows or columns are."""


class StackedAffine(Watched):
    """x ↦ W_k·x + b_k for k in a stack of experts: `weight` (experts, out, in), `bias` (experts, out); of lanes, `up` is another one."""

    weight: nn.Parameter
    bias: nn.Parameter

    order = Sums.PLAIN

    def __init__(self, affines: Sequence[Affine], rows: Places, columns: Places, size: tuple[int, int], bend: Bend = ()) -> None:
        """Entry (i, j) of expert k's map goes to (rows[k][i], columns[k][j]) of a matrix of this size."""
        super().__init__()
        dtype = affines[0].weight.dtype
        weight, bias = np.zeros((len(affines), *size), dtype), np.zeros((len(affines), size[0]), dtype)
        for k, (map_, row, column) in enumerate(zip(affines, rows, columns, strict=True)):
            weight[k][np.ix_(row, column)], bias[k, row] = map_.weight, map_.bias
        # Memory of PyTorch's own is aligned as its products like it. Rows are multiplied by W transposed: so it lies that way.
        self.weight = nn.Parameter(torch.tensor(np.ascontiguousarray(weight.swapaxes(1, 2))).mT)
        self.bias = nn.Parameter(torch.tensor(bias))
        self.bend, self.last = bend, False
        self.up: StackedAffine | None = None

    @property
    def stage(self) -> Stage:
        """Its weights and biases, and what is done with them."""
        return Stage(self.weight, self.bias, self.bend, None if self.up is None else (self.up.weight, self.up.bias))

    def forward(self, x: Tensor, k: int) -> Tensor:
        """Rows x [n, in] of expert k, padding included, [n, out]: called where somebody watches."""
        return affine(x, self.weight[k], self.bias[k], self.order, last=self.last)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """As safetensors takes it, row by row."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if not keep_vars and (weight := destination.get(f"{prefix}weight")) is not None:
            destination[f"{prefix}weight"] = weight.contiguous()

    def extra_repr(self) -> str:
        names = "".join(f", {name}" for name in dict.fromkeys(name for _, name in self.bend))
        return "experts={}, out={}, in={}".format(*self.weight.shape) + names
