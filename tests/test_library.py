"""Every manifold of the library, with each of its atlases and embedded, goes all the way: lint, compile, verify, certify, check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import atlasmoe
import pytest
import sympy
from atlasmoe.atlas import LIBRARY, ExpressionMap, ExpressionTarget, ManifoldTask, builtin, embed
from atlasmoe.moe import Known
from atlasmoe.verify.check import check
from atlasmoe.verify.prove import certify
from atlasmoe.verify.sample import verify
from certificates import why

QUICK: dict[str, Any] = {"width": 8}
HINGE: dict[str, Any] = {"width": 8, "routing": "hinge"}
"""Charts of two dimensions and more: other routers of this size take long to fit."""

CASES: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "interval, boxes": ({}, "sin(3*x1)", QUICK),
    "interval, ball": ({}, "x1**2", QUICK),
    "box, boxes": ({}, "x1*x2", QUICK),
    "box, ball": ({}, "x1*x2", QUICK),
    "circle, arcs": ({"charts": 2}, "x1*x2", HINGE),
    "circle, stereographic": ({}, "x1*x2", HINGE),
    "circle, graph": ({}, "x1*x2", HINGE),
    "circle, ball": ({}, "x1*x2", QUICK),
    "sphere, stereographic": ({}, "x1", HINGE),
    "sphere, graph": ({}, "x1", HINGE),
    "sphere, ball": ({"dimension": 1}, "x1*x2", QUICK),
    "ellipsoid, stereographic": ({"axes": [1.0, 0.8]}, "x1*x2", HINGE),
    "ellipsoid, graph": ({"axes": [1.0, 0.8]}, "x1*x2", HINGE),
    "ellipsoid, ball": ({"axes": [1.0, 0.8]}, "x1*x2", QUICK),
    "torus, arcs": ({"dimension": 1, "charts": 2}, "x1*x2", HINGE),
    "torus, ball": ({"dimension": 1}, "x1*x2", QUICK),
    "cylinder, arcs": ({"height": 0.5, "charts": 2}, "x1", HINGE),
    "cylinder, ball": ({"height": 0.5}, "x1", QUICK),
    "swiss_roll, turns": ({"turns": 0.2, "height": 0.5, "charts": 1}, "x1", HINGE),
    "swiss_roll, ball": ({"turns": 0.2, "height": 0.5}, "x1", QUICK),
    "moebius_band, strips": ({"width": 0.2, "charts": 2}, "x1", HINGE),
    "moebius_band, ball": ({"width": 0.2}, "x1", QUICK),
    "helicoid, turns": ({"turns": 0.2, "charts": 1}, "x1", HINGE),
    "annulus, shells": ({}, "x1", HINGE),
    "real_projective, graphs": ({"partition_power": 5}, "x1", HINGE),
    "complex_projective, ball": ({}, "x1", QUICK),
    "graph, boxes": ({"expression": "u1*u2"}, "x3", QUICK),
    "graph, ball": ({"expression": "u1*u2"}, "x3", QUICK),
    "product, product": ({"factors": [{"builtin": "interval"}, {"builtin": "interval"}]}, "x1*x2", QUICK),
    "product, ball": ({"factors": [{"builtin": "interval"}, {"builtin": "interval"}]}, "x1*x2", QUICK),
}
"""Manifold and atlas: its options, f, and how it is compiled. ε is what that reaches."""
ELSEWHERE = {"so3", "klein_bottle", "disc", "ball", "shell", "spheres", "grassmann", "stiefel", "se3"}
"""Of which no atlas is among the cases. SO(3) takes minutes: its atlases are compiled in test_affine_router and proved by
benchmarks/certify.py. The others share their files with manifolds that are here, or take minutes."""
ONE_OF = {"helicoid", "annulus", "real_projective", "complex_projective"}
"""Of which one atlas is."""


def task_on(atlas: atlasmoe.Atlas, text: str) -> ManifoldTask:
    symbols = tuple(sympy.Symbol(name, real=True) for name in atlas.coordinates)
    value = sympy.sympify(text, locals=dict(zip(atlas.coordinates, symbols, strict=True)))
    return ManifoldTask("library", atlas, ExpressionTarget(ExpressionMap(symbols, (value,))))


def first_of_its_manifold(case: str) -> bool:
    """Whether the case is the first atlas of a manifold of which all are here: an isometry changes nothing that these do not show."""
    manifold, kind = case.split(", ")
    return manifold not in ONE_OF and kind == LIBRARY[manifold].atlases[0]


ALL_THE_WAY = [(case, False) for case in CASES] + [(case, True) for case in CASES if first_of_its_manifold(case)]


@pytest.mark.parametrize(("case", "embedded"), ALL_THE_WAY, ids=[case + ", embedded" * embedded for case, embedded in ALL_THE_WAY])
def test_every_atlas_goes_all_the_way(case: str, embedded: bool, tmp_path: Path) -> None:
    (manifold, kind), (options, f, how) = case.split(", "), CASES[case]
    atlas = builtin(manifold, **options, **({"atlas": kind} if kind != LIBRARY[manifold].atlases[0] else {}))
    task = task_on(embed(atlas, atlas.ambient_dimension + 2, seed=1) if embedded else atlas, f)
    assert not atlasmoe.lint(task)
    model = atlasmoe.compile(task, **how)
    assert verify(model, samples=200).holds
    certificate = certify(model, tightness=None)
    folder = atlasmoe.save(model, tmp_path / "model")
    certificate.write(folder)
    assert {claim.name: claim.known for claim in certificate.claims if claim.known is not Known.PROVED} == {}
    report = check(folder)
    assert report.verdict == "confirmed", why(report)


def test_every_atlas_of_the_library_is_among_the_cases() -> None:
    every = {f"{name}, {kind}" for name, entry in LIBRARY.items() for kind in entry.atlases if name not in ELSEWHERE | ONE_OF}
    assert {case for case in CASES if case.split(", ")[0] not in ONE_OF} == every
    assert {case.split(", ")[0] for case in CASES} == set(LIBRARY) - ELSEWHERE


def test_what_is_written_into_the_recipe_of_an_atlas_is_in_no_other() -> None:
    for part, value in (("domain", [0, 3]), ("charts", 5)):
        given: Any = builtin("interval", domain=[0, 1]).recipe
        given[part] = value
        assert builtin("interval", domain=[0, 1]).recipe == {"builtin": "interval", "domain": [0, 1]}
    given = builtin("interval", domain=[0, 1]).recipe
    given["domain"][1] = 3
    assert builtin("interval", domain=[0, 1]).recipe == {"builtin": "interval", "domain": [0, 1]}
