"""`plan`: how many experts, how wide, for ε — predicted before anything is built.

The law B3: an expert of width m on one of E cells has error C·[(E·m)^{−K/d} + E^{−2/d}·m^{−2}], K up to (d+3)/2. While the first term
leads, experts and width are interchangeable: m ∝ 1/E reaches the same ε. Where a cell is so small that the target is a quadratic on it
to within ε, the second term limits: m ∝ E^{−1/d} only, because a two-layer net needs pieces for a quadratic, however small.
Only m and the gate are paid per input, all E experts are stored. So there is something to choose, and what is
cheapest depends on what counts.

A plan does not assume C or K. For every E it makes the ball atlas, and builds some experts of it, of hard cells and of easy ones, as
`compile` would build all of them (`pilots`).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..atlas import Block, ManifoldTask, TaskGraph, arguments
from ..atlas.ball import ball_atlas
from ..atlas.graph import as_graph
from ..atlas.refine import refine
from ..atlas.relative import absolute_epsilon, with_numbers
from ..atlas.targets import in_units
from ..atlas.wanted import Wanted
from ..errors import EpsilonNotReached, InvalidArgument
from ..moe.model import Model
from ..progress import track
from .advice import WIDEST
from .asked import Asked
from .budgets import share_out
from .choices import Choice, Choices
from .compile import check_task, construct
from .pilots import Law, law, sized
from .reach import Reach
from .relu import NARROWEST
from .routers import affine as affine_router
from .several_targets import built
from .shares import LEAF_SAFETY, ROUNDING_SHARE

MINIMISED = ("active", "total", "latency")
MOST_ROWS, LEAST_ROWS = 8, 3
"""Of a ladder of its own making; eight doublings are a factor of 128. There is nothing to choose from in fewer than three."""
WITHIN = 2.0
"""What is built and what was predicted, numbers stored, width and error, differ by at most this factor where the tests look: on the
circle, the sphere, the torus, a helicoid, a Klein bottle and SO(3)."""
CALL = 100_000
"""Multiplications in the time that starting one expert's matrix products takes: ten microseconds at 10^10 a second, a few array calls."""


@dataclass(frozen=True)
class Plan:
    """One row: E experts of width m, what they cost, and what they should reach."""

    experts: int
    """E."""
    width: int
    """m: of the widest expert, where each is as wide as ε takes on its cell."""
    active: int
    """Parameters that one input meets at most: the gate and one expert of width m."""
    total: int
    """Parameters in all."""
    latency: float
    """Cost of one input of a batch, in multiplications; see `latency`."""
    predicted: float
    """The largest error expected."""
    law: Law
    """What the pilots measured, and how it is extrapolated where that was not enough."""
    buildable: bool
    """Whether m is within the limit of the plan."""
    reached: float | None = None
    """The largest error found on M once the row is built."""

    @property
    def limited_by(self) -> str:
        """The term of B3 that is at work at this E: "quadratic part" E^{−2/d}·m^{−2}, or "smoothness" (E·m)^{−K/d}."""
        return "quadratic part" if self.law.quadratic else "smoothness"

    @property
    def extrapolated(self) -> bool:
        """Whether m lies outside the widths that were measured."""
        return not self.law.widths[0] <= self.width <= self.law.widths[-1]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        names = ("experts", "width", "active", "total", "latency", "predicted", "reached", "buildable", "limited_by", "extrapolated")
        pilots = {"widths": list(self.law.widths), "errors": list(self.law.errors), "slope": self.law.slope}
        return {**{name: getattr(self, name) for name in names}, "pilots": pilots}


