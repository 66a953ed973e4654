"""How much a task graph stores and takes beside the experts of its pieces: `form="residual"`, E^L pieces of the example.

    python benchmarks/graphs.py [--graphs 4^16 8^32] [--rows 1000 20000]

"content" are the numbers of the pieces' experts. Times are CPU time per input, by numpy and by PyTorch, and in parts of the *proxy*: the
same experts one after the other, one of each block, and the last one on their values; no gates, no scores, nothing carried.
"""

from __future__ import annotations

import argparse
import runpy
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import atlasmoe
import numpy as np
import torch
from atlasmoe.moe import Net, Network
from atlasmoe.moe.network import ROWS
from torch import Tensor, nn

EXAMPLE = Path(__file__).parents[1] / "examples" / "experiments" / "compositional.py"


def dense(net: Net) -> nn.Sequential:
    """A ReLU net as anybody would write it."""
    modules: list[nn.Module] = []
    for affine in net.affines:
        linear = nn.Linear(*affine.weight.shape[::-1], dtype=torch.from_numpy(affine.weight.copy()).dtype)
        linear.load_state_dict({"weight": torch.tensor(affine.weight), "bias": torch.tensor(affine.bias)})
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def proxies(network: Network) -> tuple[Callable[[np.ndarray], np.ndarray], Callable[[Tensor], Tensor]]:
    """Without routing, in numpy and in PyTorch: the first expert of every block."""
    blocks, last = [layer.experts[0] for layer in network.layers if len(layer) > 1], network.layers[-1].experts[0]
    parts, end = [dense(net) for net in blocks], dense(last)

    def by_torch(x: Tensor) -> Tensor:
        return torch.cat([end(torch.cat([part(rows[:, k : k + 1]) for k, part in enumerate(parts)], 1)) for rows in torch.split(x, ROWS)])

    return lambda x: last(np.concatenate([net(x[:, [k]]) for k, net in enumerate(blocks)], axis=1)), by_torch


def microseconds(function: Callable[[], object], rows: int) -> float:
    """CPU time per row, the best of five turns."""
    function()
    times = []
    for _ in range(5):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return 1e6 * min(times) / rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", nargs="+", default=["4^16", "8^32"])
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 20_000])
    options = parser.parse_args()
    torch.set_num_threads(1)
    sys.path.insert(0, str(EXAMPLE.parent))
    task = runpy.run_path(str(EXAMPLE))["task"]
    for name in options.graphs:
        E, L = map(int, name.split("^"))
        network = atlasmoe.compile(task(E, L), epsilon=0.05, form="residual").network
        content = sum(net.parameters for layer in network.layers if len(layer) > 1 for net in layer.experts)
        print(f"{name}: {network.parameters:,} numbers, {network.parameters / content:.2f} times the content, {content:,}")
        module, (by_numpy, by_torch) = atlasmoe.to_torch(network), proxies(network)
        for rows in options.rows:
            x = np.random.default_rng(0).uniform(0, E, (rows, L))
            t = torch.from_numpy(x)
            with torch.no_grad():
                ours = [microseconds(partial(network, x), rows), microseconds(partial(module, t), rows)]
                ideal = [microseconds(partial(by_numpy, x), rows), microseconds(partial(by_torch, t), rows)]
            cells = (f"{kind} {a:.2f} µs, {a / b:.1f} × the proxy" for kind, a, b in zip(("numpy", "torch"), ours, ideal, strict=True))
            print(f"  {rows:>6} rows: {'; '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
