"""The folder of a proof: the theory, the weights, the task, a file a chart, the theorem, a Makefile, and a README in words."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

from ...errors import FolderError
from .covers import Equation
from .equations import equation_of
from .float_theorem import BELIEVED, chart_theorems, main_theorems, words
from .numbers import comment
from .parts import Split, joined_file, part_file, split
from .parts import wanted as files_wanted
from .points import not_shown, point_file
from .routing import route_files, said_of_routes
from .several import THEORY as SEVERAL
from .several import chart_theorems as theorems_of_targets
from .several import conclusions, spoken, trouble_commands
from .several import words as targets_in_words
from .statement import ARITHMETICS, Statement, task_file
from .weights import weights

TAYLOR = ("Taylor", "Intervals", "Forms", "Expressions", "Nets", "Routes", "Layers", "Conjunctions", "Trees", "Paths")
THEORY = ("Semantics", SEVERAL, *TAYLOR, "Checker", "Fast", "Big", "Pure")
"""The files of the theory, each after those that it needs."""
FLOATS = ("Floats", "Orders", "Rounding", "Ieee", "FloatBounds", "FloatChecker")
"""What is needed for evaluation in binary64, before the arithmetic's own file."""
ROUTES = ("Routing", "RouteChecker")
"""The same for routes."""
LAYERS = ("ValueForms", "Nodes", "Composition", "Mixtures", "EmptyGaps", "Groups")
GRAPHS = ("Tasks", "Gaps", "Readings", "Dyadics", "Scores", "Findings", "Winners", "Truth", "Few", "Asked", "Pieces", *LAYERS)
"""What is needed for task graphs, likewise."""
PARTS = ("Dyadics", "Parts")
"""What is needed for charts in several files."""
MANIFOLDS = ("Sphere", "Circle", "Rotations")
"""Lemmas of cover, in a folder of their own; they need no other file."""
REQUIRED = re.compile(r"^From AtlasMoE Require (?:Import |Export )?([\w ]+)\.$", re.MULTILINE)
"""How a file of the theory names those that it needs."""
MARK = "_CoqProject"
"""A folder that holds it is one of ours."""
AXIOMS = {
    "fast": "those by which Coq describes the machine's binary64 floats and 63-bit integers (`PrimFloat`, `FloatAxioms`, `Uint63`)",
    "big": "those by which Coq describes 63-bit integers (`Uint63`)",
    "pure": "nothing more: not even the arithmetic of the machine",
}
"""What an arithmetic adds to the axioms of Coq's real numbers, in words."""
DEPTH, FUEL = 400, 24
"""How deep a tree of a certificate may be, and how often a leaf of it is halved where Coq needs smaller boxes."""


def theory_text(name: str) -> str:
    """The source of a file of the theory."""
    package = __name__.split(".")[0]
    folder = resources.files(package) / "coq"
    return (folder / "manifolds" / f"{name}.v" if name in MANIFOLDS else folder / f"{name}.v").read_text(encoding="utf-8")


def required(name: str) -> list[str]:
    """The files of the theory that this one names."""
    return [other for found in REQUIRED.findall(theory_text(name)) for other in found.split()]


def theory_of(
    arithmetic: str,
    floats: bool = False,
    routes: bool = False,
    graphs: bool = False,
    covers: Sequence[str] = (),
    parts: bool = False,
) -> tuple[str, ...]:
    """The files that a proof in this arithmetic needs, with some lemmas of cover."""
    chosen = ARITHMETICS[arithmetic]
    theory = (*(name for name in THEORY if name not in ARITHMETICS.values() or name == chosen), *covers)
    theory += (*FLOATS, f"{chosen}Floats") if floats else ()
    theory += (*ROUTES, f"{chosen}Routes") if routes else ()
    theory += (*GRAPHS, f"{chosen}Graphs") if graphs else ()
    return (*theory, *(name for name in PARTS if name not in theory)) if parts else theory


def all_theory(arithmetic: str) -> tuple[str, ...]:
    """The files that any proof in this arithmetic may need."""
    return theory_of(arithmetic, floats=True, routes=True, graphs=True, covers=MANIFOLDS, parts=True)


