"""A Hugging Face checkpoint folder as a patient: `config.json`, and tensors of `*.safetensors` by their names.

Only the routers' weights are read, the experts by their shapes alone, so a folder of any size is examined in the memory of its routers.
Rows:

* data (N, hidden), numbers with a point: rows that reach the layer, as they are behind its norm. They are taken for every layer that
  is examined; a pattern picks one (`router`);
* whole numbers (batch, length): token ids; numbers (batch, length, hidden): input embeddings. The model is loaded with `transformers`, no
  code of the folder is run, and the rows are what its routers are called with;
* none: what can be said from weights alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ...atlas import Array, TaskGraph
from ...errors import AtlasMoEError, InvalidArgument
from ..patient import Patient
from .names import CORRECTION, Found, find
from .routed import Said, gate_of, weights_of

CONFIG = "config.json"
TOP_K = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "top_k", "num_selected_experts", "experts_per_token")
ON_LOGITS = ("gpt_oss", "granitemoe", "granitemoeshared", "granitemoehybrid", "llama4", "llama4_text")
"""Model types that choose on logits; others choose on probabilities, and those with a correction on sigmoids."""
IN_SINGLE = ("deepseek_v2", "deepseek_v3", "nemotron_h", "glm4_moe", "glm4_moe_lite", "dots1", "switch_transformers")
"""Model types whose routers compute in float32 whatever their weights are stored in."""
DTYPES = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}
ROWS = (
    "data for a checkpoint are rows (N, {D}) that reach the layer, token ids (batch, length) as whole "
    "numbers, or embeddings (batch, length, hidden)"
)


def patient_of_checkpoint(
    folder: Path,
    *,
    data: Array | None = None,
    task: TaskGraph | None = None,
    router: str | None = None,
    experts: str | None = None,
    top_k: int | None = None,
    on: str | None = None,
    activation: str | None = None,
) -> Patient:
    """The patient; the module says what data may be.

    Raises `InvalidArgument` for a folder without MoE layers, and for data of other shapes.
    """
    if task is not None:
        raise InvalidArgument("a task says nothing of the hidden states of a checkpoint; leave it out")
    config = _config(folder)
    with ExitStack() as stack:
        files = _Files(folder, stack)
        found = find(files.shapes, router, experts)
        said = _said(config, found, top_k, on, activation)
        rows, source = _rows(folder, found, data)
        gates = []
        for k, one in enumerate(found):
            names = (*one.weights, *filter(None, one.biases), *filter(None, (one.correction,)))
            tensors = {name: files.read(name) for name in names}
            weights = weights_of(one, tensors, files.dtypes[one.weights[0]])
            correction = None if one.correction is None else tensors[one.correction].reshape(-1)
            gates.append(gate_of(one, weights, said, rows[k], correction))
    capacity = next(
        (float(v) for name in ("capacity_factor", "expert_capacity_factor") if isinstance(v := config.get(name), int | float)), None
    )
    return Patient(
        name=str(config.get("model_type", folder.name)),
        kind="checkpoint",
        gates=tuple(gates),
        source=source,
        given=data is not None,
        capacity=capacity,
        assumes=("rows are independent draws of what the layers will see", f"{said.top_k} experts are chosen on {said.on}"),
    )


def _config(folder: Path) -> dict[str, Any]:
    """What the folder says of itself, that of its text model at the top; {} if there is no configuration."""
    path = folder / CONFIG
    if not path.exists():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{path} is no JSON: {error}; take the folder as `save_pretrained` wrote it") from error
    if not isinstance(config, dict):
        raise InvalidArgument(f"{path} holds no object; take the folder as `save_pretrained` wrote it")
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, dict) else config


def _said(config: Mapping[str, Any], found: tuple[Found, ...], top_k: int | None, on: str | None, activation: str | None) -> Said:
    kind = config.get("model_type")
    K = top_k if top_k is not None else next((v for name in TOP_K if type(v := config.get(name)) is int and v > 0), None)
    if K is None:
        raise InvalidArgument("the configuration does not say how many experts are chosen; give {top_k=2}")
    if on is None:
        on = "sigmoid" if any(one.correction for one in found) else "logits" if kind in ON_LOGITS else "softmax"
    groups, taken = config.get("n_group"), config.get("topk_group")
    grouped = isinstance(groups, int) and isinstance(taken, int) and groups > 1 and all(one.count % groups == 0 for one in found)
    act = activation or config.get("hidden_act") or config.get("mlp_hidden_act") or config.get("hidden_activation")
    return Said(
        K,
        on,
        groups if grouped else 1,  # type: ignore[arg-type]
        taken if grouped else 1,  # type: ignore[arg-type]
        act if isinstance(act, str) else None,
        "float32" if kind in IN_SINGLE else None,
    )


class _Files:
    """The tensors of a folder by name, read one by one."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        from safetensors import SafetensorError, safe_open

        self._of: dict[str, Any] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        for path in sorted(folder.glob("*.safetensors")):
            try:
                opened = stack.enter_context(safe_open(path, framework="pt"))
            except (SafetensorError, OSError) as error:
                raise InvalidArgument(f"{path} cannot be read: {error}; download it again") from error
            for name in opened.keys():  # noqa: SIM118
                part = opened.get_slice(name)
                self._of[name] = opened
                self.shapes[name] = tuple(part.get_shape())
                self.dtypes[name] = DTYPES.get(part.get_dtype(), part.get_dtype())

    def read(self, name: str) -> np.ndarray:
        """A tensor in float64, exactly."""
        return np.asarray(self._of[name].get_tensor(name).double().numpy())


