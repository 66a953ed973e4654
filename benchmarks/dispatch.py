"""How much top-1 dispatch costs: time of one MoE layer over the time of one dense expert on the same rows, in the same run.

    OMP_NUM_THREADS=1 python benchmarks/dispatch.py [--float32] [--rows 1 1000 100000] [--experts 4 64 1024] [--ways] [--sums]

1.0 would be free routing. `naive` is the usual loop (mask, gather, run, scatter for every expert). Rows are random, so
all experts get about equally many. `--ways` times the three ways of dispatch separately, router excluded. `--sums` times one expert in
the orders of sums that `to_torch` knows instead, in CPU seconds.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable

import atlasmoe
import numpy as np
import torch
from atlasmoe.export import dispatch
from atlasmoe.export.stages import Stage
from atlasmoe.export.torch_module import MoE
from atlasmoe.moe import Affine, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.moe.sums import Sums
from torch import Tensor

SIZES = ((16, 64, 16), (64, 256, 64))
"""(inputs, hidden width, outputs) of an expert."""
NETS = ((3, 1024, 1), (3, 2048, 1), (4, 320, 1), (9, 384, 1), (16, 64, 16), (64, 256, 64), (100, 256, 1), (2, 256, 1024, 1))
"""Widths of nets whose sums are timed: experts on few inputs, on many, and three-layer ones."""


def layer(experts: int, size: tuple[int, int, int], dtype: str) -> MoE:
    """A random MoE layer, as `to_torch` makes it."""
    rng = np.random.default_rng(0)
    inputs, width, outputs = size

    def affine(rows: int, columns: int) -> Affine:
        return Affine(rng.normal(size=(rows, columns)) / np.sqrt(columns), rng.normal(size=rows))

    nets = tuple(
        ReLUNet((affine(width, inputs), affine(outputs, width)), ((NeuronGroup("random", width, "benchmark"),),)) for _ in range(experts)
    )
    names, channels = (tuple(f"{letter}{i}" for i in range(n)) for letter, n in (("e", experts), ("y", outputs)))
    moe = MoELayer(affine(experts, inputs), nets, tuple(range(experts)), names, channels)
    network = Network((moe,), tuple(f"x{j}" for j in range(inputs))).astype(dtype)
    return atlasmoe.to_torch(network).stack[0]


def naive(moe: MoE, x: Tensor) -> Tensor:
    """The loop everyone writes first."""
    route = moe.router(x).argmax(-1)
    y = x.new_empty(len(x), len(moe.channels))
    for k in range(moe.experts.stored):
        mask = route == k
        y[mask] = dispatch.run(moe.experts.stages, k, x[mask])
    return y


def dense(moe: MoE, x: Tensor) -> Tensor:
    """All rows through expert 0: the ideal."""
    return dispatch.dense(moe.experts.stages, x)


def seconds(function: Callable[[], object]) -> float:
    """Median time of one call, over at least three calls and a quarter of a second."""
    function()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < 0.25 and len(times) < 1000):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def time_sums(rows: int, dtype: torch.dtype) -> None:
    """CPU time of a row through one expert, and its ratio to plain sums, the best of five turns."""
    print(f"{'net':>18} " + "".join(f"{order:>18}" for order in Sums))
    for sizes in NETS:
        stages = [
            Stage(torch.randn(1, b, a, dtype=dtype) / a**0.5, torch.randn(1, b, dtype=dtype), ((slice(0, b), "relu"),) if n else ())
            for n, (a, b) in reversed(list(enumerate(reversed(list(itertools.pairwise(sizes))))))
        ]
        x, times = torch.randn(rows, sizes[0], dtype=dtype), dict.fromkeys(Sums, np.inf)
        for _ in range(5):
            for order in Sums:
                start = time.process_time()
                dispatch.dense(stages, x, None, order)
                times[order] = min(times[order], time.process_time() - start)
        cells = (f"{1e6 * t / rows:>9.2f} µs {t / times[Sums.PLAIN]:>4.1f}×" for t in times.values())
        print(f"{'-'.join(map(str, sizes)):>18} " + "".join(f"{cell:>18}" for cell in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 1000, 100_000])
    parser.add_argument("--experts", type=int, nargs="+", default=[4, 64, 1024])
    parser.add_argument("--ways", action="store_true")
    parser.add_argument("--sums", action="store_true")
    options = parser.parse_args()
    dtype = "float32" if options.float32 else "float64"
    torch.manual_seed(0)
    if options.sums:
        with torch.no_grad():
            return time_sums(1 << 12, getattr(torch, dtype))
    print(f"{dtype}, {torch.get_num_threads()} thread(s), torch {torch.__version__}; ratios to one dense expert on the same rows")
    print(f"{'expert':>14} {'E':>5} {'rows':>8} {'dense ms':>9} {'ours':>7} {'naive':>7}" + "  direct  segmented  bucketed" * options.ways)
    with torch.no_grad():
        for size in SIZES:
            for experts in options.experts:
                moe = layer(experts, size, dtype)
                for rows in options.rows:
                    x = torch.randn(rows, size[0], dtype=getattr(torch, dtype))
                    ideal = seconds(lambda moe=moe, x=x: dense(moe, x))  # type: ignore[misc]
                    ours, loop = (seconds(lambda f=f, moe=moe, x=x: f(moe, x)) / ideal for f in (MoE.__call__, naive))  # type: ignore[misc]
                    line = f"{size!s:>14} {experts:>5} {rows:>8} {1e3 * ideal:>9.3f} {ours:>7.2f} {loop:>7.2f}"
                    if options.ways:
                        route = moe.serves[moe.route(x)[0]].flatten()
                        for way in (dispatch.direct, dispatch.segmented, dispatch.bucketed):
                            if way is dispatch.direct and rows > 2000:
                                line += "       –"
                                continue
                            line += f" {seconds(lambda way=way, x=x, r=route, m=moe.experts.stages: way(m, x, r)) / ideal:>9.2f}"  # type: ignore[misc]
                    print(line, flush=True)


if __name__ == "__main__":
    main()
