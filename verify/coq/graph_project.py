"""The folder of a proof about a task graph: weights, task, hints, a file a block, the theorem about the whole network."""

from __future__ import annotations

from collections.abc import Sequence

from .graph_hints import Hints
from .graph_statement import GraphStatement, graph_task_file
from .group_hints import DIGITS, gaps_of, grouped
from .hint_records import Effort, GroupHint, Hint, News, Share, Total
from .numbers import comment, dyadic, naturals, number
from .points import not_shown, point_file
from .project import AXIOMS, MARK, makefile, theory_of, theory_text
from .statement import ARITHMETICS
from .weights import weights

ALONE, TOGETHER = 8, 4
"""So many blocks have a file each; of more, so many are in one."""
BEFORE = ("Weights", "Task", "Hints")
"""What all blocks need."""


def graph_parts(contents: dict[str, str]) -> list[str]:
    """The files that may be checked side by side."""
    return [
        "Values",
        *(["Point"] if "Point.v" in contents else []),
        *(name.removesuffix(".v") for name in contents if name.startswith("Block")),
    ]


def graph_files(statement: GraphStatement, arithmetic: str) -> dict[str, str]:
    """Name ↦ text of every file. Raises `InvalidArgument` for what the proof in Coq does not follow."""
    hints, gaps = Hints(statement), gaps_of(statement)
    found = {f"theory/{name}.v": theory_text(name) for name in theory_of(arithmetic, graphs=True)}
    found |= {
        "Weights.v": weights(statement.model.network, statement.task.name, graph=True),
        "Task.v": graph_task_file(statement, gaps),
        "Hints.v": hints_file(hints),
        "Values.v": values_file(arithmetic),
    }
    parts = parts_of(hints.layers)
    for k, part in enumerate(parts):
        found[f"Block{k}.v"] = block_file(statement, hints.layers, part, arithmetic)
    found["Main.v"] = graph_main_file(statement, parts, arithmetic, bool(gaps))
    point = point_file(statement, arithmetic)
    if point is not None:
        found["Point.v"] = point
    found[MARK] = "-Q . Proof\n-Q theory AtlasMoE\n"
    found["Makefile"] = makefile(theory_of(arithmetic, graphs=True), graph_parts(found), ["Main"], BEFORE)
    found["README.md"] = graph_readme(statement, arithmetic, point)
    return found


def parts_of(layers: Sequence[Hint | GroupHint]) -> list[range]:
    """Layers by the files that they are in: those that only pass on or write scores stand before the one that computes.

    coqc reads the theory for half a second before it looks at a block for some hundredths: of many blocks several are in a file.
    """
    found, first = [], 0
    for n, hint in enumerate(layers):
        if hint.computed or n + 1 == len(layers):
            found.append(range(first, n + 1))
            first = n + 1
    if len(found) <= ALONE:
        return found
    return [range(some[0].start, some[-1].stop) for some in (found[k : k + TOGETHER] for k in range(0, len(found), TOGETHER))]


def hints_file(hints: Hints) -> str:
    """`Hints.v`. Nothing rests on it: where it is wrong, a computation says false."""
    more = (" Mixtures" if any(map(_mixed, hints.layers)) else "") + (" Groups" if any(map(_several, hints.layers)) else "")
    known = "arriving graph" if hints.statement.reads is None else "map Exactly network_reads"
    pairs = ";\n  ".join(f"({number(dyadic(low))},{number(dyadic(high))})" for low, high in hints.ranges)
    lines = [
        "(* Hints, of which nothing has to be believed: ranges of all values, what is known between layers, what boxes are about. *)",
        "From Coq Require Import ZArith List.",
        f"From AtlasMoE Require Import Semantics Tasks Findings Truth Asked{more}.",
        "From Proof Require Import Weights Task.",
        "Import ListNotations.",
        "Open Scope Z_scope.",
        "",
        f"Definition ranges : list (dyadic * dyadic) := [\n  {pairs}].",
        f"Definition efforts : list effort := [{'; '.join(map(_effort, hints.efforts))}].",
        "",
        f"Definition known_0 : list finding := Eval vm_compute in {known}.",
    ]
    for n, hint in enumerate(hints.layers):
        if isinstance(hint, GroupHint):
            members = "; ".join(f"({offset}%nat,{naturals(winners)})" for offset, winners in hint.members)
            totals = ";\n  ".join(map(_total, hint.computed))
            lines += [
                f"Definition hint_{n} : group_hint := GroupHint [{members}] [{totals}].",
                f"Definition known_{n + 1} : list finding := Eval vm_compute in after_groups known_{n} layer_{n} hint_{n}.",
            ]
            continue
        routed = "None" if hint.routed is None else f"(Some {hint.routed}%nat)"
        computed = ";\n  ".join(map(_news, hint.computed))
        lines += [
            f"Definition hint_{n} : hint := Hint {routed} {naturals(hint.winners)} [{computed}].",
            f"Definition known_{n + 1} : list finding := Eval vm_compute in {_after(hint)} known_{n} layer_{n} hint_{n}.",
        ]
    return "\n".join(lines) + "\n"


