"""How long models take for the same points, side by side."""

from __future__ import annotations

import time

import torch
from atlasmoe import ManifoldTask, Model, to_torch

POINTS, ROUNDS = 1 << 12, 7
"""Points of a pass, and passes of which the best counts."""


def timed(models: dict[str, Model], here: ManifoldTask) -> dict[str, float]:
    """CPU seconds of one pass in PyTorch, the best of several, taken in turn."""
    x = torch.from_numpy(here.atlas.sample(POINTS, 1).ambient)
    modules = {kind: to_torch(model) for kind, model in models.items()}
    best = dict.fromkeys(modules, float("inf"))
    with torch.no_grad():
        for _ in range(ROUNDS):
            for kind, module in modules.items():
                start = time.process_time()
                module(x)
                best[kind] = min(best[kind], time.process_time() - start)
    return best