def _rows(folder: Path, found: tuple[Found, ...], data: Array | None) -> tuple[list[Array | None], str]:
    """The rows of every router, and in words where they come from."""
    if data is None:
        return [None] * len(found), "not known: no data are given, so only weights are examined"
    array = np.asarray(data)
    D = found[0].reads
    whole = array.dtype.kind in "iu"
    if array.dtype.kind not in "fiu" or not array.size or not np.isfinite(array).all():
        raise InvalidArgument(
            f"data of type {array.dtype} and shape {array.shape}, or with numbers that are not finite: {ROWS.format(D=D)}"
        )
    if array.ndim == 2 and not whole:
        wrong = next((one for one in found if one.reads != array.shape[1]), None)
        if wrong is not None:
            raise InvalidArgument(
                f"data of shape {array.shape}, but router {wrong.root!r} reads {wrong.reads} numbers: {ROWS.format(D=D)}; "
                "{router=PATTERN} picks the layers that the rows are for"
            )
        return [array.astype(float)] * len(found), f"the {len(array):,} rows given, taken for what reaches every router that is examined"
    if (array.ndim == 2 and whole) or array.ndim == 3:
        return _run(folder, found, array, whole)
    raise InvalidArgument(f"data of shape {array.shape}: {ROWS.format(D=D)}")


def _run(folder: Path, found: tuple[Found, ...], array: np.ndarray, ids: bool) -> tuple[list[Array | None], str]:
    """What the routers are called with when `transformers` runs the model."""
    try:
        import torch
        from transformers import AutoModel
        from transformers.utils import logging
    except ImportError as error:
        raise AtlasMoEError(
            "to run a checkpoint on token ids or embeddings transformers is needed: pip install 'atlasmoe[huggingface]'; or give the "
            "rows that "
            "reach the layer"
        ) from error
    from .module import run

    verbosity = logging.get_verbosity()
    # it speaks of the read-out, which is not needed
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = AutoModel.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise InvalidArgument(
            f"{folder}: transformers cannot load it: {type(error).__name__}: {error}; give the rows that reach the layer"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    state = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    there = find(state)
    if len(there) < len(found):
        raise InvalidArgument(f"{folder}: {len(found)} routers are in its files, {len(there)} in the model that transformers makes of it")
    tensor = torch.from_numpy(array).long() if ids else torch.from_numpy(array).to(model.dtype)
    _, seen = run(model, there, None, lambda: [model(**{"input_ids" if ids else "inputs_embeds": part}) for part in torch.split(tensor, 8)])
    by_place = {_place(one.root): rows for one, (rows, _) in zip(there, seen, strict=True)}
    rows = [by_place.get(_place(one.root)) for one in found]
    what = "token ids" if ids else "embeddings"
    return rows, f"what routers are called with when transformers runs the model on the {what} given, {len(array):,} sequences"


def _place(root: str) -> str:
    """The numbers in a name: files and modules call the same layer by different prefixes."""
    return ".".join(part for part in root.replace(CORRECTION, "").split(".") if part.isdigit())
