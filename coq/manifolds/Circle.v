(* A circle is covered by n arcs, evenly spaced, each a share of 1/n of it and more. *)
From Coq Require Import Reals Lra Psatz Lia.
Open Scope R_scope.

Lemma angle x y : x * x + y * y = 1 -> exists t, 0 <= t <= 2 * PI /\ x = cos t /\ y = sin t.
Proof.
  intros H. pose proof PI_RGT_0 as P. assert (B : -1 <= x <= 1) by nra. pose proof (acos_bound x) as [A1 A2].
  assert (S : sin (acos x) = sqrt (1 - x * x)) by (rewrite sin_acos by auto; unfold Rsqr; auto).
  assert (Y : sqrt (1 - x * x) = Rabs y) by (replace (1 - x * x) with (Rsqr y) by (unfold Rsqr; lra); apply sqrt_Rsqr_abs).
  destruct (Rle_dec 0 y) as [L|L].
  - exists (acos x). rewrite cos_acos, S, Y by auto. rewrite Rabs_right by lra. lra.
  - exists (2 * PI - acos x). replace (2 * PI - acos x) with (- acos x + 2 * INR 1 * PI) by (simpl; ring).
    rewrite cos_period, sin_period, cos_neg, sin_neg, cos_acos, S, Y by auto. rewrite Rabs_left by lra. simpl. lra.
Qed.
(** The arc whose centre is nearest. *)
Lemma nearest n t : (0 < n)%nat -> 0 <= t <= 2 * PI -> exists i u, (i <= n)%nat /\ - PI <= INR n * u <= PI /\ t = 2 * PI * INR i / INR n + u.
Proof.
  intros N T. pose proof PI_RGT_0 as P. assert (Q : 0 < INR n) by (apply lt_0_INR; auto).
  assert (H : forall m, INR n * t <= (2 * INR m + 1) * PI -> exists i, (i <= m)%nat /\ - PI <= INR n * t - 2 * PI * INR i <= PI).
  { induction m as [|m IH]; intros K.
    - exists 0%nat. split; auto. simpl INR in *. nra.
    - destruct (Rle_dec (INR n * t) ((2 * INR m + 1) * PI)) as [L|L].
      + destruct (IH L) as (i & I & J). exists i. split; auto.
      + exists (S m). split; auto. rewrite S_INR in *. nra. }
  destruct (H n) as (i & I & J). nra. exists i, (t - 2 * PI * INR i / INR n). split; auto. split. 2: lra.
  replace (INR n * (t - 2 * PI * INR i / INR n)) with (INR n * t - 2 * PI * INR i) by (field; lra). auto.
Qed.
(** cos and sin of c + u, with c = 2 PI i / n *)
Definition at_angle (i n : nat) (u x y : R) := x = cos (2 * PI * INR i / INR n + u) /\ y = sin (2 * PI * INR i / INR n + u).
Lemma covered n x y : (0 < n)%nat -> x * x + y * y = 1 -> exists i u, (i < n)%nat /\ - 4 <= INR n * u <= 4 /\ at_angle i n u x y.
Proof.
  intros N H. pose proof PI_4 as F. destruct (angle x y H) as (t & T & X & Y). destruct (nearest n t N T) as (i & u & I & U & ->).
  assert (Q : 0 < INR n) by (apply lt_0_INR; auto). destruct (Nat.eq_dec i n) as [->|D].
  - exists 0%nat, u. split. auto. split. lra. split; [rewrite X | rewrite Y]; replace (2 * PI * INR n / INR n + u) with (u + 2 * INR 1 * PI) by (simpl; field; lra);
      rewrite ?cos_period, ?sin_period; f_equal; simpl; field; lra.
  - exists i, u. split. lia. split. lra. split; auto.
Qed.

(** Quarters of a turn, as they are left out where an arc is written down. *)
Lemma cos_0 a b : a = b -> cos a = cos b. Proof. intros; subst; auto. Qed.
Lemma cos_1 a b : a = b + PI / 2 -> cos a = - sin b. Proof. intros ->. rewrite cos_plus, cos_PI2, sin_PI2. ring. Qed.
Lemma cos_2 a b : a = b + PI -> cos a = - cos b. Proof. intros ->. apply neg_cos. Qed.
Lemma cos_3 a b : a = b + 3 * (PI / 2) -> cos a = sin b. Proof. intros ->. rewrite cos_plus, cos_3PI2, sin_3PI2. ring. Qed.
Lemma cos_4 a b : a = b + 2 * PI -> cos a = cos b. Proof. intros ->. rewrite cos_plus, cos_2PI, sin_2PI. ring. Qed.
Lemma sin_0 a b : a = b -> sin a = sin b. Proof. intros; subst; auto. Qed.
Lemma sin_1 a b : a = b + PI / 2 -> sin a = cos b. Proof. intros ->. rewrite sin_plus, cos_PI2, sin_PI2. ring. Qed.
Lemma sin_2 a b : a = b + PI -> sin a = - sin b. Proof. intros ->. apply neg_sin. Qed.
Lemma sin_3 a b : a = b + 3 * (PI / 2) -> sin a = - cos b. Proof. intros ->. rewrite sin_plus, cos_3PI2, sin_3PI2. ring. Qed.
Lemma sin_4 a b : a = b + 2 * PI -> sin a = sin b. Proof. intros ->. rewrite sin_plus, cos_2PI, sin_2PI. ring. Qed.
