"""Engines: who evaluates a network that has left the house, what a claim says of that evaluation, and what it assumes of the engine.

A certificate bounds an evaluation by what its dtype and the order of its sums are. An engine is somebody else's program, and that it does
what is said of its arithmetic is no theorem. So a claim for an engine names what it takes for granted: fixed texts, so that whoever checks
a certificate knows which ones there can be, and whoever runs the engine can look whether they are so.

Lemma (flushing). Let an engine take every result below the smallest normal number t to 0 or leave it, and read such numbers as 0 or as
they are. After the inputs, which move by t at most, every operand is 0 or normal, or a stored number; a stored weight w that is flushed
moves its product by |w·x|; and each of the 2n operations of n products, their sums and a bias moves its result by t at most. So the bounds
for sums in any order hold with t in the place of the smallest subnormal number, 2n + 2 in that of n + 1, and Σ|w|·|x| over flushed weights.

Lemma (activations). What is assumed of an activation a is |computed a(z) − a(z)| ≤ 8u·|z| + t, u the unit roundoff. It follows
* of z/(1 + exp(−z)) from an exp that is right to 12 units in the last place, since with s the logistic function the quotient is off by
  |z|·s·(24·(1 − s) + 3)·u ≤ 8u·|z| (24·s·(1 − s) + 3·s has its largest value 7.6 at s = 9/16);
* of the tanh form of GELU, whose exponent w is off by 5u·|w| before, which adds 1.2u·|z|, from an exp that is right to 8;
* of z·s(z) from a logistic function that is right to 7u, absolutely;
* of z·erfc(−z/√2)/2 from an erfc that is right to 10u, absolutely: |z|·(10/2 + 0.49 + 2)·u, 0.49 ≥ 2·|y|·exp(−y²)/√π, which is what
  two roundings of y = z/√2 move it by; and of z·(1 + erf(z/√2))/2 from an erf right to 9u, absolutely.
docs/exports.md says what was seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ..errors import InvalidArgument
from .layer import Weighting
from .ledger import Assumption
from .network import Network

FLUSHED = "flushed"
"""What the name of an evaluation ends with that may flush subnormal numbers to 0, with sums in any order."""
UNITS = {"float32": "2^-24", "float64": "2^-53"}
EXACT = ("identity", "relu", "relu2")
"""Activations that are made of products and maxima."""


@dataclass(frozen=True)
class Engine:
    """Somebody else's evaluation of an exported network."""

    name: str
    """The format that it takes; "torch": the module of `to_torch`."""
    what: str
    """What is run, and by whom."""


ENGINES: Mapping[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine("c", "NAME.c of `atlasmoe export --to c`, compiled by a C99 compiler, with its libm"),
        Engine("numpy", "NAME.py of `atlasmoe export --to numpy`, run by NumPy"),
        Engine("onnx", "NAME.onnx of `atlasmoe export --to onnx`, run by an ONNX runtime"),
        Engine("pt2", "NAME.pt2 of `atlasmoe export --to pt2`, run by PyTorch"),
        Engine("torch", "the module that `to_torch` makes, with plain sums, run by PyTorch"),
    )
}


@dataclass(frozen=True)
class Needs:
    """What of a network an engine has to compute, beside sums, products and maxima."""

    dtype: str
    bent: tuple[str, ...]
    """Names of activations that are no `EXACT` ones, in order."""
    softmax: bool
    """Whether experts are weighed by exponentials of logits."""
    manifold: bool
    """Whether the task is one on one manifold."""
    flushes: bool
    """Whether the bound holds also where subnormal numbers are flushed: of tasks on one manifold, if that was asked for."""

    def kept(self) -> Needs:
        """The same of an engine that keeps subnormal numbers."""
        return replace(self, flushes=False)

    @property
    def claim(self) -> str:
        """The claim of a certificate that holds of such an evaluation."""
        if self.flushes:
            return f"total.{self.dtype}.{FLUSHED}"
        return f"total.{self.dtype}" if self.manifold or self.dtype != "float64" else "total"


def needs(network: Network, manifold: bool) -> Needs:
    """Those of a network of a task on one manifold, or of a graph of several blocks."""
    bent = {act.name for layer in network.layers for net in layer.nets for parts in net.activations for _, act in parts}
    softmax = any(not layer.unit and layer.weighting is Weighting.SOFTMAX for layer in network.layers)
    return Needs(str(network.dtype), tuple(sorted(bent.difference(EXACT))), softmax, manifold, manifold)


def known_engine(name: str) -> Engine:
    """Raises `InvalidArgument` for a format of whose arithmetic nothing can be proved, or that is none."""
    if name not in ENGINES:
        raise InvalidArgument(
            f"nothing can be proved for {name!r}: of its arithmetic too little is written down; choose from {', '.join(ENGINES)}. "
            "Whatever is exported is measured when it is written"
        )
    return ENGINES[name]


def statement(engine: Engine, dtype: str) -> str:
    """What is claimed for an engine."""
    return f"for every x ∈ M: |f(x) − Ψ̂(x)| ≤ ε, largest component, Ψ̂ the stored weights in {dtype} at x rounded to it: {engine.what}"


def assumed(engine: Engine, of: Needs) -> Iterator[Assumption]:
    """What that takes for granted of the engine."""
    subnormal = "subnormal numbers kept or flushed to 0" if of.flushes else "subnormal numbers kept, and of equal logits the first taken"
    yield Assumption(
        f"engine[{engine.name}].arithmetic",
        f"sums, products, quotients, maxima and comparisons are those of IEEE 754 in {of.dtype}, rounded to nearest: sums in any order, "
        f"products fused with sums or not, {subnormal}; no part in fewer digits (TF32, bfloat16), nothing rewritten but the order of sums",
    )
    for name in of.bent:
        yield Assumption(
            f"engine[{engine.name}].{name}",
            f"{name}(z) is computed to within 8u·|z| and the smallest normal number, u = {UNITS[of.dtype]}, for every z of {of.dtype}",
        )
    if of.softmax:
        yield Assumption(f"engine[{engine.name}].exp", f"exp is computed to 4 units in the last place of {of.dtype}")
