"""A `torch.nn.Module` as a patient: its routers are found by their names, the rows that reach them by running it on inputs.

Rows are what the router is called with; where a module computes with its router's weights without calling it, what the layer around it is
called with. Nothing is trained and nothing is changed: hooks are put in and taken out, and the module runs in evaluation mode without
gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...atlas import Array, TaskGraph
from ...errors import InvalidArgument
from ..patient import Oracle, Patient
from ..residual import distance_of
from .model import checked
from .names import Found, find
from .routed import Said, charts_of, gate_of, local_of, weights_of

if TYPE_CHECKING:
    from torch import Tensor, nn

TOP_K = ("top_k", "topk", "k", "num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k")
BATCH = 1024


def patient_of_module(
    module: nn.Module,
    *,
    data: Array | None = None,
    task: TaskGraph | None = None,
    samples: int = 4096,
    seed: int = 0,
    router: str | None = None,
    experts: str | None = None,
    top_k: int | None = None,
    on: str | None = None,
    activation: str | None = None,
    epsilon: float | None = None,
) -> Patient:
    """The patient. Inputs are `data` (N, D), or points of the `task`. What the module does not say, options do: K, what is chosen on,
    and the activation of experts.

    Raises `InvalidArgument` where no router is found, where it does not run on the inputs, or where there are none.
    """
    import torch

    state = {name: tensor for name, tensor in module.state_dict().items() if isinstance(tensor, torch.Tensor)}
    found = find({name: tuple(tensor.shape) for name, tensor in state.items()}, router, experts)
    points, source = _points(data, task, samples, seed)
    said, assumed = said_by(module, found, top_k, on, activation)
    seen = None if points is None else run(module, found, points)
    gates = []
    for k, one in enumerate(found):
        dtype = str(state[one.weights[0]].dtype).removeprefix("torch.")
        weights = weights_of(one, {name: state[name].double().cpu().numpy() for name in (*one.weights, *filter(None, one.biases))}, dtype)
        rows, computed = (None, None) if seen is None else seen[1][k]
        correction = None if one.correction is None else state[one.correction].double().cpu().numpy().reshape(-1)
        charts = charts_of(task, points) if rows is not None and points is not None and len(rows) == len(points) else None
        local = local_of(task, points, found, weights, rows, said.top_k, epsilon)
        gates.append(gate_of(one, weights, said, rows, correction, computed, charts, local))
    return Patient(
        name=type(module).__name__,
        kind="module",
        gates=tuple(gates),
        source=source,
        points=points,
        oracle=None if task is None else Oracle(task, None),
        dimension=None if task is None else sum(node.domain.dimension for node in task.inputs),
        distance=None if task is None else distance_of(task),
        given=data is not None,
        assumes=(*assumed, "rows are independent draws of what the module will see"),
        epsilon=epsilon,
    )


def _points(data: Array | None, task: TaskGraph | None, samples: int, seed: int) -> tuple[Array | None, str]:
    if data is not None:
        width = np.asarray(data).shape[-1] if np.asarray(data).ndim == 2 else 0
        return checked(
            data, width if task is None else task.ambient_dimension
        ), f"what reaches the routers at the {len(data):,} points given"
    if task is None:
        return None, "not known: neither data nor a task are given"
    return task.sample(samples, seed), f"what reaches the routers at {samples:,} independent points of {task.name}"


def said_by(
    module: nn.Module, found: tuple[Found, ...], top_k: int | None, on: str | None, activation: str | None
) -> tuple[Said, tuple[str, ...]]:
    """What modules say of themselves, and what had to be assumed."""
    named = dict(module.named_modules())
    assumed = []
    places = [named.get(one.root) for one in found] + [named.get(one.parent) for one in found]
    places += [getattr(place, "shape", None) for place in places] + [module]
    if top_k is None:
        top_k = next((v for place in places for name in TOP_K if type(v := getattr(place, name, None)) is int), None)
    if top_k is None:
        top_k = 1
        assumed.append("K = 1, as nothing says how many experts are chosen ({top_k=K} does)")
    if on is None:
        on = "sigmoid" if any(one.correction for one in found) else "logits"
    if activation is None:
        activation = _activation(named, found)
    if any(len(one.weights) > 1 for one in found):
        assumed.append("ReLU between the maps of routers that have several")
    if activation == "relu":
        assumed.append("an expert's output is taken as it is where K = 1 (weight 1)")
    return Said(top_k, on, activation=activation), tuple(assumed)


def _activation(named: dict[str, Any], found: tuple[Found, ...]) -> str | None:
    """The only activation module among the experts, by its class; None if there is none, or several."""
    from torch import nn

    prefixes = tuple(
        {name.split(".experts.")[0] + ".experts." if ".experts." in name else "experts." for one in found for name in one.experts}
    )
    kinds = {
        type(m).__name__ for name, m in named.items() if name.startswith(prefixes) and not list(m.children()) and not list(m.parameters())
    }
    kinds -= {"Identity", "Dropout", "ModuleList", "Sequential"}
    return "relu" if kinds == {nn.ReLU.__name__} else next(iter(kinds)).lower() if len(kinds) == 1 else None


Seen = tuple[Array, list[tuple[Array | None, Array | None]]]


def run(module: nn.Module, found: tuple[Found, ...], points: Array | None, call: Callable[[], Any] | None = None) -> Seen:
    """The module's outputs, and for every router its rows (N, D) and its logits, if it was called and gave some."""
    import torch

    named = dict(module.named_modules())
    rows: list[list[np.ndarray]] = [[] for _ in found]
    around: list[list[np.ndarray]] = [[] for _ in found]
    logits: list[list[np.ndarray]] = [[] for _ in found]
    handles = []
    for k, one in enumerate(found):
        gate, layer = named.get(one.root), named.get(one.parent, module)
        if gate is not None and list(gate.parameters()):
            handles.append(gate.register_forward_hook(_gate_hook(one, rows[k], logits[k])))
        handles.append(layer.register_forward_pre_hook(_layer_hook(one, around[k]), with_kwargs=True))
    training = module.training
    try:
        module.eval()
        with torch.no_grad():
            out = call() if call is not None else _in_batches(module, points)
    except Exception as error:
        said = "" if points is None else f" on inputs {points.shape}"
        raise InvalidArgument(
            f"{type(module).__name__} does not run{said}: {type(error).__name__}: {error}; give inputs of its shape with "
            f"{{data=points.npy}}"
        ) from error
    finally:
        module.train(training)
        for handle in handles:
            handle.remove()
    gathered = []
    for k, one in enumerate(found):
        of = rows[k] or around[k]
        x = np.concatenate(of) if of else None
        z = np.concatenate(logits[k]) if logits[k] and rows[k] else None
        gathered.append((x, z if z is not None and x is not None and z.shape == (len(x), one.count) else None))
    first = out[0] if isinstance(out, tuple) and not hasattr(out, "_fields") else out
    values = first.double().cpu().numpy() if isinstance(first, torch.Tensor) else np.zeros((0, 0))
    return values, gathered


