"""The Makefile of a proof: what waits for what; without coqc."""

from __future__ import annotations

import pytest
from atlasmoe.verify.coq.project import makefile, required, theory_of
from atlasmoe.verify.coq.statement import ARITHMETICS


@pytest.mark.parametrize("arithmetic", list(ARITHMETICS))
@pytest.mark.parametrize("more", [{}, {"floats": True}, {"routes": True}, {"graphs": True}, {"parts": True}])
def test_files_of_the_theory_wait_for_those_that_they_name(arithmetic: str, more: dict[str, bool]) -> None:
    """And for no others, which the cache may have from a later proof; and all of them are in the folder."""
    theory = theory_of(arithmetic, **more)
    lines = makefile(theory, ["Chart0"], ["Main"]).splitlines()
    rules = dict(line.split(":", 1) for line in lines if line.startswith(("theory/", "Weights")))
    waits = {target: set(some.split()) for target, some in rules.items()}
    assert waits.pop("Weights.vo") == {f"theory/{name}.vo" for name in theory}
    for place, name in enumerate(theory):
        assert waits.get(f"theory/{name}.vo", set()) == {f"theory/{other}.vo" for other in required(name)}
        assert set(required(name)) <= set(theory[:place])