def _effort(effort: Effort) -> str:
    about = [f"OfInput {n}" for n in effort.inputs]
    if effort.total:
        (first, _), *others = effort.total
        factors = "; ".join(f"({number(dyadic(factor))},{k}%nat)" for k, factor in others)
        about.append(f"OfTotal {first} [{factors}]")
    about += [f"OfValue {k}" for k in effort.values]
    return f"Effort [{'; '.join(about)}] {effort.cutting} {effort.fuel}"


def _news(news: News) -> str:
    return f"News {news.channel} {news.value} {number(dyadic(news.within))} {naturals(news.through)} ({_effort(news.effort)})"


def _several(hint: Hint | GroupHint) -> bool:
    """Whether the layer routes several blocks at once."""
    return isinstance(hint, GroupHint)


def _mixed(hint: Hint | GroupHint) -> bool:
    """Whether the layer takes several experts of its block."""
    return isinstance(hint, Hint) and hint.mixed


def _after(hint: Hint | GroupHint) -> str:
    return "after_groups" if _several(hint) else "after_mixture" if _mixed(hint) else "after"


def _total(total: Total) -> str:
    shares = ";\n    ".join(map(_share, total.shares))
    rest = f"{naturals(total.through)} {number(dyadic(total.rest))} ({_effort(total.effort)})"
    return f"Total_ {total.channel} {total.value} {number(dyadic(total.within))} {rest} [{shares}]"


def _share(share: Share) -> str:
    factors = ";".join(f"({number(dyadic(factor))},{k}%nat)" for factor, k in share.factors)
    numbers = f"{number(dyadic(share.constant))} {number(dyadic(share.within))}"
    return f"Share [{factors}] {numbers} {naturals(share.through)} ({_effort(share.effort)})"


def _head(said: str, arithmetic: str, gaps: bool = False, mixed: bool = False) -> str:
    theory = f"Asked {'Mixtures ' if mixed else ''}{'Groups ' if gaps else ''}{ARITHMETICS[arithmetic]}Graphs"
    return f"""{said}
From Coq Require Import ZArith List.
From AtlasMoE Require Import Semantics Tasks {"Gaps " if gaps else ""}{theory}.
From Proof Require Import Weights Task Hints.
Import ListNotations.
"""


def _main_head(said: str, arithmetic: str, blocks: str, gaps: bool, reading: bool) -> str:
    """What is to be read is imported last: no other file can give a word of the theorem another meaning."""
    more = f"{' Gaps' if gaps else ''}{' Readings' if reading else ''}"
    return f"""{said}
From AtlasMoE Require Import {"Groups " if gaps else ""}{ARITHMETICS[arithmetic]}Graphs.
From Proof Require Hints Values {blocks}.
From Coq Require Import Reals ZArith List.
From AtlasMoE Require Import Semantics Tasks{more}.
From Proof Require Import Weights Task.
Import ListNotations.
"""


def values_file(arithmetic: str) -> str:
    """That values exist, and in which ranges."""
    said = comment("At every input all values exist, and lie in their ranges.")
    return f"""{_head(said, arithmetic)}
Lemma computed : G.values_accepted graph efforts ranges = true.
Proof. vm_cast_no_check (eq_refl true). Qed.
"""


