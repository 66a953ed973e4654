"""Experts one by one: a module each, by its name in the spec, whose weights are a slice of the stacks.

`layer.each.north` maps the rows that north gets, [n, in] to [n, out]. In it `pre1`, `hidden1`, `pre2`, … are the places where
pre-activations and activations of its hidden layers pass, in the order of the neurons of the compiled net and without the padding of the
stacks; `up1` where product lanes are multiplied. Called only while somebody watches (`watched`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from ..errors import InvalidArgument
from ..moe import Net
from ..moe.sums import Sums
from .stacked import Places, StackedAffine
from .watched import Probe, Watched

Rows = slice | list[int]


class Expert(Watched):
    """One gate output's expert. Gate outputs whose experts are equal have one each, with the same weights."""

    def __init__(self, name: str, net: Net, number: int, maps: Sequence[StackedAffine], places: Sequence[Places]) -> None:
        """Expert `number` of stacks, innermost first; `places` of its neurons in every hidden layer."""
        super().__init__()
        self.name, self.number = name, number
        self.linear = tuple(affine.linear for affine in net.affines)
        """Which of its maps have no bias."""
        self.maps = tuple(maps)  # no list of modules, so that stacks are no parts of every expert
        self.rows: tuple[Rows, ...] = tuple(as_rows(layer[number].tolist()) for layer in places)
        for j, groups in enumerate(net.groups, 1):
            self.add_module(f"pre{j}", Probe(groups))
            if net.ups[j - 1] is not None:
                self.add_module(f"up{j}", Probe(groups))
            self.add_module(f"hidden{j}", Probe(groups))

    def extra_repr(self) -> str:
        return f"{self.name!r}, stored as {self.number}"

    def forward(self, x: Tensor) -> Tensor:
        *inner, last = self.maps
        for j, stacked in enumerate(inner):
            z = self._passing(f"pre{j + 1}", stacked(x, self.number), j)
            up = None if stacked.up is None else self._passing(f"up{j + 1}", stacked.up(x, self.number), j)
            h = stacked.stage.shaped(z.clone(), up, stacked.order is Sums.FLOAT64)
            x = self._passing(f"hidden{j + 1}", h, j)
        out: Tensor = last(x, self.number)
        return out

    def _passing(self, kind: str, padded: Tensor, layer: int) -> Tensor:
        """All rows of a stack [n, padded] with this expert's neurons sent through a probe."""
        if kind not in self._modules:
            return padded
        rows = self.rows[layer]
        own = padded[:, rows]
        seen: Tensor = self.get_submodule(kind)(own)
        if seen.shape != own.shape:
            raise InvalidArgument(f"a hook on {kind} of {self.name!r} gave {tuple(seen.shape)} in the place of {tuple(own.shape)}")
        if seen is own and isinstance(rows, slice):
            return padded
        out = padded.clone()
        out[:, rows] = seen.to(out.dtype)
        return out


def as_rows(places: list[int]) -> Rows:
    """A slice where that says it."""
    return slice(0, len(places)) if places == list(range(len(places))) else places


class Each(nn.Module):
    """The experts of a layer, in the order of the spec, by name or gate output. In names of modules a full stop is written as ·."""

    def __init__(self, experts: Sequence[Expert]) -> None:
        super().__init__()
        self.keys: dict[str, str] = {}
        for expert in experts:
            key = expert.name.replace(".", "·") or "_"
            while hasattr(self, key):
                key += "_"
            self.add_module(key, expert)
            self.keys.setdefault(expert.name, key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Expert]:
        return iter(self._modules.values())  # type: ignore[arg-type]

    def __getitem__(self, which: int | str) -> Expert:
        if isinstance(which, str) and which not in self.keys:
            raise InvalidArgument(f"there is no expert {which!r}; this layer has {', '.join(list(self.keys)[:16])}")
        key = self.keys[which] if isinstance(which, str) else list(self._modules)[which]
        return self._modules[key]  # type: ignore[return-value]

    def __repr__(self) -> str:
        names = ", ".join(list(self.keys)[:8])
        return f"Each({names}{', …' if len(self) > 8 else ''})"
