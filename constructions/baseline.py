"""`dense_baseline`: the dense network with as many numbers as a mixture of experts has, so that the two are compared like with like.

Numbers are counted as they are stored, biases and zeros included. *Active*: those that one input meets, of a dense network all; of a
mixture the gates and the largest experts that are chosen. *Total*: all that are stored. The dense network is fitted as experts are, by
linear algebra on samples of M (`theorem_dense`), with neurons of the kind that the model's experts have unless others are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..atlas import ManifoldTask, arguments
from ..errors import InvalidArgument
from ..moe.model import Model
from ..moe.opened import one_target, opened
from .advice import WIDEST
from .compile import construct
from .experts.ways import Way, ways
from .relu import NARROWEST
from .theorem_dense import NAME

EQUAL = ("active", "total")
PILOTS = (8, 32)
"""Widths at which a dense network of a graph, or one stored in factors, is built to count its numbers, which are affine in the width."""
TRIES = 4


def dense_baseline(
    model: Model,
    equal: str = "active",
    *,
    activation: str | None = None,
    gated: bool | None = None,
    experts: str = "dense",
    max_width: int = 2048,
    seed: int = 0,
) -> Model:
    """The widest dense network of the model's task with at most as many active or ("total") stored numbers as the model.

    Two layers, no gate: every input meets all of it. Of a task graph every block becomes dense, all of one width. `activation`, `gated`:
    its neurons, those of the model's experts if nothing is said. `experts`: how its first map is stored, as of experts: "dense",
    "factorised" or "encoder" where x = Q·y is embedded. Its ε is what it reaches; `facts["baseline"]` says what it is equal to.

    Raises `InvalidArgument` for a model with too few numbers for 8 neurons, or with so many that `max_width` does not hold them.
    """
    model = one_target(opened(model, "dense_baseline"), "dense_baseline")
    if equal not in EQUAL:
        raise InvalidArgument(f"equal {equal!r} is not one of {', '.join(EQUAL)}")
    max_width, seed = arguments.integer("max_width", max_width, NARROWEST, WIDEST), arguments.seed(seed)
    numbers = model.network.active_parameters if equal == "active" else model.network.parameters
    said = {"activation": activation, "gated": gated, "experts": experts}
    options = {**_neurons(model), **{name: value for name, value in said.items() if value is not None}}
    dtype = str(model.network.dtype)

    def of(width: int) -> Model:
        form = "residual" if model.design.form == "residual" else "dense"
        return construct(model.task, width=width, theorem=NAME, form=form, dtype=dtype, seed=seed, max_width=max_width, **options)

    width, slope = _width(model, options, numbers, of)
    for _ in range(TRIES):
        _require(width, numbers, equal, max_width)
        made = of(width)
        excess = made.network.parameters - numbers
        if excess <= 0:
            break
        width -= max(1, -int(-excess // slope))
    facts = {"equal": equal, "numbers": numbers, "width": width, "of": {"theorem": model.facts.get("theorem"), "task": model.task.name}}
    return replace(made, facts={**made.facts, "baseline": facts})


def _neurons(model: Model) -> dict[str, Any]:
    """What was asked of the neurons of the model's experts; one word, or one for each block."""
    asked = model.facts.get("neurons", {}).get("asked", {})
    found = {name: {block: one[name] for block, one in asked.items()} for name in ("activation", "gated")}
    return {name: next(iter(values.values())) if model.design.alone else values for name, values in found.items() if values}


def _width(model: Model, options: dict[str, Any], numbers: int, of: Callable[[int], Model]) -> tuple[int, float]:
    """The width that has so many numbers, and what one neuron more adds."""
    task = model.task
    if isinstance(task, ManifoldTask) and options["experts"] == "dense" and options.get("activation", "relu") != "auto":
        (way,) = ways(options.get("activation", "relu"), options.get("gated", False))
        return way.room(numbers, len(model.network.inputs), task.outputs), _slope(way, len(model.network.inputs), task.outputs)
    (narrow, low), (wide, high) = ((width, of(width).network.parameters) for width in PILOTS)
    slope = max((high - low) / (wide - narrow), 1.0)
    return int(narrow + (numbers - low) // slope), slope


def _slope(way: Way, inputs: int, outputs: int) -> float:
    return float(way.numbers(2, inputs, outputs) - way.numbers(1, inputs, outputs))


def _require(width: int, numbers: int, equal: str, most: int) -> None:
    if width < NARROWEST:
        other = ', or equal="total"' if equal == "active" else ""
        raise InvalidArgument(
            f"a dense network of {numbers:,} numbers has {max(width, 0)} neurons, fewer than the {NARROWEST} that can be fitted; compare "
            f'with a larger model{other}, or store its first map as an encoder: experts="encoder"'
        )
    if width > most:
        raise InvalidArgument(
            f"a dense network of {numbers:,} numbers has {width:,} neurons, and max_width is {most:,}; raise max_width, up to {WIDEST:,}, "
            'or compare active numbers: equal="active"'
        )
