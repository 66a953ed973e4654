"""All variants beside each other: layers, numbers, proved bound and time per input, for a sphere, SO(3), a Swiss roll in R^100, and graphs.

    OMP_NUM_THREADS=1 python benchmarks/variants.py [--tasks sphere …] [--variants tree …] [--cpu 180] [--again] [--write docs/variants.md]

Every variant of a task is compiled at the same ε, certified and checked, in a process of its own that may use so many CPU seconds; what
is refused, or not proved in them, says so. Time per input is CPU time of one thread for 4,096 points of M, the best of several turns,
beside the first variant of the task, which takes its turns in the same run; the ratio is what to compare. What is in the results already
is not run again, so that a run can be stopped and completed; `--again` runs the named variants anew. Prints Markdown tables of all
that is known, and writes them into a page.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import atlasmoe
from atlasmoe.atlas.spec import load_task, task_from_spec

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "benchmarks" / "variants.json"
BEGIN, END = "<!-- all variants -->", "<!-- end of all variants -->"
POINTS, TURNS, TURN = 1 << 12, 5, 0.05
"""Points of a pass, turns of each model, CPU seconds of a turn."""
TIGHTNESS = 1.1
"""Once ε is proved, boxes are halved until the bound is within this of the largest error found; not where proofs are long."""
SETTLING = 1 / 8
"""Of a row's CPU seconds, what a proof of ε may take so that a tighter one is tried after it."""
WALL = 1800.0
"""Seconds of the clock for one proof, which the row's CPU seconds end before."""


@dataclass(frozen=True)
class Variant:
    """One row: what is asked of `compile`, on which of the task's atlases."""

    name: str
    asked: Mapping[str, Any] = field(default_factory=dict)
    atlas: str = ""
    substituted: str | None = None
    """An activation that takes the place of σ afterwards (N21)."""


@dataclass(frozen=True)
class Case:
    """One table: a function, ε, and the first variant is what others are compared with."""

    title: str
    epsilon: float
    specs: Mapping[str, Any]
    """Atlas ↦ a file of examples/, or a spec."""
    variants: Sequence[Variant]
    tightness: float | None = TIGHTNESS


def manifold(builtin: str, target: str, **options: Any) -> dict[str, Any]:
    return {"task": {"name": builtin}, "manifold": {"builtin": builtin, **options}, "target": {"expression": target}}


def scored(atlas: str) -> list[Variant]:
    """Variants of a block whose gate compares scores."""
    return [
        Variant("Theorem 4.8", {"theorem": "4.8"}, atlas),
        Variant("nonlinear gate (N1)", {"theorem": "4.8", "gate": "nonlinear"}, atlas),
        Variant("dense form (N3)", {"theorem": "4.8", "form": "dense"}, atlas),
        Variant("residual form (N8)", {"theorem": "4.8", "form": "residual"}, atlas),
    ]


def of_balls(atlas: str, *, encoder: bool, scaled: bool = True) -> list[Variant]:
    """Variants of a block on balls."""
    found = [
        Variant("affine gate (B1)", {}, atlas),
        Variant("tree gate (N2)", {"gate": "tree"}, atlas),
        Variant("two experts, cover (N14)", {"top_k": 2}, atlas),
        Variant("two experts, copies (B21)", {"top_k": 2, "routing": "duplicates"}, atlas),
    ]
    found += [Variant("two experts, scaled logits (N12)", {"top_k": 2, "routing": "scaled"}, atlas)] if scaled else []
    found += [Variant("factorised experts (N9)", {"experts": "factorised"}, atlas)]
    found += [Variant("one encoder (N10)", {"experts": "encoder"}, atlas)] if encoder else []
    return [
        *found,
        Variant("shared expert (N6)", {"shared": True}, atlas),
        Variant("SiLU", {"activation": "silu"}, atlas),
        Variant("GELU", {"activation": "gelu"}, atlas),
        Variant("SiLU lanes", {"activation": "silu", "gated": True}, atlas),
        Variant("SiLU by substitution (N21)", {}, atlas, "silu"),
        Variant("no mixture, ReLU", {"theorem": "dense"}, atlas),
        Variant("no mixture, SiLU", {"theorem": "dense", "activation": "silu"}, atlas),
    ]


