(* Dyadic fractions m 2^e: sums, signs and comparisons, worked out exactly. *)
From Coq Require Import Reals ZArith Bool Lra Lia.
From AtlasMoE Require Import Semantics.
Open Scope R_scope.

Definition zero_d : dyadic := (0, 0)%Z.
Definition over_e (d : dyadic) (e : Z) : Z := (fst d * 2 ^ (snd d - e))%Z.
Definition sign (d : dyadic) : Z := Z.sgn (fst d).
Definition plus (a b : dyadic) : dyadic := let e := Z.min (snd a) (snd b) in ((over_e a e + over_e b e)%Z, e).
Definition opp (a : dyadic) : dyadic := (- fst a, snd a)%Z.
Lemma D2R_mul a b : D2R (dmul a b) = D2R a * D2R b.
Proof. unfold D2R, dmul; simpl. rewrite mult_IZR, powerRZ_add by lra. ring. Qed.
Lemma D2R_opp a : D2R (opp a) = - D2R a.
Proof. unfold D2R, opp; simpl. rewrite opp_IZR. ring. Qed.
Lemma over_e_correct d e : (e <= snd d)%Z -> IZR (over_e d e) * powerRZ 2 e = D2R d.
Proof.
  intros H. unfold over_e, D2R. rewrite mult_IZR. destruct (snd d - e)%Z as [|p|p] eqn:E; try lia.
  - assert (snd d = e) by lia. rewrite H0. simpl. ring.
  - rewrite <- Z.pow_pos_fold, Zpower_pos_nat, Zpower_nat_Z, <- pow_IZR.
    replace (snd d) with (Zpos p + e)%Z by lia. rewrite powerRZ_add by lra. simpl (powerRZ 2 (Zpos p)). ring.
Qed.
Lemma D2R_plus a b : D2R (plus a b) = D2R a + D2R b.
Proof.
  unfold plus. set (e := Z.min (snd a) (snd b)). rewrite <- (over_e_correct a e), <- (over_e_correct b e) by (unfold e; lia).
  unfold D2R. simpl. rewrite plus_IZR. ring.
Qed.
Lemma sign_pos d : sign d = 1%Z -> 0 < D2R d.
Proof. unfold sign, D2R. intros H. apply Rmult_lt_0_compat. apply IZR_lt. lia. apply powerRZ_lt; lra. Qed.
Lemma sign_neg d : sign d = (-1)%Z -> D2R d < 0.
Proof.
  unfold sign, D2R. intros H. assert (P : 0 < powerRZ 2 (snd d)) by (apply powerRZ_lt; lra). assert (IZR (fst d) < 0) by (apply IZR_lt; lia). nra.
Qed.
Lemma sign_zero d : sign d = 0%Z -> D2R d = 0.
Proof. unfold sign, D2R. intros H. replace (fst d) with 0%Z by lia. ring. Qed.
Definition nonpos d := (sign d <=? 0)%Z.
Lemma nonpos_correct d : nonpos d = true -> D2R d <= 0.
Proof.
  unfold nonpos. intros H. apply Z.leb_le in H. destruct (Z.sgn_spec (fst d)) as [[_ S]|[[_ S]|[_ S]]].
  - unfold sign in H. lia. - rewrite (sign_zero d) by (unfold sign; auto). lra. - left. apply sign_neg. auto.
Qed.
Definition same_value (a b : dyadic) : bool := (sign (plus a (opp b)) =? 0)%Z.
Lemma same_value_correct a b : same_value a b = true -> D2R a = D2R b.
Proof. unfold same_value. intros H. apply Z.eqb_eq, sign_zero in H. rewrite D2R_plus, D2R_opp in H. lra. Qed.
Definition at_most_d (a b : dyadic) : bool := nonpos (plus a (opp b)).
Lemma at_most_d_correct a b : at_most_d a b = true -> D2R a <= D2R b.
Proof. unfold at_most_d. intros H. apply nonpos_correct in H. rewrite D2R_plus, D2R_opp in H. lra. Qed.
Lemma nonneg_correct d : negb (sign d =? -1)%Z = true -> 0 <= D2R d.
Proof.
  unfold sign. intros H. apply negb_true_iff, Z.eqb_neq in H. unfold D2R. apply Rmult_le_pos. apply IZR_le. lia. left. apply powerRZ_lt; lra.
Qed.
Definition less_d (a b : dyadic) : bool := (sign (plus b (opp a)) =? 1)%Z.
Lemma less_d_correct a b : less_d a b = true -> D2R a < D2R b.
Proof. unfold less_d. intros H. apply Z.eqb_eq, sign_pos in H. rewrite D2R_plus, D2R_opp in H. lra. Qed.
Lemma D2R_zero_d : D2R zero_d = 0. Proof. unfold D2R; simpl; ring. Qed.
Definition one_d : dyadic := (1, 0)%Z.
