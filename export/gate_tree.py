"""`TorchTree`: an affine gate in two levels in PyTorch, with the routes of the flat gate (`moe.gate_tree` has the lemma)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..moe import Affine
from ..moe.gate_tree import GateTree
from ..moe.sums import Sums
from .sums import affine


class TorchTree:
    """The two levels of a linear module. They are made of its weights as they are: when these change, so do the lists."""

    def __init__(self, gate: nn.Linear) -> None:
        self.gate = gate
        self.seen: tuple[object, ...] = ()
        """Of which weights the lists are."""
        self.levels: tuple[GateTree, Tensor, Tensor, Tensor, list[tuple[Tensor, Tensor, Tensor, float]]] | None = None

    def _built(self) -> tuple[GateTree, Tensor, Tensor, Tensor, list[tuple[Tensor, Tensor, Tensor, float]]]:
        """q, −|q|²/2, the limits, and of every group its candidates, their rows, their biases, and the lead that settles."""
        weight, bias = self.gate.weight, self.gate.bias
        now = (weight.data_ptr(), weight._version, bias.data_ptr(), bias._version, weight.dtype, weight.device)
        if self.levels is None or self.seen != now:
            tree = GateTree.of(Affine(weight.detach().cpu().numpy().copy(), bias.detach().cpu().numpy().copy()))

            def there(array: np.ndarray) -> Tensor:
                return torch.from_numpy(np.array(array)).to(weight.device)

            groups = [(there(group.candidates), there(group.weight), there(group.bias), group.lead) for group in tree.groups]
            self.levels = (tree, there(tree.points), there(tree.half), there(tree.limits), groups)
            self.seen = now
        return self.levels

    @torch.no_grad()
    def choose(self, x: Tensor, flat: Callable[[Tensor], Tensor], rows: int, sums: Sums) -> Tensor:
        """The gate output of every row of x [N, D], [N] int64: what the largest logit of `flat` says, which is asked for blocks of `rows`
        rows where one of them is not settled.
        """
        tree, points, half, limits, groups = self._built()
        level = x @ points.mT + half
        best = level.max(1)
        near = x.square().sum(1) - 2 * best.values <= limits[best.indices]
        where = torch.where(near, best.indices, len(groups))
        sequence = where.sort(stable=True).indices
        counts = torch.bincount(where, minlength=len(groups) + 1).tolist()
        ordered, found, clear = x[sequence], torch.zeros_like(where), torch.zeros_like(near)
        start = 0
        for (candidates, weight, bias, lead), count in zip(groups, counts, strict=False):
            if count:
                part = slice(start, start + count)
                logits = affine(ordered[part], weight, bias, sums, last=True)
                top = logits.max(1)
                found[part] = candidates[top.indices]
                if sums is Sums.FLOAT64:
                    clear[part] = True
                else:
                    clear[part] = top.values - logits.scatter_(1, top.indices[:, None], -torch.inf).max(1).values > lead
            start += count
        routes = torch.empty_like(found)
        routes[sequence] = found
        left = sequence[~clear]
        if len(left):
            with np.errstate(invalid="ignore", over="ignore"):
                first, settled = tree.compared(x[left].cpu().numpy(), sums)
            routes[left] = torch.from_numpy(first).to(x.device)
            left = left[torch.from_numpy(~settled).to(x.device)]
            for block in torch.unique(left // rows).tolist():
                among = left[left // rows == block]
                routes[among] = flat(x[block * rows : (block + 1) * rows]).max(-1).indices[among - block * rows]
        return routes
