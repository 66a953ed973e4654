"""The orders of `moe.sums` in PyTorch: the same sums of products, and for `float64` the same bits of them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..moe.sums import BLOCK, TERMS, Sums


def affine(x: Tensor, weight: Tensor, bias: Tensor, sums: Sums, last: bool) -> Tensor:
    """W·x + b for rows x [N, in]; `last`: of the last affine map of a net. Sums of bfloat16 and float16 numbers are taken in float32."""
    if sums is Sums.PLAIN or (sums is Sums.BLOCKS and x.shape[1] <= BLOCK):
        return functional.linear(x, weight, bias)
    wide = torch.float64 if sums is Sums.FLOAT64 and last else torch.promote_types(weight.dtype, torch.float32)
    added = _in_blocks if sums is Sums.BLOCKS else _in_order
    return (added(x, weight, wide) + bias.to(wide)).to(weight.dtype)


def pairwise(terms: Tensor, axis: int) -> Tensor:
    """Σ along an axis as a binary tree: term i + term i + 2^k, k from the largest down. Without gradients `terms` are overwritten."""
    count = terms.shape[axis]
    if not count:
        return terms.sum(axis)
    while count > 1:
        half = 1 << ((count - 1).bit_length() - 1)
        first, second = terms.narrow(axis, 0, count - half), terms.narrow(axis, half, count - half)
        if terms.requires_grad:
            rest = terms.narrow(axis, count - half, 2 * half - count)
            terms = torch.cat((first + second, rest), axis)
        else:
            first += second
        count = half
    return terms.select(axis, 0)


def _in_blocks(x: Tensor, weight: Tensor, wide: torch.dtype) -> Tensor:
    x, weight = x.to(wide), weight.to(wide)
    count = x.shape[1] // BLOCK
    whole = count * BLOCK
    blocks = x[:, :whole].view(-1, count, BLOCK).transpose(0, 1), weight[:, :whole].reshape(-1, count, BLOCK).permute(1, 2, 0)
    parts = torch.bmm(*blocks)
    if whole < x.shape[1]:
        parts = torch.cat((parts, (x[:, whole:] @ weight[:, whole:].mT)[None]))
    return pairwise(parts, 0)


def _in_order(x: Tensor, weight: Tensor, wide: torch.dtype) -> Tensor:
    """Products and sums as operations of their own: no fused multiply-add."""
    outputs, inputs = weight.shape
    # The longer of the two axes is the inner one; the tree is the same.
    axis = 1 if outputs >= inputs else 2
    factor = (weight.mT if axis == 1 else weight).to(wide).contiguous()
    step = max(1, TERMS // max(1, outputs * inputs))
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return torch.cat([pairwise(part.to(wide).unsqueeze(3 - axis) * factor, axis) for part in torch.split(x, step)])
    terms, sums = x.new_empty((min(step, len(x)), *factor.shape), dtype=wide), x.new_empty((len(x), outputs), dtype=wide)
    for start in range(0, len(x), step):
        part = x[start : start + step].to(wide)
        product = torch.mul(part.unsqueeze(3 - axis), factor, out=terms[: len(part)])
        sums[start : start + step] = pairwise(product, axis)
    return sums
