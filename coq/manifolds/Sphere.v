(* Two stereographic charts cover the sphere. *)
From Coq Require Import Reals Lra Psatz.
Open Scope R_scope.

Definition north (u v : R) := (2 * u / (1 + (u * u + v * v)), 2 * v / (1 + (u * u + v * v)), (1 - (u * u + v * v)) / (1 + (u * u + v * v))).

Lemma above x y z : x * x + y * y + z * z = 1 -> 0 <= z -> exists u v, -1 <= u <= 1 /\ -1 <= v <= 1 /\ north u v = (x, y, z).
Proof.
  intros H Z. assert (D : 0 < 1 + z) by lra. exists (x / (1 + z)), (y / (1 + z)).
  assert (B : forall a, a * a <= 1 - z * z -> -1 <= a / (1 + z) <= 1).
  { intros a Ha. assert (a * a <= (1 + z) * (1 + z)) by nra. assert (- (1 + z) <= a <= 1 + z) by nra. unfold Rdiv. split.
    apply Rmult_le_reg_r with (1 + z); auto. rewrite Rmult_assoc, Rinv_l by lra. lra.
    apply Rmult_le_reg_r with (1 + z); auto. rewrite Rmult_assoc, Rinv_l by lra. lra. }
  split. apply B; nra. split. apply B; nra.
  assert (E : 1 + (x / (1 + z) * (x / (1 + z)) + y / (1 + z) * (y / (1 + z))) = 2 / (1 + z)) by (field_simplify_eq; [nra | lra]).
  unfold north. rewrite E.
  replace (1 - (x / (1 + z) * (x / (1 + z)) + y / (1 + z) * (y / (1 + z)))) with (2 - 2 / (1 + z)) by lra.
  f_equal; [f_equal|]; field; lra.
Qed.

(** Every point is below the equator or not. *)
Lemma covered x y z : x * x + y * y + z * z = 1 ->
  exists u v, -1 <= u <= 1 /\ -1 <= v <= 1 /\ (north u v = (x, y, z) \/ north u v = (x, y, - z)).
Proof.
  intros H. destruct (Rle_dec 0 z) as [Z|Z].
  - destruct (above x y z H Z) as (u & v & U & V & E). exists u, v. auto.
  - destruct (above x y (- z) ltac:(lra) ltac:(lra)) as (u & v & U & V & E). exists u, v. auto.
Qed.
