"""The README's table of examples: how large a model is that is proved at ε = 1 % and 1e-4 of the range, of ReLU neurons and of the best.

    OMP_NUM_THREADS=1 python benchmarks/examples_table.py [--only sphere …] [--cpu 300] [--write README.md]

Every row is compiled with `prove=True` and confirmed by `check`, in a process of its own that may use so many CPU seconds; what does not
end in them, or is refused, says so. Numbers are all that are stored, and those that one input meets; `auto` chooses the neurons of experts
by numbers stored. CPU seconds are of one thread (time.process_time): compile with its proofs, then check.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- sizes -->", "<!-- end of sizes -->"
EXAMPLES: Mapping[str, str | dict[str, Any]] = {
    "circle in R¹²⁸": "circle_D128.toml",
    "sphere, 2 charts": "sphere.toml",
    "sphere, 64 balls": {
        "task": {"name": "sphere"},
        "manifold": {"builtin": "sphere", "atlas": "ball", "charts": 64},
        "target": {"expression": "x1*x2 + x3**2"},
    },
    "Swiss roll in R¹⁰⁰": "swiss_roll_R100.toml",
    "SO(3), 100 balls": "so3.toml",
    "robot arm, three joints": "robot_arm.toml",
}
PERCENTS = (1.0, 0.01)
ACTIVATIONS = ("relu", "auto")


def row(name: str, percent: float, activation: str) -> dict[str, Any]:
    """What came of one example."""
    import atlasmoe
    from atlasmoe.atlas.relative import absolute_epsilon
    from atlasmoe.atlas.spec import load_task, task_from_spec

    given = EXAMPLES[name]
    task = load_task(ROOT / "examples" / given) if isinstance(given, str) else task_from_spec(given)
    epsilon = absolute_epsilon(f"{percent}%", task)
    started = time.process_time()
    try:
        model = atlasmoe.compile(task, epsilon=epsilon, activation=activation, prove=True)
    except atlasmoe.AtlasMoEError as refused:
        return {"epsilon": epsilon, "refused": f"{type(refused).__name__}: {refused}", "seconds": [time.process_time() - started]}
    seconds = [time.process_time() - started]
    with tempfile.TemporaryDirectory() as folder:
        atlasmoe.save(model, Path(folder) / "model")
        started = time.process_time()
        verdict = atlasmoe.check(Path(folder) / "model").verdict
        seconds.append(time.process_time() - started)
    network, proof = model.network, model.facts["proof"]
    return {
        "epsilon": epsilon,
        "neurons": neurons(model),
        "width": model.facts["true_width"],
        "numbers": network.parameters,
        "active": network.active_parameters,
        "bound": proof["bound"],
        "found": proof["found"],
        "boxes": proof["boxes"],
        "verdict": verdict,
        "seconds": seconds,
    }


def neurons(model: Any) -> str:
    """What the experts of the blocks are made of, in words."""
    from atlasmoe.moe.activations import RELU

    found = set()
    for site in model.design.sites:
        for net in model.network.layers[site.layer].experts:
            for hidden, (groups, ups) in enumerate(zip(net.groups, net.ups, strict=True)):
                kinds = {group.activation for group in groups} if hidden == len(net.groups) - 1 else set()
                found |= {f"{'gated ' if ups is not None else ''}{kind.name}" for kind in kinds if kind is not RELU or len(kinds) == 1}
    return ", ".join(sorted(found))


def alone(name: str, percent: float, activation: str, cpu: int) -> dict[str, Any]:
    """A row from a process of its own."""
    command = [sys.executable, __file__, "--row", json.dumps([name, percent, activation])]
    limit = lambda: resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))  # noqa: E731
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    if done.returncode:
        return {"refused": f"more than {cpu} CPU s" if done.returncode < 0 else done.stderr.strip().splitlines()[-1], "seconds": []}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rows(only: list[str] | None, cpu: int) -> Iterator[str]:
    """The lines of the table."""
    headings = "example | ε | neurons | width | numbers: all / per input | proved | largest error found | boxes | CPU s: with proof / check"
    yield f"| {headings} |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name in only or EXAMPLES:
        for percent in PERCENTS:
            for activation in ACTIVATIONS:
                found = alone(name, percent, activation, cpu)
                print(name, percent, activation, found, file=sys.stderr, flush=True)
                yield line(name, percent, activation, found)


def line(name: str, percent: float, activation: str, found: Mapping[str, Any]) -> str:
    asked = f"| {name} | {percent:g} % "
    if "refused" in found:
        why = found["refused"].split(";")[0].replace("EpsilonNotReached", "refused")
        return f"{asked}| {activation} | {why} | | | | | {' / '.join(f'{s:.0f}' for s in found['seconds'])} |"
    made = found["neurons"] if activation == "relu" else f"auto: {found['neurons']}"
    proved = f"{found['bound']:.3g}" + ("" if found["verdict"] == "confirmed" else f" ({found['verdict']} by check)")
    boxes = f"{found['boxes']:,}".replace(",", " ")
    seconds = " / ".join(f"{s:.1f}" if s < 10 else f"{s:.0f}" for s in found["seconds"])
    sizes = f"{found['width']} | {found['numbers']:,} / {found['active']:,}".replace(",", " ")
    return f"{asked}| {made} | {sizes} | {proved} | {found['found']:.3g} | {boxes} | {seconds} |"


def written_into(page: str, table: str) -> str:
    """The page with the table in the place that is marked for it."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--cpu", type=int, default=300)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        print(json.dumps(row(*json.loads(given.row))))
        return
    table = "\n".join(rows(given.only, given.cpu))
    print(table)
    if given.write is not None:
        given.write.write_text(written_into(given.write.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()
