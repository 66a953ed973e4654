"""`doctor`: look at a mixture for every sign of the registry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..atlas import ManifoldTask, TaskGraph, arguments
from ..atlas.graph import as_graph
from ..atlas.relative import absolute_epsilon
from ..errors import InvalidArgument
from ..expressions.given import of_kind
from ..moe.model import Model
from ..progress import track
from .diagnosis import Diagnosis, Health, Unanswered
from .patient import Patient
from .signs import SIGNS

if TYPE_CHECKING:
    from torch import nn

SAMPLES = 4096
"""Points that are drawn where none are given."""
DTYPES = ("float64", "float32", "bfloat16", "float16")


def doctor(
    target: Model | Patient | nn.Module | str | Path,
    *,
    task: ManifoldTask | TaskGraph | None = None,
    data: ArrayLike | None = None,
    epsilon: float | str | None = None,
    blocks: str | None = None,
    capacity: float | None = None,
    precision: str | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    trust_code: bool = False,
    **reading: Any,
) -> Health:
    """Examine a mixture: a `Model` or its folder, a torch module, a Hugging Face checkpoint folder with MoE layers.

    * `task`: what it should compute; of a model its own, if nothing is said.
    * `data`: inputs (N, D), or for checkpoints the rows (N, hidden) that reach the layer.
    * `epsilon`: the error it should stay below, a number or like "1%" of what the task ranges over; of a model its own.
    * `blocks`: groups of coordinates that it is a sum over, "x,y|z".
    * `capacity`: C, if an expert drops what is beyond C·N·K/E. `precision`: a dtype in which it is going to run.
    * `reading`: of modules and checkpoints: `router`, `experts` (patterns of names), `top_k`, `on`, `inputs` (`reading.module`,
      `reading.checkpoint`).

    Every sign is a file of `doctor.signs`, which has its statement. Deterministic for a seed. Raises `InvalidArgument` for what cannot be
    examined.
    """
    if precision is not None and precision not in DTYPES:
        raise InvalidArgument(f"precision {precision!r} is not one of {', '.join(DTYPES)}; give {{precision=bfloat16}}")
    if capacity is not None and not (np.isfinite(capacity) and capacity > 0):
        raise InvalidArgument(f"capacity = {capacity} is not a positive number; give {{capacity=1.25}}")
    if samples < 1:
        raise InvalidArgument(f"samples = {samples}: at least one point is needed; give {{samples={SAMPLES}}}")
    if task is not None:
        of_kind("doctor: task", task, (ManifoldTask, TaskGraph), "give a task; load_task(path) reads one from a spec")
    if isinstance(target, str | Path):
        target = _opened(Path(target), trust_code)
    if epsilon is not None:
        epsilon = _epsilon(epsilon, target, task)
    graph = None if task is None else as_graph(task)
    patient = _patient(target, graph, None if data is None else np.asarray(data), samples, seed, epsilon, reading)
    patient = replace(
        patient,
        epsilon=patient.epsilon if epsilon is None else epsilon,
        capacity=patient.capacity if capacity is None else float(capacity),
        precision=precision,
    )
    if blocks is not None:
        if patient.oracle is None:
            raise InvalidArgument("blocks say what a function is held against; give it as well, with {task=SPEC}")
        patient = replace(patient, oracle=replace(patient.oracle, blocks=_groups(blocks)))
    return examine(patient)


def examine(patient: Patient) -> Health:
    """All signs of the registry at one patient."""
    found: list[Diagnosis] = []
    open_: list[Unanswered] = []
    for sign in track(SIGNS, "examining"):
        if sign.of_task and patient.kind == "checkpoint":
            open_.append(Unanswered(sign.name, patient.name, "a task, and the hidden states of a checkpoint have none"))
            continue
        for answer in sign.look(patient):
            if isinstance(answer, Diagnosis):
                found.append(answer)
            else:
                open_.append(answer)
    return Health(patient.name, patient.kind, patient.source, patient.assumes, tuple(found), tuple(open_))


def _patient(
    target: Any,
    graph: TaskGraph | None,
    data: np.ndarray | None,
    samples: int,
    seed: int,
    epsilon: float | None,
    reading: dict[str, Any],
) -> Patient:
    """What is examined, read by whoever knows its kind."""
    if isinstance(target, Patient):
        return target
    if isinstance(target, Model):
        from .reading.model import patient_of_model

        if reading:
            raise InvalidArgument(f"{next(iter(reading))} is said of modules and checkpoints; a model says itself where its gates are")
        return patient_of_model(target, samples=samples, seed=seed, data=data, task=graph)
    if isinstance(target, Path):
        from .reading.checkpoint import patient_of_checkpoint

        return patient_of_checkpoint(target, data=data, task=graph, **reading)
    if hasattr(target, "state_dict") and hasattr(target, "named_modules"):
        from .reading.module import patient_of_module

        return patient_of_module(target, data=data, task=graph, samples=samples, seed=seed, epsilon=epsilon, **reading)
    raise InvalidArgument(
        f"{type(target).__name__}: nothing that can be examined; give a Model, a model folder, a torch module or a checkpoint folder"
    )


def _epsilon(epsilon: Any, target: object, task: ManifoldTask | TaskGraph | None) -> float:
    """ε as a number. Raises `InvalidArgument` for what is none, and where nothing is held against a function."""
    if isinstance(target, Path):
        raise InvalidArgument(f"epsilon is how far from a function it may be, and the checkpoint {target} is held to none; leave it out")
    if isinstance(target, Patient):
        return arguments.number("epsilon", epsilon, 0)
    function = target.task if task is None and isinstance(target, Model) else task
    if function is None:
        raise InvalidArgument("epsilon is how far from a function it may be; give that as well, {task=SPEC}, or leave epsilon out")
    return absolute_epsilon(epsilon, function)


def _opened(path: Path, trust_code: bool) -> Model | Path:
    """A model folder as a model; a checkpoint folder as it is. Raises `InvalidArgument` for anything else."""
    from .. import load  # loading is a room above this one; the map of the package knows where it is

    if not path.exists():
        raise InvalidArgument(
            f"{path}: there is no such folder; give a model folder (`atlasmoe compile`), a checkpoint folder, or a module as "
            "package.module:name"
        )
    if not path.is_dir():
        raise InvalidArgument(f"{path} is a file; give the folder that it is in")
    tensors = any(path.glob("*.safetensors"))
    if (path / "ledger.json").exists():
        return load(path, trust_code=trust_code)
    if tensors:
        return path
    raise InvalidArgument(
        f"{path}: neither a model folder (there is no ledger.json) nor a checkpoint (there are no *.safetensors files); name a folder "
        "that `atlasmoe compile` or `save_pretrained` wrote"
    )


def _groups(blocks: str) -> tuple[tuple[str, ...], ...]:
    """ "x,y|z" as groups. Raises `InvalidArgument` for empty ones and names that occur twice."""
    groups = tuple(tuple(name.strip() for name in part.split(",") if name.strip()) for part in blocks.split("|"))
    names = [name for group in groups for name in group]
    if not all(groups) or len(set(names)) != len(names):
        raise InvalidArgument(f'blocks {blocks!r}: give groups of different coordinates, like {{blocks="x,y|z"}}')
    return groups
