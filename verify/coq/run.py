"""coqc on the folder of a proof: what is compiled in which order, what it says, and where it stops."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from ...progress import gauge
from .theory import compiled_theory

OPTIONS = ("-w", "-ambiguous-paths,-overriding-logical-loadpath", "-Q", ".", "Proof", "-Q", "theory", "AtlasMoE")
ALLOWED = re.compile(
    r"Coq\.(Reals\.ClassicalDedekindReals\.sig_(forall_dec|not_dec)|Logic\.FunctionalExtensionality\.functional_extensionality_dep"
    r"|Logic\.Classical_Prop\.classic)"
)
"""The classical axioms of Coq's real numbers, by the whole path: modules of other libraries, and of the proof itself, may have any name."""
INTEGERS = r"Numbers\.Cyclic\.Int63\.(PrimInt63|Uint63|Int63|Uint63Axioms)\.\S+"
MACHINE = {
    "fast": re.compile(rf"Coq\.(Floats\.(PrimFloat|FloatAxioms|FloatOps|SpecFloat)\.\S+|{INTEGERS})"),
    "big": re.compile(rf"Coq\.{INTEGERS}"),
    "pure": re.compile(r"(?!)"),
}
"""What an arithmetic adds: how Coq describes the numbers of the machine."""
ASKED = re.compile(r"^Print Assumptions .*$", re.MULTILINE)
BETWEEN = "Check forall next : Prop, next.", re.compile(r"^forall next : Prop, next\s*:\s*Prop\s*$", re.MULTILINE)
"""What is asked between two names, so that answers are told apart, and what comes back."""
LOCATED = re.compile(r"^(?:Constant|Inductive|Constructor)\s+(\S+)", re.MULTILINE)
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
    """The axioms that the theorem rests on, by their whole paths."""
    seconds: dict[str, float]
    """CPU time of every file."""


def coqc_path() -> str | None:
    """Where coqc is, None where it is not installed."""
    return shutil.which("coqc")


def run(
    folder: Path,
    parts: Sequence[str],
    arithmetic: str,
    jobs: int,
    before: Sequence[str] = ("Weights", "Task"),
    joined: Sequence[str] = (),
) -> Outcome:
    """Compile the folder: what comes before all parts, the parts side by side, what is joined from them, the theorem."""
    compiled_theory(folder, arithmetic)
    seconds: dict[str, float] = {}
    heads = [*before, *(["Domains"] if (folder / "Routed.v").exists() else [])]
    names = [*heads, *parts]
    ends = ["Main", *(name for name in ("Equation", "Routed") if (folder / f"{name}.v").exists())]
    with gauge("coqc", len(names) + len(joined) + 1) as show:
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
        for name in joined:
            show(len(seconds), name)
            if problem := _one(folder, name, seconds):
                return Outcome(False, name, problem, (), seconds)
        found: set[str] = set()
        for name in ends:
            said: list[str] = []
            show(len(seconds), name)
            if problem := _one(folder, name, seconds, said.append):
                return Outcome(False, name, problem, (), seconds)
            if not PRINTED.search(said[-1]):
                return Outcome(False, name, "coqc did not print what the theorem rests on", (), seconds)
            found |= set(origins(folder, name, assumed(said[-1])))
    assumptions = tuple(sorted(found))
    beyond = [name for name in assumptions if not (ALLOWED.fullmatch(name) or MACHINE[arithmetic].fullmatch(name))]
    message = f"the theorem rests on {', '.join(beyond)}, which is no axiom that {arithmetic} arithmetic needs" if beyond else ""
    return Outcome(not beyond, "Main" if beyond else None, message, assumptions, seconds)


def changed(folder: Path, contents: Mapping[str, str]) -> str | None:
    """The first file that is no more as it was written: what coqc read is not known then. Another proof may be written there meanwhile."""
    for name, text in contents.items():
        try:
            if (folder / name).read_text(encoding="utf-8") != text:
                return name
        except (OSError, UnicodeDecodeError):
            return name
    return None


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


def origins(folder: Path, name: str, short: Sequence[str]) -> tuple[str, ...]:
    """Whole paths of what `Print Assumptions` at the end of a file called by short names, which mean there what they mean to `Locate`.

    A name that may mean several things stands for all of them; one that means nothing stays as it is.
    """
    text = (folder / f"{name}.v").read_text(encoding="utf-8")
    path = folder / "Origins.v"
    found: list[str] = []
    try:
        names = [one for one in short if re.fullmatch(r"[\w.']+", one)]
        found = [one for one in short if one not in names]
        asked = "".join(f"\n{BETWEEN[0]}\nLocate {one}." for one in names)
        path.write_text(ASKED.sub("", text) + asked + "\n", encoding="utf-8")
        done = subprocess.run(["coqc", *OPTIONS, path.name], cwd=folder, capture_output=True, text=True, check=False)
        answers = BETWEEN[1].split(done.stdout)[1:]
        for one, answer in zip(names, answers if len(answers) == len(names) else [""] * len(names), strict=True):
            found += LOCATED.findall(answer) or [one]
    finally:
        for leftover in (*folder.glob("Origins.*"), *folder.glob(".Origins.*")):
            leftover.unlink()
    return tuple(found)


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
