"""`Certificate`: what was proved about a network, box by box, and the files that hold it.

certificate.json says in words and numbers what is claimed and binds it to the weights and the task by SHA-256;
certificate.safetensors holds the boxes. docs/certificate.md specifies them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import numpy as safetensors

from ...atlas import ManifoldTask, TaskGraph
from ...atlas.graph import as_graph
from ...errors import ProofKept
from ...expressions.given import place
from ...moe.beside import BOXES, CERTIFICATE, Earlier, earlier, hashes_of
from ...moe.design import Design
from ...moe.ledger import Assumption, Claim, Known
from ...moe.network import Network
from ...moe.typed_json import canonical
from .binding import ABOUT, REFUTATION, replace_file, require_same, root_of
from .described import describe_read_out, describe_site, number, tree_arrays
from .diagnosis import Cause, in_words
from .engines import ForEngine
from .error import TAGS
from .refutation import Refutation
from .sites import ReadOut, SiteProof
from .tree import Tree

SCHEMA = 3
ABOUT_CHARTS = ("cover", "defined", "inverse", "zeros", "components")
"""That charts are charts, and all of M: where M is zeros of equations, that is `zeros`, or `components` of it."""
PRINCIPAL = ("total", "routing.valid", "routing.weight", *ABOUT_CHARTS)
"""Of every point of M the error and the routing, and what M is. Claims about evaluation in floats and about τ stand alone."""

ENDINGS = tuple(f"].{name}" for name in ABOUT_CHARTS)
"""Those of a block on charts, in a task graph."""


def principal(name: str) -> bool:
    """Whether a claim of this name, of one target or of all, is part of the theorem."""
    return name in PRINCIPAL or name.endswith(ENDINGS) or (name.startswith("target[") and name.partition("].")[2] in PRINCIPAL)


@dataclass(frozen=True, eq=False)
class Certificate:
    """Claims about every point of M, and the boxes that prove them."""

    task: str
    dtype: str
    epsilon: float
    """∞ if none was given."""
    tightness: float | None
    claims: tuple[Claim, ...]
    sites: tuple[SiteProof, ...] = field(repr=False)
    """Each after those whose values it reads; of a task on one manifold there is one."""
    read_out: ReadOut | None = field(repr=False)
    """How the total follows from them; None where it does not."""
    found: float
    """The largest error found anywhere."""
    seconds: float
    versions: Mapping[str, str] = field(repr=False)
    network: Network = field(repr=False)
    problem: ManifoldTask | TaskGraph = field(repr=False)
    design: Design | None = field(default=None, repr=False)
    """Of the model that was certified; None of a network alone."""
    refutation: Refutation | None = field(default=None, repr=False)
    """What shows that a claim is refuted."""
    diagnosis: Mapping[str, tuple[Cause, ...]] = field(default_factory=dict, repr=False)
    """Claim ↦ likely causes of its being unknown, in the order in which they were tried."""
    assumptions: tuple[Assumption, ...] = ()
    """What the proof takes from the task and cannot prove of it."""
    read_outs: Mapping[str, ReadOut | None] = field(default_factory=dict, repr=False)
    """Of several targets of a task graph, how the total of each follows."""
    engines: tuple[ForEngine, ...] = ()
    """What is proved of exported files, for the engines that were asked for."""

    @cached_property
    def kind(self) -> str:
        """manifold or graph."""
        return "graph" if as_graph(self.problem).blocks[0].given is None else "manifold"

    @property
    def status(self) -> Known:
        """Of the claims that together are the theorem (`PRINCIPAL`): PROVED if all are; REFUTED if one is; else UNKNOWN."""
        known = {claim.known for claim in self.claims if principal(claim.name)}
        return Known.REFUTED if Known.REFUTED in known else Known.UNKNOWN if Known.UNKNOWN in known else Known.PROVED

    @property
    def verdict(self) -> str:
        """The status in words, with what it assumes."""
        words = {Known.PROVED: "proved", Known.REFUTED: "refuted", Known.UNKNOWN: "unknown"}[self.status]
        names = ", ".join(assumption.name for assumption in self.assumptions)
        return f"{words}, assuming {names}" if names and self.status is Known.PROVED else words

    def explain(self) -> str:
        """Why it is no proof, if it is none: the refutation, or likely causes of every claim that is unknown and what to do about them."""
        if self.refutation is not None:
            of = f" of {self.refutation.target}" if self.refutation.target else ""
            return f"{self.refutation.refutes}{of} is refuted: {self.refutation.why}"
        unknown = [claim for claim in self.claims if principal(claim.name) and claim.known is Known.UNKNOWN]
        noted = [f"{claim.name} is not proved: {claim.note or claim.statement}" for claim in unknown if claim.name not in self.diagnosis]
        return "\n".join([*self.causes, *noted]) or self.verdict

    @property
    def causes(self) -> list[str]:
        """Sentences, of claims that are unknown for want of boxes, or as errors add up to too much."""
        return in_words(self.diagnosis)

    def __getitem__(self, name: str) -> Claim:
        """The claim of that name."""
        return next(claim for claim in self.claims if claim.name == name)

    @property
    def bound(self) -> float:
        """What was proved of |f − Ψ|."""
        return self["total"].bound

    @property
    def targets(self) -> tuple[tuple[str, float, float], ...]:
        """Of several targets the name, ε and what was proved of the error; () of one."""
        return tuple((one.name, float(one.epsilon), self[f"target[{one.name}].total"].bound) for one in self.problem.wanted)

    @property
    def eta(self) -> float:
        """The logits are taken to be known to ±η."""
        return max((site.solution.eta for site in self.sites), default=0.0)

    @property
    def trees(self) -> dict[str, Tree]:
        """Parametrising chart ↦ its boxes; of a graph, node/chart or node/piece ↦ boxes."""
        return {self._label(site, name): tree for site in self.sites for name, tree in site.solution.trees.items()}

    @property
    def scores(self) -> dict[str, Tree]:
        """The same for the claims about τ, where there are any."""
        scored = [(site, site.scores) for site in self.sites if site.scores is not None]
        return {self._label(site, name): tree for site, scores in scored for name, tree in scores.trees.items()}

    def _label(self, site: SiteProof, piece: str) -> str:
        return piece if self.kind == "manifold" and not self.problem.wanted else f"{site.name}/{piece}"

    @property
    def boxes(self) -> int:
        """Leaves of all trees of errors."""
        return sum(site.solution.boxes for site in self.sites)

    def to_dict(self) -> dict[str, Any]:
        """All but the boxes and the hashes, as JSON. What is in `search` proves nothing."""
        return {
            "schema": SCHEMA,
            "task": self.task,
            "kind": self.kind,
            "dtype": self.dtype,
            "epsilon": number(self.epsilon),
            "status": str(self.status),
            "bound": number(self.bound),
            **({"targets": self._described()} if self.problem.wanted else {}),
            "eta": self.eta,
            "claims": [_describe_claim(claim) for claim in self.claims],
            "assumptions": [{"name": taken.name, "statement": taken.statement} for taken in self.assumptions],
            **({"engines": [engine.to_dict() for engine in self.engines]} if self.engines else {}),
            "sites": [describe_site(site) for site in self.sites],
            "readout": None if self.read_out is None else describe_read_out(self.read_out),
            "tags": {str(code): word for code, word in TAGS.items()},
            "search": {
                "found": number(self.found),
                "tightness": self.tightness,
                "notes": {claim.name: claim.note for claim in self.claims if claim.note},
                "witnesses": {claim.name: list(claim.witness) for claim in self.claims if claim.witness is not None},
                "seconds": round(self.seconds, 3),
                "versions": dict(self.versions),
                **({} if not self.diagnosis else {"diagnosis": self._causes()}),
            },
        }

    def _described(self) -> list[dict[str, Any]]:
        """Every target with its ε and what is proved of it."""
        said = {name: {"epsilon": epsilon, "bound": number(bound)} for name, epsilon, bound in self.targets}
        read_outs = {name: None if found is None else describe_read_out(found) for name, found in self.read_outs.items()}
        return [{"name": name, **its, **({"readout": read_outs[name]} if name in read_outs else {})} for name, its in said.items()]

    def _causes(self) -> dict[str, list[dict[str, str]]]:
        return {name: [cause.to_dict() for cause in causes] for name, causes in self.diagnosis.items()}

    def write(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write both files into the folder of the model they are about; bytes of each are complete before they get their name.

        Raises `FolderError`, naming the first difference, if the folder holds another task, another network or another design than
        those that were certified. Raises `ProofKept` if it holds a better certificate of the same files, unless `overwrite`: one that is
        proved where this one is not, or refuted where this one is unknown; of two that are proved, or unknown, the one of the smaller
        bound; of two that are refuted, the one of the larger error. One that refutes the bound of the other is better than that.
        """
        folder = place("Certificate.write", folder)
        require_same(folder, self.network, self.problem, self.design)
        if not overwrite:
            self.require_better(folder)
        data = safetensors.save(self._arrays(), metadata={"schema": str(SCHEMA)})
        document = self.to_dict()
        files = {**hashes_of(folder), BOXES: hashlib.sha256(data).hexdigest()}
        document |= {"files": files, "root": root_of(files)}
        (folder / REFUTATION).unlink(missing_ok=True)
        contents = {BOXES: data, CERTIFICATE: canonical(document) + b"\n"}
        if self.refutation is not None:
            about = {name: digest for name, digest in files.items() if name in ABOUT}
            contents[REFUTATION] = canonical({**self.refutation.to_dict(), "task": self.task, "files": about}) + b"\n"
        for name, content in contents.items():
            replace_file(folder / name, content)
        return folder / CERTIFICATE

    def require_better(self, folder: Path) -> None:
        """Raises `ProofKept` if the folder holds a certificate of the files there that is better than this one."""
        kept = earlier(folder)
        if kept is not None and not self._better_than(kept):
            ours = f"bound {self.bound:.6g}" if self.status is Known.PROVED else self.verdict
            raise ProofKept(
                f"{folder / CERTIFICATE}: stays as it is: it says that {kept}, and this one says {ours}; "
                f"`atlasmoe check` tells whether that is so, --force (overwrite=True) replaces it"
            )

    def _better_than(self, kept: Earlier) -> bool:
        """Whether this certificate may take the place of one that a folder holds: it says at least as much, or refutes it."""
        if kept.proved and self.status is Known.REFUTED and self["total"].known is Known.REFUTED:
            return self.bound > kept.bound
        return Earlier(str(self.status), self.epsilon, self.bound, self.found).rank >= kept.rank

    def _arrays(self) -> dict[str, NDArray]:
        """All trees, numbered by site and piece."""
        trees: dict[str, Tree] = {}
        for s, site in enumerate(self.sites):
            trees |= {f"{s}.{n}": tree for n, tree in enumerate(site.solution.trees.values())}
            if site.scores is not None:
                trees |= {f"scores.{s}.{n}": tree for n, tree in enumerate(site.scores.trees.values())}
        return {f"{name}.{key}": array for name, tree in trees.items() for key, array in tree_arrays(tree).items()}


def _describe_claim(claim: Claim) -> dict[str, Any]:
    said = {key: getattr(claim, key) for key in ("name", "statement", "source", "sense")}
    return {**said, "budget": number(claim.budget), "bound": number(claim.bound), "known": str(claim.known)}