@dataclass(frozen=True, eq=False)
class Frontier:
    """The rows of a plan, by E; and the number of experts that were left out, with why."""

    task: ManifoldTask = field(repr=False)
    epsilon: float
    rows: tuple[Plan, ...]
    skipped: tuple[tuple[int, str], ...]
    max_width: int
    batch: int
    seed: int
    activation: str = "relu"
    gated: bool = False
    given: ManifoldTask | TaskGraph | None = field(default=None, repr=False)
    """What has several targets: `task` is of f in units of their ε, and so are `epsilon` and errors."""

    def __iter__(self) -> Iterator[Plan]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Plan:
        return self.rows[index]

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """Several targets with their ε, in numbers."""
        return () if self.given is None else self.given.wanted

    def ranked(self, minimise: str) -> list[Plan]:
        """The buildable rows, cheapest first by "active" or "total" parameters or "latency"; at equal cost fewer experts first.

        Raises `EpsilonNotReached` if there are none, with what the best row would reach at the greatest width allowed.
        """
        arguments.choice("minimise", minimise, MINIMISED)
        rows = sorted((row for row in self.rows if row.buildable), key=lambda row: (getattr(row, minimise), row.experts))
        if not rows:
            best = min(self.rows, key=lambda row: row.law.error(self.max_width))
            raise EpsilonNotReached(
                f"plan: {best.experts} experts, the best of {', '.join(str(row.experts) for row in self.rows)} (predicted)",
                budget=_budget(self.epsilon),
                reached=best.law.error(self.max_width),
                width=self.max_width,
                remedy=f"allow wider experts, {{max_width={best.width}}}, plan with more of them, or allow a larger error",
            )
        return rows

    def best(self, minimise: str = "active") -> Plan:
        """The cheapest buildable row; see `ranked`."""
        return self.ranked(minimise)[0]

    def model(self, row: Plan) -> Model:
        """The row as a model: E experts for ε. Raises `EpsilonNotReached` where its prediction was too good."""
        task = self.given if isinstance(self.given, ManifoldTask) else self.task
        return built(
            construct,
            refine(task, experts=row.experts, seed=self.seed),
            epsilon=self.epsilon,
            theorem="affine",
            max_width=self.max_width,
            seed=self.seed,
            activation=self.activation,
            gated=self.gated,
        )

    def built(self) -> Frontier:
        """With every buildable row built, and the largest error that was found in `reached`."""
        rows = [
            dataclasses.replace(row, reached=self.model(row).ledger.root.bound) if row.buildable else row
            for row in track(self.rows, "building", total=len(self.rows))
        ]
        return dataclasses.replace(self, rows=tuple(rows))

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "task": self.task.name,
            "epsilon": self.epsilon,
            **({"targets": [{"name": one.name, "epsilon": one.epsilon} for one in self.wanted]} if self.wanted else {}),
            "max_width": self.max_width,
            "batch": self.batch,
            "seed": self.seed,
            "activation": self.activation,
            "gated": self.gated,
            "rows": [row.to_dict() for row in self.rows],
            "skipped": [{"experts": experts, "why": why} for experts, why in self.skipped],
        }


def plan(
    task: ManifoldTask | TaskGraph,
    epsilon: Any = None,
    *,
    block: str | None = None,
    experts: Sequence[int] | None = None,
    max_width: Any = 2048,
    batch: Any = 1024,
    seed: Any = 0,
    activation: str | Mapping[str, str] | None = None,
    gated: bool | Mapping[str, bool] | None = None,
) -> Frontier:
    """What reaches ε on the manifold of `task`, or of one `block` of a graph within its share of ε. Builds no model.

    For every E of a ladder the width m, its cost and the error to expect; several targets have their own ε, and errors are in units of
    these. `activation` and `gated`: as of `compile`.

    Every row is a ball atlas of E charts (`refine`) with an affine router, whatever charts `task` has. `experts` lists the E to
    try; by default the least that makes ball charts injective and its doublings, three at least, until the gate alone
    costs more than the best row or experts are as narrow as can be. Widths over `max_width` are predicted, and not buildable.
    `batch`: inputs per call, for `latency`.

    Pilots, experts of hard cells and of easy ones, are built as `compile(task, epsilon=ε)` builds all of them. Where one of them takes
    more than 512 neurons, m is what a law says: by the slope measured on the worst cells, but not more than 2 where the quadratic part
    limits and (d+3)/(2d) elsewhere (B3). `Plan.limited_by` says which. Predictions are no bounds: see `WITHIN`.

    Raises `LintError` if the task breaks an assumption, and `InvalidArgument` for arguments out of their domain or if no E of the list
    has injective ball charts.
    """
    if not isinstance(task, ManifoldTask | TaskGraph):
        raise InvalidArgument(f"plan takes a ManifoldTask or a TaskGraph, got {type(task).__name__}")
    given, epsilon = (with_numbers(task), 1.0) if task.wanted and epsilon is None else (None, absolute_epsilon(epsilon, task))
    choices = Choices.of(as_graph(task), activation=activation, gated=gated)
    task, epsilon, choice = block_task(in_units(given or task), epsilon, block, choices)
    max_width = arguments.integer("max_width", max_width, NARROWEST, WIDEST)
    batch = arguments.integer("batch", batch, 1, 2**31 - 1)
    seed = arguments.seed(seed)
    ladder = None if experts is None else _listed(experts)
    check_task(given if isinstance(given, ManifoldTask) else task)
    rows: list[Plan] = []
    skipped: list[tuple[int, str]] = []
    for count in track(_doublings(task, seed) if ladder is None else ladder, "planning", total=len(ladder or ()) or None):
        try:
            finer = refine(task, experts=count, seed=seed)
        except InvalidArgument as error:
            skipped.append((count, str(error)))
            continue
        rows.append(_row(finer, epsilon, max_width, batch, seed, choice))
        if ladder is None and len(rows) >= LEAST_ROWS and _saturated(rows, task):
            break
    if rows:
        return Frontier(task, epsilon, tuple(rows), tuple(skipped), max_width, batch, seed, choice.activation, choice.gated, given)
    raise InvalidArgument("no number of experts on the list will do:\n" + "\n".join(why for _, why in skipped))