def files(
    statement: Statement,
    cuts: Sequence[Sequence[int]],
    arithmetic: str,
    others: Sequence[Sequence[Sequence[int]]] | None = None,
    jobs: int = 1,
) -> dict[str, str]:
    """Name ↦ text of every file; `others` are the boxes of the targets after the first, where there are several. Charts are put into
    several files where there are more jobs than charts.

    Raises `InvalidArgument` for what the proof in Coq does not follow.
    """
    charts = range(len(statement.charts))
    equation = equation_of(statement)
    covers = () if equation is None else equation.lemmas
    splits = [_split(statement, cuts[k], k, jobs) for k in charts]
    theory = theory_of(arithmetic, statement.floats is not None, statement.routes, covers=covers, parts=any(splits))
    found = {f"theory/{name}.v": theory_text(name) for name in theory}
    found["Weights.v"] = weights(statement.model.network, statement.task.name)
    found["Task.v"] = task_file(statement)
    for k, cut in enumerate(splits):
        if cut is None:
            found[f"Chart{k}.v"] = chart_file(statement, k, trees_of(statement, k, cuts, others), arithmetic)
        else:
            found |= _in_parts(statement, k, cut, arithmetic)
    found["Main.v"] = main_file(statement)
    if equation is not None:
        found["Equation.v"] = spoken(statement.task, equation.text)
    if statement.routes:
        found |= route_files(statement, cuts, arithmetic, DEPTH, FUEL)
    found[MARK] = "-Q . Proof\n-Q theory AtlasMoE\n"
    ends = ["Main" if equation is None else "Equation", *(["Routed"] if statement.routes else [])]
    point = point_file(statement, arithmetic)
    if point is not None:
        found["Point.v"] = point
    several, joined = parts_of_project(found)
    found["Makefile"] = makefile(theory, several, ends, joined=joined)
    found["README.md"] = readme(statement, arithmetic, equation, point)
    return found


def write(folder: Path, contents: dict[str, str]) -> None:
    """Write the files. Raises `FolderError` for a folder that holds something else."""
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARK).exists())):
        raise FolderError(f"{folder}: exists and is no folder of a proof; name another one")
    if folder.exists():
        for path in [
            *folder.glob("*.v*"),
            *folder.glob("theory/*.v*"),
            *folder.glob("*.glob"),
            *folder.glob("theory/*.glob"),
            *folder.glob(".*.aux"),
        ]:
            path.unlink()
    (folder / "theory").mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        temporary = folder / f"{name}.writing"
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, folder / name)


def trees_of(
    statement: Statement, k: int, cuts: Sequence[Sequence[int]], others: Sequence[Sequence[Sequence[int]]] | None = None
) -> list[Sequence[int]]:
    """The boxes of a chart, a tree for each target."""
    more = max(0, len(statement.task.wanted) - 1)
    return [cuts[k], *([[0]] * more if others is None else [other[k] for other in others])]


def chart_file(statement: Statement, k: int, trees: Sequence[Sequence[int]], arithmetic: str) -> str:
    """The theorem about one chart. Everything is in its one computation, which the kernel runs; of several targets, one for each."""
    if statement.task.wanted:
        required, text = theorems_of_targets(statement.task, k, ARITHMETICS[arithmetic], DEPTH, FUEL, trees)
    else:
        theorems = _chart_theorems if statement.floats is None else chart_theorems
        required, text = theorems(statement, k, arithmetic, DEPTH, FUEL)
        text = f"Definition cuts : list nat := [{';'.join(map(str, trees[0]))}]%nat.\n\n{text}"
    return f"""{comment(f"Every point of the box of chart {statement.charts[k].name}.")}
From Coq Require Import ZArith List.
From AtlasMoE Require Import {required}.
From Proof Require Import Weights Task.
Import ListNotations.

(* Boxes that atlasmoe certify found enough, in preorder: n + 1 halves side n. Leaves are halved further where that is needed. *)
{text.lstrip()}"""


