"""Everything the theorems assume about a task on a manifold, checked at sampled points; all findings at once.

What is checked is in the files beside this one, one assumption in each. Findings that would only echo another are left out: the cover,
the partition, the target and self-intersections are looked at once every chart map is sound, kinks on the sound charts.
A task without errors is no proof that the assumptions hold, only that no sampled point contradicts them.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from ...errors import Finding, Severity
from ...progress import track
from ..atlas import Atlas
from ..chart import BallChart
from ..implicit.together import proved_charts
from ..named import with_coordinates
from ..points import Points, concatenate
from ..targets import about, labelled
from ..task import ManifoldTask
from . import balls, bumps, continuity, cover, injective, maps, sizes, smoothness, target
from .probe import Probe

PER_BALL = 128
"""Points of M drawn per ball of a ball atlas."""
MANY, FEWEST = 64, 256
"""Of more charts than that, each is looked at in fewer points, down to so many: in about as many in all."""
EVALUATIONS = 2**17
"""About this many bump values are computed: each chart is compared with every other at EVALUATIONS / E² points of it."""


_KNOWN: WeakKeyDictionary[Atlas, dict[tuple[int, int], tuple[tuple[Finding, ...], tuple[int, ...]]]] = WeakKeyDictionary()
"""By samples and seed what was found of an atlas, and which of its charts are sound: whoever compiles to several ε asks every time."""


def check_manifold(task: ManifoldTask, samples: int, seed: int) -> list[Finding]:
    """All findings, errors first, at most one per chart and kind, each with its worst witness."""
    atlas = task.atlas
    each = samples if len(atlas.parametrising) <= MANY else max(FEWEST, samples * MANY // len(atlas.parametrising))
    probes = [Probe(i, chart, min(samples, each), seed + 100 * i) for i, chart in enumerate(atlas.parametrising)]
    share = max(64, min(samples, EVALUATIONS // (len(atlas) * len(probes))))
    known = _KNOWN.setdefault(atlas, {})
    if (samples, seed) not in known:
        known[samples, seed] = _check_atlas(atlas, probes, share, seed)
    found, sound = list(known[samples, seed][0]), [probes[index] for index in known[samples, seed][1]]
    if len(sound) == len(probes):
        points = _sample(probes, atlas)
        found += [f for label, one in labelled(task) for f in about(label, target.check_target(one, probes, points, share))]
    found += [f for label, one in labelled(task) for f in about(label, smoothness.check_target(one, sound))]
    if not any(finding.severity is Severity.ERROR for finding in found):
        found += [f for label, one in labelled(task) for f in about(label, continuity.check_continuous(one, sound))]
    return sorted(with_coordinates(found, atlas), key=lambda finding: finding.severity is not Severity.ERROR)


def _check_atlas(atlas: Atlas, probes: list[Probe], share: int, seed: int) -> tuple[tuple[Finding, ...], tuple[int, ...]]:
    """All findings but those about the target, and the charts whose maps are sound."""
    found = balls.check_orthonormal(atlas)
    sound = []
    proved = proved_charts([chart.tube for chart in atlas.parametrising])
    for probe in track(probes, "looking at charts"):
        # A tangent chart that is proved is an immersion, finite, smooth and inverted by its forward map: nothing of it is left to look at.
        region = maps.check_region(probe, atlas.region)
        broken = region if proved[probe.index] else _chart_maps(probe, region)
        found += broken
        if not broken:
            sound.append(probe)
    whole = len(sound) == len(probes)
    if not atlas.cover:
        missing = bumps.check_forward_known(atlas.parametrising)
        own = [finding for probe in sound for finding in bumps.check_values(probe)]
        found += [*missing, *own, *maps.check_duplicates(sound)]
        evaluates = whole and not missing and not own
    else:
        evaluates = whole
    for probe in track([probe for probe in sound if not proved[probe.index]], "are chart maps immersions?"):
        if not atlas.cover:
            found += maps.check_immersion(probe, atlas, sound=evaluates)
        found += smoothness.check_charts(probe, atlas.partition.power)
    found += bumps.check_derivatives(atlas)
    if whole:
        if evaluates:
            found += cover.check_cover(atlas, probes, share)
            if not atlas.cover:
                found += bumps.check_partition(atlas, probes, share)
        if atlas.cover:  # enough points for every ball to see some of them, however many balls there are
            drawn = concatenate([_sample(probes, atlas), atlas.sample(PER_BALL * len(atlas), seed, low_discrepancy=True)])
            found += balls.check_balls([chart for chart in atlas.charts if isinstance(chart, BallChart)], drawn)
        # All that tangent charts of the same equations hold is the zero set: one sheet near each of its points.
        found += [] if proved.all() and atlas.together is not None else injective.check_injective(probes)
    return tuple(found), tuple(probe.index for probe in sound)


def _chart_maps(probe: Probe, region: list[Finding]) -> list[Finding]:
    """What makes a chart's maps unusable, or its region. The next question is asked only if the last found nothing."""
    chart = probe.chart
    where = f'chart "{chart.name}"'
    found = sizes.check_box(f"{where}: domain", chart.domain) or region
    found = found or maps.check_evaluates(f"{where}: inverse", chart.inverse, chart.domain.center)
    found = found or maps.check_finite(probe, f"{where}: inverse", chart.inverse) or sizes.check_image(probe, f"{where}: inverse")
    if not found and chart.forward is not None:
        found = maps.check_evaluates(f"{where}: forward", chart.forward, chart.inverse(chart.domain.center))
    return found or maps.check_inverse(probe)


def _sample(probes: list[Probe], atlas: Atlas) -> Points:
    """At least 64 points of M for every chart, and 1024, spread over the parametrising charts."""
    each = max(64 * len(atlas), 1024) // len(probes) + 1
    return concatenate([atlas.parametrise(probe.index, probe.thin(probe.closed, each)) for probe in probes])
