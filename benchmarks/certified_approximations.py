"""Eleven dynamical systems that others have proved networks of: |f − Ψ| ≤ ε on a box, with ours compiled and proved here.

    OMP_NUM_THREADS=1 python benchmarks/certified_approximations.py [--only WaterTank …] [--write PAGE]

Systems, boxes, ε and sizes of networks are those of "Certified Neural Approximations of Nonlinear Dynamics" (arXiv 2505.15497) as its
repository has them (Zinoex/certified-neural-approximations, commit 904d5824: certified_neural_approximations/dynamics.py for f, the
box, ε and the small network; experiments/dynamics_approximation.py for the large one, 3 × 64, with its `small_epsilon` where there is one).
CPU seconds are of one thread (time.process_time): `compile` fits the weights, `certify` proves ε for every point of the box, in float64
too, `check` confirms the certificate from the files by other enclosures. `numbers` are all stored weights and biases.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import atlasmoe
from atlasmoe.atlas.spec import task_from_spec
from atlasmoe.errors import AtlasMoEError
from atlasmoe.verify.check import check
from atlasmoe.verify.prove import certify

T = TypeVar("T")
LARGE = (64, 64, 64)
WAYS = (("relu2", False), ("silu", False), ("silu", True))
"""Activations and whether there are product lanes, beside the ReLUs that every case is compiled with first."""
SECONDS = 300.0
"""For one proof, by the clock."""


@dataclass(frozen=True)
class System:
    """ẋ = f(x) on a box; their networks by hidden widths, with the ε that each is proved for."""

    domain: tuple[tuple[float, float], ...]
    f: tuple[str, ...]
    theirs: tuple[tuple[tuple[int, ...], float], ...]
    note: str = ""


def square(half: float, dimension: int) -> tuple[tuple[float, float], ...]:
    return ((-half, half),) * dimension


TURN = 2 * math.pi
SYSTEMS = {
    "WaterTank": System(((0.1, 10.0),), ("1.5 - sqrt(x1)",), (((12,), 0.097), (LARGE, 0.007))),
    "JetEngine": System(
        square(1, 2), ("-x2 - 1.5*x1**2 - 0.5*x1**3 - 0.1", "3*x1 - x2"), (((10, 16), 0.039), (LARGE, 0.012))
    ),
    "SteamGovernor": System(
        square(1, 3), ("x2", "x3**2*sin(x1)*cos(x1) - sin(x1) - 3*x2", "1 - cos(x1)"), (((12,), 0.105), (LARGE, 0.06))
    ),
    "Exponential": System(square(1, 2), ("-sin(exp(x2**3 + 1)) - x2**2", "-x1"), (((14, 14), 0.112), (LARGE, 0.04))),
    "NonLinear1": System(((0.0, 1.0), (-1.0, 1.0)), ("x2", "sqrt(x1)"), (((10,), 0.11), (LARGE, 0.03)), "not Lipschitz at x1 = 0"),
    "NonLinear2": System(square(1, 2), ("x1**2 + x2", "abs(x1)**(2/3) - x1"), (((12, 10), 0.081), (LARGE, 0.02)), "a cusp at x1 = 0"),
    "VanDerPol": System(square(3, 2), ("x2", "(1 - x1**2)*x2 - x1"), ((LARGE, 0.25),)),
    "Sine2D": System(square(math.pi, 2), ("sin(x2/2)", "-sin(x1)"), ((LARGE, 0.02),), "theirs has leaky ReLUs"),
    "NonlinearOscillator": System(square(3, 1), ("-x1 - 0.5*x1**3 + 0.3*sin(x1)",), ((LARGE, 0.003 * (55 - math.sin(3))),)),
    "LowThrustSpacecraft": System(
        ((6.378, 10.0), (0.0, TURN), (-5.0, 5.0), (-5.0, 5.0), (0.0, 10.0), (0.0, 0.75), (0.0, TURN)),
        (
            "x3/1000",
            "x4/(1000000*x1)",
            "-0.3986/x1**2 + x4**2/(1000000000*x1) + x6*cos(x7)/(750 + x5)",
            "-x3*x4/(1000000000*x1) + x6*sin(x7)/(750 + x5)",
            "-x6/40",
        ),
        ((LARGE, 0.01),),
        "7 dimensions; no component moves by more than 0.019, and all but two by less than ε",
    ),
    "Lorenz": System(
        ((-30.0, 30.0), (-30.0, 30.0), (0.0, 60.0)),
        ("10*(x2 - x1)", "x1*(28 - x3) - x2", "x1*x2 - 8*x3/3"),
        ((LARGE, 0.6),),
        "a class of theirs, not among their experiments",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One line: what is theirs and what came of ours, with which neurons; seconds (compile, certify, check)."""

    system: str
    epsilon: float
    hidden: tuple[int, ...]
    theirs: int
    """Numbers of their network."""
    way: str = "relu"
    neurons: int = 0
    numbers: int = 0
    bound: float = math.inf
    boxes: int = 0
    seconds: tuple[float, ...] = ()
    verdict: str = ""
    """What `certify` and `check` say, or why nothing was compiled."""