def _listed(experts: Iterable[Any]) -> list[int]:
    if isinstance(experts, str) or not isinstance(experts, Iterable):
        raise InvalidArgument(f"experts must be a list of integers, got {experts!r}")
    found = sorted({arguments.integer("experts", count, 1, arguments.MAX_CHARTS) for count in experts})
    if not found:
        raise InvalidArgument("experts must list at least one number of experts")
    return found


def _doublings(task: ManifoldTask, seed: int) -> Iterator[int]:
    first = len(ball_atlas(task.atlas, seed=seed))
    for count in itertools.islice((first * 2**k for k in itertools.count()), MOST_ROWS):
        if count > arguments.MAX_CHARTS:
            return
        yield count


def _saturated(rows: Sequence[Plan], task: ManifoldTask) -> bool:
    """Whether more experts can only cost more: they are as narrow as can be, or the next gate alone exceeds the best row."""
    narrow = rows[-1].width == NARROWEST
    return narrow or _gate(task, 2 * rows[-1].experts) >= min(row.active for row in rows)


def _gate(task: ManifoldTask, experts: int) -> int:
    return experts * (task.atlas.ambient_dimension + 1)


def _budget(epsilon: float) -> float:
    """What `compile` allows the experts on held-out points."""
    return (1 - ROUNDING_SHARE) * epsilon / LEAF_SAFETY


def _row(task: ManifoldTask, epsilon: float, max_width: int, batch: int, seed: int, choice: Choice) -> Plan:
    """The row of a task on its ball atlas."""
    routing = affine_router.route(task.atlas, "float64", seed, prove=False)
    cells = affine_router.cells(routing, seed)
    E, D, q = len(task.atlas), task.atlas.ambient_dimension, task.outputs
    gate = _gate(task, E)
    asked = Asked((1 - ROUNDING_SHARE) * epsilon, None, max_width, seed, activation=choice.activation, gated=choice.gated)
    try:
        sizes = sized(task, routing, cells, asked)
    except EpsilonNotReached:
        found = law(task, routing, cells, _budget(epsilon), limit=max_width, seed=seed)
        m = found.width(_budget(epsilon))
        expert = m * (D + 1) + q * (m + 1)
        return Plan(E, m, gate + expert, gate + E * expert, latency(E, m, D, q, batch), found.error(m), found, m <= max_width)
    m = sizes.width
    return Plan(E, m, gate + sizes.largest, gate + sizes.total, latency(E, m, D, q, batch), sizes.error, sizes.law, True)


def latency(experts: int, width: int, inputs: int, outputs: int, batch: int) -> float:
    """What one input of a batch of N costs, counted in multiplications: E·D + m·(D + q) + CALL·min(E, N)/N. No clock is asked.

    The gate scores E centres in R^D; one expert maps R^D to m hidden neurons and those to q outputs; and of the at most
    min(E, N) experts that a batch calls, each call costs as much as CALL multiplications, shared by the N inputs.
    """
    return experts * inputs + width * (inputs + outputs) + CALL * min(experts, batch) / batch


def block_task(task: ManifoldTask | TaskGraph, epsilon: float, block: str | None, choices: Choices) -> tuple[ManifoldTask, float, Choice]:
    """The block that is to be planned as a task of its own, its ε, of a graph what its share of the graph's allows, and its options.

    Raises `InvalidArgument` if there is no such block on charts, or several and none is named.
    """
    graph = as_graph(task)
    charts = [one for one in graph.blocks if one.atlas is not None]
    names = ", ".join(one.name for one in charts)
    if not charts:
        raise InvalidArgument(f"{graph.name!r} has no block on charts that could be planned; pieces are taken as they are")
    if block is None and len(charts) > 1:
        raise InvalidArgument(f"{graph.name!r} has several blocks on charts; name one of {names}: block={charts[0].name!r}")
    chosen = next((one for one in charts if block in (None, one.name)), None)
    if chosen is None:
        raise InvalidArgument(f"{graph.name!r} has no block {block!r} on charts; those are {names}")
    if chosen.given is not None:
        return chosen.given, epsilon, choices[chosen]
    return chosen.task, share_out(graph, epsilon, Reach(graph)).budgets[chosen.name] / (1 - ROUNDING_SHARE), choices[chosen]


