"""Tasks whose plans are held against what is built: manifolds of the library, and two that are written in charts."""

from __future__ import annotations

from math import pi
from typing import Any

from atlasmoe import ManifoldTask
from atlasmoe.atlas.spec import task_from_spec


def task(name: str, spec: dict[str, Any], expression: str) -> ManifoldTask:
    found = task_from_spec({"task": {"name": name}, "target": {"expression": expression}, **spec})
    assert isinstance(found, ManifoldTask)
    return found


def library(name: str, expression: str, **options: Any) -> ManifoldTask:
    return task(name, {"manifold": {"builtin": name, **options}}, expression)


def helicoid() -> ManifoldTask:
    """(u cos v, u sin v, v/2), one chart with all of its boundary."""
    chart = {
        "name": "all",
        "domain": [[-1, 1], [0, 2 * pi]],
        "inverse": ["u*cos(v)", "u*sin(v)", "v/2"],
        "forward": ["x*cos(2*z) + y*sin(2*z)", "2*z"],
        "boundary": [[True, True], [True, True]],
    }
    manifold = {"ambient": ["x", "y", "z"], "intrinsic": ["u", "v"]}
    return task("helicoid", {"manifold": manifold, "chart": [chart]}, "sin(2*x)*z + y")


def klein_bottle() -> ManifoldTask:
    """((2 + cos b) cos a, (2 + cos b) sin a, sin b cos(a/2), sin b sin(a/2)) in R⁴, nine charts: three arcs of a by three of b."""
    charts = []
    for i in range(3):
        for j in range(3):
            a, b = 2 * pi * i / 3, 2 * pi * j / 3
            turned = f"atan2(y*cos({a}) - x*sin({a}), x*cos({a}) + y*sin({a}))"
            sine = f"(z*cos(({turned} + {a})/2) + w*sin(({turned} + {a})/2))"
            cosine = "(sqrt(x**2 + y**2) - 2)"
            s, t = f"(u + {a})", f"(v + {b})"
            charts.append(
                {
                    "name": f"k{i}{j}",
                    "domain": [[-1.4, 1.4], [-1.4, 1.4]],
                    "inverse": [f"(2 + cos{t})*cos{s}", f"(2 + cos{t})*sin{s}", f"sin{t}*cos({s}/2)", f"sin{t}*sin({s}/2)"],
                    "forward": [turned, f"atan2({sine}*cos({b}) - {cosine}*sin({b}), {cosine}*cos({b}) + {sine}*sin({b}))"],
                }
            )
    return task("klein", {"manifold": {"ambient": ["x", "y", "z", "w"], "intrinsic": ["u", "v"]}, "chart": charts}, "x*z + y")
