"""Graphs of a module: what `torch.export`, `torch.compile`, `torch.jit.trace`, `vmap` and `torch.onnx` see in the place of dispatch.

Sorting rows by expert is Python that reads data: whoever records the calls of one example would keep that example's routes, and send
every other point through the wrong experts without a word. So while somebody records, rows reach their experts in a way of which nothing
depends on data but values: in an operator of ours where the graph stays with us (`compiled`), `looped` where graphs have loops, `gathered`
elsewhere. What none can do raises.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InvalidArgument
from ..moe.sums import Sums
from .dispatch import Dispatch, Stages, copied, work_of
from .operator import operated
from .stages import Stage, through

SMALL = 1 << 8
"""Multiplications in one row's expert up to which every row gets a copy of its weights: as many numbers as there are activations."""


def recording(x: Tensor) -> Dispatch | None:
    """How rows reach their experts while somebody records a graph; None if nobody does."""
    if torch.compiler.is_exporting():
        return looped
    if torch.compiler.is_compiling():
        return compiled
    if torch._C._is_tracing() or torch._C._functorch.is_batchedtensor(x):
        return gathered
    return None


def gathered(stages: Stages, x: Tensor, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Tensor:
    """Every row with a copy of its own expert's weights, in batched products: rows times the numbers of an expert in memory."""
    require_plain(sums)
    if expert is None:
        return through([stage.of(0) for stage in stages], x, sums)
    return copied(stages, x, expert)


def compiled(stages: Stages, x: Tensor, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Tensor:
    """One operator, in which rows are dispatched whenever the graph runs; where gradients are asked for, copies of weights."""
    if expert is None or differentiable(stages, x):
        return gathered(stages, x, expert, sums)
    require_plain(sums)
    return operated(stages, x, expert)


def differentiable(stages: Stages, x: Tensor) -> bool:
    """Whether somebody may ask for a gradient."""
    parts = [part for stage in stages for part in (stage.weight, stage.bias, *(stage.up or ()))]
    return torch.is_grad_enabled() and any(part.requires_grad for part in (x, *parts))


def looped(stages: Stages, x: Tensor, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Tensor:
    """A loop in the graph, over experts: the rows of each are looked up, run, and put into their places. The graph is as large for 4
    experts as for 4096, and for any number of rows. Experts of SMALL numbers at most are copied for every row: recording a loop takes
    two seconds, and a graph of many blocks has many.
    """
    require_plain(sums)
    if expert is None:
        return through([stage.of(0) for stage in stages], x, sums)
    if work_of(stages) <= SMALL:
        return gathered(stages, x, expert, sums)
    from torch._higher_order_ops.while_loop import while_loop

    bends = [stage.bend for stage in stages]
    parts = [(stage.weight, stage.bias, *(stage.up or ())) for stage in stages]

    def more(k: Tensor, y: Tensor) -> Tensor:
        return k < parts[0][0].shape[0]

    def one(k: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        rows = (expert == k).nonzero()[:, 0]
        h = x[rows]
        for bend, arrays in zip(bends, parts, strict=True):
            weight, bias, *up = (array.index_select(0, k.reshape(1))[0] for array in arrays)
            h = Stage(weight, bias, bend, (up[0], up[1]) if up else None)(h, sums)
        return k + 1, y.index_put((rows,), h)

    start = torch.zeros((), dtype=torch.int64, device=x.device), x.new_zeros(x.shape[0], parts[-1][0].shape[1])
    loop: Callable[..., tuple[Tensor, Tensor]] = while_loop
    return loop(more, one, start)[1]


def require_plain(sums: Sums) -> None:
    """Raises `InvalidArgument` for orders of sums that graphs do not keep."""
    if sums is not Sums.PLAIN:
        raise InvalidArgument(
            f"a module with sums={str(sums)!r} cannot be recorded as a graph: record to_torch(model), whose sums are plain"
        )
