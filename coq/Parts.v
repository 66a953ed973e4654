(* Boxes of coordinates in parts, each of which is a file of its own: halves of dyadic boxes, exactly. *)
From Coq Require Import Reals List ZArith Lra Lia.
From AtlasMoE Require Import Semantics Dyadics.
Import ListNotations.
Open Scope R_scope.

Inductive tree := Leaf | Cut (k : nat) (a b : tree).
Definition half : dyadic := (1, -1)%Z.
Definition middle_d (s : dyadic * dyadic) : dyadic := dmul half (plus (fst s) (snd s)).
Fixpoint halved (k : nat) (b : list (dyadic * dyadic)) : list (dyadic * dyadic) * list (dyadic * dyadic) :=
  match b, k with
  | [], _ => ([], [])
  | s :: b, O => let m := middle_d s in ((fst s, m) :: b, (m, snd s) :: b)
  | s :: b, S k => let (x, y) := halved k b in (s :: x, s :: y)
  end.
Fixpoint parts (t : tree) (b : list (dyadic * dyadic)) : list (list (dyadic * dyadic)) :=
  match t with Leaf => [b] | Cut k x y => let (l, r) := halved k b in parts x l ++ parts y r end.
Lemma halved_covers b u : in_box b u -> forall k, in_box (fst (halved k b)) u \/ in_box (snd (halved k b)) u.
Proof.
  intros H. induction H as [|s x b u S H IH]; intros k; simpl. left; destruct k; constructor.
  destruct k; simpl.
  - destruct (Rle_dec x (D2R (middle_d s))); [left|right]; constructor; simpl; auto; lra.
  - destruct (IH k) as [K|K]; destruct (halved k b); simpl in *; [left|right]; constructor; auto.
Qed.
(** Every point of the box is in one of the parts. *)
Theorem parts_cover t : forall b u, in_box b u -> exists j, (j < length (parts t b))%nat /\ in_box (nth j (parts t b) []) u.
Proof.
  induction t as [|k x IHx y IHy]; intros b u H. exists 0%nat. simpl. split; auto.
  pose proof (halved_covers b u H k) as K. simpl. destruct (halved k b) as [l r]. simpl in K. rewrite app_length. destruct K as [K|K].
  - destruct (IHx l u K) as (j & L & B). exists j. split. lia. rewrite app_nth1; auto.
  - destruct (IHy r u K) as (j & L & B). exists (length (parts x l) + j)%nat. split. lia. rewrite app_nth2 by lia. replace (_ + j - _)%nat with j by lia. auto.
Qed.