def pieces() -> dict[str, Any]:
    """f = Σ_l b_l(x_l), four blocks of four pieces that meet without a jump."""
    inputs = [{"name": f"x{l}", "domain": [0, 4]} for l in range(1, 5)]
    bends = [("exp(-{t})", "0.2"), ("sin({t})", "0.3"), ("cos({t})/2", "-0.1"), ("{t}**2/4", "0.1")]
    blocks = []
    for l, (smooth, slope) in enumerate(bends, 1):
        inner = smooth.format(t=f"x{l}")
        steps = [f"{inner} + {slope}*{k % 2}*(x{l} - {k})*({k + 1} - x{l})" for k in range(4)]
        piece = [{"domain": [k, k + 1], "expression": step} for k, step in enumerate(steps)]
        blocks.append({"name": f"b{l}", "reads": [f"x{l}"], "piece": piece})
    total = {"name": "f", "reads": [f"b{l}" for l in range(1, 5)], "expression": " + ".join(f"b{l}" for l in range(1, 5))}
    return {"task": {"name": "sum", "kind": "graph", "output": "f"}, "input": inputs, "block": blocks, "combine": [total]}


SPHERE, SO3, ROLL = "x1*x2 + x3**2", "x1*x5 + x9", "sin(3*x1)*x2 + x3"
CASES: Mapping[str, Case] = {
    "sphere": Case(
        "S², f = xy + z², ε = 0.015 (1 % of its range)",
        0.015,
        {
            "2 charts": manifold("sphere", SPHERE),
            "6 charts": manifold("sphere", SPHERE, atlas="graph", partition_power=2),
            "64 balls": manifold("sphere", SPHERE, atlas="ball", charts=64),
        },
        [
            *scored("2 charts"),
            Variant("Corollary 4.9", {"theorem": "4.9", "routing": "theorem"}, "6 charts"),
            *of_balls("64 balls", encoder=False),
        ],
    ),
    "so3": Case(
        "SO(3) in R⁹, f = x₁x₅ + x₉, ε = 0.2 (5 % of its range)",
        0.2,
        {"100 balls": manifold("so3", SO3, atlas="ball", charts=100)},
        [*of_balls("100 balls", encoder=False, scaled=False), Variant("Corollary 4.9", {"theorem": "4.9"}, "100 balls")],
        None,
    ),
    "swiss roll": Case(
        "Swiss roll in R¹⁰⁰, f = sin(3x₁)·x₂ + x₃, ε = 0.05 (2 % of its range)",
        0.05,
        {
            "6 charts": manifold("swiss_roll", ROLL, embed={"dimension": 100, "seed": 0}),
            "64 balls": manifold("swiss_roll", ROLL, atlas="ball", charts=64, embed={"dimension": 100, "seed": 0}),
        },
        [*scored("6 charts"), *of_balls("64 balls", encoder=True)],
    ),
    "graph": Case(
        "Four blocks of four pieces, added up, ε = 0.02",
        0.02,
        {"": pieces()},
        [
            Variant("Theorem 5.3, 2L layers"),
            Variant("dense form (N3)", {"form": "dense"}),
            Variant("residual form (N8)", {"form": "residual"}),
            Variant("L + 1 layers", {"depth": "L+1"}),
            Variant("L layers (B2)", {"depth": "L"}),
            Variant("scores handed on (N7)", {"depth": "shared"}),
            Variant("nonlinear gates (N1)", {"gate": "nonlinear"}),
            Variant("one layer, top-4 (N15)", {"depth": "1"}),
            Variant("one layer of hats (N18)", {"depth": "1", "weighting": "rectified"}),
            Variant("two experts, copies (B21)", {"top_k": 2}),
            Variant("SiLU", {"activation": "silu"}),
            Variant("ReLU lanes (N22)", {"activation": "relu", "gated": True}),
            Variant("SiLU by substitution (N21)", {"depth": "L"}, "", "silu"),
            Variant("no mixtures, ReLU", {"theorem": "dense"}),
        ],
    ),
    "robot arm": Case(
        "Robot arm of three joints (`examples/robot_arm.toml`), ε = 0.012 (1 % of its range)",
        0.012,
        {"": "robot_arm.toml"},
        [
            Variant("ReLU, Theorem 5.2"),
            Variant("exact products (N22)", {"activation": {"elbow": "exact", "tip": "exact"}}),
            Variant("residual form (N8)", {"form": "residual"}),
            Variant("scores handed on (N7)", {"depth": "shared"}),
            Variant("nonlinear gates (N1)", {"gate": "nonlinear"}),
            Variant("no mixtures, ReLU", {"theorem": "dense"}),
            Variant("nonlinear gates, exact products", {"gate": "nonlinear", "activation": {"elbow": "exact", "tip": "exact"}}),
        ],
    ),
}