def _in_batches(module: nn.Module, points: Array | None) -> Tensor:
    import torch

    assert points is not None
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    parts = [module(torch.from_numpy(points[k : k + BATCH]).to(dtype)) for k in range(0, len(points), BATCH)]
    parts = [part[0] if isinstance(part, tuple) else part for part in parts]
    return torch.cat([part for part in parts if isinstance(part, torch.Tensor)])


def _flat(value: Any, width: int) -> np.ndarray | None:
    """A tensor whose last dimension is `width`, as rows; None for anything else."""
    import torch

    if not isinstance(value, torch.Tensor) or value.ndim < 2 or value.shape[-1] != width or not value.is_floating_point():
        return None
    return value.detach().reshape(-1, width).double().cpu().numpy()


def _gate_hook(one: Found, rows: list[np.ndarray], logits: list[np.ndarray]) -> Callable[[Any, Any, Any], None]:
    def hook(_: Any, arguments: tuple[Any, ...], output: Any) -> None:
        x = next((x for value in arguments if (x := _flat(value, one.reads)) is not None), None)
        given = output if isinstance(output, tuple) else (output,)
        z = next((z for value in given if (z := _flat(value, one.count)) is not None), None)
        if x is not None:
            rows.append(x)
            if z is not None and len(z) == len(x):
                logits.append(z)

    return hook


def _layer_hook(one: Found, around: list[np.ndarray]) -> Callable[[Any, Any, Any], None]:
    def hook(_: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        x = next((x for value in (*arguments, *keywords.values()) if (x := _flat(value, one.reads)) is not None), None)
        if x is not None:
            around.append(x)

    return hook
