"""`StockClass`: a folder with config.json and model.safetensors that `from_pretrained` of transformers reads, or the blocks of it.

A whole model is a `…ForCausalLM` whose attention is 0, whose layers are those of the decoder (`decoder`), and whose head picks the outputs
out of the stream. Its norms are the identity: with ε = 2¹⁰⁰ a mean of squares below 2⁷⁶ is rounded away, 1/√(2¹⁰⁰) = 2⁻⁵⁰, and the weights
are 2⁵⁰; only numbers below 2⁻⁷⁶ lose digits on the way. All classes take norms in float32, so whole models are of float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ....atlas.graph import as_graph
from ....errors import InvalidArgument
from ....moe import Model, Network
from ....moe.network import Floats
from ....verify.sample.hardest import hardest
from ..base import Standing, Written
from . import run
from .base import Stock
from .card import usage
from .decoder import Branch, Decoder, Router, Stage, Unfit, decoder
from .lanes import CALLED, Lanes, activation, lanes
from .numbers import Lowered, Numbers, Sizes, router_rows, widest
from .selection import Rule, Scale, scale

SAMPLED = 1 << 12
"""Random points at which logits are looked at, beside the hardest."""
LARGEST = 1 << 29
"""Numbers of a checkpoint that is still written: 2 GiB."""
WHAT = ("model", "block")


class StockClass(Stock):
    """What all classes have in common."""

    def standing(self, network: Network) -> tuple[Standing, str]:
        selecting = "it compares logits" if self.rule is Rule.LOGITS else f"its routers compare {self.rule}"
        return Standing.MEASURED, f"the stored weights, but {self.causal[1]} is evaluated by an engine in its own way, and {selecting}"

    def unfit(self, network: Network) -> str | None:
        try:
            self.lowered(network)
        except Unfit as unfit:
            return unfit.message
        return None

    def write(self, model: Model, folder: Path, *, what: str = "model", dtype: str = "float32", **_: Any) -> Written:
        """`what`: "model", a folder that `from_pretrained` reads, or "block", the mixtures alone; `dtype` of the weights.

        Raises `InvalidArgument` for other words, for a dtype that the class rounds on the way, and without transformers.
        """
        network = self._cast(model.network, what, dtype)
        run.transformers(f"format {self.name!r} needs")
        known = [claim.bound for _, claim in model.ledger.root.walk() if claim.name == "routing.stock"]
        stock = min(known) if known and network is model.network else None
        try:
            points = np.concatenate([as_graph(model.task).sample(SAMPLED, 0), hardest(model).ambient])
            done = self.checkpoint(network, points, folder, what=what, stock=stock)
        except Unfit as unfit:
            raise InvalidArgument(f"format {self.name!r} cannot hold this model: {unfit.message}") from unfit
        advice = (
            "compile to a smaller ε" if self.rule is Rule.LOGITS else "compile to a smaller ε, or try hf-gpt-oss, which compares logits"
        )
        if network is not model.network:
            advice = "its weights were rounded to float32; compile with {dtype=float32}"
        return Written(
            network, run.runner(self, folder, network, done, what), run.versions(), usage(self, network, done, what), advice=advice
        )

    def checkpoint(self, network: Network, points: Floats, folder: Path, *, what: str = "model", stock: float | None = None) -> Lowered:
        """Write a network: its class, filled. Logits are scaled by what is sampled at `points`, and by a margin `stock` that is known.

        Raises `Unfit` for what the class cannot hold.
        """
        made, sizes, numbers = self.lowered(network)
        scales = self._scales(network, points, stock, made)
        config = run.configuration(self, sizes)
        module = run.empty(self, config, sizes, what, network.dtype)
        with torch.no_grad():
            for block, one in zip(module if what == "block" else run.blocks(module), numbers, strict=True):
                if one.dense and self.mlp is not None:
                    self.fill_dense(block, one.experts[0], sizes)
                    continue
                found = None if one.router is None else scales[one.router]
                self.fill(block, one, router_rows(one.router, made, sizes.experts, found, network.dtype), sizes)
            if what == "model":
                module.lm_head.weight[torch.arange(len(made.outputs)), list(made.outputs)] = 1.0
        run.save(module, config, folder, what)
        return Lowered(made, sizes, scales)

    def lowered(self, network: Network) -> tuple[Decoder, Sizes, list[Numbers]]:
        """The network in the terms of the class. Raises `Unfit`."""
        made = decoder(network, one=self.one, encoders=self.encoders, sharing=self.sharing)
        made = replace(made, width=made.width + -made.width % self.multiple)
        act = activation(made)
        if act not in self.activations:
            raise Unfit(f"its neurons are {act}, those of {self.causal[1]} {' or '.join(self.activations)}; {self.other(act)}")
        several = {layer.top_k for layer in network.layers if layer.gate is not None}
        if len(several) > 1:
            counts = " and ".join(map(str, sorted(several)))
            raise Unfit(f"its layers take {counts} experts, those of a class all the same number; take {{top_k=1}} for all")
        neurons = max(len(branch.first.bias) for stage in made.stages for branch in stage.branches)
        stored = 3 * neurons * made.width * sum(max(1, len(stage.experts)) for stage in made.stages)
        if stored > LARGEST:
            raise Unfit(
                f"it would take {stored:,} numbers, most of them 0, as experts read and write all {made.width:,} channels of the stream; "
                "take {form=residual}, where channels that pass a layer have one place, or fewer layers"
            )
        numbers = [self._layer(stage, made, act) for stage in made.stages]
        sizes = self._sizes(made, act, numbers, max(several, default=1))
        return made, sizes, numbers

    def other(self, act: str) -> str:
        """The remedy for an activation that the class has not."""
        return "export to hf-mixtral, or take {activation=relu}" if act != "relu" else "take {activation=silu}"

    def _cast(self, network: Network, what: str, dtype: str) -> Network:
        if what not in WHAT:
            raise InvalidArgument(f"what {what!r} is not one of {', '.join(WHAT)}")
        if dtype not in ("float32", "float64"):
            raise InvalidArgument(f"dtype {dtype!r} is not one of float32, float64")
        if dtype == "float64" and not (self.double and what == "block"):
            why = "norms of whole models are" if self.double else "what its routers compare is"
            remedy = "add --option what=block" if self.double else "leave dtype out, or export to hf-gpt-oss with --option what=block"
            raise InvalidArgument(f"dtype float64: {why} rounded to float32 by {self.causal[1]}; {remedy}")
        return network if network.dtype == np.dtype(dtype) else network.astype(dtype)

    def _layer(self, stage: Stage, made: Decoder, act: str) -> Numbers:
        """Neurons of one layer; experts that do nothing have none."""
        every = [self._placed(branch, made) for branch in stage.experts]
        shared = self._placed(stage.shared, made)
        dense = stage.router is None
        if shared is not None and (dense or not self.sharing):
            every = [shared if one is None else one.beside(shared) for one in every]
            shared = None
        at = made.one or 0
        experts = tuple(() if one is None else self.neurons(one.bent(act), act, at) for one in every)
        return Numbers(stage.router, experts, None if shared is None else self.neurons(shared.bent(act), act, at))

    def _placed(self, branch: Branch | None, made: Decoder) -> Lanes | None:
        return None if branch is None else lanes(branch, made.width, made.width)

    def _sizes(self, made: Decoder, act: str, numbers: Sequence[Numbers], top_k: int) -> Sizes:
        mixed = [one for one in numbers if not (one.dense and self.mlp)]
        count = max([self.least, top_k, *(len(one.experts) for one in mixed)])
        return Sizes(
            width=made.width,
            experts=count,
            top_k=top_k,
            neurons=widest([net for one in mixed for net in one.experts]),
            shared=widest([one.shared for one in mixed]),
            dense=widest([net for one in numbers if one.dense for net in one.experts]),
            latent=max((len(side) for one in mixed if one.encoder is not None for side in one.encoder), default=0),
            outputs=len(made.outputs),
            kinds=tuple("mlp" if one.dense and self.mlp else "moe" for one in numbers),
            act=CALLED[act],
            one=made.one or 0,
        )

    def _scales(self, network: Network, points: Floats, stock: float | None, made: Decoder) -> dict[Router, Scale]:
        """For every router its power of two."""
        logits = network.trace(points).logits
        shown = [(stage.router, stage.layer) for stage in made.stages if stage.router is not None and stage.layer is not None]
        return {router: scale(self.rule, network.layers[layer], logits[layer], stock) for router, layer in shown}
