"""The standing red team: `python tests/attacks/redteam.py` attacks what proves and what checks, and prints a table.

Every number of the last columns has to be 0; the exit code is 1 if one is not. docs/red-team.md says what is attacked and how to add an
attack: a function that takes a seed and how much to do, and yields one `Outcome` after the other.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import holes as hole  # noqa: E402
import numpy as np  # noqa: E402
from atlasmoe.progress import track  # noqa: E402
from atlasmoe.verify.enclosure import fast  # noqa: E402
from documents import fuzz as edited_documents  # noqa: E402
from edits import EDITS, Editor, poisoned, swaps  # noqa: E402
from enclosures import Found  # noqa: E402
from enclosures import fuzz as enclosed  # noqa: E402
from models import MODELS, VARIANTS, subject  # noqa: E402
from mutations import Judge, mutants  # noqa: E402
from nets import misses, random_case  # noqa: E402

FAULTS = ("false PROVED", "false REFUTED", "false confirmed", "traceback")
LOT = 100
"""Pairs of an expression and a box that count as one attack."""
TEMPORARY = "atlasmoe-redteam-"


@dataclass
class Outcome:
    """One attack: its name for people, and what went wrong, (what, detail); `what` is one of `FAULTS`."""

    name: str
    faults: list[tuple[str, str]] = field(default_factory=list)


Attack = Callable[[int, int], Iterator[Outcome]]
"""(seed, how many) ↦ outcomes."""


def guarded(name: str, faults: Callable[[], Iterator[tuple[str, str]]]) -> Outcome:
    """What went wrong, a traceback of ours included."""
    outcome = Outcome(name)
    try:
        outcome.faults += faults()
    except Exception:  # whatever it is, it is a fault
        outcome.faults.append(("traceback", traceback.format_exc(limit=-4)))
    return outcome


def networks(seed: int, count: int, names: Sequence[str] = tuple(MODELS)) -> Iterator[Outcome]:
    """Changed weights and needles, `count` over all models by turns."""
    share = -(-count // len(names))
    for k, name in enumerate(names):
        with tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder:
            judge = Judge(subject(name), Path(folder))
            rng = np.random.default_rng([seed, k])
            for number, mutant in enumerate(islice(mutants(subject(name), judge.sampler, rng), max(0, min(share, count - k * share)))):
                label = f"{name}, number {number}, {mutant.kind}" + (f", radius {mutant.radius:.2g}" if mutant.radius else "")
                yield guarded(label, lambda j=judge, m=mutant, n=number: j(m, n))


def edited(files: str, names: Sequence[str] = tuple(MODELS)) -> Attack:
    """`count` edits of files of one kind, over all models by turns."""

    def attack(seed: int, count: int) -> Iterator[Outcome]:
        kinds = list(EDITS[files])
        for k, name in enumerate(names):
            with tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder:
                editor, rng = Editor(subject(name), Path(folder)), np.random.default_rng([seed, k])
                for number in range(k, count, len(names)):
                    kind = kinds[(number // len(names) + k) % len(kinds)]
                    yield guarded(f"{name}, number {number}", lambda e=editor, s=kind, n=number, r=rng: e(files, s, n, r))

    return attack


def checkpoints(seed: int, count: int) -> Iterator[Outcome]:
    """Wrong networks whose interrupted proofs were edited."""
    names = list(MODELS)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder:
        for number in range(count):
            name, rng = names[number % len(names)], np.random.default_rng([seed, number])
            yield guarded(f"{name}, number {number}", lambda s=name, n=number, r=rng: poisoned(subject(s), Path(folder), n, r))


def exchanged(seed: int, count: int) -> Iterator[Outcome]:
    """Certificates, weights and tasks of one model in the folder of another."""
    with tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder:
        for label, faults in islice(swaps([subject(name) for name in MODELS], Path(folder), np.random.default_rng(seed)), count):
            yield guarded(label, faults)


def holes(seed: int, count: int) -> Iterator[Outcome]:
    """Tasks that are not defined somewhere."""
    with tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder:
        place = Path(folder)
        for number, (base, done, text) in enumerate(islice(hole.attacks(np.random.default_rng(seed)), count)):
            yield guarded(f"{base}, {done}", lambda b=base, d=done, t=text, n=number: hole.judged(b, d, t, n, place))


def enclosures(seed: int, count: int) -> Iterator[Outcome]:
    """Pairs of an expression and a box, in lots of a hundred, against arbitrary precision; a wrong enclosure proves what is false."""
    for lot in range(0, count, LOT):
        found = Found()
        outcome = guarded(f"lot {lot // LOT}", lambda k=lot, f=found: iter(enclosed(min(LOT, count - k), seed * 100_003 + k, f) and ()))
        outcome.faults += [("false PROVED", miss) for miss in found.misses]
        yield outcome


def nets(seed: int, count: int) -> Iterator[Outcome]:
    """Random nets of all activations on random boxes, against arbitrary precision."""
    before = fast.WORTH
    for number in range(count):
        fast.WORTH = -1 if number % 2 else 1 << 62
        case = random_case(seed, number)
        yield guarded(case.name, lambda c=case: (("false PROVED", miss) for miss in misses(c)))
    fast.WORTH = before


def documents(seed: int, count: int) -> Iterator[Outcome]:
    """`count` edits of every file: bytes and fields."""
    for done, faults in edited_documents(count, seed):
        yield Outcome(done, list(faults))


ATTACKS: dict[str, tuple[Attack, int, int]] = {
    "networks": (networks, 1050, 14),
    "certificates": (edited("certificates"), 140, 14),
    "ledgers": (edited("ledgers"), 112, 7),
    "configs": (edited("configs"), 140, 14),
    "task texts": (edited("task texts"), 140, 14),
    "checkpoints": (checkpoints, 112, 7),
    "folders exchanged": (exchanged, 100, 10),
    "holes": (holes, 144, 3),
    "enclosures": (enclosures, 100_000, 0),
    "nets": (nets, 20_000, 0),
    "documents": (documents, 60, 0),
    "networks of variants": (partial(networks, names=tuple(VARIANTS)), 360, 0),
    "certificates of variants": (edited("certificates", tuple(VARIANTS)), 180, 0),
    "configs of variants": (edited("configs", tuple(VARIANTS)), 180, 0),
}
"""Name ↦ the attack, how many in a full run and how many in the test suite (0: none there, or in a test of its own)."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Attack certify and check; exit code 1 if anything false was proved, refuted or confirmed."
    )
    parser.add_argument("attacks", nargs="*", help=f"of {', '.join(ATTACKS)}; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", type=float, default=1.0, help="of every count: 0.1 for a tenth")
    given = parser.parse_args(arguments)
    if unknown := set(given.attacks) - set(ATTACKS):
        parser.error(f"no attack is called {', '.join(sorted(unknown))}; there are {', '.join(ATTACKS)}")
    columns = ("attack", "count", *FAULTS, "CPU s")
    rows, bad = [columns], 0
    for name in given.attacks or ATTACKS:
        attack, full, _ = ATTACKS[name]
        count, started, seen, faults = max(1, round(full * given.part)), time.process_time(), 0, Counter[str]()
        for outcome in track(attack(given.seed, count), name, count):
            seen += 1
            for what, detail in outcome.faults:
                faults[what] += 1
                print(f"{what}: {name}: {outcome.name}: {detail}", flush=True)
        bad += sum(faults.values())
        rows.append((name, f"{seen:,}", *(str(faults[what]) for what in FAULTS), f"{time.process_time() - started:.0f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
