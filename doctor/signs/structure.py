"""Missing compositional structure: the error that every model with the declared blocks has.

Statement (N24). Let Ψ = g(x) + h(y), whatever g and h are. For any four points made of x, x′ and y, y′

    |f(x, y) − f(x′, y) − f(x, y′) + f(x′, y′)| / 4 ≤ sup |f − Ψ|:

the mixed difference of Ψ is 0, so that of f is the mixed difference of f − Ψ, four terms of at most sup |f − Ψ|. It is sharp: f = xy on
{−1, 1}² has the bound 1, which Ψ = 0 attains. A sum over several blocks is one over a block and all others. Of coordinates z in no
block, which Ψ ignores: |f(x, z) − f(x, z′)| / 2 ≤ sup |f − Ψ|, two terms.

So a witness of four points says of every such model, of any size and however it is trained, that it errs by so much: up to the rounding
with which f is evaluated in float64, which is why the bound is not called proved. The threshold is ε.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, TaskGraph
from ...errors import InvalidArgument
from ...moe.ledger import Known
from ..diagnosis import Diagnosis, Spread, Unanswered, as_witness
from ..patient import Oracle, Patient
from .base import Answer, Sign

POOL, ROUNDS = 2048, 8
"""Points among which the four are sought, and how often one part of them is chosen again."""


class Structure(Sign):
    name, title = "structure", "missing structure"
    of_task = True

    def look(self, patient: Patient) -> Iterator[Answer]:
        oracle = patient.oracle
        if oracle is None:
            yield Unanswered(self.name, patient.name, "the function, as a task; give {task=SPEC}")
        elif oracle.blocks is None:
            yield Unanswered(self.name, patient.name, 'the blocks that the model is a sum of, like {blocks="x,y|z"}')
        elif len(oracle.blocks) < 2 and {name for block in oracle.blocks for name in block} >= set(oracle.graph.coordinates):
            return  # one function of all coordinates: no structure is declared
        elif patient.epsilon is None:
            yield Unanswered(self.name, patient.name, "an error that is allowed; give {epsilon=1e-2}")
        else:
            yield self._judged(patient, oracle, patient.epsilon)

    def _judged(self, patient: Patient, oracle: Oracle, epsilon: float) -> Diagnosis:
        graph, blocks = oracle.graph, oracle.blocks or ()
        columns = columns_of(graph)
        best, witness, where, seen = 0.0, None, "no pair of blocks", np.zeros(0)
        for block in blocks if len(blocks) > 1 else ():
            value, four, all_ = mixed(graph, _together(graph, columns, block))
            seen = np.concatenate([seen, all_])
            if value > best:
                best, witness, where = value, four, f"({', '.join(block)}) with the others"
        used = {name for block in blocks for name in block}
        ignored = tuple(name for name in graph.coordinates if name not in used)
        if ignored:
            value, two, all_ = ignoring(graph, _together(graph, columns, ignored))
            seen = np.concatenate([seen, all_])
            if value > best:
                best, witness, where = value, two, f"{', '.join(ignored)}, which no block reads"
        declared = " + ".join(f"g({', '.join(block)})" for block in blocks)
        return Diagnosis(
            self.name,
            patient.name,
            f"every model of the form {declared} errs by {best:.4g} at least somewhere: {where}",
            best,
            "<=",
            epsilon,
            "lower bound on sup |f − Ψ|",
            "N24: f has the declared structure; else |f(x,y) − f(x′,y) − f(x,y′) + f(x′,y′)|/4 ≤ sup |f − Ψ|",
            "put the coordinates that act on each other into one block, or combine blocks by a product or another smooth function of "
            "their values",
            Known.SAMPLED,  # f is evaluated in float64, not enclosed
            POOL,
            () if witness is None else tuple(as_witness(point) for point in witness),
            Spread("lower bounds from random points", np.maximum(seen, 1e-17), epsilon, "lower bound on sup |f − Ψ|", "ε")
            if len(seen)
            else None,
        )


def columns_of(graph: TaskGraph) -> dict[str, NDArray[np.intp]]:
    """Coordinate ↦ the columns of an ambient point that it decides: of a manifold all of its input's."""
    found, start = {}, 0
    for node in graph.inputs:
        whole = np.arange(start, start + node.ambient_dimension)
        for k, name in enumerate(node.coordinates):
            found[name] = whole[k : k + 1] if node.box is not None else whole
        start += node.ambient_dimension
    return found


def _together(graph: TaskGraph, columns: dict[str, NDArray[np.intp]], block: tuple[str, ...]) -> NDArray[np.intp]:
    """The columns of a block. Raises `InvalidArgument` for names that are none, and for a part of a manifold's coordinates."""
    if unknown := [name for name in block if name not in columns]:
        raise InvalidArgument(f"blocks: {graph.name!r} has no coordinate {unknown[0]!r}; it has {', '.join(columns)}")
    for node in graph.inputs:
        inside = [name for name in node.coordinates if name in block]
        if node.box is None and inside and len(inside) < len(node.coordinates):
            raise InvalidArgument(
                f"blocks: {', '.join(inside)} are coordinates of the manifold {node.name!r}, whose points cannot be taken apart; put "
                "all of "
                f"{', '.join(node.coordinates)} into one block"
            )
    return np.unique(np.concatenate([columns[name] for name in block]))


def mixed(graph: TaskGraph, part: NDArray[np.intp], seed: int = 0) -> tuple[float, list[Array], Array]:
    """The largest |mixed difference|/4 that was found, its four points, and that of every random pair. `part`: columns of one block."""
    pool = graph.sample(POOL, seed)
    rng = np.random.default_rng(seed)

    def joined(x: Array, y: Array) -> Array:
        out = np.array(y)
        out[..., part] = x[..., part]
        return out

    def value(x: Array, y: Array, s: Array, t: Array) -> Array:
        """x, s give the block, y, t the rest."""
        f = graph.evaluate
        gap = np.abs(f(joined(x, y)) - f(joined(s, y)) - f(joined(x, t)) + f(joined(s, t))).max(-1) / 4
        return np.where(np.isfinite(gap), gap, 0.0)  # where f is not finite nothing is said

    four = [pool[rng.permutation(POOL)] for _ in range(4)]
    seen = value(*four)
    k = int(seen.argmax())
    kept, best = [part_[k : k + 1] for part_ in four], float(seen[k])
    for turn in range(ROUNDS):
        trial = [pool if turn % 4 == j else np.repeat(kept[j], POOL, axis=0) for j in range(4)]
        found = value(*trial)
        if found.max() > best:
            best = float(found.max())
            kept[turn % 4] = pool[int(found.argmax()) : int(found.argmax()) + 1]
    x, y, s, t = kept
    return best, [joined(a, b)[0] for a, b in ((x, y), (s, y), (x, t), (s, t))], seen


def ignoring(graph: TaskGraph, part: NDArray[np.intp], seed: int = 0) -> tuple[float, list[Array], Array]:
    """The same of |f(x, z) − f(x, z′)|/2, z the columns of `part`."""
    pool = graph.sample(POOL, seed)
    other = np.array(pool)
    other[:, part] = pool[np.random.default_rng(seed).permutation(POOL)][:, part]
    gap = np.abs(graph.evaluate(pool) - graph.evaluate(other)).max(-1) / 2
    gap = np.where(np.isfinite(gap), gap, 0.0)
    k = int(gap.argmax())
    return float(gap[k]), [pool[k], other[k]], gap