def task(name: str, system: System) -> atlasmoe.ManifoldTask:
    box = {"builtin": "box", "dimension": len(system.domain), "domain": [list(side) for side in system.domain]}
    found = task_from_spec({"task": {"name": name}, "manifold": box, "target": {"expression": list(system.f)}})
    assert isinstance(found, atlasmoe.ManifoldTask)
    return found


def numbers(inputs: int, hidden: Sequence[int], outputs: int) -> int:
    """Weights and biases of a dense net."""
    sizes = (inputs, *hidden, outputs)
    return sum((a + 1) * b for a, b in itertools.pairwise(sizes))


def timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.process_time()
    return work(), time.process_time() - started


def row(name: str, hidden: tuple[int, ...], epsilon: float) -> Row:
    """Compile, prove and confirm one case with ReLUs."""
    built = compiled(name, epsilon, "relu", False)
    if isinstance(built, str):
        return Row(name, epsilon, hidden, theirs(name, hidden), verdict=built)
    return proved(name, hidden, epsilon, built)


def best(name: str, hidden: tuple[int, ...], epsilon: float, below: int) -> Row | None:
    """The least model of other neurons that is proved and confirmed, if it stores fewer than `below` numbers."""
    built = [made for way in WAYS if not isinstance(made := compiled(name, epsilon, *way), str)]
    for made in sorted(built, key=lambda one: one.model.network.parameters):
        if made.model.network.parameters >= below:
            break
        found = proved(name, hidden, epsilon, made)
        if found.verdict == "proved, confirmed":
            return found
    return None


@dataclass(frozen=True)
class Compiled:
    """A model, with which neurons, and the seconds that it took."""

    model: atlasmoe.Model
    way: str
    seconds: float


def theirs(name: str, hidden: tuple[int, ...]) -> int:
    system = SYSTEMS[name]
    return numbers(len(system.domain), hidden, len(system.f))


def compiled(name: str, epsilon: float, activation: str, gated: bool) -> Compiled | str:
    """The model, or why there is none."""
    given = task(name, SYSTEMS[name])
    try:
        model, seconds = timed(lambda: atlasmoe.compile(given, epsilon=epsilon, activation=activation, gated=gated))
    except AtlasMoEError as error:
        return f"refused: {error}"
    return Compiled(model, f"gated {activation}" if gated else activation, seconds)


def proved(name: str, hidden: tuple[int, ...], epsilon: float, built: Compiled) -> Row:
    """Proved and confirmed from the files."""
    model = built.model
    with tempfile.TemporaryDirectory() as place:
        folder = atlasmoe.save(model, Path(place) / "model")
        found, certified = timed(lambda: certify(model, tightness=None, seconds=SECONDS))
        found.write(folder)
        confirmed, checked = timed(lambda: check(folder))
    (layer,) = model.network.layers[-1:]
    neurons = sum(sum(net.widths) for net in layer.experts)
    verdict = f"{found.status}, {confirmed.verdict}"
    seconds = built.seconds, certified, checked
    size = neurons, model.network.parameters
    return Row(name, epsilon, hidden, theirs(name, hidden), built.way, *size, found.bound, found.boxes, seconds, verdict)


def rows(only: Sequence[str]) -> Iterator[Row]:
    for name in only:
        for hidden, epsilon in SYSTEMS[name].theirs:
            plain = row(name, hidden, epsilon)
            yield plain
            least = best(name, hidden, epsilon, plain.numbers if plain.seconds else sys.maxsize)
            if least is not None:
                yield least


HEADER = (
    "system",
    "ε",
    "theirs: hidden",
    "numbers",
    "ours",
    "neurons",
    "numbers",
    "proved",
    "boxes",
    "compile",
    "certify",
    "check",
    "verdict",
)


def cells(found: Row) -> tuple[str, ...]:
    hidden = " × ".join(map(str, found.hidden))
    if not found.seconds:
        return (found.system, f"{found.epsilon:.3g}", hidden, f"{found.theirs:,}", found.way, *[""] * 7, found.verdict)
    return (
        found.system, f"{found.epsilon:.3g}", hidden, f"{found.theirs:,}", found.way, str(found.neurons), f"{found.numbers:,}",
        f"{found.bound:.3g}", f"{found.boxes:,}", *(f"{seconds:.2f}" for seconds in found.seconds), found.verdict,
    )  # fmt: skip


def markdown(found: Sequence[Row]) -> str:
    """The table, and what is to be said of single systems."""
    table = [HEADER, ["---"] * len(HEADER), *map(cells, found)]
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in table]
    systems = dict.fromkeys(one.system for one in found)
    notes = [f"* {name}: {SYSTEMS[name].note}." for name in systems if SYSTEMS[name].note]
    return "\n".join([*lines, "", *notes, ""])


BEGIN, END = "<!-- measured -->", "<!-- end of what is measured -->"


def written_into(page: str, table: str) -> str:
    """The page with this table between its marks."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n\n" + table + "\n" + END + rest.split(END)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(SYSTEMS), default=tuple(SYSTEMS))
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table between the marks of this page")
    arguments = parser.parse_args()
    found = []
    for one in rows(arguments.only):
        found.append(one)
        print("  ".join(cells(one)), flush=True)
    print("\n" + markdown(found))
    if arguments.write:
        arguments.write.write_text(written_into(arguments.write.read_text(encoding="utf-8"), markdown(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
