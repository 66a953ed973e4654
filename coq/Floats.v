(* What an evaluation of a network in IEEE 754 binary64 may give, round to nearest, ties to even, sums in any order, with or without
   fused multiplications; and what is said of it. To be read after Semantics.v: what it says of floats has to be believed. *)
From Coq Require Import Reals List ZArith Permutation.
From Flocq Require Import Core.
From AtlasMoE Require Import Semantics.
Import ListNotations.
Open Scope R_scope.

(** * One operation: the exact result, rounded; None where it overflows. Underflow is gradual. *)
Definition nearest (z : R) : R := round radix2 (FLT_exp (-1074) 53) ZnearestE z.
Definition rounded (z : R) : option R := if Rlt_dec (Rabs (nearest z)) (bpow radix2 1024) then Some (nearest z) else None.

(** * What an evaluation may give: values, or None where something overflows. Several may be possible, as orders of sums are left open. *)
Definition may (A : Type) := option A -> Prop.
Definition gives {A} (a : option A) : may A := fun o => o = a.
Definition anything {A} : may A := fun _ => True.
Definition chain {A B} (m : may A) (next : A -> may B) : may B :=
  fun o => exists a, m a /\ match a with None => o = None | Some a => next a o end.
Fixpoint each {A} (ms : list (may A)) : may (list A) :=
  match ms with [] => gives (Some []) | m :: ms => chain m (fun a => chain (each ms) (fun r => gives (Some (a :: r)))) end.

(** * Sums of products. Any order: what stands in two lists may be added up apart, and the sums added; a product may be fused with a sum;
   what is multiplied by 0 may be left out. *)
Inductive adds : list (R * R) -> option R -> Prop :=
| Nothing : adds [] (Some 0)
| Product w x : adds [(w, x)] (rounded (w * x))
| Sum l m a b : adds l (Some a) -> adds m (Some b) -> adds (l ++ m) (rounded (a + b))
| Fused w x l a : adds l (Some a) -> adds ((w, x) :: l) (rounded (w * x + a))
| Skipped x l a : adds l a -> adds ((0, x) :: l) a
| Lost l m : adds l None -> adds (l ++ m) None
| Ordered l m a : Permutation l m -> adds l a -> adds m a.

Definition fl_run (a : affine R) (x : list R) : may (list R) :=
  each (map (fun rb => adds (combine (fst rb) x ++ [(snd rb, 1)])) (combine (fst a) (snd a))).
(** Activations that are made of exp are no operation of IEEE 754: nothing is said of them. *)
Definition fl_activate (f : activation) (x : R) : may R :=
  match f with Identity => gives (Some x) | Relu => gives (Some (relu x)) | Relu2 => gives (rounded (relu x * relu x)) | _ => anything end.
Fixpoint fl_bend (fs : list activation) (x : list R) : list (may R) :=
  match fs, x with f :: fs, z :: x => fl_activate f z :: fl_bend fs x | _, _ => [] end.
Fixpoint fl_times (x y : list R) : list (may R) :=
  match x, y with a :: x, b :: y => gives (rounded (a * b)) :: fl_times x y | _, _ => [] end.
Definition fl_hidden (h : hidden (affine R)) (x : list R) : may (list R) :=
  chain (fl_run (into h) x) (fun z => chain (each (fl_bend (acts h) z)) (fun z =>
    match lanes h with None => gives (Some z) | Some up => chain (fl_run up x) (fun y => each (fl_times z y)) end)).
Fixpoint fl_layers (hs : list (hidden (affine R))) (x : list R) : may (list R) :=
  match hs with [] => gives (Some x) | h :: hs => chain (fl_hidden h x) (fl_layers hs) end.
Definition fl_net (n : net (affine R)) (x : list R) : may (list R) := chain (fl_layers (fst n) x) (fl_run (snd n)).

(** * Layers: one expert, that of the first largest of the computed logits, with the weight 1. *)
Definition fl_inner (L : layer (affine R)) (x : list R) : may (list R) :=
  let y := pick (reads L) x in match latent L with None => gives (Some y) | Some a => fl_run a y end.
Definition fl_expert (L : layer (affine R)) (x : list R) (j : nat) : may (list R) :=
  chain (fl_inner L x) (fl_net (nth (nth j (serves L) 0%nat) (experts L) ([], ([], [])))).
Definition fl_shared (L : layer (affine R)) (x : list R) : may (list R) :=
  match shared L with None => gives (Some []) | Some n => fl_net n (pick (reads L) x) end.
(** What is added up where it leaves: the channel that is carried there, the expert's output, that of the shared expert. *)
Definition parts (L : layer (affine R)) (x out sh : list R) (p : option nat * option nat) : list (R * R) :=
  match fst p with None => [] | Some c => [(1, nth c x 0)] end ++
  match snd p with None => [] | Some i => (1, nth i out 0) :: match shared L with None => [] | Some _ => [(1, nth i sh 0)] end end.
Definition fl_leaving (L : layer (affine R)) (x out : list R) : may (list R) :=
  chain (fl_shared L x) (fun sh => each (map (fun p => adds (parts L x out sh p)) (leaves L))).
Definition fl_layer (L : layer (affine R)) (x : list R) : may (list R) :=
  match gate L with
  | None => chain (fl_expert L x 0) (fl_leaving L x)
  | Some g =>
    match top L with
    | S O => chain (fl_net g (pick (sees L) x)) (fun l => match chosen 1 l with j :: _ => chain (fl_expert L x j) (fl_leaving L x) | [] => anything end)
    | _ => anything
    end
  end.
Fixpoint fl_moe (Ls : list (layer (affine R))) (x : list R) : may (list R) :=
  match Ls with [] => gives (Some x) | L :: Ls => chain (fl_layer L x) (fl_moe Ls) end.
Definition fl_network_of (Ls : list (layer (block dyadic))) : list R -> may (list R) := fl_moe (map (map_layer real) Ls).

(** * What is said: no evaluation at a vector of numbers x near the point y of M overflows, and the result is close to f. *)
Definition off (d : dyadic) (y x : list R) : Prop := Forall2 (fun a b => Rabs (b - a) <= D2R d) y x.
Definition ulp_of (k : Z) : dyadic := (1, k - 52)%Z.
(** Numbers of M are at most 2^k, and x is within 2^(k - 52) of them. *)
Definition claimed_floats (c : chart) (by_chart : bool) (f : list expr) (Q : option (block dyadic)) (Ls : list (layer (block dyadic)))
    (k : Z) (eps : dyadic) (u : list R) : Prop :=
  Forall (fun r => 0 <= denote r u) (region c) ->
  let y := values (inverse c) u in
  Forall (fun v => Rabs v <= D2R (1, k)%Z) (embedded Q y) /\
  forall x, off (ulp_of k) (embedded Q y) x -> forall o, fl_network_of Ls x o ->
    exists psi, o = Some psi /\ close eps f (if by_chart then u else y) psi.