def _arguments(statement: Statement, k: int) -> str:
    """What the theorem about a chart is about."""
    f = f"Chart{k}.f" if statement.by_chart else "Target.f"
    return f"Chart{k}.chart {str(statement.by_chart).lower()} {f} Q network eps"


def _chart_theorems(statement: Statement, k: int, arithmetic: str, depth: int, fuel: int) -> tuple[str, str]:
    """What the file requires of the theory, and its theorem, about real numbers."""
    arguments = _arguments(statement, k)
    return (
        f"Semantics {ARITHMETICS[arithmetic]}",
        f"""Lemma computed : C.accepted {arguments} {depth} {fuel} cuts = true.
Proof. vm_cast_no_check (eq_refl true). Qed.

Theorem holds : forall u, in_box (box Chart{k}.chart) u -> claimed {arguments} u.
Proof. exact (C.accepted_sound {arguments} {depth} {fuel} cuts computed). Qed.
""",
    )


def _split(statement: Statement, cuts: Sequence[int], k: int, jobs: int) -> Split | None:
    """How the chart is put into several files; None for one file. With floats, and for several targets, it is one."""
    if statement.floats is not None or statement.task.wanted:
        return None
    count = files_wanted(cuts, len(statement.charts), jobs)
    return split(cuts, statement.charts[k].dimension, count) if count > 1 else None


def _in_parts(statement: Statement, k: int, cut: Split, arithmetic: str) -> dict[str, str]:
    """The files of a chart that is put into several."""
    found = {}
    for j in range(len(cut.below)):
        said = f"Part {j + 1} of {len(cut.below)} of the box of chart {statement.charts[k].name}."
        found[f"Part{k}_{j}.v"] = part_file(_parts_head(said, arithmetic), k, j, cut, _arguments(statement, k), DEPTH, FUEL)
    said = f"Every point of the box of chart {statement.charts[k].name}, from its parts."
    return {**found, f"Chart{k}.v": joined_file(_parts_head(said, arithmetic), k, cut, _arguments(statement, k))}


def _parts_head(said: str, arithmetic: str) -> str:
    return f"""{comment(said)}
From Coq Require Import ZArith List.
From AtlasMoE Require Import Semantics Parts {ARITHMETICS[arithmetic]}.
From Proof Require Import Weights Task.
Import ListNotations.
"""


def parts_of_project(contents: Mapping[str, str]) -> tuple[list[str], dict[str, list[str]]]:
    """The files that may be compiled side by side; and those of charts that are put together from parts, with their parts."""
    joined: dict[str, list[str]] = {}
    for name in contents:
        if name.startswith("Part"):
            joined.setdefault(f"Chart{name[4 : name.index('_')]}", []).append(name.removesuffix(".v"))
    alone = [name.removesuffix(".v") for name in contents if name.startswith(("Chart", "Part", "Route", "Point")) and name.endswith(".v")]
    return [name for name in alone if name not in joined and name != "Routed"], joined


def trouble_files(statement: Statement, k: int, trees: Sequence[Sequence[int]]) -> list[str]:
    """Where the computation about a chart stops, for people; a file for each target. Always in hardware floats."""
    if statement.task.wanted:
        commands = trouble_commands(statement.task, k, trees, DEPTH, FUEL)
    else:
        f = f"Chart{k}.f" if statement.by_chart else "Target.f"
        tree = ";".join(map(str, trees[0]))
        commands = [f"C.trouble Chart{k}.chart {str(statement.by_chart).lower()} {f} Q network eps {DEPTH} {FUEL} [{tree}]%nat"]
    return [
        f"""From Coq Require Import ZArith List.
From AtlasMoE Require Import Semantics {SEVERAL} Fast.
From Proof Require Import Weights Task.
Import ListNotations.
Eval vm_compute in {command}.
"""
        for command in commands
    ]


