"""False theorems for coqc to refuse: weights changed until sampling shows more than ε, ε below an error that was found, leaves left out.

    python benchmarks/coq_mutations.py out/circle --count 50 [--floats]

With --floats the statements are those of `prove --floats`, and claims about evaluation in binary64 are lowered too.
Exit code 1 if coqc accepts one of them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from atlasmoe.export.folder import load
from atlasmoe.moe import Model
from atlasmoe.moe.layout import describe, read_network, tensors
from atlasmoe.moe.typed_json import Fields
from atlasmoe.verify.coq.project import chart_file, files, write
from atlasmoe.verify.coq.run import OPTIONS
from atlasmoe.verify.coq.statement import Statement, statement_of, suggested_cuts
from atlasmoe.verify.coq.theory import compiled_theory
from atlasmoe.verify.coq.weights import weights


@dataclass(frozen=True)
class Wrong:
    """A statement that is false, and a chart on which it is."""

    what: str
    weights: str
    task: str
    chart: int
    text: str


def largest(model: Model, network: object, points: object) -> np.ndarray:
    """The error at every point."""
    return np.abs(network(points.ambient) - model.task.evaluate(points)).max(1)  # type: ignore[operator, union-attr, attr-defined]


def mutations(model: Model, statement: Statement, cuts: list[list[int]], count: int, rng: np.random.Generator) -> list[Wrong]:
    """So many changed weights that sampling refutes, and a fifth as many of the other kinds."""
    points = model.manifold_task.atlas.sample(20_000, seed=3)
    right, task = weights(model.network, "t"), files(statement, cuts, "fast")["Task.v"]
    found = []
    config = Fields.of(describe(model.network), Path("config.json"))
    while len(found) < count:
        arrays = {name: array.copy() for name, array in tensors(model.network).items()}
        name = rng.choice(sorted(arrays))
        place = tuple(int(rng.integers(n)) for n in arrays[name].shape)
        for factor in (0.0, -1.0, 1.1, 2.0, 16.0):
            before = arrays[name][place]
            arrays[name][place] = before * factor + (0.05 * (factor - 1) if before == 0 else 0)
            network = read_network(config, {other: array.copy() for other, array in arrays.items()})
            error = largest(model, network, points)
            if error.max() > statement.epsilon:
                chart = int(points.chart[int(error.argmax())])
                what = f"{name}{list(place)} {before:.6g} → {arrays[name][place]:.6g}: error {error.max():.4g}"
                found.append(Wrong(what, weights(network, "t"), task, chart, chart_file(statement, chart, [cuts[chart]], "fast")))
                break
            arrays[name][place] = before
    error = largest(model, model.network, points)
    worst = int(points.chart[int(error.argmax())])
    for k in range(max(1, count // 10)):
        epsilon = float(error.max()) * (1 - 10.0 ** -(k + 1))
        lower = statement_of(model, epsilon, floats=statement.floats is not None)
        text = files(lower, cuts, "fast")["Task.v"]
        found.append(
            Wrong(f"ε = {epsilon:.6g}, below an error that was found", right, text, worst, chart_file(lower, worst, [cuts[worst]], "fast"))
        )
    for k in range(max(1, count // 10) if statement.floats is not None else 0):
        assert statement.floats is not None
        wide = statement.epsilon + statement.floats.adds * (1 - 2.0 ** -(k + 1))
        less = replace(statement, floats=replace(statement.floats, epsilon=wide))
        what = f"rounding adds {wide - statement.epsilon:.3g} at most, which is less than its bound"
        found.append(Wrong(what, right, files(less, cuts, "fast")["Task.v"], worst, chart_file(less, worst, [cuts[worst]], "fast")))
    for _ in range(max(1, count // 10)):
        chart = int(rng.integers(len(cuts)))
        whole = chart_file(statement, chart, [cuts[chart] if len(cuts[chart]) > 1 else [1, 0, 0]], "fast")
        tree = re.findall(r"list nat := \[(.*?)\]%nat", whole, re.DOTALL)[0].split(";")
        leaves = [i for i, cut in enumerate(tree) if cut == "0"]
        del tree[int(rng.choice(leaves))]
        text = re.sub(r"list nat := \[.*?\]%nat", f"list nat := [{';'.join(tree)}]%nat", whole, flags=re.DOTALL)
        found.append(Wrong(f"a leaf of chart {chart} is left out", right, task, chart, text))
    return found


def accepted(place: Path, wrong: Wrong) -> bool:
    """Whether coqc accepts the chart; raises if Weights.v or Task.v do not compile."""
    for name, text in (("Weights.v", wrong.weights), ("Task.v", wrong.task), (f"Chart{wrong.chart}.v", wrong.text)):
        (place / name).write_text(text, encoding="utf-8")
        done = subprocess.run(["coqc", *OPTIONS, name], cwd=place, capture_output=True, text=True, check=False)
        if done.returncode and not name.startswith("Chart"):
            raise SystemExit(done.stderr)
    return done.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--floats", action="store_true")
    arguments = parser.parse_args()
    model = load(arguments.model)
    statement = statement_of(model, floats=arguments.floats)
    cuts = suggested_cuts(arguments.model, len(statement.charts))
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "proof"
        write(place, files(statement, cuts, "fast"))
        compiled_theory(place, "fast")
        wrongs = mutations(model, statement, cuts, arguments.count, np.random.default_rng(0))
        for wrong in wrongs:
            believed = accepted(place, wrong)
            bad += believed
            print("ACCEPTED" if believed else "refused", wrong.what, flush=True)
    print(f"{len(wrongs) - bad} of {len(wrongs)} false statements refused")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
