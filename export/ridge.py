"""Ridge form of a hidden layer: neurons whose rows of weights are equal, or opposite, share the product with their input.

Statement. Let the rows of W (m, D) be ±a_1, …, ±a_K, number for number. Then W·x + b is: the K products a_k·x, each once; their
negatives; for every neuron the one that it has; and its bias. A product is a sum of the same terms as before, in some order, −(a·x) is
(−a)·x with every rounding, and the bias is added last, as plain sums may have it: so what is proved for plain sums holds of this too, and
differences are those of another order of summation, at most 2γ_{D+1}·(|W|·|x| + |b|) for a pre-activation.

It takes K·D multiplications and the looking up of m numbers where m·D were. Experts of charts have few directions by construction: 16 to
32 for 2048 neurons, 24 of 2048 numbers in the second hidden layer of a sphere's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidArgument

LOOKED_UP = 20
"""What looking a product up and adding a bias costs, in multiplications of a large product."""
FORMS = ("dense", "ridge")


class Directions(NamedTuple):
    """The K directions of m neurons."""

    rows: Tensor
    """a_k, (D, K)."""
    which: Tensor
    """Of every neuron the column of its product, (m,); of [a·x, −a·x] where some are opposite."""
    opposite: bool

    def products(self, x: Tensor) -> Tensor:
        """All a_k·x that neurons have, [n, K] or [n, 2K]."""
        found = x @ self.rows
        return torch.cat((found, found.neg()), 1) if self.opposite else found

    def __call__(self, bias: Tensor, x: Tensor) -> Tensor:
        """W·x + b, [n, m]."""
        return self.products(x).index_select(1, self.which).add_(bias)

    def into(self, out: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        """The same into `out`."""
        return torch.index_select(self.products(x), 1, self.which, out=out).add_(bias)


def directions(weight: Tensor) -> Directions | None:
    """Those of a map (m, D); None where they save nothing."""
    neurons, inputs = weight.shape
    if weight.is_inference() or weight.is_meta or neurons * inputs <= LOOKED_UP * neurons:
        return None
    array = weight.detach().cpu().to(torch.promote_types(weight.dtype, torch.float32)).numpy() + 0.0  # −0 is 0
    leading = array[np.arange(neurons), (array != 0).argmax(1)]
    signed = np.where(leading < 0, -1, 1).astype(array.dtype)
    known: dict[bytes, int] = {}
    place = np.array([known.setdefault((row + 0.0).tobytes(), len(known)) for row in array * signed[:, None]])
    count = len(known)
    if count * inputs + LOOKED_UP * neurons >= neurons * inputs:
        return None
    first = np.unique(place, return_index=True)[1]
    rows = (array[first] * signed[first, None]).T
    opposite = bool((signed < 0).any())
    which = torch.from_numpy(np.where(signed < 0, place + count, place)).to(weight.device)
    return Directions(torch.tensor(rows).to(weight.device, weight.dtype), which, opposite)


def by_ridge(experts: str) -> bool:
    """Whether hidden layers are evaluated in ridge form. Raises `InvalidArgument` for words other than "dense" and "ridge"."""
    if experts not in FORMS:
        raise InvalidArgument(f"experts={experts!r} is not one of {', '.join(FORMS)}")
    return experts == "ridge"