def main_file(statement: Statement) -> str:
    """The theorem about M, and what it rests on. What is to be read is imported last: no other file gives its words another meaning."""
    charts, floats, several = range(len(statement.charts)), statement.floats is not None, bool(statement.task.wanted)
    unread = f"From AtlasMoE Require Import {'Orders Rounding ' if floats else ''}{SEVERAL}.\n" if floats or several else ""
    head = f"""(* The theorem: the network with the stored weights follows f to within eps at every point of M. *)
{unread}From Coq Require Import Reals ZArith List{" Lia" if floats else ""}.
From AtlasMoE Require Import Semantics{" Floats" if floats else ""}.
From Proof Require Import Weights Task.
From Proof Require {" ".join(f"Chart{k}" for k in charts)}.
Import ListNotations.
Open Scope R_scope.

(** The function of real numbers that the stored weights define, at a point of M before it is embedded. *)
Definition Psi (y : list R) : list R := network_of network (embedded Q y).
"""
    body = conclusions(statement.task) if several else _chart_by_chart(charts) if statement.by_chart else _at_points(charts)
    if floats:
        return head + body + main_theorems(statement) + "\nPrint Assumptions theorems.\n"
    return head + body + "\nPrint Assumptions error_bound.\n"


def _chart_by_chart(charts: Sequence[int]) -> str:
    """The theorem about a target that is given chart by chart."""
    said = [
        f"forall u y, point_of Task.Chart{k}.chart u y ->\n"
        f"  Forall (fun e => defined e u) (inverse Task.Chart{k}.chart) /\\ close eps Task.Chart{k}.f u (Psi y)"
        for k in charts
    ]
    lemmas = "".join(
        f"Theorem on_chart_{k} : {text}.\nProof. intros u y (B & P & ->). exact (Chart{k}.holds u B P). Qed.\n"
        for k, text in enumerate(said)
    )
    whole = " /\\\n  ".join(f"({text})" for text in said)
    pairs = f"on_chart_{charts[-1]}"
    for k in reversed(charts[:-1]):
        pairs = f"(conj on_chart_{k} {pairs})"
    return f"""
(** f is given chart by chart: on chart p it is the function f of the coordinates u there. *)
{lemmas}
Theorem error_bound :
  {whole}.
Proof. exact {pairs}. Qed.
"""


def _at_points(charts: Sequence[int]) -> str:
    """The theorem about a target that is a function of the point."""
    listed = "; ".join(f"Task.Chart{k}.chart" for k in charts)
    return f"""
Definition charts : list chart := [{listed}].
(** y is a point of M: the image of coordinates u on one of the charts. *)
Definition on_M (y : list R) : Prop := exists c u, In c charts /\\ point_of c u y.

Lemma on_charts : forall c u, In c charts -> in_box (box c) u -> claimed c false Target.f Q network eps u.
Proof.
  intros c u H B. unfold charts in H. simpl In in H.
  repeat (destruct H as [<-|H]; [|]); try contradiction; [{" | ".join(f"exact (Chart{k}.holds u B)" for k in charts)}].
Qed.

(** Maps of charts have values wherever they are asked for. *)
Theorem inverse_defined : forall c u, In c charts -> in_box (box c) u -> Forall (fun r => 0 <= denote r u) (region c) ->
  Forall (fun e => defined e u) (inverse c).
Proof. intros c u H B P. exact (proj1 (on_charts c u H B P)). Qed.

(** At every point y of M all components of f have values, and those of the network are within eps of them. *)
Theorem error_bound : forall y, on_M y -> close eps Target.f y (Psi y).
Proof. intros y (c & u & H & B & P & ->). exact (proj2 (on_charts c u H B P)). Qed.
"""


