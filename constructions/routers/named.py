"""The routers by the names that `routing` takes: the one list of them. A new router is a file beside this one and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .affine import NearestCentre
from .base import Router
from .hinge import Hinge
from .scaled import Scaled
from .scores import Scores

ROUTERS: Mapping[str, Router] = MappingProxyType(
    {
        "theorem": Scores("theorem"),
        "multiplicity": Scores("multiplicity"),
        "plateau": Scores("plateau"),
        "hinge": Hinge(),
        "affine": NearestCentre(),
        "power": NearestCentre(),
        "scaled": Scaled(),
    }
)
DUPLICATES = "duplicates"
"""The name for any of them with K copies of every expert (B21), see `several`."""
TENTATIVE: tuple[Router, ...] = tuple(Scores(name, tentative=True) for name in ("theorem", "multiplicity", "plateau"))
"""The scores that "auto" tries, in this order; before them the gate alone where the charts are balls, after them on other balls."""
