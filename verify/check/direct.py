"""What an affine read-out takes from inputs directly, in the task and in the network.

A coordinate is a component that is known exactly. Those that a folded block reads stay in its function; of any other one, y_c with a number
d_c before it, the network has to have as much: Σ_i W_i·Q_ic of what is linear in inputs, up to |d_c − (W·Q)_c|·max|y_c|.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import sympy

from ...atlas import Array, Block, ExpressionMap
from ...expressions.parse import real_symbols
from ...expressions.tree import Name
from ...intervals import Interval, enclose_number
from .refused import Refused
from .slices import Slice, without_linear


def what_is_left(
    outputs: Sequence[sympy.Expr], known: Collection[str], folded: Mapping[str, Block], coordinates: Collection[str]
) -> tuple[list[sympy.Expr], set[str]]:
    """The outputs with 0 for components that have a channel and for coordinates that no block left in them reads, and the blocks' names."""
    names = {str(s) for e in outputs for s in e.free_symbols} - set(known)
    if other := names - set(folded) - set(coordinates):
        raise Refused(f"the output has {sorted(other)[0]} in it, which is no component of a site", rejected=False)
    blocks = [folded[name] for name in names if name in folded]
    gone = {*known, *coordinates} - {name for block in blocks for name in block.reads if name not in known}
    nothing = dict.fromkeys(real_symbols(sorted(gone)).values(), sympy.Integer(0)) if gone else {}
    return [e.xreplace(nothing) for e in outputs], {block.name for block in blocks}


def behind(left: Sequence[sympy.Expr], block: Block, function: ExpressionMap, read: Sequence[sympy.Expr] | None) -> ExpressionMap:
    """What is left of the outputs, of a block's values and of what it reads: that is `read`, or the variables of the function."""
    names = [name for name in block.reads if any(str(s) == name for e in left for s in e.free_symbols)]
    variables = (*real_symbols(block.components).values(), *(real_symbols(names).values() if names else ()))
    places = [block.reads.index(name) for name in names]
    more = [(function.variables if read is None else read)[k] for k in places]
    trees = None if read is not None else [*function.trees, *(Name(str(v)) for v in more)]
    return ExpressionMap(variables, tuple(left)).after(ExpressionMap(function.variables, (*function.expressions, *more), trees))


def without_inputs(part: Slice, embedding: Array, kept: Sequence[bool]) -> tuple[Slice, Array]:
    """The slice without what is linear in inputs that are made of no coordinate that is kept, and their weights, (outputs, inputs)."""
    gains = np.zeros((len(part.layers[-1].carries), len(embedding)))
    for layer, i in part.reads:
        if layer == 0 and not embedding[i, np.array(kept, bool)].any():
            gains[:, i], part = without_linear(part, part.reads.index((layer, i)))
    return part, gains


def misses(outputs: Sequence[sympy.Expr], names: Sequence[str], columns: Array, gains: Array, sizes: Array) -> Array:
    """Σ_c |d_c − (W·Q)_c|·max|y_c| over some coordinates, an output each; `columns`: those of Q. Raises `Refused` where an output is not
    affine in one.
    """
    total = np.zeros(len(outputs))
    for name, column, size in zip(names, columns.T, sizes, strict=True):
        (symbol,) = real_symbols([name]).values()
        for o, output in enumerate(outputs):
            said = sympy.diff(output, symbol)
            if said.free_symbols:
                raise Refused(f"the output is not affine in {name}")
            found = enclose_number(said)
            for weight, entry in zip(gains[o].tolist(), column.tolist(), strict=True):
                if weight and entry:
                    found = found - Interval.of(weight) * Interval.of(entry)
            total[o] += found.magnitude.max() * size
    return total
