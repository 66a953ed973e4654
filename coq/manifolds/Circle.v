(* Four arcs, each a quarter of the circle and more, cover it. *)
From Coq Require Import Reals Lra Psatz.
Open Scope R_scope.

Lemma right x y : x * x + y * y = 1 -> Rabs y <= x -> exists u, -1 <= u <= 1 /\ x = cos u /\ y = sin u.
Proof.
  intros H A. assert (B : - x <= y <= x). { revert A. unfold Rabs. destruct (Rcase_abs y); lra. }
  assert (P : 0 < x) by nra. exists (atan (y / x)).
  assert (S : sqrt (1 + (y / x)²) = / x).
  { replace (1 + (y / x)²) with ((/ x)²). apply sqrt_Rsqr. left. apply Rinv_0_lt_compat; auto. unfold Rsqr. field_simplify_eq; [nra | lra]. }
  assert (T : -1 <= y / x <= 1). { unfold Rdiv. split; apply Rmult_le_reg_r with x; auto; rewrite Rmult_assoc, Rinv_l by lra; lra. }
  assert (F : PI / 4 <= 1) by (pose proof PI_4; lra).
  assert (M : atan (y / x) <= PI / 4). { rewrite <- atan_1. destruct (Req_dec (y / x) 1) as [->|N]. lra. left. apply atan_increasing. lra. }
  assert (N : - (PI / 4) <= atan (y / x)). { rewrite <- atan_1, <- atan_opp. destruct (Req_dec (y / x) (- (1))) as [->|N]. lra. left. apply atan_increasing. lra. }
  split. lra. rewrite cos_atan, sin_atan, S. split; field; lra.
Qed.

Lemma covered x y : x * x + y * y = 1 ->
  exists u, -1 <= u <= 1 /\ ((x = cos u /\ y = sin u) \/ (x = - sin u /\ y = cos u) \/ (x = - cos u /\ y = - sin u) \/ (x = sin u /\ y = - cos u)).
Proof.
  intros H. destruct (Rle_dec (Rabs y) (Rabs x)) as [L|L].
  - destruct (Rle_dec 0 x) as [Z|Z].
    + rewrite (Rabs_right x) in L by lra. destruct (right x y H L) as (u & U & E). exists u. auto.
    + rewrite (Rabs_left x) in L by lra. destruct (right (- x) (- y) ltac:(lra)) as (u & U & E1 & E2). rewrite Rabs_Ropp. lra.
      exists u. split; auto. right. right. left. lra.
  - destruct (Rle_dec 0 y) as [Z|Z].
    + rewrite (Rabs_right y) in L by lra. destruct (right y (- x) ltac:(lra)) as (u & U & E1 & E2). rewrite Rabs_Ropp. lra.
      exists u. split; auto. right. left. lra.
    + rewrite (Rabs_left y) in L by lra. destruct (right (- y) x ltac:(lra)) as (u & U & E1 & E2). lra.
      exists u. split; auto. right. right. right. lra.
Qed.
