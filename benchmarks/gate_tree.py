"""Gates in two levels (`moe.gate_tree`) against flat ones: CPU time per input, as ratios of one run, and routes that differ.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/gate_tree.py [--points N] [--count E …]

Balls are as the library's ball atlases have them: farthest points of the manifold. Inputs are uniform on it. `load`: logits that an input
meets; `open`: inputs that the lists do not settle. Seconds are of one thread (time.process_time), the best of three rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from atlasmoe import to_torch
from atlasmoe.atlas import ball_atlas, builtin
from atlasmoe.moe import Affine, MoELayer, Network
from atlasmoe.moe.gate_tree import GateTree

ROUNDS = 3
MANIFOLDS = ("sphere", "so3")


def network_of(gate: Affine) -> Network:
    """A layer of this gate whose experts, affine maps, cost next to nothing."""
    E, D = gate.weight.shape
    expert = Affine(np.zeros((1, D), gate.weight.dtype), np.zeros(1, gate.weight.dtype)).net
    layer = MoELayer(gate.net, (expert, expert), tuple(k % 2 for k in range(E)), tuple(map(str, range(E))), ("y",))
    return Network((layer,), tuple(f"x{k}" for k in range(D)))


def seconds(run: Callable[[], object]) -> float:
    found = []
    for _ in range(ROUNDS):
        started = time.process_time()
        run()
        found.append(time.process_time() - started)
    return min(found)


def line(manifold: str, count: int, points: int, dtype: str) -> str:
    atlas = ball_atlas(builtin(manifold), charts=count)
    centers, radii = atlas.balls  # type: ignore[misc]
    gate = Affine(centers.astype(dtype), ((radii**2 - (centers**2).sum(1)) / 2).astype(dtype))
    network, x = network_of(gate), atlas.sample(points, 1).ambient.astype(dtype)
    layer, rows = network.layers[0], max(1, (1 << 22) // count)
    tree = GateTree.of(gate)

    def flat() -> np.ndarray:
        return np.concatenate([layer.logits(x[k : k + rows]).argmax(1) for k in range(0, len(x), rows)])

    def treed() -> np.ndarray:
        step = max(1, (1 << 16) // rows) * rows
        parts = [x[k : k + step] for k in range(0, len(x), step)]
        return np.concatenate([tree.choose(part, lambda some, part=part: layer.logits(part[some]), rows) for part in parts])

    different, by_numpy = int((flat() != treed()).sum()), seconds(flat) / seconds(treed)
    there = torch.from_numpy(x)
    modules = [to_torch(network, gates=gates).stack[0] for gates in ("flat", "tree")]
    routes = [torch.cat([module.route(part)[0] for part in torch.split(there, 1 << 16)]) for module in modules]
    times = [seconds(lambda module=module: [module.route(part) for part in torch.split(there, 1 << 16)]) for module in modules]
    different += int((routes[0] != routes[1]).sum())
    open_ = len(tree.settled(x[: 1 << 16])[1]) / min(len(x), 1 << 16)
    by_torch = times[0] / times[1]
    return (
        f"| {manifold} | {count} | {dtype} | {len(tree.groups)} | {tree.load:.0f} | {open_:.1e} | {by_numpy:.1f} | {by_torch:.1f} "
        f"| {different} of {2 * len(x):,} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1 << 18)
    parser.add_argument("--count", type=int, nargs="*", default=[256, 1024, 4096])
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("| balls of | E | dtype | groups | load | open | flat/tree, numpy | flat/tree, torch | different routes |")
    print("|---|---:|---|---:|---:|---:|---:|---:|---:|")
    for manifold in MANIFOLDS:
        for dtype in ("float64", "float32"):
            for count in options.count:
                print(line(manifold, count, options.points, dtype), flush=True)


if __name__ == "__main__":
    main()