def block_file(statement: GraphStatement, hints: Sequence[Hint | GroupHint], layers: range, arithmetic: str) -> str:
    """The layers of one block: what is known behind them follows from what is known before them, for all inputs."""
    design = statement.model.design
    names = [site.block for site in design.sites if site.layer in layers] + [join.node for join in design.joins if join.layer in layers]
    more, mixed = any(_several(hints[n]) for n in layers), any(_mixed(hints[n]) for n in layers)
    said = comment(f"Layers {layers[0]} to {layers[-1]}: {', '.join(names) or 'what is passed on'}")
    text = _head(said, arithmetic, gaps=more, mixed=mixed)
    for n in layers:
        if _several(hints[n]):
            text += _groups_text(n)
            continue
        after, accepted, holds = _after(hints[n]), "G.accepted_layer", "G.layer_holds"
        if _mixed(hints[n]):
            accepted, holds = "M.accepted_mixture", "M.mixture_holds"
        text += f"""
Lemma computed_{n} : {accepted} graph ranges known_{n} layer_{n} hint_{n} = true.
Proof. vm_cast_no_check (eq_refl true). Qed.
Lemma known_{n}_ : {after} known_{n} layer_{n} hint_{n} = known_{n + 1}.
Proof. vm_cast_no_check (eq_refl known_{n + 1}). Qed.
Theorem holds_{n} : G.step_holds graph ranges known_{n} layer_{n} known_{n + 1}.
Proof. exact ({holds} graph ranges known_{n} layer_{n} hint_{n} known_{n + 1} computed_{n} known_{n}_). Qed.
"""
    return text


def _groups_text(n: int) -> str:
    """Of a layer that takes one expert of each of several blocks."""
    return f"""
Lemma computed_{n} : H.accepted_groups graph ranges gaps known_{n} layer_{n} hint_{n} = true.
Proof. vm_cast_no_check (eq_refl true). Qed.
Lemma known_{n}_ : after_groups known_{n} layer_{n} hint_{n} = known_{n + 1}.
Proof. vm_cast_no_check (eq_refl known_{n + 1}). Qed.
Theorem holds_{n} : H.step_off gaps graph ranges known_{n} layer_{n} known_{n + 1}.
Proof. exact (H.groups_hold gaps graph ranges known_{n} layer_{n} hint_{n} known_{n + 1} computed_{n} known_{n}_). Qed.
"""


NUMBERS = """
A layer routes several blocks at once by logits that are 0 for one piece of each, which no continuous logits are at all real inputs. So
`error_bound_off_gaps` is about all real inputs that do not lie in the `gaps` of `Task.v`, which are between neighbouring {dtype} numbers,
one at each face of a piece, and `error_bound` about those at which the coordinates `compared` in `Task.v` are {dtype} numbers, which
lie in no gap.
"""
READING = """
The network reads the values with the numbers `network_reads` in `Task.v`: of an embedded input its image under the stored Q, which is a
node there, and of a point that stands with its coordinates on a chart the point alone.
"""
SAID = """(exists w, evaluates (nodes graph) x w) /\\
  forall w, evaluates (nodes graph) x w -> Forall2 (fun k psi => (Rabs (nth k w 0 - psi) <= D2R eps)%R) (outputs graph) (Psi {read})."""


def graph_main_file(statement: GraphStatement, parts: Sequence[range], arithmetic: str, gaps: bool) -> str:
    """The theorem about the whole network, and what it rests on."""
    blocks = " ".join(f"Block{k}" for k in range(len(parts)))
    said = comment(
        f"The theorem: the network with the stored weights follows the graph to within eps at every input{' off gaps' if gaps else ''}."
    )
    last = parts[-1][-1] + 1
    reading, of = statement.reads is not None, _of(statement)
    seen = ", of the values with the numbers [network_reads]" if reading else ""
    head = f"""{_main_head(said, arithmetic, blocks, gaps, reading)}
(** The function of real numbers that the stored weights define{seen}. *)
Definition Psi : list R -> list R := network_of network.
"""
    if gaps:
        return head + _off_gaps(statement, parts, last)
    steps = "\n".join(
        f"  apply G.Then with (gs := Hints.known_{n + 1}). exact Block{k}.holds_{n}." for k, part in enumerate(parts) for n in part
    )
    return f"""{head}
(** At every input all values of the graph exist, and however they follow, those of the network are within eps of the output. *)
Theorem error_bound : forall x, in_domain (inputs graph) x ->
  {_said(statement)}
Proof.
  change (computes{of} graph network eps).
  apply (G.composed{of} graph Hints.ranges Hints.efforts network Hints.known_{last} eps Values.computed).
{steps}
  apply G.Done. vm_cast_no_check (eq_refl true).
Qed.

Print Assumptions error_bound.
"""


def _of(statement: GraphStatement) -> str:
    """The end of names of the theory where the network does not read the coordinates one after the other."""
    return "" if statement.reads is None else "_reading network_reads"


def _said(statement: GraphStatement) -> str:
    return SAID.format(read="x" if statement.reads is None else "(pick network_reads w)")


