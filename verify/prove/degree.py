"""Which degree the Taylor forms of a proof have: the higher, the fewer boxes, and the more work on each.

An enclosure of degree n is off by order n + 1 in the size of a box, so that boxes in d dimensions number as ε^{−d/(n+1)}. That pays where
what is enclosed is smooth: kinks are enclosed to second order, and forms of a higher degree would change nothing there.
"""

from __future__ import annotations

from ...atlas import Array, CallableTarget, ChartTarget, ExpressionTarget, ManifoldTask
from ...expressions.fields import fields_in
from ...moe.layer import MoELayer, Weighting
from ...moe.nets import Net
from ...moe.network import Network

FINE, FINEST = 4, 5
"""The degree in two dimensions, and in more: on boxes as small as they are there, most of what bounds are off by is what composing f and
experts with charts leaves out, and one degree more makes that twenty times smaller. So it is in two of fields that are expanded about
points: what a box costs is a point of the field, whatever the degree."""


def degree_of(network: Network, task: ManifoldTask, moves: Array | None) -> int:
    """2; or more where one smooth expert alone is compared with what can be enclosed to more, at the points themselves, in two
    dimensions or more."""
    last = network.layers[-1]
    alone = last.top_k == 1 and last.weighting is not Weighting.RECTIFIED
    if moves is not None or not alone or task.atlas.dimension == 1 or not _smooth(last):
        return 2
    wanted = FINE if task.atlas.dimension == 2 and not expanded(task) else FINEST
    return min(wanted, task.target.degree) if isinstance(task.target, CallableTarget) else wanted


def _smooth(layer: MoELayer) -> bool:
    """Whether all experts are."""
    nets: tuple[Net, ...] = layer.experts if layer.shared is None else (*layer.experts, layer.shared)
    return all(group.activation.smooth for net in nets for hidden in net.groups for group in hidden)


def expanded(task: ManifoldTask) -> bool:
    """Whether f has a field that is expanded about points."""
    target = task.target
    functions = (target.function,) if isinstance(target, ExpressionTarget) else target.functions if isinstance(target, ChartTarget) else ()
    return any(field.expanded for function in functions for field in fields_in(function.trees))
