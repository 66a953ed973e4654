(* What is said of a network that tells pieces apart by the numbers of a floating-point format: nothing between two neighbouring ones.
   With Semantics.v and Tasks.v this file is what a reader has to believe. *)
From Coq Require Import Reals List ZArith.
From AtlasMoE Require Import Semantics Tasks.
Import ListNotations.
Open Scope R_scope.

(** A gap (k, (n, e)): coordinate k does not lie between n 2^e and (n + 1) 2^e, but may be either of them. *)
Definition gap := (nat * (Z * Z))%type.
Definition off_gaps (gaps : list gap) (x : list R) : Prop :=
  Forall (fun g => let '(k, (n, e)) := g in nth k x 0 <= IZR n * powerRZ 2 e \/ IZR (n + 1) * powerRZ 2 e <= nth k x 0) gaps.

(** A number with [digits] binary digits, m 2^e with e at least [least]. The finite numbers of float64 are such with 53 and -1074, those
    of float32 with 24 and -149, subnormal ones included; no number is too large here. *)
Definition has_digits (digits least : Z) (x : R) : Prop :=
  exists m e, (Z.abs m < 2 ^ digits)%Z /\ (least <= e)%Z /\ x = IZR m * powerRZ 2 e.

(** What is said: at every input in the gaps of which no coordinate lies all values exist, and however they follow, the network is within
    eps of those that are the output. *)
Definition computes_off (gaps : list gap) (g : graph) (Ls : list (layer (block dyadic))) (eps : dyadic) : Prop :=
  forall x, in_domain (inputs g) x -> off_gaps gaps x ->
  (exists w, evaluates (nodes g) x w) /\
  forall w, evaluates (nodes g) x w -> Forall2 (fun k psi => Rabs (nth k w 0 - psi) <= D2R eps) (outputs g) (network_of Ls x).
