"""Two numbers that say which learning rates a constructed network survives (N25).

*SGD.* Near θ a step of gradient descent on L multiplies what is left along an eigenvector of the Hessian by 1 − lr·λ: it stays for all
directions only where lr < 2/λ_max.

*Adam.* Its first step moves every parameter by lr (with ε = 0 in its denominator), whatever the size of its gradient, so it changes the
output at x by at most lr·Σ_θ |∂_θ Ψ(x)| to first order.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ITERATIONS = 60
"""Of the power method, at most."""
SETTLED = 1e-3
"""Relative change of λ below which it ends."""


def sharpness(module: nn.Module, x: Tensor, y: Tensor, seed: int = 0) -> float:
    """λ_max of the Hessian of the mean square error over (x, y), by the power method on Hessian-vector products."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    generator = torch.Generator().manual_seed(seed)
    loss = (module(x) - y).square().mean()
    gradients = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
    live = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None and g.requires_grad]
    v = [torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype) for p, _ in live]
    found = 0.0
    for _ in range(ITERATIONS):
        norm = torch.sqrt(sum((one.square().sum() for one in v), torch.zeros(())))
        v = [one / norm for one in v]
        along = sum(((g * one).sum() for (_, g), one in zip(live, v, strict=True)), torch.zeros(()))
        image = torch.autograd.grad(along, [p for p, _ in live], retain_graph=True, allow_unused=True)
        image = [torch.zeros_like(p) if one is None else one for one, (p, _) in zip(image, live, strict=True)]
        before, found = found, float(sum(((a * b).sum() for a, b in zip(v, image, strict=True)), torch.zeros(())))
        if abs(found - before) <= SETTLED * abs(found):
            break
        v = list(image)
    return found


def reach(module: nn.Module, x: Tensor) -> float:
    """max_x Σ_θ |∂_θ Ψ(x)| over the points given, of the output where it is largest."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    best = 0.0
    for row in x:
        for output in module(row[None])[0]:
            gradients = torch.autograd.grad(output, parameters, retain_graph=True, allow_unused=True)
            best = max(best, sum(float(g.abs().sum()) for g in gradients if g is not None))
    return best
