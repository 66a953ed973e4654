(* What it means that a gate sends a point to an expert whose chart holds it. To be read after Semantics.v. *)
From Coq Require Import Reals List.
From AtlasMoE Require Import Semantics.
Import ListNotations.
Open Scope R_scope.

(** The outputs of the last gate that are chosen at x: the [top] largest, of equal ones the first. *)
Fixpoint routes (Ls : list (layer (affine R))) (x : list R) : list nat :=
  match Ls with
  | [] => []
  | [L] => match gate L with None => [] | Some g => chosen (top L) (eval_net g (pick (sees L) x)) end
  | L :: Ls => routes Ls (eval_layer L x)
  end.
Definition routes_of (Ls : list (layer (block dyadic))) : list R -> list nat := routes (map (map_layer real) Ls).

(** The part of M that an expert was made for: of a ball where [depth], r^2 - |y - c|^2, is positive; of a chart where its forward map has a
    value, and that lies in the box of the chart and in its region. *)
Inductive domain := Ball (depth : expr) | Forward (map : list expr) (c : chart).
Definition in_domain (d : domain) (y : list R) : Prop :=
  match d with
  | Ball depth => defined depth y /\ 0 < denote depth y
  | Forward f c => Forall (fun e => defined e y) f /\ in_box (box c) (values f y) /\ Forall (fun r => 0 <= denote r (values f y)) (region c)
  end.
(** Output j of the last gate belongs to the domain that is number j, if there is one. *)
Definition belongs (domains : list (option domain)) (y : list R) (j : nat) : Prop :=
  match nth j domains None with Some d => in_domain d y | None => False end.

(** What is proved of every u of the box of a chart: every chosen output is that of the chart itself, number [own], or belongs to y. *)
Definition claimed_routes (c : chart) (own : option nat) (domains : list (option domain)) (Q : option (block dyadic)) (Ls : list (layer (block dyadic))) (u : list R) : Prop :=
  Forall (fun r => 0 <= denote r u) (region c) ->
  let y := values (inverse c) u in
  forall j, In j (routes_of Ls (embedded Q y)) -> own = Some j \/ belongs domains y j.
