"""`c`: C99 files without dependencies, and a test of their own beside them."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from ...atlas.graph import as_graph
from ...errors import InvalidArgument
from ...moe import Model, Network
from ...moe.called import called
from ...moe.ledger import Claim
from ...verify.sample.hardest import hardest
from ...verify.sample.scores import gap, tie_tolerance
from ..integers import codes_of
from ..quantise import quantise as quantised_model
from .base import Format, Standing, Written
from .c_numbers import real, reals
from .c_run import FLAGS, compiler, runner, version
from .c_source import header, identifier, source

CASES = 24
"""Points of the test beside the files, half of them the hardest."""
TEST = Template("""#include "$prefix.h"

#include <math.h>
#include <stdio.h>

/* Points, half of them where the network is hardest to reproduce, with what it gives there. TOLERANCE is what the model's
 * ledger allows rounding to change. */
#define CASES ${cases}U
#define TOLERANCE $tolerance

static const ${prefix}_real points[CASES][${upper}_INPUTS] = {
$points
};

static const ${prefix}_real expected[CASES][${upper}_OUTPUTS] = {
$expected
};

int main(void)
{
    unsigned failed = 0U;
    unsigned n;
    unsigned k;
    for (n = 0U; n < CASES; n++)
    {
        ${prefix}_real y[${upper}_OUTPUTS];
        ${prefix}_evaluate(points[n], y, NULL);
        for (k = 0U; k < ${upper}_OUTPUTS; k++)
        {
            const double off = fabs((double)y[k] - (double)expected[n][k]);
            if (!(off <= TOLERANCE))
            {
                printf("case %u, output %u: %.17g is off by %.3g\\n", n, k, (double)y[k], off);
                failed++;
            }
        }
    }
    printf("%u of %u cases, %u outputs wrong\\n", CASES, CASES, failed);
    return (failed == 0U) ? 0 : 1;
}
""")


class C(Format):
    """Static arrays, no allocation, no dependencies but libm."""

    name = "c"
    summary = (
        "C99 with static arrays and no dependencies; every kind of layer; options: quantise=int8|int16 (to keep epsilon=E), prefix=NAME"
    )
    options = ("quantise", "prefix", "epsilon")

    def standing(self, network: Network) -> tuple[Standing, str]:
        return (
            Standing.CARRIES,
            "the stored weights in their own dtype, each sum in one fixed order: bounds for plain sums hold of any order",
        )

    def write(
        self,
        model: Model,
        folder: Path,
        *,
        quantise: str | None = None,
        prefix: str | None = None,
        epsilon: float | str | None = None,
        **_: Any,
    ) -> Written:
        """Raises `InvalidArgument` for a prefix that is no C name, for other integers, and if what is written does not compile;
        `EpsilonNotReached` for integers that miss ε, the model's or the one given.
        """
        if epsilon is not None and quantise is None:
            raise InvalidArgument("epsilon is what small integers are to keep; give quantise too, or leave it out")
        name = identifier(model.task.name) if prefix is None else prefix
        if name != identifier(name):
            raise InvalidArgument(
                f"prefix {name!r} is no name for functions; take lower case letters, digits and _, like {identifier(name)!r}"
            )
        made = model if quantise is None else quantised_model(model, quantise, epsilon=epsilon)
        network = made.network
        for file, text in {**self.evaluating(made, name), f"test_{name}.c": _test(name, made, network)}.items():
            (folder / file).write_text(text, encoding="utf-8", newline="\n")
        command = f"cc {' '.join(FLAGS)} {name}.c test_{name}.c -lm -o test_{name} && ./test_{name}"
        use = f'```c\n#include "{name}.h"\n\n{name}_evaluate(x, y, NULL);\n```\n\nIts own test:\n\n```sh\n{command}\n```'
        cc = compiler()
        other = None if quantise is None else made
        if cc is None:
            return Written(network, None, "not run: there is no C compiler on this machine", use, other)
        return Written(network, runner(cc, folder, name, network), f"{version(cc)}, {' '.join(FLAGS)}", use, other)

    def evaluating(self, model: Model, name: str) -> dict[str, str]:
        network = model.network
        top = header(name, network, _about(model, network), called(model)(network.inputs))
        return {f"{name}.h": top, f"{name}.c": source(name, network, codes_of(model))}


def _about(model: Model, network: Network) -> list[str]:
    root = model.ledger.root
    experts = f"; experts of {model.facts['quantised']}" if "quantised" in model.facts else ""
    return [
        f"{model.task.name}: a mixture of experts, compiled by atlasmoe",
        f"{root.statement}, epsilon = {root.budget:.3g}, bound {root.bound:.3g} ({root.known})",
        f"{network.parameters} numbers of {network.dtype}, {network.active_parameters} for one input{experts}",
    ]


def _test(prefix: str, model: Model, network: Network) -> str:
    """A program that compares outputs at some points; at exact ties of a gate other sums may choose otherwise, so those are left out."""
    hard = hardest(model, samples=256, seed=2).ambient.astype(network.dtype)
    trace = network.trace(hard)
    clear = np.ones(len(hard), bool)
    for layer, logits in zip(network.layers, trace.logits, strict=True):
        clear &= gap(logits.astype(float), layer.top_k) > tie_tolerance(network.dtype, logits.astype(float))
    hard = hard[clear][:: max(1, int(clear.sum()) // (CASES // 2))][: CASES // 2]
    x = np.concatenate([hard, as_graph(model.task).sample(CASES - len(hard), 3).astype(network.dtype)])
    return TEST.substitute(
        prefix=prefix,
        upper=prefix.upper(),
        cases=len(x),
        tolerance=real(rounding_allowed(model), single=False),
        points=",\n".join("    {" + ", ".join(reals(row)) + "}" for row in x),
        expected=",\n".join("    {" + ", ".join(reals(row)) + "}" for row in network(x)),
    )


def rounding_allowed(model: Model) -> float:
    """What the ledger allows rounding to change."""
    found: list[Claim] = [claim for _, claim in model.ledger.root.walk() if claim.name.endswith("rounding")]
    return max((claim.budget for claim in found), default=float(model.facts["epsilon"]))