def compiled(case: Case, variant: Variant) -> atlasmoe.Model:
    given = case.specs[variant.atlas]
    task = load_task(ROOT / "examples" / given) if isinstance(given, str) else task_from_spec(given)
    if variant.substituted is None:
        return atlasmoe.compile(task, epsilon=case.epsilon, **variant.asked)
    # An eighth of ε is the substitution's.
    model = atlasmoe.compile(task, epsilon=case.epsilon * 7 / 8, **variant.asked)
    return atlasmoe.substitute(model, variant.substituted, epsilon=case.epsilon / 8)


def row(case: Case, variant: Variant, first: Path, seconds: float) -> Iterator[dict[str, Any]]:
    """What is known of one variant, more and more; `first`: the folder of the variant that it is compared with."""
    started = time.process_time()
    try:
        model = compiled(case, variant)
    except atlasmoe.AtlasMoEError as refused:
        yield {"refused": f"{type(refused).__name__}: {refused}"}
        return
    network = model.network
    found: dict[str, Any] = {"layers": len(network.layers), "experts": max(len(layer) for layer in network.layers)}
    found |= {"stored": network.parameters, "active": network.active_parameters, "ledger": model.ledger.root.bound}
    found |= {"compile": time.process_time() - started}
    found["time"] = timed(model, atlasmoe.load(first))
    yield found
    started = time.process_time()
    for tightness in (None,) if case.tightness is None else (None, case.tightness):
        certificate = atlasmoe.certify(model, tightness=tightness, seconds=WALL)
        if tightness is None or certificate.status == "proved":
            best = certificate
        found |= {"status": str(best.status.value), "bound": best.bound, "boxes": best.boxes, "certify": time.process_time() - started}
        if best.status != "proved":
            found["why"] = "; ".join(claim.name for claim in best.claims if not claim.holds)[:200]
        yield found
        if best.status != "proved" or found["certify"] > SETTLING * seconds:
            break
    if found["status"] == "proved":
        with tempfile.TemporaryDirectory() as folder:
            atlasmoe.save(model, Path(folder) / "model")
            best.write(Path(folder) / "model")
            started = time.process_time()
            found["check"] = [atlasmoe.check(Path(folder) / "model").verdict, time.process_time() - started]
        yield found


def timed(model: atlasmoe.Model, first: atlasmoe.Model) -> dict[str, list[float]]:
    """Microseconds of CPU time for one input, of the model and of the one beside it, taken in turn; in numpy and PyTorch."""
    import torch

    torch.set_num_threads(1)
    passes: dict[str, list[Callable[[], object]]] = {"numpy": [], "torch": []}
    for one in (model, first):
        task = one.task
        x = task.sample(POINTS, 1) if isinstance(task, atlasmoe.TaskGraph) else task.atlas.sample(POINTS, 1).ambient
        module, rows = atlasmoe.to_torch(one).eval(), torch.from_numpy(x)
        passes["numpy"].append(lambda one=one, x=x: one(x))
        passes["torch"].append(lambda module=module, rows=rows: module(rows))
    with torch.no_grad():
        for both in passes.values():
            for forward in both:
                forward()
        turns = [{kind: [microseconds(forward) for forward in both] for kind, both in passes.items()} for _ in range(TURNS)]
    return {kind: [min(turn[kind][k] for turn in turns) for k in range(2)] for kind in passes}


def microseconds(forward: Callable[[], object]) -> float:
    """CPU time for one input, over as many passes as the clock can tell."""
    started, passes = time.process_time(), 0
    while (spent := time.process_time() - started) < TURN:
        forward()
        passes += 1
    return spent / passes / POINTS * 1e6


