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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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

    def parts(self, most: int) -> list[Part]:
        """What of it belongs to the next round; nothing if it is over."""
        search, known = self.search, self.judge.remember()
        left = most - (search.nodes - search.given)
        if search.done or left <= 0 or self.judge.refuted:
            return []
        found = search.parts(self.batch, PARTS)
        return [Part(self, known, part, max(1, left // len(found))) for part in found]


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a search, what was known when it was taken, and how many nodes it may make."""

    of: Running
    known: Seen
    search: Search
    room: int

    def join(self, seen: Seen) -> None:
        """File what became of it, and what was seen."""
        self.of.search.join(self.search)
        self.of.judge.recall(seen)


def run(running: Sequence[Running], doing: str, most: int, deadline: float, after: Callable[[], None]) -> None:
    """Run all searches until each is done, or has `most` new nodes, or its judge refutes, or the clock passes `deadline`.

    `deadline`: by `time.monotonic`, looked at between batches. `after` is called when a part has been joined.
    An interruption leaves open what is open.
    """
    with gauge(doing, 1.0) as show, Parallel(prefer="threads", return_as="generator") as parallel:
        while time.monotonic() < deadline and (parts := [part for one in running for part in one.parts(most)]):
            for part in _here(parts, deadline) if parallel.n_jobs == 1 else _there(parts, deadline, parallel):
                show(sum(one.search.volume for one in running) / len(running), part.of.judge.remark)
                after()


def _here(parts: Sequence[Part], deadline: float) -> Iterator[Part]:
    """One part after the other; one that is interrupted is joined as it stands."""
    for part in parts:
        judge = part.of.judge.apart()
        judge.recall(part.known)
        try:
            _judge(judge, part.search, part.of.batch, part.room, deadline)
        finally:
            part.join(judge.remember())
        yield part


def _there(parts: Sequence[Part], deadline: float, parallel: Parallel) -> Iterator[Part]:
    """All parts of a round where joblib has them run, joined in order."""
    shared = {part.of.key: _Shared(part.of.key, part.of.judge) for part in parts}
    until = time.time() + deadline - time.monotonic()
    jobs = (delayed(_sent)(shared[part.of.key], part.known, part.search, part.of.batch, part.room, until) for part in parts)
    for part, (search, seen) in zip(parts, parallel(jobs), strict=True):
        done = replace(part, search=search)
        done.join(seen)
        yield done


def _sent(shared: _Shared, known: Seen, part: Search, batch: int, room: int, until: float) -> tuple[Search, Seen]:
    """What became of a part in another thread or process. `until`: the clock (`time.time`), which machines have in common."""
    judge = shared.judge.apart()
    judge.recall(known)
    _judge(judge, part, batch, room, time.monotonic() + until - time.time())
    return part, judge.remember()


def _judge(judge: PartJudge, part: Search, batch: int, room: int, deadline: float) -> None:
    part.run(judge, batch=batch, most=OWN + room, deadline=deadline, judged=BATCHES * batch)


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
