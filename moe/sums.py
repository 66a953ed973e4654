"""How sums of products are taken when a network is evaluated: in any order, in blocks, or in one fixed order.

A network is a real-arithmetic function; a float evaluation adds what rounding does, and that depends on the order of its sums. Three
orders are known here, under the names that certificates and `to_torch` use:

* `plain`: whatever the BLAS library does. n products and a bias are off by γ_{n+1}·(Σ|w·x| + |b|) at most, in any order;
* `blocks`: the library adds blocks of `BLOCK` consecutive products, and their sums are added as a binary tree: γ_{BLOCK+1+⌈log2 blocks⌉};
* `float64`: every product is rounded, and products are added as a binary tree, γ_{2+⌈log2 n⌉}; in the last affine map of every net
  both happen in float64, where products of float32 numbers are exact, and one rounding brings the sum back. Activations that are made
  of exp or erf are evaluated in float64 too, and rounded once.

Lemma (reproducibility). In `float64` each product, sum and maximum is an operation of its own on two numbers, rounded as IEEE 754
says. So each row gets the same bits whatever the other rows are, however many there are, on any number of threads and with any library
whose elementary operations are IEEE 754's; nets of relu and relu², with and without lanes, are made of nothing else. The tree adds term i
to term i + 2^k, k from the largest down: terms of 0 behind the last one change no bit of a sum but the sign of a zero, so nets that are
padded with idle neurons agree with those that are not.

IEEE 754 does not say what exp and erf are. With GELU and SiLU the lemma holds as far as the library gives one number the same bits wherever
it stands and whoever asks: numpy and scipy do the former, PyTorch runs the last few numbers of an array through other code, and all
differ from each other. For float32 weights such bits are last ones of float64 numbers, which are rounded away but for about one number in
10^8; of float64 weights last bits differ.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument

Floats = NDArray[np.floating]
BLOCK = 32
"""Products that `blocks` leaves to the library at a time."""
TERMS = 1 << 19
"""Products held at a time, in numbers: they are written and read again while in the cache."""


class Sums(StrEnum):
    """The order of sums; the module says what each one is."""

    PLAIN = "plain"
    BLOCKS = "blocks"
    FLOAT64 = "float64"


def known(name: Sums | str) -> Sums:
    """The order of this name. Raises `InvalidArgument` for others."""
    if name not in set(Sums):
        raise InvalidArgument(f"sums={name!r} is not one of {', '.join(Sums)}")
    return Sums(name)


def pairwise(terms: Floats) -> Floats:
    """Σ over the first axis as a binary tree; `terms` are overwritten."""
    count = len(terms)
    if not count:
        return np.zeros(terms.shape[1:], terms.dtype)
    while count > 1:
        half = 1 << ((count - 1).bit_length() - 1)
        terms[: count - half] += terms[half:count]
        count = half
    return terms[0]


def affine(x: Floats, weight: Floats, bias: Floats, sums: Sums, last: bool) -> Floats:
    """W·x + b for rows x [N, in], in the dtype of the weights; `last`: of the last affine map of a net."""
    if sums is Sums.BLOCKS and x.shape[1] > BLOCK:
        return _in_blocks(x, weight) + bias
    if sums is Sums.FLOAT64:
        wide = np.dtype(np.float64) if last else weight.dtype
        return _in_order(x.astype(wide), weight.astype(wide), bias.astype(wide)).astype(weight.dtype)
    out = x @ weight.T
    out += bias
    return out


def _in_blocks(x: Floats, weight: Floats) -> Floats:
    whole = x.shape[1] // BLOCK * BLOCK
    parts = x[:, :whole].reshape(len(x), -1, BLOCK).transpose(1, 0, 2) @ weight[:, :whole].reshape(len(weight), -1, BLOCK).transpose(
        1, 2, 0
    )
    if whole < x.shape[1]:
        parts = np.concatenate([parts, (x[:, whole:] @ weight[:, whole:].T)[None]])
    return pairwise(parts)


def _in_order(x: Floats, weight: Floats, bias: Floats) -> Floats:
    outputs, inputs = weight.shape
    step = max(1, TERMS // max(1, outputs * inputs))
    if len(x) > step:
        return np.concatenate([_in_order(x[start : start + step], weight, bias) for start in range(0, len(x), step)])
    # The longer of the two axes is the inner one; the tree is the same.
    terms = np.moveaxis(x[:, :, None] * weight.T, 1, 0) if outputs >= inputs else np.moveaxis(x[:, None, :] * weight, 2, 0)
    return pairwise(terms) + bias
