"""`Mixture`: a stack of MoE layers to be trained, from random weights or from those of a compiled model; `dense` is one without gates.

Every layer has a gate (affine, or with hidden layers), E expert nets of one shape and K chosen experts, weighed in one of four ways:

    "chosen"     softmax over the chosen, as the paper and `atlasmoe` have it: with K = 1 the weight is 1, and no gradient reaches the gate
    "all"        the softmax over all E, read off at the chosen, as Switch transformers have it: gates are trained, and y is scaled
    "uniform"    1/K
    "rectified"  σ(logit), not normalised (N18)

Narrower experts of compiled models are padded with neurons of weight 0, and channels that a layer does not read have weight 0; neither gets
a gradient or noise, so that they stay 0.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from atlasmoe import Affine, InvalidArgument, Model, MoELayer, Network, NeuronGroup, ReLUNet
from safetensors import torch as safetensors
from torch import Tensor, nn

WEIGHTINGS = ("chosen", "all", "uniform", "rectified")
TOGETHER = 1 << 12
"""Numbers of all experts of a layer up to which every input runs through all of them, as that is sooner than sorting inputs."""


@dataclass(frozen=True)
class Shape:
    """One layer: what it reads and writes, its experts, and its gate."""

    inputs: int
    outputs: int
    experts: int
    widths: tuple[int, ...]
    """Hidden widths of an expert."""
    top_k: int = 1
    gate_widths: tuple[int, ...] = ()
    """Hidden widths of the gate; () for an affine one. With one expert there is no gate."""
    weighting: str = "chosen"

    def __post_init__(self) -> None:
        if self.weighting not in WEIGHTINGS:
            raise InvalidArgument(f"weighting {self.weighting!r} is not one of {', '.join(WEIGHTINGS)}")
        if not 1 <= self.top_k <= self.experts:
            raise InvalidArgument(f"top_k = {self.top_k} of {self.experts} experts; choose between 1 and all of them")

    @property
    def numbers(self) -> tuple[int, int]:
        """Numbers of the gate and of one expert, biases included."""
        gate = 0 if self.experts == 1 else _numbers((self.inputs, *self.gate_widths, self.experts))
        return gate, _numbers((self.inputs, *self.widths, self.outputs))


def _numbers(sizes: Sequence[int]) -> int:
    return sum((m + 1) * n for m, n in itertools.pairwise(sizes))


class Chosen(NamedTuple):
    """What a layer did with a batch."""

    output: Tensor
    """(N, outputs)."""
    logits: Tensor
    """(N, E)."""
    experts: Tensor
    """(N, K) int64, best first."""


class Nets(nn.Module):
    """`count` ReLU nets of one shape: weights (count, out, in), biases (count, out), innermost first."""

    def __init__(self, count: int, sizes: Sequence[int], generator: torch.Generator, dtype: torch.dtype) -> None:
        """U(±1/√in) for weights and biases, as PyTorch starts its linear maps."""
        super().__init__()

        def uniform(*shape: int, reads: int) -> nn.Parameter:
            return nn.Parameter(((2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1) / reads**0.5).to(dtype))

        pairs = list(itertools.pairwise(sizes))
        self.weights = nn.ParameterList([uniform(count, n, m, reads=m) for m, n in pairs])
        self.biases = nn.ParameterList([uniform(count, n, reads=m) for m, n in pairs])

    @property
    def maps(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.weights, self.biases, strict=True)

    @property
    def numbers(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def everywhere(self, x: Tensor) -> Tensor:
        """All nets at all inputs, (N, in) to (count, N, out)."""
        h = x.expand(len(self.biases[0]), *x.shape)
        for j, (weight, bias) in enumerate(self.maps):
            h = torch.baddbmm(bias[:, None], h.relu() if j else h, weight.transpose(1, 2))
        return h

    def forward(self, x: Tensor, which: Tensor) -> Tensor:
        """One net at each input, (N, in) and (N,) to (N, out)."""
        count = len(self.biases[0])
        if count == 1 or self.numbers <= TOGETHER:
            return self.everywhere(x)[which, torch.arange(len(x))]
        order = which.argsort(stable=True)
        sizes = torch.bincount(which, minlength=count).tolist()
        parts, done = [], list(zip(*((*w.unbind(0), *b.unbind(0)) for w, b in self.maps), strict=True))
        for k, rows in enumerate(x[order].split(sizes)):
            h = rows
            if sizes[k]:
                for j, (weight, bias) in enumerate(zip(done[k], done[count + k], strict=True)):
                    h = nn.functional.linear(h.relu() if j else h, weight, bias)
                parts.append(h)
        return torch.cat(parts)[order.argsort()]


class Layer(nn.Module):
    """h ↦ Σ_k w_k·expert_k(h), the K experts with the largest logits."""

    def __init__(self, shape: Shape, generator: torch.Generator, dtype: torch.dtype) -> None:
        super().__init__()
        self.shape = shape
        self.gate = Nets(1, (shape.inputs, *shape.gate_widths, shape.experts), generator, dtype) if shape.experts > 1 else None
        self.experts = Nets(shape.experts, (shape.inputs, *shape.widths, shape.outputs), generator, dtype)

    def forward(self, x: Tensor) -> Chosen:
        if self.gate is None:
            return Chosen(self.experts.everywhere(x)[0], x.new_zeros(len(x), 1), torch.zeros(len(x), 1, dtype=torch.int64))
        logits = self.gate.everywhere(x)[0]
        K = self.shape.top_k
        # Of equal logits the first, as `atlasmoe` has it.
        experts = logits.max(1).indices[:, None] if K == 1 else logits.sort(dim=1, descending=True, stable=True).indices[:, :K]
        if K == 1 and self.shape.weighting in ("chosen", "uniform"):
            return Chosen(self.experts(x, experts[:, 0]), logits, experts)
        parts = self.experts(x.repeat_interleave(K, 0), experts.flatten()).view(len(x), K, -1)
        return Chosen((self._weights(logits, experts)[..., None] * parts).sum(1), logits, experts)

    def _weights(self, logits: Tensor, experts: Tensor) -> Tensor:
        scores = logits.gather(1, experts)
        match self.shape.weighting:
            case "chosen":
                return scores.softmax(1)
            case "all":
                return logits.softmax(1).gather(1, experts)
            case "rectified":
                return scores.relu()
        return torch.full_like(scores, 1 / self.shape.top_k)


class Mixture(nn.Module):
    """A stack of layers; the dtype of x does not matter."""

    def __init__(self, shapes: Sequence[Shape], seed: int = 0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        for before, behind in itertools.pairwise(shapes):
            if before.outputs != behind.inputs:
                raise InvalidArgument(f"a layer writes {before.outputs} channels, the next one reads {behind.inputs}")
        generator = torch.Generator().manual_seed(seed)
        self.layers = nn.ModuleList([Layer(shape, generator, dtype) for shape in shapes])
        self.template: Network | None = None
        self.real: dict[str, Tensor] = {}
        """Of parameters with padding, which entries are none."""

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return tuple(layer.shape for layer in self.layers)

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    @property
    def stored(self) -> int:
        """Numbers."""
        return sum(gate + shape.experts * expert for shape in self.shapes for gate, expert in (shape.numbers,))

    @property
    def active(self) -> int:
        """Numbers that one input is multiplied with: its multiply-adds."""
        return sum(gate + shape.top_k * expert for shape in self.shapes for gate, expert in (shape.numbers,))

    def steps(self, x: Tensor) -> list[Chosen]:
        """What every layer does."""
        found, h = [], x.to(self.dtype)
        for layer in self.layers:
            found.append(layer(h))
            h = found[-1].output
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.steps(x)[-1].output

    def balanced(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and the load-balancing loss of Switch transformers: E·Σ_i (share sent to i)·(mean probability of i), summed over
        layers with a gate; 1 a layer if both are even."""
        steps = self.steps(x)
        loss = steps[-1].output.new_zeros(())
        for one in steps:
            if (E := one.logits.shape[1]) > 1:
                share = torch.bincount(one.experts.flatten(), minlength=E) / one.experts.numel()
                loss = loss + E * (share.to(one.logits.dtype) * one.logits.softmax(1).mean(0)).sum()
        return steps[-1].output, loss

    def perturbed(self, scale: float, seed: int) -> Mixture:
        """Itself, after noise: to every tensor a Gaussian of `scale` times the root mean square of the tensor. Padding stays 0."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, p in self.named_parameters():
                real = self.real.get(name, torch.ones_like(p))
                size = (p.square().sum() / real.sum()).sqrt()
                p += scale * size * real * torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)
        return self

    @staticmethod
    def of(model: Model | Network, weighting: str | None = None, dtype: torch.dtype = torch.float64) -> Mixture:
        """The same function with weights to be trained; `weighting` instead of the model's own makes it another one.

        Layers without a choice become dense ones; experts that are stored once for several gate outputs become as many. Raises
        `InvalidArgument` for carried channels, shared experts, encoders, product lanes and neurons that are no ReLUs: `atlasmoe.to_torch`
        makes modules of these, which `train` takes as well.
        """
        network = model.network if isinstance(model, Model) else model
        widths = [len(network.inputs), *(len(layer.channels) for layer in network.layers)]
        shapes = [_shape(layer, width, weighting) for layer, width in zip(network.layers, widths, strict=False)]
        mixture = Mixture(shapes, 0, dtype)
        mixture.template = network
        for k, (layer, inputs) in enumerate(zip(network.layers, widths, strict=False)):
            mixture._fill(k, layer, inputs)
        return mixture

    def _fill(self, k: int, layer: MoELayer, inputs: int) -> None:
        """The weights of layer k; `real` says where padding is."""
        served = _served(layer)
        parts = [("experts", [net.affines for net in served], layer.reads)]
        if self.layers[k].gate is not None:
            parts.append(("gate", [layer.gate.affines], layer.sees))
        for part, nets, reads in parts:
            for j in range(len(nets[0])):
                weight, bias = (getattr(getattr(self.layers[k], part), name)[j] for name in ("weights", "biases"))
                real = torch.zeros_like(weight), torch.zeros_like(bias)
                with torch.no_grad():
                    weight.zero_(), bias.zero_()
                    for e, maps in enumerate(nets):
                        rows, columns = _places(maps[j], reads if j == 0 else None)
                        weight[e, rows[:, None], columns] = torch.tensor(maps[j].weight, dtype=weight.dtype)
                        bias[e, rows] = torch.tensor(maps[j].bias, dtype=bias.dtype)
                        real[0][e, rows[:, None], columns], real[1][e, rows] = 1, 1
                for name, mask in zip(("weights", "biases"), real, strict=True):
                    if not mask.all():
                        self.real[f"layers.{k}.{part}.{name}.{j}"] = mask
                        getattr(getattr(self.layers[k], part), name)[j].register_hook(mask.mul)

    def network(self, dtype: str = "float64") -> Network:
        """The trained mixture as `atlasmoe`'s network, to be verified, certified, exported; one made from a model keeps its form.

        Raises `InvalidArgument` for K < E experts weighed by "all", which no layer of `atlasmoe` does.
        """
        if any(shape.weighting == "all" and shape.experts > 1 for shape in self.shapes):
            raise InvalidArgument('weights of the softmax over all experts are not a layer of atlasmoe; train with weighting="chosen"')
        layers = []
        for k, one in enumerate(self.layers):
            template = self.template.layers[k] if self.template is not None else None
            layers.append(_layer(one, k, template, last=k == len(self.layers) - 1))
        inputs = self.template.inputs if self.template is not None else tuple(f"x[{i}]" for i in range(self.shapes[0].inputs))
        return Network(tuple(layers), inputs).astype(dtype)


def dense(inputs: int, width: int, outputs: int = 1, seed: int = 0, dtype: torch.dtype = torch.float32) -> Mixture:
    """A two-layer ReLU net: a mixture of one expert."""
    return Mixture([Shape(inputs, outputs, 1, (width,))], seed, dtype)


def _served(layer: MoELayer) -> list[ReLUNet]:
    """One expert per gate output, or one if there is no choice."""
    return [layer.experts[0]] if len(layer.experts) == 1 and layer.unit else [layer.experts[s] for s in layer.serves]


def _shape(layer: MoELayer, inputs: int, weighting: str | None) -> Shape:
    nets = [*layer.experts, *([] if layer.gate is None else [layer.gate])]
    named = {"carries": layer.carries, "shared": layer.shared, "latent": layer.latent, "writes": layer.writes}
    wrong = [name for name, value in named.items() if value is not None]
    if wrong or not all(net.plain for net in nets) or len({len(net.affines) for net in layer.experts}) > 1:
        what = f"a layer with {wrong[0]}" if wrong else "a layer whose experts are not ReLU nets of one depth"
        raise InvalidArgument(f'{what} is no layer of a Mixture; train atlasmoe.to_torch(model), or compile with form="paper"')
    served = _served(layer)
    widths = tuple(max(net.widths[j] for net in served) for j in range(len(served[0].widths)))
    named_weighting = {"softmax": "chosen"}.get(str(layer.weighting), str(layer.weighting))
    gate_widths = () if layer.gate is None or len(served) == 1 else layer.gate.widths
    return Shape(inputs, len(layer.channels), len(served), widths, min(layer.top_k, len(served)), gate_widths, weighting or named_weighting)


def _places(map_: Affine, reads: Sequence[int] | None) -> tuple[Tensor, Tensor]:
    """Rows and columns of the padded matrix that a map fills."""
    rows, columns = map_.weight.shape
    return torch.arange(rows), torch.arange(columns) if reads is None else torch.tensor(reads)


def _layer(one: Layer, k: int, template: MoELayer | None, last: bool) -> MoELayer:
    """A layer with these weights, in the form of the template if there is one."""
    E = one.shape.experts

    def numpy(t: Tensor) -> np.ndarray:
        return t.detach().to(torch.float64).numpy().copy()

    def maps(nets: Nets, e: int) -> list[Affine]:
        return [Affine(numpy(w[e]), numpy(b[e])) for w, b in nets.maps]

    def inside(nets: Nets, e: int, net: ReLUNet, reads: Sequence[int] | None) -> ReLUNet:
        found = []
        for j, (mine, old) in enumerate(zip(maps(nets, e), net.affines, strict=True)):
            rows, columns = (t.numpy() for t in _places(old, reads if j == 0 else None))
            found.append(Affine(mine.weight[np.ix_(rows, columns)], mine.bias[rows], old.linear and not mine.bias[rows].any()))
        return net.with_maps(found)

    if template is not None:
        served = _served(template)
        experts = tuple(inside(one.experts, e, net, template.reads) for e, net in enumerate(served))
        gate = template.gate if one.gate is None else inside(one.gate, 0, template.gate, template.sees)
        serves = template.serves if len(served) == 1 else tuple(range(E))
        return replace(template.astype(np.float64), gate=None if gate is None else gate.astype(np.float64), experts=experts, serves=serves)

    def plain(nets: Nets, e: int, name: str) -> ReLUNet:
        found = maps(nets, e)
        return ReLUNet(tuple(found), tuple((NeuronGroup(name, len(a.bias), "trained"),) for a in found[:-1]))

    channels = tuple(f"{'y' if last else f'h{k}'}[{i}]" for i in range(one.shape.outputs))
    gate = None if one.gate is None else plain(one.gate, 0, f"gate[{k}]")
    weighting = {"chosen": "softmax", "all": "softmax"}.get(one.shape.weighting, one.shape.weighting)
    experts = tuple(plain(one.experts, e, f"expert[{k}.{e}]") for e in range(E))
    names = tuple(f"expert{e}" for e in range(E))
    return MoELayer(gate, experts, tuple(range(E)), names, channels, top_k=one.shape.top_k, weighting=weighting)


def save_mixture(mixture: Mixture, path: Path) -> Path:
    """Weights as safetensors, layers.K.gate.weights.J (1, out, in) and layers.K.experts.weights.J (E, out, in), biases alike; the shapes
    as JSON beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.save_file({name: p.detach().contiguous() for name, p in mixture.named_parameters()}, str(path.with_suffix(".safetensors")))
    described = {"dtype": str(mixture.dtype).removeprefix("torch."), "layers": [asdict(shape) for shape in mixture.shapes]}
    path.with_suffix(".json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    return path.with_suffix(".safetensors")


def load_mixture(path: Path) -> Mixture:
    """What `save_mixture` wrote; of a mixture made from a model, the template is lost."""
    described = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    shapes = [Shape(**{n: tuple(v) if isinstance(v, list) else v for n, v in one.items()}) for one in described["layers"]]
    mixture = Mixture(shapes, 0, getattr(torch, described["dtype"]))
    mixture.load_state_dict(safetensors.load_file(str(path.with_suffix(".safetensors"))))
    return mixture
