(* What is said of a network that does not read the coordinates of a graph's inputs one after the other, but values with some numbers: coordinates
   that others stand beside (those on a chart, which it never sees), or images of these under an isometry, computed by a node of the graph.
   With Semantics.v and Tasks.v, and Gaps.v where it is named, this file is what a reader has to believe. *)
From Coq Require Import Reals List ZArith.
From AtlasMoE Require Import Semantics Tasks Gaps.
Import ListNotations.
Open Scope R_scope.

(** At every input all values exist, and however they follow, the network, which reads those with the numbers [reads], is within eps of
    those that are the output. *)
Definition computes_reading (reads : list nat) (g : graph) (Ls : list (layer (block dyadic))) (eps : dyadic) : Prop :=
  forall x, in_domain (inputs g) x ->
  (exists w, evaluates (nodes g) x w) /\
  forall w, evaluates (nodes g) x w -> Forall2 (fun k psi => Rabs (nth k w 0 - psi) <= D2R eps) (outputs g) (network_of Ls (pick reads w)).

(** Likewise at every input in the gaps of which no coordinate lies. *)
Definition computes_off_reading (reads : list nat) (gaps : list gap) (g : graph) (Ls : list (layer (block dyadic))) (eps : dyadic) : Prop :=
  forall x, in_domain (inputs g) x -> off_gaps gaps x ->
  (exists w, evaluates (nodes g) x w) /\
  forall w, evaluates (nodes g) x w -> Forall2 (fun k psi => Rabs (nth k w 0 - psi) <= D2R eps) (outputs g) (network_of Ls (pick reads w)).