def _off_gaps(statement: GraphStatement, parts: Sequence[range], last: int) -> str:
    """Likewise where layers tell pieces apart by numbers: of real inputs off the gaps, and of those that are numbers of the dtype."""
    several = grouped(statement)
    steps = "\n".join(
        f"  apply H.Then_off with (gs := Hints.known_{n + 1}). {'' if n in several else 'apply H.step_anywhere. '}exact Block{k}.holds_{n}."
        for k, part in enumerate(parts)
        for n in part
    )
    dtype = statement.model.network.dtype
    digits, least = DIGITS[dtype]
    of, plain = _of(statement), f"{digits} ({least}) compared"
    at = f"at_numbers {plain}" if statement.reads is None else f"at_numbers_reading {plain} network_reads"
    return f"""
(** At every input of which no coordinate lies in its gaps all values of the graph exist, and however they follow, those of the network are
    within eps of the output. *)
Theorem error_bound_off_gaps : forall x, in_domain (inputs graph) x -> off_gaps gaps x ->
  {_said(statement)}
Proof.
  change (computes_off{of} gaps graph network eps).
  apply (H.composed_off{of} gaps graph Hints.ranges Hints.efforts network Hints.known_{last} eps);
    [vm_cast_no_check (eq_refl true) | exact Values.computed | |].
{steps}
  apply H.Done_off. vm_cast_no_check (eq_refl true).
Qed.

(** Where the coordinates that gates compare are {dtype} numbers they lie in no gap. *)
Theorem error_bound : forall x, in_domain (inputs graph) x -> Forall (fun k => has_digits {digits} ({least}) (nth k x 0%R)) compared ->
  {_said(statement)}
Proof.
  apply (H.{at} gaps graph network eps);
    [vm_cast_no_check (eq_refl true) | vm_cast_no_check (eq_refl true) | exact error_bound_off_gaps].
Qed.

Definition theorems := conj error_bound_off_gaps error_bound.
Print Assumptions theorems.
"""


def graph_readme(statement: GraphStatement, arithmetic: str, point: str | None) -> str:
    """What is proved, what has to be believed, how to check it, in words."""
    task = statement.task
    routes = f"{task.pieces:,} functions, one for each choice of pieces" if task.pieces > 1 else "one function"
    numbers = NUMBERS.format(dtype=statement.model.network.dtype) if grouped(statement) else ""
    some = " `Point.v` proves that there is such an input." if point else ""
    if missing := not_shown(statement, point):
        some = f"{' `Point.v` proves that the graph has an input;' if point else ' But'} {missing}."
    files, more = ["`theory/Tasks.v`"], ""
    if numbers:
        files, more = [*files, "`theory/Gaps.v`"], ", and what a number of the dtype is"
    if statement.reads is not None:
        files, more = [*files, "`theory/Readings.v`"], f"{more}, and which of them the network reads"
    read = f"{' and '.join(files)}: how values of a graph follow from each other{more}"
    reading = READING if statement.reads is not None else ""
    at = (
        f"at every input where the coordinates that gates compare are {statement.model.network.dtype} numbers"
        if numbers
        else "at every input of the graph"
    )
    return f"""# A theorem about the model of {task.name!r}

**What is proved** (`error_bound` in `Main.v`): {at}, ends of pieces included, all its values exist, and every
component of the network's output is within ε = {statement.epsilon!r} of the graph's output, {", ".join(task[task.output].components)}.
That is one theorem about {routes}.{some} The network is the function of *real* numbers that the stored weights define.
{numbers}{reading}
**What has to be believed**

* Coq's kernel, and its virtual machine, which runs the computations.
* `theory/Semantics.v`: what a network and an expression are; {read}. There are
  no intervals in them. The other files of `theory/` need not be read: they are proved against these.
* `Task.v`: that the inputs, the nodes and ε are those that were meant. Above each expression stands the text of task.toml.
* `Weights.v`: that the numbers are those of model.safetensors. `atlasmoe prove FOLDER -o . --read-back` compares them bit by bit.
* The axioms that `Main.v` prints: those of Coq's real numbers (four classical ones), and {AXIOMS[arithmetic]}.

`Hints.v` need not be believed: it says what is known between the layers, and each `Block*.v` proves it of its own layers. Nothing of
atlasmoe has to be believed: not the compiler, not `certify` or `check`, not the program that wrote this folder.

**Check it yourself**: `make clean`, then `make` (Coq 8.16 with coq-interval, coq-flocq, coq-coquelicot; on Debian `apt-get install
--no-install-recommends coq libcoq-interval libcoq-flocq libcoq-coquelicot`). It ends with the list of axioms.
`grep -rnwE "Admitted|Axiom" --include=*.v .` finds nothing, but in comments that a name or a text of the task may bring.

**What is not said**: nothing about floating-point evaluation of the network.
"""
