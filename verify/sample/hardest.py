"""The points at which a network is hardest to reproduce: ties of gates, interfaces, corners of charts, and where it errs most."""

from __future__ import annotations

import numpy as np

from ...atlas import Points, concatenate
from ...atlas.graph import as_graph
from ...moe.model import Model
from .measure import Gauge
from .sample import survey_adversarial
from .survey import ASCENDED, Survey


def hardest(model: Model, *, samples: int = 1 << 12, seed: int = 0) -> Points:
    """What `verify` finds worst from so many random points: both sides of every gate's ties, interfaces of pieces and their neighbours in
    the dtype, edges and corners of charts, and the worst points of every quantity after climbing. Deterministic for a seed.
    """
    survey = Survey(Gauge.of(model.network, as_graph(model.task), model.design), float(model.facts["epsilon"]), keep=8)
    product = survey.gauge.product
    survey.observe(product.sample(samples, seed, low_discrepancy=True), "low discrepancy")
    seeds = np.random.SeedSequence(seed).generate_state(4 + len(ASCENDED)).tolist()
    near = survey_adversarial(survey, samples, seeds)
    return concatenate([near, *survey.starts, *survey.places.values()])
