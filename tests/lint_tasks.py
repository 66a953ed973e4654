"""Charts of circle, sphere and cylinder, sound or with one thing changed: what `lint` is tested with."""

from __future__ import annotations

import sympy
from atlasmoe.atlas import Atlas, Box, CallableTarget, Chart, ChartTarget, ExpressionMap, ExpressionTarget, ManifoldTask, Target
from sympy import atan2, cos, pi, sin, sqrt

u, v = sympy.symbols("u v", real=True)
x, y, z = sympy.symbols("x y z", real=True)
THIRD = 2 * pi / 3
NEVER = ((False, False), (True, True))


def over(variables: tuple[sympy.Symbol, ...], *expressions: object) -> ExpressionMap:
    return ExpressionMap(variables, tuple(map(sympy.sympify, expressions)))


def on_circle(*expressions: object) -> ExpressionMap:
    return over((x, y), *expressions)


def on_sphere(*expressions: object) -> ExpressionMap:
    return over((x, y, z), *expressions)


def arc(name: str, center: object, half: float = 1.4, *, forward: bool = True, **given: ExpressionMap) -> Chart:
    """The angles center ± half of the unit circle."""
    c = sympy.sympify(center)
    back = on_circle(atan2(y * cos(c) - x * sin(c), x * cos(c) + y * sin(c)))
    return Chart(name, Box((-half,), (half,)), over((u,), cos(u + c), sin(u + c)), back if forward else None, **given)


ARCS = (arc("a", 0), arc("b", THIRD), arc("c", -THIRD))


def circle(*charts: Chart, target: object = x * y) -> ManifoldTask:
    f: Target = target if isinstance(target, ChartTarget | CallableTarget) else ExpressionTarget(on_circle(target))
    return ManifoldTask("circle", Atlas(("x", "y"), charts), f)


def cap(name: str, pole: int, half: float = 1.5, **changed: ExpressionMap) -> Chart:
    """Stereographic coordinates around a pole of the sphere."""
    square = u**2 + v**2
    inverse = over((u, v), 2 * u / (1 + square), 2 * v / (1 + square), pole * (1 - square) / (1 + square))
    maps = {"inverse": inverse, "forward": on_sphere(x / (1 + pole * z), y / (1 + pole * z))} | changed
    return Chart(name, Box((-half,) * 2, (half,) * 2), **maps)


def sphere(*charts: Chart, target: object = x * y) -> ManifoldTask:
    return ManifoldTask("sphere", Atlas(("x", "y", "z"), charts), ExpressionTarget(on_sphere(target)))


def sheet(name: str, center: object, boundary: tuple[tuple[bool, bool], ...] = NEVER) -> Chart:
    """A third of the cylinder x² + y² = 1, |z| ≤ 1."""
    c = sympy.sympify(center)
    inverse = over((u, v), cos(u + c), sin(u + c), v)
    forward = on_sphere(atan2(y * cos(c) - x * sin(c), x * cos(c) + y * sin(c)), z)
    return Chart(name, Box((-1.4, -1.0), (1.4, 1.0)), inverse, forward, boundary)


def hemispheres(radius_squared: float) -> tuple[Chart, ...]:
    """The six graph charts ±x_i > 0, cut off at |u|² = radius_squared."""
    charts = []
    for i in range(3):
        for s in (1, -1):
            lifted: list[sympy.Expr] = [u, v]
            lifted.insert(i, s * sqrt(1 - u**2 - v**2))
            others = [x, y, z]
            del others[i]
            region = over((u, v), radius_squared - u**2 - v**2)
            charts.append(
                Chart(
                    f"{'+' if s > 0 else '-'}{i + 1}",
                    Box((-0.9,) * 2, (0.9,) * 2),
                    over((u, v), *lifted),
                    on_sphere(*others),
                    region=region,
                )
            )
    return tuple(charts)
