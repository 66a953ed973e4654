"""coqc on the folder of a proof: what is compiled in which order, what it says, and where it stops."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from ...progress import gauge
from .theory import compiled_theory

OPTIONS = ("-w", "-ambiguous-paths,-overriding-logical-loadpath", "-Q", ".", "Proof", "-Q", "theory", "AtlasMoE")
ALLOWED = re.compile(
    r"ClassicalDedekindReals\.sig_(forall_dec|not_dec)|FunctionalExtensionality\.functional_extensionality_dep|Classical_Prop\.classic"
)
"""The classical axioms of Coq's real numbers. Under names without a module stands what a file of the proof itself has assumed."""
MACHINE = {
    "fast": re.compile(r"(PrimFloat|FloatAxioms|FloatOps|SpecFloat|PrimInt63|Uint63|Int63|Uint63Axioms)\.\S+"),
    "big": re.compile(r"(PrimInt63|Uint63|Int63|Uint63Axioms)\.\S+"),
    "pure": re.compile(r"(?!)"),
}
"""What an arithmetic adds: how Coq describes the numbers of the machine."""
PRINTED = re.compile(r"^(Axioms:|Closed under the global context)\s*$", re.MULTILINE)
"""How `Print Assumptions` begins."""


@dataclass(frozen=True)
class Outcome:
    """What coqc said."""

    accepted: bool
    refused: str | None
    """The file that it did not accept."""
    message: str
    assumptions: tuple[str, ...]
    """Names of the axioms that the theorem rests on."""
    seconds: dict[str, float]
    """CPU time of every file."""


def coqc_path() -> str | None:
    """Where coqc is, None where it is not installed."""
    return shutil.which("coqc")


def run(folder: Path, parts: Sequence[str], arithmetic: str, jobs: int, before: Sequence[str] = ("Weights", "Task")) -> Outcome:
    """Compile the folder: what comes before all parts, the parts side by side, the theorem."""
    compiled_theory(folder, arithmetic)
    seconds: dict[str, float] = {}
    heads = [*before, *(["Domains"] if (folder / "Routed.v").exists() else [])]
    names = [*heads, *parts]
    ends = ["Main", *(name for name in ("Equation", "Routed") if (folder / f"{name}.v").exists())]
    with gauge("coqc", len(names) + 1) as show:
        for name in heads:
            show(len(seconds), name)
            if problem := _one(folder, name, seconds):
                return Outcome(False, name, problem, (), seconds)
        pending: dict[Future[str | None], str] = {}
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            pending = {pool.submit(_one, folder, name, seconds): name for name in parts}
            while pending:
                show(len(seconds), ", ".join(list(pending.values())[:jobs]))
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    name = pending.pop(future)
                    if problem := future.result():
                        pool.shutdown(cancel_futures=True)
                        return Outcome(False, name, problem, (), seconds)
        said: list[str] = []
        for name in ends:
            show(len(seconds), name)
            if problem := _one(folder, name, seconds, said.append):
                return Outcome(False, name, problem, (), seconds)
            if not PRINTED.search(said[-1]):
                return Outcome(False, name, "coqc did not print what the theorem rests on", (), seconds)
    assumptions = tuple(sorted({name for text in said for name in assumed(text)}))
    beyond = [name for name in assumptions if not (ALLOWED.fullmatch(name) or MACHINE[arithmetic].fullmatch(name))]
    message = f"the theorem rests on {', '.join(beyond)}, which is no axiom that {arithmetic} arithmetic needs" if beyond else ""
    return Outcome(not beyond, "Main" if beyond else None, message, assumptions, seconds)


def _one(folder: Path, name: str, seconds: dict[str, float], said: Callable[[str], None] | None = None) -> str | None:
    """Compile one file; what coqc has against it, None if nothing."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(["coqc", *OPTIONS, f"{name}.v"], cwd=folder, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds[name] = after.ru_utime - before.ru_utime
    if said is not None:
        said(done.stdout)
    if done.returncode == 0:
        return None
    return (done.stderr.strip() or done.stdout.strip() or f"coqc ended with {done.returncode}")[-2000:]


def assumed(text: str) -> tuple[str, ...]:
    """What `Print Assumptions` printed: names of axioms, and lines for what is assumed otherwise, that a function ends for example."""
    _, _, listed = text.partition("Axioms:")
    lines = [line.rstrip() for line in listed.splitlines() if line.strip() and not line[0].isspace()]
    return tuple(re.sub(r"^(\S+)\s*:.*", r"\1", line) for line in lines)


def trouble(folder: Path, text: str) -> tuple[int, list[tuple[float, float]]] | None:
    """How many leaves were settled, and the box at which the computation about a chart stops; None if it does not say."""
    path = folder / "Trouble.v"
    path.write_text(text, encoding="utf-8")
    try:
        compiled_theory(folder, "fast")
        done = subprocess.run(["coqc", *OPTIONS, path.name], cwd=folder, capture_output=True, text=True, check=False)
    finally:
        for leftover in (*folder.glob("Trouble.*"), *folder.glob(".Trouble.*")):
            leftover.unlink()
    return read_trouble(done.stdout)


FLOAT = re.compile(r"-?(?:0x[0-9a-f]+(?:\.[0-9a-f]+)?p[+-]?\d+|\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
"""As Coq prints floats: in decimals where few digits are exact, else in hexadecimal ones."""


def _float(text: str) -> float:
    return float.fromhex(text) if "0x" in text else float(text)


def read_trouble(text: str) -> tuple[int, list[tuple[float, float]]] | None:
    """What `C.trouble` printed: (n, [(l, u); …])."""
    found = re.search(r"=\s*\(\s*(\d+)(?:%\w+)?\s*,(.*?)\)\s*:", " ".join(text.split()))
    if found is None:
        return None
    numbers = [_float(x) for x in FLOAT.findall(re.sub(r"%\w+", "", found.group(2)))]
    return int(found.group(1)), list(zip(numbers[::2], numbers[1::2], strict=False))
