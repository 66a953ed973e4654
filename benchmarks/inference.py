"""Sparse inference beside one dense expert: time of one MoE layer over the time of one expert on the same rows, in the same run.

    OMP_NUM_THREADS=1 python benchmarks/inference.py [--only PATTERN] [--quick] [--out FILE] [--stock] [--compile] [--sums]
        [--rows N …] [--experts E …] [--sizes 64-256-64 …] [--dtypes float32 float64] [--activations relu silu] [--ridge]
    python benchmarks/inference.py --table FILE | --parts

Rows N × experts E × sizes × dtypes × activations, all that are not named, 192 less those that do not fit 24 GiB, the cheapest first. Of
every case: `experts`, rows to their experts along given routes, over `dense`; the router apart, flat, over `dense`; the whole layer; and
`floor`, the products, activations and maxima of router and one expert with nothing around them, what a layer takes at least;
microseconds. With `--stock` beside the Mixtral block of transformers with the same weights (no biases, products act(gate)·1), in every
backend that runs, and GptOss's experts with its own activation; with `--compile` one dense expert and the layer by torch.compile. CPU
seconds, the least of several turns that take one after another. Every case is written to `--out` as a JSON line when it is done; what is
there already is not measured again, so that a run goes on where it was interrupted, and `--table` prints what is there, as in
docs/inference.md. `--only` is a regular expression on the case's name, `f32 relu 64-256-64 E=64 N=100000`. `--ridge` times experts with
few directions, dense and in ridge form, instead; `--sums` times one expert in the orders of sums of `to_torch` instead; `--parts` times
what 1000 rows cannot do without: sorting, looking up, the products of each expert alone, by NumPy and by PyTorch, reading all
weights once,
copying them for every row. The kernel is loaded before anything is timed; ATLASMOE_FAST=0 leaves it out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import atlasmoe
import numpy as np
import torch
from atlasmoe.export import dispatch, kernel
from atlasmoe.export.listed import products
from atlasmoe.export.quick import in_order, way_of
from atlasmoe.export.stages import Stage
from atlasmoe.export.torch_layer import MoE, winners
from atlasmoe.moe import Affine, MoELayer, Net, Network, NeuronGroup
from atlasmoe.moe.activations import ACTIVATIONS
from atlasmoe.moe.sums import Sums
from torch import Tensor

DTYPES = ("float32", "float64")
ROWS, EXPERTS = (1, 1000, 100_000, 1_000_000), (4, 64, 1024, 4096)
SIZES = ((16, 64, 16), (64, 256, 64), (256, 1024, 256))
"""(inputs, hidden width, outputs) of an expert."""
NUMBERS = 1 << 28
"""More numbers than these are not copied for a backend of transformers."""
MEMORY, COPIES = 24, 3.5
"""GiB that a case may take, and how many times its weights are there while it is made."""
TURNS, SECONDS = 9, 2.0
"""Turns at most, and after how many CPU seconds no other is begun; three at least, one of calls that take so long themselves."""
NETS = ((3, 1024, 1), (3, 2048, 1), (4, 320, 1), (9, 384, 1), (16, 64, 16), (64, 256, 64), (100, 256, 1), (2, 256, 1024, 1))
"""Widths of nets whose sums are timed: experts on few inputs, on many, and three-layer ones."""


class Case(NamedTuple):
    dtype: str
    activation: str
    size: tuple[int, int, int]
    experts: int
    rows: int

    @property
    def name(self) -> str:
        return f"f{self.dtype[5:]} {self.activation} {'-'.join(map(str, self.size))} E={self.experts} N={self.rows}"

    @property
    def stored(self) -> int:
        """Numbers of all experts."""
        return self.experts * self.size[1] * (self.size[0] + self.size[2])

    @property
    def memory(self) -> float:
        """GiB that it takes, about."""
        rows = self.rows * (4 * self.size[0] + 5 * self.size[2])
        return (4 if self.dtype == "float32" else 8) * (COPIES * self.stored + rows) / (1 << 30)

    @property
    def work(self) -> int:
        """Multiplications of one call, and weights to make."""
        return self.rows * (self.stored // self.experts + self.experts * self.size[0]) + 100 * self.stored

    @property
    def small(self) -> bool:
        """Of those that `--quick` asks for."""
        return (
            self.dtype == "float32" and self.activation == "relu" and self.size[1] < 1024 and self.rows < 1_000_000 and self.experts < 4096
        )


def cases(quick: bool, axes: tuple[Sequence[object], ...]) -> list[Case]:
    """All of the axes, or with `quick` the small ones of ReLU in float32; the cheapest first."""
    every = [Case(*values) for values in itertools.product(*axes)]  # type: ignore[arg-type]
    return sorted((case for case in every if case.small or not quick), key=lambda case: case.work)


def layer(case: Case) -> MoE:
    """A random MoE layer, as `to_torch` makes it; without biases, so that Mixtral's block can hold it."""
    rng = np.random.default_rng(0)
    inputs, width, outputs = case.size

    def linear(rows: int, columns: int) -> Affine:
        return Affine((rng.normal(size=(rows, columns)) / np.sqrt(columns)).astype(case.dtype), np.zeros(rows, case.dtype))

    groups = ((NeuronGroup("random", width, "benchmark", ACTIVATIONS[case.activation]),),)
    nets = tuple(Net((linear(width, inputs), linear(outputs, width)), groups) for _ in range(case.experts))
    names, channels = (tuple(f"{letter}{i}" for i in range(n)) for letter, n in (("e", case.experts), ("y", outputs)))
    moe = MoELayer(linear(case.experts, inputs), nets, tuple(range(case.experts)), names, channels)
    return atlasmoe.to_torch(Network((moe,), tuple(f"x{j}" for j in range(inputs)))).stack[0]


