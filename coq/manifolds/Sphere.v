(* Two stereographic charts cover the sphere, and so do its hemispheres cut off where another coordinate is larger; in any dimension. *)
From Coq Require Import Reals List Lra Psatz.
Import ListNotations.
Open Scope R_scope.

Fixpoint squares (x : list R) : R := match x with [] => 0 | a :: x => a * a + squares x end.
Lemma squares_nonneg x : 0 <= squares x.
Proof. induction x; simpl; nra. Qed.
Lemma squares_scale c x : squares (map (Rmult c) x) = c * c * squares x.
Proof. induction x; simpl. ring. rewrite IHx. ring. Qed.
Lemma below_squares x a : In a x -> a * a <= squares x.
Proof. induction x as [|b x IH]; simpl; intros H. contradiction. pose proof (squares_nonneg x). destruct H as [->|H]. nra. specialize (IH H). nra. Qed.

(** A point of the upper half has coordinates u with |u| at most 1. *)
Lemma above x z : squares x + z * z = 1 -> 0 <= z -> exists u, length u = length x /\ Forall (fun a => -1 <= a <= 1) u /\
  x = map (fun a => 2 * a / (1 + squares u)) u /\ z = (1 - squares u) / (1 + squares u).
Proof.
  intros H Z. assert (D : 0 < 1 + z) by lra. set (c := / (1 + z)). exists (map (Rmult c) x).
  assert (E : squares (map (Rmult c) x) = (1 - z) / (1 + z)).
  { rewrite squares_scale. replace (squares x) with ((1 - z) * (1 + z)) by lra. unfold c. field. lra. }
  assert (F : 1 + (1 - z) / (1 + z) = 2 / (1 + z)) by (field; lra). rewrite E, F. split. apply map_length. split; [|split].
  - apply Forall_forall. intros a Ha. pose proof (below_squares _ _ Ha) as B. rewrite E in B.
    assert ((1 - z) / (1 + z) <= 1). { apply Rmult_le_reg_r with (1 + z); auto. unfold Rdiv. rewrite Rmult_assoc, Rinv_l; lra. } nra.
  - rewrite map_map. rewrite <- (map_id x) at 1. apply map_ext. intros a. unfold c. field. lra.
  - field. lra.
Qed.
(** Every point is below the equator or not. *)
Lemma covered x z : squares x + z * z = 1 -> exists u, length u = length x /\ Forall (fun a => -1 <= a <= 1) u /\
  x = map (fun a => 2 * a / (1 + squares u)) u /\ (z = (1 - squares u) / (1 + squares u) \/ z = - ((1 - squares u) / (1 + squares u))).
Proof.
  intros H. destruct (Rle_dec 0 z) as [Z|Z].
  - destruct (above x z H Z) as (u & L & U & X & E). exists u. auto.
  - destruct (above x (- z)) as (u & L & U & X & E); try lra. exists u. repeat split; auto. right. lra.
Qed.

(** Some coordinate is not smaller than the others: its square is 1/n of the whole at least. *)
Lemma largest x : x <> [] -> exists a, In a x /\ squares x <= INR (length x) * (a * a).
Proof.
  induction x as [|b x IH]; intros H. congruence. destruct x as [|c x]. { exists b. simpl. split; auto. lra. }
  destruct IH as (a & I & A). congruence. pose proof (pos_INR (length (c :: x))) as P. change (length (b :: c :: x)) with (S (length (c :: x))). rewrite S_INR.
  change (squares (b :: c :: x)) with (b * b + squares (c :: x)). destruct (Rle_dec (a * a) (b * b)).
  - exists b. split. left; auto. nra. - exists a. split. right; auto. nra.
Qed.
Lemma root_of a s : a * a = s -> a = sqrt s \/ a = - sqrt s.
Proof.
  intros <-. destruct (Rle_dec 0 a). left. symmetry. apply sqrt_square; auto.
  right. replace (a * a) with (- a * - a) by ring. rewrite sqrt_square; lra.
Qed.
Lemma same_root a b : a = b -> sqrt a = sqrt b.
Proof. intros; subst; auto. Qed.
Lemma within a c w : a * a <= c -> c <= w * w -> 0 <= w -> - w <= a <= w.
Proof. intros; split; nra. Qed.
Lemma square_nonneg a : 0 <= a * a.
Proof. nra. Qed.