def alone(name: str, variant: Variant, first: Path, cpu: int) -> dict[str, Any]:
    """A row from a process of its own; what it had found where its time ran out."""
    command = [sys.executable, __file__, "--row", json.dumps([name, variant.name, str(first), cpu])]
    limit = lambda: resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))  # noqa: E731
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    known: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}
    if done.returncode < 0:
        known |= {"stopped": cpu}
    elif done.returncode:
        known |= {"refused": done.stderr.strip().splitlines()[-1][:300]}
    return known


# The tables -----------------------------------------------------------------------------------------------------------

HEADINGS = (
    "variant",
    "atlas",
    "layers",
    "experts",
    "stored",
    "active",
    "proved",
    "boxes",
    "CPU s: compile, prove, check",
    "µs: numpy",
    "PyTorch",
)


def table(case: Case, rows: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"**{case.title}**", "", f"| {' | '.join(HEADINGS)} |", f"|{'---|' * 2}{'---:|' * (len(HEADINGS) - 2)}"]
    lines += [line(variant, rows[variant.name], case.epsilon) for variant in case.variants if variant.name in rows]
    return "\n".join(lines)


def line(variant: Variant, found: Mapping[str, Any], epsilon: float) -> str:
    start = f"| {variant.name} | {variant.atlas} |"
    if "refused" in found or "stored" not in found:
        why = (
            found.get("refused", f"not compiled in {found.get('stopped')} CPU s")
            .split(";")[0]
            .replace("EpsilonNotReached", "ε not reached")
        )
        return f"{start} {why.replace('InvalidArgument: ', 'refused: ')} |{' |' * (len(HEADINGS) - 3)}"
    sizes = f"{found['layers']} | {found['experts']} | {found['stored']:,} | {found['active']:,}"
    took = [found[key] for key in ("compile", "certify") if key in found] + [found["check"][1] for _ in "1" if "check" in found]
    seconds = " / ".join(f"{s:.1f}" if s < 10 else f"{s:.0f}" for s in took)
    times = " | ".join(f"{mine:.2g} (×{mine / first:.2f})" for mine, first in found["time"].values())
    boxes = f"{found['boxes']:,}" if "boxes" in found else ""
    return f"{start} {sizes} | {proved(found, epsilon)} | {boxes} | {seconds} | {times} |"


def proved(found: Mapping[str, Any], epsilon: float) -> str:
    """The bound, or why there is none."""
    if "status" not in found:
        return f"not in {found.get('stopped')} CPU s"
    if found["status"] != "proved":
        return f"{found['status']}: {found['why']}"
    verdict = found["check"][0] if "check" in found else f"check not in {found.get('stopped')} CPU s"
    return f"{found['bound']:.3g}" + ("" if verdict == "confirmed" else f" ({verdict})")


def written_into(page: str, tables: str) -> str:
    """The page with the tables in the place that is marked for them."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{rest.split(END)[1]}"


def fill(known: dict[str, Any], given: argparse.Namespace, folder: Path) -> None:
    """Run what is not known, one row at a time, and keep every row at once."""
    for name in given.tasks:
        case, rows = CASES[name], known.setdefault(name, {})
        for variant in case.variants:
            asked = any(part in variant.name for part in given.variants)
            if not asked or (variant.name in rows and not given.again):
                continue
            first = folder / name.replace(" ", "_")
            if not first.exists():
                atlasmoe.save(compiled(case, case.variants[0]), first)
            rows[variant.name] = alone(name, variant, first, given.cpu)
            given.results.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            print(f"{name}: {line(variant, rows[variant.name], case.epsilon)}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--variants", nargs="+", default=[""], help="parts of their names")
    parser.add_argument("--cpu", type=int, default=180, help="CPU seconds of one row")
    parser.add_argument("--again", action="store_true", help="run the named variants anew where they are known")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where they are kept")
    parser.add_argument("--write", type=Path, metavar="PAGE")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.row:
        name, variant, first, cpu = json.loads(given.row)
        chosen = next(one for one in CASES[name].variants if one.name == variant)
        for known in row(CASES[name], chosen, Path(first), cpu):
            print(json.dumps(known), flush=True)
        return
    results = json.loads(given.results.read_text(encoding="utf-8")) if given.results.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        fill(results, given, Path(folder))
    tables = "\n\n".join(table(case, results[name]) for name, case in CASES.items() if results.get(name))
    print(tables)
    if given.write is not None:
        given.write.write_text(written_into(given.write.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main()