class Dense(torch.nn.Module):
    """One expert, the ideal: chunks whose hidden activations stay in the cache, in buffers that are used again."""

    def __init__(self, moe: MoE) -> None:
        super().__init__()
        first, last = moe.experts.stages
        self.maps = first.weight[0].detach().mT, first.bias[0].detach(), last.weight[0].detach().mT, last.bias[0].detach()
        self.act = torch.relu_ if first.bend[0][1] == "relu" else lambda z: torch.nn.functional.silu(z, inplace=True)
        self.step = dispatch.chunk_rows(moe.experts.stages)

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d = self.maps
        if len(x) <= self.step:
            return torch.addmm(d, self.act(torch.addmm(b, x, a)), c)
        y, hidden = x.new_empty(len(x), len(d)), x.new_empty(self.step, len(b))
        for start in range(0, len(x), self.step):
            part = x[start : start + self.step]
            h = self.act(torch.addmm(b, part, a, out=hidden[: len(part)]))
            torch.addmm(d, h, c, out=y[start : start + self.step])
        return y


def least(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The least CPU seconds of a call of each, in turns, so that what else the machine does falls on all."""
    repeats, found = {}, dict.fromkeys(functions, np.inf)
    for name, function in functions.items():
        function()
        start = time.process_time()
        function()
        found[name] = time.process_time() - start
        repeats[name] = max(1, int(2e-3 / max(1e-7, found[name])))
    begun, fewest = time.process_time(), 3 if sum(found.values()) < SECONDS else 1
    for turn in range(TURNS):
        if turn >= fewest and time.process_time() - begun > SECONDS:
            break
        for name, function in functions.items():
            start = time.process_time()
            for _ in range(repeats[name]):
                function()
            found[name] = min(found[name], (time.process_time() - start) / repeats[name])
    return found


def stock(case: Case, moe: MoE, x: Tensor, route: Tensor) -> dict[str, Callable[[], object]]:
    """The experts of transformers' Mixtral and GptOss blocks along the same routes, by backend. Mixtral's compute what ours compute:
    the factor of their lanes is a constant 1 that is put beside the inputs, as in exports; GptOss's have their own activation.
    """
    from transformers.models.gpt_oss.configuration_gpt_oss import GptOssConfig
    from transformers.models.gpt_oss.modeling_gpt_oss import GptOssExperts
    from transformers.models.mixtral.configuration_mixtral import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralExperts

    inputs, width, outputs = case.size
    first, last = moe.experts.stages
    places = route[:, None]
    ones = torch.ones(len(x), 1, dtype=x.dtype)
    found: dict[str, Callable[[], object]] = {}
    for backend in ("eager", "batched_mm", "grouped_mm"):
        if backend == "batched_mm" and case.rows * width * 3 * inputs > NUMBERS:
            continue
        if (backend == "eager" and case.experts > 1024) or case.stored > NUMBERS:
            continue
        size = max(inputs, outputs) + 16  # one channel is 1; strides stay multiples of 16 bytes
        config = MixtralConfig(hidden_size=size, intermediate_size=width, num_local_experts=case.experts, hidden_act=case.activation)
        config._experts_implementation = backend
        mixtral = MixtralExperts(config).to(x.dtype)
        with torch.no_grad():
            mixtral.gate_up_proj.zero_()
            mixtral.gate_up_proj[:, :width, :inputs] = first.weight
            mixtral.gate_up_proj[:, width:, inputs] = 1
            mixtral.down_proj.zero_()
            mixtral.down_proj[:, :outputs] = last.weight
        wide = torch.zeros(len(x), size, dtype=x.dtype)
        wide[:, :inputs], wide[:, inputs] = x, 1
        found[f"mixtral {backend}"] = lambda m=mixtral, w=wide: m(w, places, ones)  # type: ignore[misc]
        options = GptOssConfig(hidden_size=inputs, intermediate_size=width, num_local_experts=case.experts)
        options._experts_implementation = backend
        gpt = GptOssExperts(options).to(x.dtype)
        with torch.no_grad():
            for parameter in gpt.parameters():
                parameter.zero_()
        found[f"gpt-oss {backend}"] = lambda m=gpt: m(x, places, ones)  # type: ignore[misc]
    expected = moe.experts(x, route)
    for name, function in list(found.items()):
        try:
            y = function()
        except (RuntimeError, NotImplementedError, ValueError) as why:
            print(f"  {case.name}: {name} does not run: {str(why).splitlines()[0][:100]}")
            del found[name]
            continue
        if name.startswith("mixtral"):
            torch.testing.assert_close(y[:, :outputs], expected, rtol=0, atol=1e-4)
    return found


def measured(case: Case, with_stock: bool, compiled: bool) -> dict[str, object]:
    """One line of the table, times in microseconds."""
    torch.manual_seed(0)
    moe, x = layer(case), torch.randn(case.rows, case.size[0], dtype=getattr(torch, case.dtype))
    with torch.no_grad():
        dense, route = Dense(moe), moe.route(x)[0].flatten()
        step = max(1, (1 << 18) // case.experts)
        functions: dict[str, Callable[[], object]] = {
            "dense": lambda: dense(x),
            "experts": lambda: moe.experts(x, route),
            "router": lambda: winners(moe.router, x, step),
            "layer": lambda: moe(x),
            "floor": lambda: (winners(moe.router, x, step), dense(x)),
        }
        if compiled:
            torch._dynamo.reset()
            graphs = {"dense compiled": torch.compile(dense), "layer compiled": torch.compile(moe)}
            functions |= {name: lambda g=graph: g(x) for name, graph in graphs.items()}  # type: ignore[misc]
        if with_stock:
            functions |= stock(case, moe, x, route)
        times = least(functions)
    way = way_of(moe.experts.slices, moe.experts.stages, case.rows)
    return {"case": case.name, "way": way, "threads": torch.get_num_threads(), **{name: round(1e6 * t, 2) for name, t in times.items()}}


def shown(line: dict[str, object]) -> str:
    """Ratios to dense."""
    if "left out" in line:
        return f"{line['case']:>38} left out: {line['left out']}"
    dense = float(line["dense"])  # type: ignore[arg-type]
    rest = {name: float(t) / dense for name, t in line.items() if isinstance(t, float) and name != "dense"}
    return f"{line['case']:>38} {line['way']:>9} {dense:>11.1f} µs " + "  ".join(f"{name} {ratio:.2f}" for name, ratio in rest.items())


def cell(line: dict[str, object] | None) -> str:
    """Experts, layer, the fastest of transformers, and the compiled layer over the compiled expert, all over dense."""
    if line is None:
        return ""
    if "left out" in line:
        return str(line["left out"])
    stock = [time for name, time in line.items() if name.startswith(("mixtral", "gpt-oss")) and isinstance(time, float)]
    times = [line["experts"], line["layer"], min(stock) if stock else None, line.get("layer compiled")]
    return ", ".join("–" if time is None else f"{float(time) / float(line['dense']):.2g}" for time in times)  # type: ignore[arg-type]


def table(lines: dict[str, dict[str, object]]) -> Iterator[str]:
    """Markdown: a row for every size, dtype, activation and N of which something was measured, a column for every E."""
    yield "| expert | N | dense, µs | " + " | ".join(f"E = {experts}" for experts in EXPERTS) + " |"
    yield "|" + "---|" * (3 + len(EXPERTS))
    for size, dtype, activation, rows in itertools.product(SIZES, DTYPES, ("relu", "silu"), ROWS):
        found = [lines.get(Case(dtype, activation, size, experts, rows).name) for experts in EXPERTS]
        if not any(found):
            continue
        dense = next((f"{line['dense']:.4g}" for line in found if line and "dense" in line), "")
        name = f"{'-'.join(map(str, size))} {activation} f{dtype[5:]}"
        yield f"| {name} | {rows:,} | {dense} | {' | '.join(map(cell, found))} |"


def time_parts(case: Case) -> dict[str, float]:
    """Microseconds of what rows of one layer cannot do without, along given routes, beside `dense` and `experts`."""
    torch.manual_seed(0)
    moe, x = layer(case), torch.randn(case.rows, case.size[0])
    dense, route, slices = Dense(moe), moe.route(x)[0].flatten(), moe.experts._kept()
    stages, found = slices.stages, in_order(route, case.experts)
    own = x.index_select(0, found.order)
    places = [own, *(x.new_empty(case.rows, stage.bias.shape[1]) for stage in stages)]
    ends = list(itertools.accumulate(found.counts))
    starts = [0, *ends[:-1]]
    arrays = [place.numpy() for place in places]
    weights = [[slices.numbers(k)[j].weight for k in found.members] for j in range(len(stages))]
    pieces = [place.split(found.counts) for place in places]
    views = [[stage.weight[k].mT for k in found.members] for stage in stages]

    def by_numpy() -> None:
        for j, weight in enumerate(weights):
            products(arrays[j], weight, starts, ends, arrays[j + 1])

    def by_torch() -> None:
        for j, weight in enumerate(views):
            for part, view, out in zip(pieces[j], weight, pieces[j + 1], strict=True):
                torch.mm(part, view, out=out)

    functions = {
        "dense": lambda: dense(x),
        "experts": lambda: moe.experts(x, route),
        "sorting": lambda: in_order(route, case.experts),
        "looking up": lambda: (x.index_select(0, found.order), places[-1].index_select(0, found.places)),
        "products by NumPy": by_numpy,
        "products by PyTorch": by_torch,
        "reading": lambda: [stage.weight.sum() for stage in stages],
        "copying": lambda: [stage.looked_up(route) for stage in stages],
    }
    return {"experts with rows": len(found.members), **{name: 1e6 * t for name, t in least(functions).items()}}


def time_ridge(rows: int) -> None:
    """CPU time of a row of nets 3-m-m-1 whose second hidden layer has 24 directions: dense, in ridge form, and the largest difference."""
    rng = np.random.default_rng(0)
    for m in (256, 1024, 2048):

        def linear(weight: np.ndarray) -> Affine:
            return Affine((weight / np.sqrt(weight.shape[1])).astype(np.float32), np.zeros(len(weight), np.float32))

        middle = rng.normal(size=(24, m))[rng.integers(24, size=m)]
        maps = linear(rng.normal(size=(m, 3))), linear(middle), linear(rng.normal(size=(1, m)))
        net = Net(maps, tuple((NeuronGroup(name, m, "benchmark"),) for name in ("first", "second")))
        network = Network((MoELayer(None, (net,), (0,), ("e",), ("y",)),), ("a", "b", "c"))
        dense, ridge = atlasmoe.to_torch(network), atlasmoe.to_torch(network, experts="ridge")
        for count in (1, rows):
            x = torch.randn(count, 3)
            times = least({"dense": lambda d=dense, x=x: d(x), "ridge": lambda r=ridge, x=x: r(x)})  # type: ignore[misc]
            gap = float((dense(x) - ridge(x)).abs().max())
            each = "  ".join(f"{name} {1e6 * t / count:.2f} µs a row" for name, t in times.items())
            print(f"3-{m}-{m}-1 N={count}: {each}  {times['dense'] / times['ridge']:.1f}×  {gap:.1e}", flush=True)


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


def sizes(text: str) -> tuple[int, int, int]:
    """`64-256-64` as numbers."""
    inputs, width, outputs = map(int, text.split("-"))
    return inputs, width, outputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, metavar="FILE")
    parser.add_argument("--stock", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--sums", action="store_true")
    parser.add_argument("--ridge", action="store_true")
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--rows", nargs="+", type=int, default=ROWS)
    parser.add_argument("--experts", nargs="+", type=int, default=EXPERTS)
    parser.add_argument("--sizes", nargs="+", type=sizes, default=SIZES, metavar="IN-WIDTH-OUT")
    parser.add_argument("--dtypes", nargs="+", default=DTYPES, choices=DTYPES)
    parser.add_argument("--activations", nargs="+", default=("relu", "silu"), choices=("relu", "silu"))
    options = parser.parse_args()
    if options.ridge:
        with torch.no_grad():
            return time_ridge(4096)
    if options.parts:
        with torch.no_grad():
            for size, experts in itertools.product(SIZES[:2], EXPERTS[:3]):
                case = Case("float32", "relu", size, experts, 1000)
                parts = time_parts(case)
                print(case.name, "  ".join(f"{name} {t:.0f}, {t / parts['dense']:.2f}" for name, t in parts.items()), flush=True)
        return None
    if options.sums:
        with torch.no_grad():
            return time_sums(1 << 12, torch.float32)
    if options.table:
        lines = map(json.loads, options.table.read_text(encoding="utf-8").splitlines())
        return print("\n".join(table({line["case"]: line for line in lines})))
    with_kernel = "" if kernel.load() is None else ", with the kernel"
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s){with_kernel}; times of one dense expert, and ratios to it")
    text = options.out.read_text(encoding="utf-8") if options.out and options.out.exists() else ""
    done = {line["case"]: line for line in map(json.loads, text.splitlines())}
    for case in cases(options.quick, (options.dtypes, options.activations, options.sizes, options.experts, options.rows)):
        if not re.search(options.only, case.name):
            continue
        if (line := done.get(case.name)) is None:
            if case.memory > MEMORY:
                line = {"case": case.name, "left out": f"{case.memory:.0f} GiB"}
            else:
                line = measured(case, options.stock, options.compile)
            if options.out:
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
        print(shown(line), flush=True)


if __name__ == "__main__":
    main()
