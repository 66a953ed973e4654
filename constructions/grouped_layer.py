"""One layer of many groups (N15): the experts of all blocks side by side, of which the gate chooses one in every block.

Of L groups whose logits are each 0 once and otherwise negative (`routers.grouped`) the L largest are the zeros, and softmax gives each the
weight 1/L, so expert (l, i) computes L·g_{l,i} in the channels of block l and nothing in others. What passes the layer is carried beside
the experts, in the paper's form too: L experts that each carried it would add it up L times.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import block_diag

from ..moe.channels import Channel, Value
from ..moe.network import Affine, MoELayer, Net, NeuronGroup, Weighting
from .built import Built
from .forms import Form, Part

PASSED = "distance beyond a face, passed on unchanged (N15)"


def together(made: Sequence[Built], reads: Sequence[Sequence[Form]], state: Sequence[Channel], leaving: Sequence[Channel]) -> MoELayer:
    """The layer of some blocks, which read these forms of the state; the nets of all experts have equal depth."""
    values = [[channel for name in one.block.components if (channel := Value(name)) in leaving] for one in made]
    written = [channel for some in values for channel in some]
    weighting, L = made[0].weighting, len(made)
    share = 1.0 if weighting is Weighting.RECTIFIED else float(L)
    gate = side_by_side([Part(one.gate, tuple(read), (), one.ambient).on(state) for one, read in zip(made, reads, strict=True) if one.gate])
    nets = [
        _alone_in(Part(net, tuple(read), (), one.ambient).on(state), [Value(name) for name in one.block.components], written, share)
        for one, read in zip(made, reads, strict=True)
        for net in one.experts
    ]
    nets, seen = _reading(nets)
    (gate,), sees = _reading([gate])
    names = [f"{one.block.name}[{name}]" if L > 1 else name for one in made for name in one.names]
    passing = [channel if channel in state and channel not in written else None for channel in leaving]
    carries = tuple(-1 if channel is None else list(state).index(channel) for channel in passing)
    beside = any(source >= 0 for source in carries)
    return MoELayer(
        gate,
        tuple(nets),
        tuple(range(len(nets))),
        tuple(names),
        tuple(map(str, range(len(leaving)))),
        seen,
        tuple(list(leaving).index(channel) for channel in written) if beside or weighting is Weighting.RECTIFIED else None,
        carries if beside else None,
        top_k=sum(one.top_k for one in made),
        weighting=weighting,
        sees=sees,
    )


def _alone_in(net: Net, own: Sequence[Channel], written: Sequence[Channel], share: float) -> Net:
    """The net times `share`, in its own of the channels that are written."""
    last = net.affines[-1]
    weight, bias = np.zeros((len(written), last.weight.shape[1])), np.zeros(len(written))
    for row, channel in enumerate(own):
        if channel in written:
            weight[list(written).index(channel)], bias[list(written).index(channel)] = share * last.weight[row], share * last.bias[row]
    return net.with_maps((*net.affines[:-1], Affine(weight, bias)))


def side_by_side(gates: Sequence[Net]) -> Net:
    """The gates of groups, all of the same state, as one; those of fewer layers pass what they have, which is not negative, unchanged."""
    depth = max(len(gate.affines) for gate in gates)
    gates = [deepened(gate, depth) for gate in gates]
    affines = []
    for j in range(depth):
        maps = [gate.affines[j] for gate in gates]
        weight = np.concatenate([m.weight for m in maps]) if j == 0 else block_diag(*(m.weight for m in maps))
        affines.append(Affine(weight, np.concatenate([m.bias for m in maps])))
    groups = tuple(tuple(group for gate in gates for group in gate.groups[j] if group.count) for j in range(depth - 1))
    return Net(tuple(affines), groups)


def deepened(gate: Net, depth: int) -> Net:
    """The same function in so many layers: hidden neurons, which are not negative, pass σ unchanged, and constants need none."""
    affines, groups = list(gate.affines), list(gate.groups)
    if len(affines) == 1 and depth > 1:
        assert not affines[0].weight.any(), "only constant logits need no neurons"
        affines = [Affine(np.zeros((0, gate.inputs)), np.zeros(0)), Affine(np.zeros((gate.outputs, 0)), affines[0].bias)]
        groups = [()]
    while len(affines) < depth:
        width = affines[-1].weight.shape[1]
        affines.insert(-1, Affine(np.eye(width), np.zeros(width)))
        groups.append((NeuronGroup("gate.pass", width, PASSED),) if width else ())
    return Net(tuple(affines), tuple(groups))


def _reading(nets: Sequence[Net]) -> tuple[list[Net], tuple[int, ...] | None]:
    """Nets of the columns that some of them read; None for all columns."""
    maps = [map_ for net in nets for map_ in (net.affines[0], *net.ups[:1]) if map_ is not None]
    used = np.flatnonzero(np.any([map_.weight.any(0) if len(map_.weight) else np.zeros(nets[0].inputs, bool) for map_ in maps], axis=0))
    if len(used) == nets[0].inputs or not len(used):
        return list(nets), None

    def narrow(map_: Affine) -> Affine:
        return Affine(map_.weight[:, used].copy(), map_.bias)

    def narrowed(net: Net) -> Net:
        ups = [None if up is None else narrow(up) for up in net.ups[:1]]
        return net.with_maps((narrow(net.affines[0]), *net.affines[1:]), (*ups, *net.ups[1:]))

    return [narrowed(net) for net in nets], tuple(used.tolist())