def compile_planned(
    task: ManifoldTask | TaskGraph, *, epsilon: float, minimise: str | Mapping[str, str], max_width: int, seed: int, **given: Any
) -> Model:
    """Every block on charts, or those that `minimise` names, by the cheapest row of its plan that in fact reaches its share of ε:
    widths are then as small as can be.

    A row whose prediction turns out too good is passed over for the next cheapest, and named in the facts. The facts hold the chosen row
    beside what was reached; the ledger's root says both in its note. `given`: what else `construct` is asked for. Raises as `plan` and
    `compile` do.
    """
    graph = as_graph(task)
    goals = _goals(graph, minimise)
    charts = [block for block in graph.blocks if block.name in goals]
    names = [None] if graph is not task or not charts else [block.name for block in charts]
    options = {name: given.get(name) for name in ("activation", "gated")}
    frontiers = [plan(task, epsilon, block=name, max_width=max_width, seed=seed, **options) for name in names]
    ranked = [frontier.ranked(goal) for frontier, goal in zip(frontiers, goals.values(), strict=True)]
    place: list[int] = [0] * len(ranked)
    failed: list[list[int]] = [[] for _ in ranked]
    theorem = "affine" if graph is not task else {block.name: "affine" for block in charts}
    while True:
        rows = [some[k] for some, k in zip(ranked, place, strict=True)]
        finer = _refined(task, charts, rows, seed)
        try:
            model = construct(finer, epsilon=epsilon, theorem=theorem, max_width=max_width, seed=seed, **given)
            return _annotated(model, rows, goals, failed)
        except EpsilonNotReached as missed:
            n = next((n for n, name in enumerate(names) if name is None or missed.what.startswith(f"block[{name}]")), 0)
            failed[n].append(rows[n].experts)
            place[n] += 1
            if place[n] == len(ranked[n]):
                raise


def _refined(task: ManifoldTask | TaskGraph, charts: Sequence[Block], rows: Sequence[Plan], seed: int) -> ManifoldTask | TaskGraph:
    """The task whose blocks on charts have as many balls as their rows say."""
    if isinstance(task, ManifoldTask):
        return refine(task, experts=rows[0].experts, seed=seed)
    finer = {}
    for block, row in zip(charts, rows, strict=True):
        atlas = refine(block.task, experts=row.experts, seed=seed).atlas
        finer[block.name] = dataclasses.replace(block, domain=atlas, subtasks=(block.subtasks[0],) * len(atlas))
    return dataclasses.replace(task, nodes=tuple(finer.get(node.name, node) for node in task.nodes))


def _goals(graph: TaskGraph, minimise: str | Mapping[str, str]) -> dict[str, str]:
    """Block ↦ what its plan is the cheapest for, in the order of the graph's blocks."""
    asked = minimise if isinstance(minimise, Mapping) else {block.name: minimise for block in graph.blocks if block.atlas is not None}
    for goal in asked.values() if asked else [minimise]:
        arguments.choice("minimise", goal, MINIMISED)
    names = [block.name for block in graph.blocks]
    for name in asked:
        if name not in names:
            raise InvalidArgument(f"minimise: there is no block {name!r}; the blocks are {', '.join(names)}")
    return {name: asked[name] for name in names if name in asked}


def _annotated(model: Model, rows: Sequence[Plan], goals: Mapping[str, str], failed: Sequence[list[int]]) -> Model:
    """The model with what was predicted of each block beside what all of the network reached."""
    root, facts = model.ledger.root, model.facts
    reached = {
        "width": facts["m"],
        "active": facts["active_parameters"],
        "total": facts["parameters"],
        "error": root.bound,
    }
    planned = [
        {"minimise": goal, **({} if model.design.alone else {"block": name}), **row.to_dict(), "reached": reached, "passed_over": left}
        for (name, goal), row, left in zip(goals.items(), rows, failed, strict=True)
    ]
    if model.design.alone:
        ((_, goal),), (row,) = goals.items(), rows
        note = f"planned for least {goal}: E = {row.experts}; m = {row.width} predicted, {reached['width']} reached; "
        note += f"active parameters {row.active:,} predicted, {reached['active']:,} reached; "
        note += f"total {row.total:,} predicted, {reached['total']:,} reached"
    else:
        note = "; ".join(
            f"block {name} planned for least {goal}: E = {row.experts}, m = {row.width}, {row.active:,} active parameters of {row.total:,}"
            for (name, goal), row in zip(goals.items(), rows, strict=True)
        )
        note += f"; all blocks, and what joins them, reached m = {reached['width']}, {reached['active']:,} of {reached['total']:,}"
    facts = {**facts, "plan": planned[0] if model.design.alone else planned}
    noted = dataclasses.replace(root, note="; ".join(filter(None, (root.note, note))))
    return dataclasses.replace(model, ledger=dataclasses.replace(model.ledger, root=noted), facts=facts)
