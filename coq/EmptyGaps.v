(* Gaps between neighbouring numbers: no number of the format lies in one, and off them ends of pieces may be moved to the next number (N15). *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From AtlasMoE Require Import Semantics Tasks Gaps Dyadics.
Import ListNotations.
Open Scope R_scope.

Definition low_end (g : gap) : dyadic := snd g.
Definition high_end (g : gap) : dyadic := (fst (snd g) + 1, snd (snd g))%Z.
(** A number below 2^digits 2^e is a multiple of 2^e, or smaller than n 2^e and (n + 1) 2^e are if these have all digits. *)
Definition empty_gap (digits least : Z) (g : gap) : bool :=
  let '(_, (n, e)) := g in (1 <=? digits)%Z && ((e =? least)%Z || ((2 ^ (digits - 1) <=? Z.abs n)%Z && (2 ^ (digits - 1) <=? Z.abs (n + 1))%Z)).
Lemma multiple_off n e m f : (e <= f)%Z -> IZR m * powerRZ 2 f <= IZR n * powerRZ 2 e \/ IZR (n + 1) * powerRZ 2 e <= IZR m * powerRZ 2 f.
Proof.
  intros H. assert (P : 0 < powerRZ 2 e) by (apply powerRZ_lt; lra).
  pose proof (over_e_correct (m, f) e H) as E. unfold D2R in E. simpl in E. rewrite <- E. set (z := over_e (m, f) e).
  destruct (Z.le_gt_cases z n) as [L|L]; [left|right]; apply Rmult_le_compat_r; try lra; apply IZR_le; lia.
Qed.
Lemma empty_gap_correct digits least g x : empty_gap digits least g = true -> has_digits digits least (nth (fst g) x 0) -> off_gaps [g] x.
Proof.
  destruct g as [k [n e]]. simpl. intros H (m & f & Hm & Hf & E). constructor; [|constructor]. rewrite E. clear E. apply andb_prop in H. destruct H as [D H]. apply Z.leb_le in D.
  apply orb_prop in H. destruct H as [H|H]. { apply Z.eqb_eq in H. subst. apply multiple_off; auto. }
  destruct (Z.le_gt_cases e f) as [L|L]. { apply multiple_off; auto. }
  apply andb_prop in H. destruct H as [H1 H2]. apply Z.leb_le in H1. apply Z.leb_le in H2.
  assert (P : 0 < powerRZ 2 e) by (apply powerRZ_lt; lra). assert (P' : 0 < powerRZ 2 f) by (apply powerRZ_lt; lra).
  assert (S : powerRZ 2 f * 2 <= powerRZ 2 e).
  { replace e with (f + 1 + (e - f - 1))%Z by lia. rewrite !powerRZ_add by lra. simpl (powerRZ 2 1). destruct (e - f - 1)%Z as [|p|p] eqn:Q; try lia; simpl powerRZ; [lra|].
    assert (1 <= 2 ^ Pos.to_nat p) by (apply pow_R1_Rle; lra). nra. }
  assert (T : (2 ^ digits = 2 * 2 ^ (digits - 1))%Z) by (rewrite <- Z.pow_succ_r by lia; f_equal; lia).
  assert (U : (0 < 2 ^ (digits - 1))%Z) by (apply Z.pow_pos_nonneg; lia). set (b := (2 ^ (digits - 1))%Z) in *.
  assert (A : Rabs (IZR m * powerRZ 2 f) <= IZR b * powerRZ 2 e).
  { rewrite Rabs_mult, (Rabs_right (powerRZ 2 f)) by lra. rewrite <- abs_IZR. assert (IZR (Z.abs m) <= IZR b * 2). { rewrite <- mult_IZR. apply IZR_le. lia. }
    assert (0 <= IZR b) by (apply IZR_le; lia). nra. }
  pose proof (Rle_abs (IZR m * powerRZ 2 f)) as A1. pose proof (Rle_abs (- (IZR m * powerRZ 2 f))) as A2. rewrite Rabs_Ropp in A2.
  destruct (Z.le_gt_cases b n) as [L1|L1].
  - left. apply Rle_trans with (IZR b * powerRZ 2 e). lra. apply Rmult_le_compat_r. lra. apply IZR_le; auto.
  - right. apply Rle_trans with (- (IZR b * powerRZ 2 e)). 2: lra. rewrite <- Ropp_mult_distr_l_reverse, <- opp_IZR. apply Rmult_le_compat_r. lra. apply IZR_le. lia.
Qed.
Lemma empty_gaps_correct digits least gaps x : forallb (empty_gap digits least) gaps = true -> Forall (fun g => has_digits digits least (nth (fst g) x 0)) gaps -> off_gaps gaps x.
Proof.
  intros E H. induction H as [|g gaps Hg H IH]; simpl in *. constructor. apply andb_prop in E. destruct E as [E1 E2].
  pose proof (empty_gap_correct _ _ _ _ E1 Hg) as Q. inversion Q; subst. constructor; auto. apply IH; auto.
Qed.
Definition raised (k : nat) (a : endpoint) (g : gap) : endpoint :=
  if Nat.eqb (fst g) k && match a with Free => false | Closed d => less_d (low_end g) d && at_most_d d (high_end g) | Open d => at_most_d (low_end g) d && less_d d (high_end g) end
  then Closed (high_end g) else a.
Definition lowered (k : nat) (b : endpoint) (g : gap) : endpoint :=
  if Nat.eqb (fst g) k && match b with Free => false | Closed d => at_most_d (low_end g) d && less_d d (high_end g) | Open d => less_d (low_end g) d && at_most_d d (high_end g) end
  then Closed (low_end g) else b.
Definition sharpened (gaps : list gap) (p : piece) : piece :=
  Piece (map (fun s => (fst s, (fold_left (raised (fst s)) gaps (fst (snd s)), fold_left (lowered (fst s)) gaps (snd (snd s))))) (sides p)) (functions p).
Definition off (w : list R) (g : gap) : Prop := nth (fst g) w 0 <= D2R (low_end g) \/ D2R (high_end g) <= nth (fst g) w 0.
Lemma off_gaps_off gaps w : off_gaps gaps w <-> Forall (off w) gaps.
Proof. unfold off_gaps. split; apply Forall_impl; intros [k [n e]]; unfold off, low_end, high_end, D2R; simpl; auto. Qed.
Lemma raised_correct w k a g : off w g -> from a (nth k w 0) -> from (raised k a g) (nth k w 0).
Proof.
  unfold raised, off. intros O F. destruct (Nat.eqb_spec (fst g) k) as [E0|]; simpl; auto. subst k. destruct a as [|d|d]; simpl in *; auto.
  - destruct (less_d _ _ && _) eqn:E; auto. apply andb_prop in E. destruct E as [E1 E2]. apply less_d_correct in E1. simpl. lra.
  - destruct (_ && _) eqn:E; auto. apply andb_prop in E. destruct E as [E1 E2]. apply at_most_d_correct in E1. simpl. lra.
Qed.
Lemma lowered_correct w k b g : off w g -> upto b (nth k w 0) -> upto (lowered k b g) (nth k w 0).
Proof.
  unfold lowered, off. intros O F. destruct (Nat.eqb_spec (fst g) k) as [E0|]; simpl; auto. subst k. destruct b as [|d|d]; simpl in *; auto.
  - destruct (_ && _) eqn:E; auto. apply andb_prop in E. destruct E as [E1 E2]. apply less_d_correct in E2. simpl. lra.
  - destruct (_ && _) eqn:E; auto. apply andb_prop in E. destruct E as [E1 E2]. apply at_most_d_correct in E2. simpl. lra.
Qed.
Lemma sharpened_owns gaps p w : off_gaps gaps w -> owns p w -> owns (sharpened gaps p) w.
Proof.
  intros O H. apply off_gaps_off in O. unfold owns, sharpened in *. simpl. apply Forall_map. revert H. apply Forall_impl. intros [k [a b]] [A B]. simpl in *. split.
  - revert a A. induction O as [|g gaps Hg O IH]; intros a A; simpl; auto. apply IH, raised_correct; auto.
  - revert b B. induction O as [|g gaps Hg O IH]; intros b B; simpl; auto. apply IH, lowered_correct; auto.
Qed.
