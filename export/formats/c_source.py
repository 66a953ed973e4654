"""A network as C99: `model.h` with one function, `model.c` with tables of constants and loops over them.

Nothing is allocated, nothing recurses, and nothing is remembered between calls, so any number of threads may call it. Sums are taken in
one fixed order (eight partial sums side by side, which compilers may vectorise as it stands), an order like any other: bounds for "plain"
sums (`moe.sums`) hold of them, with or without fused multiplications.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Template

import numpy as np

from ...moe import Affine, MoELayer, Network
from ...moe.activations.gelu_tanh import CUBIC, LINEAR
from ...moe.layer import Weighting
from ...moe.network import Net
from ..integers import Codes
from .c_numbers import array, listed, reals
from .c_template import CODED_SUM, CODES, EXCESS, GUARD, LOOPS, PLAIN_SUM, SUM, TYPES

LANES = 8
"""Partial sums of a row of products, side by side: a vector register of most machines, or two."""
KINDS = ("identity", "relu", "relu2", "gelu", "gelu_tanh", "silu")
"""Activations, numbered as in the file."""
BENT = {
    "identity": "z",
    "relu": "(z > ZERO) ? z : ZERO",
    "relu2": "(z > ZERO) ? (z * z) : ZERO",
    "gelu": "z * HALF * ERFC(-(z * ROOT_HALF))",
    "gelu_tanh": "z / (ONE + EXP(-(z * (TANH_LINEAR + (TANH_CUBIC * (z * z))))))",
    "silu": "z / (ONE + EXP(-z))",
}
CONSTANTS = {
    "gelu": {"HALF": 0.5, "ROOT_HALF": 0.5**0.5},
    "gelu_tanh": {"TANH_LINEAR": LINEAR, "TANH_CUBIC": CUBIC},
}
NONE = 3
"""The weighting of a single expert, whose output is taken as it is."""
WEIGHTINGS = {Weighting.SOFTMAX: 0, Weighting.UNIFORM: 1, Weighting.RECTIFIED: 2}


def identifier(text: str) -> str:
    """A name that C takes, like the text: lower case, digits and underscores."""
    plain = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40]
    return plain if plain and not plain[0].isdigit() else f"model_{plain}".rstrip("_")


def remark(text: str) -> str:
    """A text that may stand in a comment."""
    return " ".join(re.sub(r"[^\x20-\x7e]|\*/|/\*|\\", "?", text).split())


def header(prefix: str, network: Network, about: Sequence[str], inputs: Sequence[str] = ()) -> str:
    """model.h; `inputs`: what they are called, if otherwise than in the network."""
    upper = prefix.upper()
    routes = sum(layer.top_k for layer in network.layers)
    lines = [f" * {remark(line)}" for line in about]
    names = [f" *   x[{k}] = {remark(name)}" for k, name in enumerate(inputs or network.inputs)]
    names += [f" *   y[{k}] = {remark(name)}" for k, name in enumerate(network.outputs)]
    return "\n".join(
        [
            "/*",
            *lines,
            " *",
            *names,
            " *",
            " * Inputs have to be finite. `routes` may be NULL; otherwise it receives, layer after layer, the gate outputs that",
            " * were chosen, best first. There is no state: any number of threads may call the function.",
            " */",
            f"#ifndef {upper}_H",
            f"#define {upper}_H",
            "",
            f"#define {upper}_INPUTS {len(network.inputs)}U",
            f"#define {upper}_OUTPUTS {len(network.outputs)}U",
            f"#define {upper}_LAYERS {len(network.layers)}U",
            f"#define {upper}_ROUTES {routes}U",
            "",
            f"typedef {_real(network)} {prefix}_real;",
            "",
            f"void {prefix}_evaluate(const {prefix}_real x[{upper}_INPUTS], {prefix}_real y[{upper}_OUTPUTS],",
            f"    unsigned routes[{upper}_ROUTES]);",
            "",
            "#endif",
            "",
        ]
    )


def source(prefix: str, network: Network, codes: Mapping[int, Codes]) -> str:
    """model.c; `codes`: the identity of an affine map ↦ its rows as small integers."""
    tables = _Tables(network, codes)
    layers = [tables.layer(number, layer, arriving) for number, (layer, arriving) in enumerate(_arriving(network))]
    names = {"prefix": prefix, "PREFIX": prefix.upper(), "codes": CODES if codes else ""}
    parts = [
        f'#include "{prefix}.h"\n\n#include <float.h>\n#include <math.h>\n#include <stddef.h>\n'
        + ("#include <stdint.h>\n" if codes else ""),
        _guard(network, names),
        f"typedef {prefix}_real real;\n" + (f"typedef int{next(iter(codes.values())).bits}_t code;\n" if codes else ""),
        _constants(network),
        Template(TYPES).substitute(names),
        *tables.numbers(),
        f"static const moe_layer layers[{len(layers)}] = {{\n" + ",\n".join(layers) + "\n};\n",
        _activated(network),
        Template(SUM).substitute(name="products", kind="real", weight="weight"),
        *([Template(SUM).substitute(name="coded_products", kind="code", weight="(real)weight")] if codes else []),
        CODED_SUM if codes else PLAIN_SUM,
        Template(LOOPS).substitute(names),
    ]
    return "\n".join(parts)


def _guard(network: Network, names: Mapping[str, str]) -> str:
    """What keeps the file from being compiled where its arithmetic is another: float32 sums in long double are as good as rounded once."""
    excess = "" if network.dtype == np.float32 else Template(EXCESS).substitute(names)
    return Template(GUARD).substitute(names, excess=excess)


def _arriving(network: Network) -> list[tuple[MoELayer, int]]:
    widths = [len(network.inputs), *(len(layer.channels) for layer in network.layers)]
    return list(zip(network.layers, widths, strict=False))


def _real(network: Network) -> str:
    return "float" if network.dtype == np.float32 else "double"


def _nets(layer: MoELayer) -> list[Net]:
    encoder = [] if layer.latent is None else [layer.latent.net]
    return [*layer.nets, *encoder]


def _used(network: Network) -> list[str]:
    found = {act.name for layer in network.layers for net in layer.nets for parts in net.activations for _, act in parts}
    return [name for name in KINDS if name in found]


def _constants(network: Network) -> str:
    single = network.dtype == np.float32
    nets = [net for layer in network.layers for net in _nets(layer)]
    widest = max(
        max([*(max(a.weight.shape) for net in nets for a in net.maps)]),
        max(max(len(layer.channels), arriving) for layer, arriving in _arriving(network)),
    )
    lines = [
        f"#define WIDEST {widest}U",
        f"#define LANES {LANES}U",
        f"#define MOST_GATE_OUTPUTS {max(len(layer) for layer in network.layers)}U",
        f"#define MOST_CHOSEN {max(layer.top_k for layer in network.layers)}U",
        *(f"#define WEIGHTING_{kind.name} {k}" for kind, k in WEIGHTINGS.items()),
        f"#define WEIGHTING_NONE {NONE}",
        f"#define EXP {'expf' if single else 'exp'}",
        *([f"#define ERFC {'erfcf' if single else 'erfc'}"] if "gelu" in _used(network) else []),
    ]
    constants = {"ZERO": 0.0, "ONE": 1.0}
    for name in _used(network):
        constants |= CONSTANTS.get(name, {})
    numbers = reals(np.array(list(constants.values()), network.dtype))
    lines += [f"#define {name} ({text})" for name, text in zip(constants, numbers, strict=True)]
    return "\n".join(lines) + "\n"


def _activated(network: Network) -> str:
    """The activations that occur."""
    used = _used(network) or ["identity"]
    cases = [
        f"    case {KINDS.index(name)}: /* {name} */\n        out = {BENT[name]};\n        break;" for name in used if name != "identity"
    ]
    body = "\n".join([*cases, "    default:\n        out = z;\n        break;"])
    return f"static real activated(int kind, real z)\n{{\n    real out;\n    switch (kind)\n    {{\n{body}\n    }}\n    return out;\n}}\n"


@dataclass
class _Tables:
    """Tables of constants, filled as layers are written; each table is one array, and entries are named by where they begin."""

    network: Network
    codes: Mapping[int, Codes]
    reals: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    maps: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    between: list[str] = field(default_factory=list)
    nets: list[str] = field(default_factory=list)
    indices: list[str] = field(default_factory=list)
    carried: list[str] = field(default_factory=list)

    def numbers(self) -> list[str]:
        """The arrays, each after those that it points into."""
        bits = next(iter(self.codes.values())).bits if self.codes else 0
        return [
            array("real", "reals", self.reals),
            *([array("code", "codes", self.whole)] if bits else []),
            array("unsigned", "indices", self.indices),
            array("int", "carried", self.carried),
            array("affine_map", "maps", self.maps or ["{0U}"]),
            array("activation_run", "runs", self.runs or ["{0U, 0}"]),
            array("hidden_layer", "between", self.between or ["{NULL, NULL, 0U}"]),
            array("net", "nets", self.nets),
        ]

    def _real(self, values: np.ndarray) -> str:
        start = len(self.reals)
        self.reals += reals(values)
        return f"&reals[{start}]"

    def _map(self, map_: Affine) -> str:
        rows, columns = map_.weight.shape
        bias = "NULL" if map_.linear or not len(map_.bias) else self._real(map_.bias)
        coded = self.codes.get(id(map_))
        if coded is not None:
            start = len(self.whole)
            self.whole += [str(code) for code in coded.codes.reshape(-1).tolist()]
            body = f"NULL, &codes[{start}], {self._real(coded.scales)}"
        else:
            body = self._real(map_.weight) + (", NULL, NULL" if self.codes else "")
        return f"{{{rows}U, {columns}U, {body}, {bias}}}"

    def _net(self, net: Net) -> str:
        """A net; its maps and what is between them stand together in their tables."""
        ups: list[str] = []
        for up in net.ups:
            if up is not None:
                self.maps.append(self._map(up))
            ups.append("NULL" if up is None else f"&maps[{len(self.maps) - 1}]")
        first = len(self.maps)
        self.maps += [self._map(map_) for map_ in net.affines]
        hidden = []
        for parts, lane in zip(net.activations, ups, strict=True):
            hidden.append(f"{{{lane}, &runs[{len(self.runs)}], {len(parts)}U}}")
            self.runs += [f"{{{rows.stop - rows.start}U, {KINDS.index(act.name)}}}" for rows, act in parts]
        start = len(self.between)
        self.between += hidden
        return f"{{{len(net.affines)}U, &maps[{first}], {f'&between[{start}]' if hidden else 'NULL'}}}"

    def _one(self, net: Net | None) -> str:
        if net is None:
            return "NULL"
        entry = self._net(net)
        self.nets.append(entry)
        return f"&nets[{len(self.nets) - 1}]"

    def _index(self, which: Sequence[int]) -> str:
        start = len(self.indices)
        self.indices += [f"{k}U" for k in which]
        return f"&indices[{start}]" if which else "NULL"

    def layer(self, number: int, layer: MoELayer, arriving: int) -> str:
        """The initialiser of one layer."""
        gate, shared = self._one(layer.gate), self._one(layer.shared)
        entries = [self._net(net) for net in layer.experts]
        experts = f"&nets[{len(self.nets)}]"
        self.nets += entries
        latent = "NULL"
        if layer.latent is not None:
            self.maps.append(self._map(layer.latent))
            latent = f"&maps[{len(self.maps) - 1}]"
        reads = list(range(arriving)) if layer.reads is None else list(layer.reads)
        sees = [] if layer.gate is None else list(range(arriving)) if layer.sees is None else list(layer.sees)
        carried = f"&carried[{len(self.carried)}]"
        self.carried += [str(source) for source in layer.sources.tolist()]
        weighting = NONE if layer.unit else WEIGHTINGS[layer.weighting]
        writes = layer.targets.tolist()
        fields = [
            gate,
            experts,
            self._index(layer.serves),
            f"{len(layer)}U",
            f"{layer.top_k}U",
            str(weighting),
            shared,
            latent,
            self._index(reads),
            f"{len(reads)}U",
            self._index(sees),
            f"{len(sees)}U",
            self._index(writes),
            f"{len(writes)}U",
            carried,
            f"{len(layer.channels)}U",
        ]
        return f"    {{ /* layer {number + 1} */\n{listed(fields, '     ')}\n    }}"
