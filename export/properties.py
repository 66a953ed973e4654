"""Pieces of a proof for other people's verifiers: ONNX networks, and VNN-LIB files of what is to be refuted about them.

A certificate's leaf W says: on the points of W only expert j may win, and |f − expert_j| ≤ its bound. General verifiers know neither charts
nor f; they decide whether a network can leave a range on a box of its inputs. So for a leaf W of every gate output j with leaves of its
own, and the smallest box X of network inputs that holds φ⁻¹(W) (rounded outward; before an embedding, see below), two properties are
exported. Both are proved here first, by Taylor forms over X itself, and follow from the stored weights alone:

* `expert`: −r ≤ expert_j(x) − ℓ(x) ≤ r for every x ∈ X, component by component, ℓ(x) = level + slope·(x − X's lower corner). ℓ is part
  of the ONNX network: on X, x − lower passes through σ unchanged. The file asks for a point of X where it fails; the answer to be
  confirmed is "unsat". With |f − ℓ| ≤ s on W, which properties.json gives, it yields |f − Ψ| ≤ r + s + slack there: a piece of the
  claim `total`, reached without Taylor forms of the network. (r + s is larger than the certificate's bound: there what f and the expert
  share cancels.)
* `gate`: logit_j(x) > logit_i(x) for every x ∈ X and i ≠ j. The file asks for a point where another logit is as large; "unsat" again.
  X also holds points off M; a leaf for which this is not so off M has no such property.

With an embedding x = Q·y the exported networks read y: first maps are multiplied by Q in float64, and `slack` in properties.json bounds
what that changes. Without one the weights are the stored ones, bit for bit, and slack is 0.

Networks are of Gemm and Relu where all is ReLU. Other activations are written with the operators that say the same function of real
numbers, and lanes with Mul (`onnx_graph`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import block_diag

from ..atlas import Array
from ..errors import FolderError, InvalidArgument
from ..intervals import Interval
from ..moe.beside import BOUND, BOXES, CERTIFICATE, LEDGER, sha256
from ..moe.layer import Weighting
from ..moe.model import Model
from ..moe.network import Affine, Net, Network, NeuronGroup
from ..moe.strict import parse_tensors
from ..moe.typed_json import Fields, parse_json
from ..verify.enclosure import TaylorForms, prepare
from ..verify.prove.error import EnclosedTarget
from ..verify.prove.forward import EnclosedNetwork
from ..verify.prove.linear import fold
from ..verify.prove.manifold import EnclosedManifold
from ..verify.prove.problem import base_size
from ..verify.prove.rounding import GENEROUS
from ..verify.prove.tree import PROVED, Tree
from .onnx_graph import onnx_model, onnx_package
from .staging import admit, staged

TRIED = 32
"""Leaves of a gate output that are looked at until one has a gate property too."""
MOST_INPUTS = 16
"""Network inputs; forms over a box of X have a coefficient for every pair of them."""
LISTING = "properties.json"


@dataclass(frozen=True, eq=False)
class Property:
    """−reach ≤ net(x) ≤ reach on the box, or for a gate: output `winner` is the largest."""

    name: str
    kind: str
    lower: Array
    upper: Array
    nets: tuple[Net, ...]
    """One behind the other."""
    reach: Array | None
    winner: int | None
    facts: Mapping[str, Any]

    def text(self) -> str:
        """VNN-LIB: the box, and what is to be refuted."""
        outputs = self.nets[-1].outputs
        lines = [f"; {self.name}: unsat confirms the property", *(f"(declare-const X_{k} Real)" for k in range(len(self.lower)))]
        lines += [f"(declare-const Y_{k} Real)" for k in range(outputs)]
        for k, (low, high) in enumerate(zip(self.lower, self.upper, strict=True)):
            lines += [f"(assert (>= X_{k} {_decimal(low)}))", f"(assert (<= X_{k} {_decimal(high)}))"]
        if self.reach is not None:
            cases = [f"(and ({op} Y_{k} {_decimal(s * r)}))" for k, r in enumerate(self.reach) for op, s in ((">=", 1), ("<=", -1))]
        else:
            cases = [f"(and (>= Y_{k} Y_{self.winner}))" for k in range(outputs) if k != self.winner]
        return "\n".join([*lines, f"(assert (or {' '.join(cases)}))", ""])


def write_properties(model: Model, folder: str | os.PathLike[str], out: str | os.PathLike[str], *, seconds: int = 60) -> Path:
    """Write ONNX and VNN-LIB files for the certificate in the model's folder, properties.json about them, and instances.csv.

    instances.csv lists "network,property,`seconds`" as the VNN competition's tools read it. Raises `FolderError` if the folder holds no
    certificate of these files, `InvalidArgument` if onnx is not installed or the network has no properties of this kind.
    """
    onnx = onnx_package("properties need")
    if not model.design.alone:
        raise InvalidArgument(
            f"properties are of leaves of one block on one manifold, and {model.task.name!r} is a task graph of several sites: "
            "compile a block by itself, as a task on its manifold, certify it, and export its properties"
        )
    folder, out = Path(folder), Path(out)
    found = list(properties(model, certified_trees(folder, model)))
    if not found:
        raise InvalidArgument("the certificate has no leaf on which a single expert may win, so there is no property to export")
    listing = {
        "schema": 1,
        "sha256": {name: sha256(folder / name) for name in (*BOUND, CERTIFICATE) if (folder / name).is_file()},
        "properties": [{"name": item.name, "kind": item.kind, **item.facts} for item in found],
    }
    with staged(out, lambda: admit(out, True, (LISTING,), "no folder of properties")) as stage:
        for item in found:
            (stage / f"{item.name}.onnx").write_bytes(onnx_model(onnx, item.name, item.nets).SerializeToString())
            (stage / f"{item.name}.vnnlib").write_text(item.text())
        (stage / "instances.csv").write_text("".join(f"{item.name}.onnx,{item.name}.vnnlib,{seconds}\n" for item in found))
        (stage / LISTING).write_text(json.dumps(listing, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return out / LISTING


def certified_trees(folder: Path, model: Model) -> list[Tree]:
    """The boxes of the certificate in a folder, chart by chart. Raises `FolderError` if there is none or it is about other files."""
    charts = model.manifold_task.atlas.parametrising
    if not (folder / CERTIFICATE).is_file():
        raise FolderError(f"{folder}: holds no certificate; write one with: atlasmoe certify {folder}")
    try:
        document = Fields.of(parse_json((folder / CERTIFICATE).read_bytes(), folder / CERTIFICATE), folder / CERTIFICATE)
        schema = document.integer("schema")
        stated, site = document.mapping("files" if schema > 2 else "sha256"), "" if schema == 1 else "0."
        arrays, _ = parse_tensors((folder / BOXES).read_bytes(), folder / BOXES)
        trees = [
            Tree(*(arrays[f"{site}{n}.{key}"] for key in ("lower", "upper", "cuts", "tags", "bounds", "offsets", "members")))
            for n in range(len(charts))
        ]
    except (OSError, KeyError, FolderError) as error:
        raise FolderError(f"{folder}: holds no readable certificate ({error}); write one with: atlasmoe certify {folder}") from error
    for name in (*(name for name in BOUND if name != LEDGER or schema > 2), BOXES):
        if (folder / name).is_file() and stated.get(name) != sha256(folder / name):
            raise FolderError(f"{folder / name}: is not what the certificate is about; certify again: atlasmoe certify {folder}")
    return trees


def properties(model: Model, trees: Sequence[Tree]) -> Iterator[Property]:
    """For every gate output the properties of one leaf on which it alone may win: of those tried, the one with the largest bound."""
    network, task = model.network.plainly(), model.manifold_task
    atlas, last = task.atlas, network.layers[-1]
    if atlas.base_dimension > MOST_INPUTS:
        raise InvalidArgument(f"properties are exported for at most {MOST_INPUTS} coordinates, this task has {atlas.base_dimension}")
    if reason := _unfit(network):
        raise InvalidArgument(f"properties are exported of one or two layers, each of one expert at a time; {reason}")
    manifold, target = EnclosedManifold(atlas), EnclosedTarget(task)
    size = base_size(manifold)
    behind = EnclosedNetwork(network, atlas.embedding, size).layers[-1]
    if not np.array_equal(behind.carries[behind.reads], np.arange(len(network.inputs))):
        raise InvalidArgument("properties are exported of networks whose last experts read the inputs and nothing else")
    logits, blur = _logits(model, size)
    for j, name in enumerate(last.names):
        folded = fold(last.experts[last.serves[j]], atlas.embedding, size)
        for tried, (p, lower, upper, bound) in enumerate(_leaves(trees, j)):
            place = manifold.place(p, lower, upper)
            where = place.y.range()
            X = TaylorForms.variables(where.lower, where.upper)
            facts = {
                "gate output": name,
                "chart": manifold.charts[p].chart.name,
                "leaf": {"lower": lower[0].tolist(), "upper": upper[0].tolist()},
                "box": {"lower": where.lower[0].tolist(), "upper": where.upper[0].tolist()},
                "certified bound": bound,
            }
            gate = None if logits is None else _gate(f"gate-{j}", j, X, where.lower[0], where.upper[0], logits, {**facts, "slack": blur})
            if logits is not None and gate is None and tried + 1 < TRIED:
                continue
            expert, slope, level = _expert(f"expert-{j}", folded.net, X, where.lower[0], where.upper[0], facts)
            # f − ℓ over the leaf itself, in the coordinates of the chart.
            line = place.y.plus(Interval.of(-where.lower)).affine(slope).plus(level)
            s = (target(place) - line).range().magnitude.max()
            yield replace(expert, facts={**expert.facts, "s": float(s), "slack": float(folded.slack.max())})
            if gate is not None:
                yield gate
            break


def _unfit(network: Network) -> str | None:
    """Why an expert of the last layer alone is not the network, in words; None if it is."""
    if len(network.layers) > 2:
        return f"this network has {len(network.layers)}"
    for number, layer in enumerate(network.layers, 1):
        if layer.top_k > 1:
            return f"layer {number} mixes {layer.top_k} experts"
        if layer.weighting is Weighting.RECTIFIED:
            return f"layer {number} multiplies its expert by a logit"
        if layer.shared is not None:
            return f"layer {number} adds a shared expert"
    last = network.layers[-1]
    if last.gate is None:
        return "the last one is dense, nothing is chosen"
    if any(not net.widths for net in last.experts):
        return "an expert of the last one is an affine map, of which there is nothing to verify"
    if last.carries is not None or last.writes is not None:
        return "the last one carries channels beside its experts"
    return None


def _leaves(trees: Sequence[Tree], j: int) -> Iterator[tuple[int, Array, Array, float]]:
    """Proved leaves whose only possible winner is j: chart, corners (1, d) and bound, the largest bounds first."""
    listed = []
    for p, tree in enumerate(trees):
        alone = (tree.tags == PROVED) & (np.diff(tree.offsets) == 1)
        rows = np.flatnonzero(alone)
        rows = rows[tree.members[tree.offsets[rows]] == j]
        listed += [(-float(tree.bounds[n]), p, int(n)) for n in rows]
    corners = [tree.leaves() for tree in trees]
    for bound, p, n in sorted(listed)[:TRIED]:
        yield p, corners[p][0][n : n + 1], corners[p][1][n : n + 1], -bound


def _expert(name: str, net: Net, X: TaylorForms, lower: Array, upper: Array, facts: Mapping[str, Any]) -> tuple[Property, Array, Interval]:
    """The property of an expert, and slope and level of ℓ: the level is what the exported last bias is off that of the expert."""
    value = prepare(net)(X)
    half = np.where(upper > lower, (upper - lower) / 2, 1.0)
    slope = value.linear[0].T / half  # the linear part of the form, (outputs, k)
    level = value.center[0] - slope @ half
    whole = _less(net, lower, slope, level)
    reach = prepare(whole)(X).range().magnitude[0]
    statement = "for every x in the box: |expert(x) − ℓ(x)| ≤ r, ℓ(x) = level + slope·(x − lower)"
    stated = {**facts, "statement": statement, "r": reach.tolist(), "level": level.tolist(), "slope": slope.tolist()}
    subtracted = Interval.of(net.affines[-1].bias) - Interval.of(whole.affines[-1].bias)
    return Property(name, "expert", lower, upper, (whole,), reach, None, stated), slope, subtracted


def _less(net: Net, lower: Array, slope: Array, level: Array) -> Net:
    """net(x) − level − slope·(x − lower) for x ≥ lower: x − lower passes through every hidden layer as k more neurons σ(x − lower)."""
    k, maps, ups = len(lower), [], []
    for j, (map_, up) in enumerate(zip(net.affines[:-1], net.ups, strict=True)):
        own, passing = (map_, Affine(np.eye(k), -lower)) if j == 0 else (map_, Affine(np.eye(k), np.zeros(k)))
        maps.append(_joined(own, passing, j))
        ups.append(None if up is None else _joined(up, Affine(np.zeros((k, k)), np.ones(k)), j))
    last = net.affines[-1]
    maps.append(Affine(np.concatenate([last.weight, -slope], axis=1), last.bias - level))
    passed = NeuronGroup("exported", k, "what is subtracted from an expert")
    return Net(tuple(maps), tuple((*groups, passed) for groups in net.groups), tuple(ups))


def _joined(own: Affine, passing: Affine, layer: int) -> Affine:
    """Maps beside each other: of the same inputs in the first layer, each of its own behind it."""
    weight = np.concatenate([own.weight, passing.weight]) if layer == 0 else block_diag(own.weight, passing.weight)
    return Affine(weight, np.concatenate([own.bias, passing.bias]))


def _logits(model: Model, size: Array) -> tuple[tuple[Net, ...] | None, float]:
    """All logits as nets of the input, one behind the other: the gate, behind the first layer if there are two; None where that has
    several experts, or where the gate reads channels that it carries.

    And what folding the embedding in may have changed of them.
    """
    network, Q = model.network.plainly(), model.manifold_task.atlas.embedding
    gate = network.layers[-1].gate
    assert gate is not None
    if len(network.layers) == 1:
        folded = fold(gate, Q, size)
        return (folded.net,), float(folded.slack.max())
    first, inner = network.layers[0], gate.affines[0]
    others = np.setdiff1d(np.arange(len(first.channels)), first.targets)
    if len(first.experts) > 1 or inner.weight[:, others].any() or (first.sources[first.targets] >= 0).any():
        return None, 0.0
    folded = fold(first.experts[0], Q, size)
    gate = Net((Affine(inner.weight[:, first.targets], inner.bias), *gate.affines[1:]), gate.groups).astype(float)
    blur = folded.slack
    for map_ in gate.affines:
        blur = np.abs(map_.weight) @ blur
    return (folded.net, gate), float(blur.max() * GENEROUS)


def _gate(
    name: str, j: int, X: TaylorForms, lower: Array, upper: Array, nets: tuple[Net, ...], facts: Mapping[str, Any]
) -> Property | None:
    """The property that output j is the largest on the box, if that is proved."""
    (*before, gate), forms = nets, X
    last = gate.affines[-1]
    if gate.groups:
        width = last.weight.shape[1]
        before.append(Net((*gate.affines[:-1], Affine(np.eye(width), np.zeros(width))), gate.groups))
    for net in before:
        forms = prepare(net)(forms)
    others = [i for i in range(gate.outputs) if i != j]
    gaps = forms.affine(last.weight).plus(Interval.of(last.bias))
    least = (gaps[:, [j] * len(others)] - gaps[:, others]).range().lower[0] if others else np.ones(1)
    if not (least > 0).all():
        return None
    stated = {**facts, "statement": f"for every x in the box: output {j} is above all others", "margin": float(least.min())}
    return Property(name, "gate", lower, upper, nets, None, j, stated)


def _decimal(value: float) -> str:
    """The float, every digit of it, without an exponent: all that some readers of VNN-LIB understand."""
    return format(Decimal(float(value) + 0.0), "f")
