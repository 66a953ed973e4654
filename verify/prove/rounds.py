"""Searches in rounds of parts: on this thread, on others, in processes or on a Dask cluster, and everywhere with the same trees.

A judge accepts a bound by the largest error found so far, which other boxes raise. So that nothing depends on who is faster, every
search is taken apart by a fixed schedule: a part is some boxes, all that was known when its round began, and how many boxes it may
judge. What parts did and saw is joined in the order in which they were taken, and the next round begins with that. joblib says where
parts run (`parallel_config`); on machines whose linear algebra gives the same bits, certificates are the same bits.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from joblib import Parallel, delayed
from numpy.typing import NDArray

from ...progress import gauge
from .tree import OWN, Judge, Search

PARTS, BATCHES = 8, 2
"""Parts of a search in a round at most, and how many of its batches each may judge: enough work to be worth the way."""
KEPT = 64
"""Judges that a worker process keeps from one part to the next."""

Seen = Mapping[str, NDArray[Any]]


class PartJudge(Judge, Protocol):
    """A judge that can be taken apart: what it has seen travels as arrays."""

    @property
    def remark(self) -> str:
        """For whoever is waiting."""

    def apart(self) -> PartJudge:
        """A judge of the same, which learns without this one."""

    def remember(self) -> dict[str, NDArray[Any]]:
        """What it has seen."""

    def recall(self, arrays: Seen) -> None:
        """Take up what it or others have seen; in any order, and more than once."""


@dataclass(frozen=True, eq=False)
class Running:
    """A search with its judge; `key` names the judge in other processes."""

    search: Search
    judge: PartJudge
    batch: int
    key: str = field(default_factory=lambda: uuid.uuid4().hex)


def run(running: Sequence[Running], doing: str, most: int, deadline: float, after: Callable[[], None]) -> None:
    """Run all searches until each is done, or has `most` nodes, or its judge refutes, or the clock (`time.monotonic`) passes `deadline`.

    `after` is called when something has been joined. An interruption leaves what is open where the next call finds it.
    """
    if not running:
        return
    shared = [_Shared(one.key, one.judge) for one in running]
    with gauge(doing, 1.0) as show, Parallel(prefer="threads", return_as="generator") as parallel:
        while True:
            jobs, owners = [], []
            for one, judge in zip(running, shared, strict=True):
                if one.search.done or one.search.nodes >= most or one.judge.refuted or time.monotonic() >= deadline:
                    continue
                parts, known = one.search.parts(one.batch, PARTS), one.judge.remember()
                room, until = max(1, (most - one.search.nodes) // len(parts)), time.time() + deadline - time.monotonic()
                jobs += [delayed(_run)(judge, known, part, one.batch, room, until) for part in parts]
                owners += [one] * len(parts)
            if not jobs:
                return
            for one, (part, seen) in zip(owners, parallel(iter(jobs)), strict=True):
                one.search.join(part)
                one.judge.recall(seen)
                show(sum(each.search.volume for each in running) / len(running), one.judge.remark)
                after()


def _run(shared: _Shared, known: Seen, part: Search, batch: int, room: int, until: float) -> tuple[Search, Seen]:
    """What became of a part, and what was seen. `until`: the clock (`time.time`), which machines have in common."""
    judge = shared.judge.apart()
    judge.recall(known)
    part.run(judge, batch=batch, most=OWN + room, deadline=time.monotonic() + until - time.time(), judged=BATCHES * batch)
    return part, judge.remember()


class _Shared:
    """A judge on its way to other processes, each of which prepares it once: its networks and programs are kept between parts."""

    def __init__(self, key: str, judge: PartJudge) -> None:
        self.key, self.judge = key, judge

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.key, self.judge)

    def __sizeof__(self) -> int:
        """Enough for Dask to send it to every worker once a round, not with every part."""
        return sys.getsizeof(self.judge) + (1 << 16)


_prepared: OrderedDict[str, PartJudge] = OrderedDict()
"""In worker processes."""


def _arrived(key: str, judge: PartJudge) -> _Shared:
    kept = _prepared.setdefault(key, judge)
    _prepared.move_to_end(key)
    while len(_prepared) > KEPT:
        _prepared.popitem(last=False)
    return _Shared(key, kept)
