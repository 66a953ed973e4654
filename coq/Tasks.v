(* What a task graph says, in real arithmetic: how values follow from inputs, node after node, and what is said of a network that computes them.
   With Semantics.v this file is what a reader has to believe. *)
From Coq Require Import Reals List ZArith.
From AtlasMoE Require Import Semantics.
Import ListNotations.
Open Scope R_scope.

(** An end of an interval: there is none, or a number that belongs to it, or one that does not. *)
Inductive endpoint := Free | Closed (d : dyadic) | Open (d : dyadic).
Definition from (a : endpoint) (x : R) : Prop := match a with Free => True | Closed d => D2R d <= x | Open d => D2R d < x end.
Definition upto (b : endpoint) (x : R) : Prop := match b with Free => True | Closed d => x <= D2R d | Open d => x < D2R d end.

(** A piece of a block: in which intervals which of the earlier values lie there, and the functions of all earlier values that hold there. *)
Record piece := Piece { sides : list (nat * (endpoint * endpoint)); functions : list expr }.
Definition owns (p : piece) (v : list R) : Prop :=
  Forall (fun s => from (fst (snd s)) (nth (fst s) v 0) /\ upto (snd (snd s)) (nth (fst s) v 0)) (sides p).

(** A node is one piece or several. Its values are those of a piece that owns the values before it, where these functions have values;
    they are put behind the values before it. *)
Definition node := list piece.
Fixpoint evaluates (nodes : list node) (v w : list R) : Prop :=
  match nodes with
  | [] => w = v
  | n :: nodes => exists p, In p n /\ owns p v /\ Forall (fun e => defined e v) (functions p) /\ evaluates nodes (v ++ values (functions p) v) w
  end.

(** Inputs are points, each of the union of the images of some charts, one behind the other. A box is a chart that leaves its points as they are. *)
Definition on_charts (M : list chart) (y : list R) : Prop := exists c u, In c M /\ point_of c u y.
Fixpoint in_domain (inputs : list (list chart)) (x : list R) : Prop :=
  match inputs with [] => x = [] | M :: inputs => exists y z, x = y ++ z /\ on_charts M y /\ in_domain inputs z end.

(** The numbers of the values that are the output. *)
Record graph := Graph { inputs : list (list chart); nodes : list node; outputs : list nat }.

(** What is said: at every input all values exist, and however they follow, the network is within eps of those that are the output. *)
Definition computes (g : graph) (Ls : list (layer (block dyadic))) (eps : dyadic) : Prop :=
  forall x, in_domain (inputs g) x ->
  (exists w, evaluates (nodes g) x w) /\
  forall w, evaluates (nodes g) x w -> Forall2 (fun k psi => Rabs (nth k w 0 - psi) <= D2R eps) (outputs g) (network_of Ls x).
