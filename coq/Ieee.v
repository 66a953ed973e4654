(* What Floats.v says of one operation is what Flocq proves of IEEE 754's: its binary64, with infinities, NaN and signed zeros. *)
From Coq Require Import Reals ZArith.
From Flocq Require Import Core IEEE754.Binary IEEE754.Bits.
From Flocq Require IEEE754.BinarySingleNaN.
From AtlasMoE Require Import Floats.
Open Scope R_scope.

Definition real_of (x : binary64) : R := B2R 53%Z 1024%Z x.
Definition finite (x : binary64) : bool := is_finite 53%Z 1024%Z x.
(** [r] is the finite value of x, or there is none. *)
Definition is_value (x : binary64) (o : option R) : Prop :=
  match o with Some r => finite x = true /\ real_of x = r | None => finite x = false end.

Lemma overflow_is_none s (x : binary64) : B2FF 53%Z 1024%Z x = binary_overflow 53%Z 1024%Z BinarySingleNaN.mode_NE s -> finite x = false.
Proof. destruct x; simpl; auto; discriminate. Qed.
Theorem plus_is_rounded x y : finite x = true -> finite y = true -> is_value (b64_plus BinarySingleNaN.mode_NE x y) (rounded (real_of x + real_of y)).
Proof.
  intros Fx Fy. pose proof (Bplus_correct 53%Z 1024%Z eq_refl eq_refl binop_nan_pl64 BinarySingleNaN.mode_NE x y Fx Fy) as H. unfold rounded.
  change (round radix2 (SpecFloat.fexp 53%Z 1024%Z) (BinarySingleNaN.round_mode BinarySingleNaN.mode_NE) (B2R 53%Z 1024%Z x + B2R 53%Z 1024%Z y)) with (nearest (real_of x + real_of y)) in H.
  revert H. destruct (Rlt_bool_spec (Rabs (nearest (real_of x + real_of y))) (bpow radix2 1024)) as [L|L]; intros H; destruct (Rlt_dec _ _); try (exfalso; apply (Rlt_irrefl (bpow radix2 1024)); eapply Rle_lt_trans; eauto; fail); try contradiction.
  - destruct H as (E & F & _). split; auto. - destruct H as (E & _). apply overflow_is_none with (1 := E).
Qed.
Theorem mult_is_rounded x y : finite x = true -> finite y = true -> is_value (b64_mult BinarySingleNaN.mode_NE x y) (rounded (real_of x * real_of y)).
Proof.
  intros Fx Fy. pose proof (Bmult_correct 53%Z 1024%Z eq_refl eq_refl binop_nan_pl64 BinarySingleNaN.mode_NE x y) as H. unfold rounded.
  change (round radix2 (SpecFloat.fexp 53%Z 1024%Z) (BinarySingleNaN.round_mode BinarySingleNaN.mode_NE) (B2R 53%Z 1024%Z x * B2R 53%Z 1024%Z y)) with (nearest (real_of x * real_of y)) in H.
  revert H. destruct (Rlt_bool_spec (Rabs (nearest (real_of x * real_of y))) (bpow radix2 1024)) as [L|L]; intros H; destruct (Rlt_dec _ _); try (exfalso; apply (Rlt_irrefl (bpow radix2 1024)); eapply Rle_lt_trans; eauto; fail); try contradiction.
  - destruct H as (E & F & _). split; auto. unfold finite in *. rewrite Fx, Fy in F. exact F. - apply overflow_is_none with (1 := H).
Qed.
Theorem fma_is_rounded x y z : finite x = true -> finite y = true -> finite z = true -> is_value (b64_fma BinarySingleNaN.mode_NE x y z) (rounded (real_of x * real_of y + real_of z)).
Proof.
  intros Fx Fy Fz. pose proof (Bfma_correct 53%Z 1024%Z eq_refl eq_refl ternop_nan_pl64 BinarySingleNaN.mode_NE x y z Fx Fy Fz) as H. cbv zeta in H. unfold rounded.
  change (round radix2 (SpecFloat.fexp 53%Z 1024%Z) (BinarySingleNaN.round_mode BinarySingleNaN.mode_NE) (B2R 53%Z 1024%Z x * B2R 53%Z 1024%Z y + B2R 53%Z 1024%Z z)) with (nearest (real_of x * real_of y + real_of z)) in H.
  revert H. destruct (Rlt_bool_spec (Rabs (nearest (real_of x * real_of y + real_of z))) (bpow radix2 1024)) as [L|L]; intros H; destruct (Rlt_dec _ _); try (exfalso; apply (Rlt_irrefl (bpow radix2 1024)); eapply Rle_lt_trans; eauto; fail); try contradiction.
  - destruct H as (E & F & _). split; auto. - apply overflow_is_none with (1 := H).
Qed.