def makefile(
    theory: Sequence[str],
    parts: Sequence[str],
    ends: Sequence[str],
    before: Sequence[str] = ("Weights", "Task"),
    joined: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> str:
    """`make` compiles everything that is not compiled, `make clean` forgets it. What comes before all parts stands in its order."""
    lines = [
        "# make -j 2; needs coqc, and the libraries coq-interval, coq-flocq, coq-coquelicot",
        "COQC = coqc -w -ambiguous-paths,-overriding-logical-loadpath -Q . Proof -Q theory AtlasMoE",
        "",
        "all: " + " ".join(f"{end}.vo" for end in ends),
        "",
    ]
    lines += ["%.vo: %.v", "\t$(COQC) $<", ""]
    # What the files themselves name: they come from a cache, where each is as old as its first proof.
    lines += [f"theory/{name}.vo: " + " ".join(f"theory/{other}.vo" for other in some) for name in theory if (some := required(name))]
    lines += [f"{before[0]}.vo: " + " ".join(f"theory/{name}.vo" for name in theory)]
    lines += [f"{name}.vo: {earlier}.vo" for earlier, name in pairwise(before)]
    lines += [f"{part}.vo: {before[-1]}.vo" for part in parts]
    lines += [f"{name}.vo: " + " ".join(f"{part}.vo" for part in some) for name, some in joined.items()]
    routes = [part for part in parts if part.startswith("Route")]
    first = [part for part in (*parts, *joined) if part not in routes]
    lines += ["Main.vo: " + " ".join(f"{part}.vo" for part in first), "Equation.vo: Main.vo"]
    if routes:
        lines += ["Domains.vo: Task.vo", *(f"{part}.vo: Domains.vo" for part in routes)]
        lines += ["Routed.vo: " + " ".join(f"{part}.vo" for part in routes)]
    lines += [""]
    lines += [
        "clean:",
        "\trm -f *.vo *.vok *.vos *.glob .*.aux theory/*.vo theory/*.vok theory/*.vos theory/*.glob theory/.*.aux",
        "",
        ".PHONY: all clean",
    ]
    return "\n".join(lines) + "\n"


def readme(statement: Statement, arithmetic: str, equation: Equation | None, point: str | None) -> str:
    """What is proved, what has to be believed, how to check it, in words."""
    task, count = statement.task, len(statement.charts)
    unsaid = "nothing about floating-point evaluation of the network, and nothing about" if statement.floats is None else "nothing about"
    believed = "" if statement.floats is None else BELIEVED
    within = f"every component of the network's output is within ε = {statement.epsilon!r} of it"
    if task.wanted:
        within = f"the network's outputs are within an ε of their own of each target: {targets_in_words(statement.task)}"
    f = "f is given chart by chart" if statement.by_chart else "f = (" + ", ".join(statement.function(0).texts) + ")"
    solutions = (
        ""
        if equation is None
        else f"`Equation.v` proves that these are all points of M as an equation, {equation.words}, and says it of them.\n"
    )
    some = "`Point.v` proves that M has a point.\n" if point else f"But {not_shown(statement, point)}.\n"
    return f"""# A theorem about the model of {task.name!r}

**What is proved** (`error_bound` in `Main.v`): at every point y of M, the union of the images of its {count} charts, f has a
value and {within}. The network is the function of *real*
numbers that the stored weights define. {f}, in {", ".join(task.atlas.coordinates)}.
{some}{solutions}{words(statement)}{said_of_routes(statement)}
**What has to be believed**

* Coq's kernel, and its virtual machine, which runs the computation.
* `theory/Semantics.v`: what a network, an expression, a chart are, and what "close" means. It has no intervals in it. The other files of
  `theory/` need not be read: they are proved against it.
{believed}* `Task.v`: that f, the charts and ε are those that were meant. Above each expression stands the text of task.toml.
* `Weights.v`: that the numbers are those of model.safetensors. `atlasmoe prove FOLDER -o . --read-back` compares them bit by bit.
* The axioms that `Main.v` prints: those of Coq's real numbers (four classical ones), and {AXIOMS[arithmetic]}.

Nothing of atlasmoe has to be believed: not the compiler, not the search, not `certify` or `check`, not the program that wrote this folder.

**Check it yourself**: `make clean`, then `make` (Coq 8.16 with coq-interval, coq-flocq, coq-coquelicot; on Debian `apt-get install
--no-install-recommends coq libcoq-interval libcoq-flocq libcoq-coquelicot`). It ends with the list of axioms.
`grep -rnwE "Admitted|Axiom" --include=*.v .` finds nothing, but in comments that a name or a text of the task may bring.

**What is not said**: {unsaid} points off M.
"""
