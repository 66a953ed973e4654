(* How far from exact a rounded operation may be, and a sum of products in any order. *)
From Coq Require Import Reals List ZArith Lra Lia Permutation.
From Flocq Require Import Core Relative.
From AtlasMoE Require Import Semantics Floats.
Import ListNotations.
Open Scope R_scope.

Definition u : R := bpow radix2 (-53).
Definition kappa : R := bpow radix2 (-1022).
Definition huge : R := bpow radix2 1023.
Lemma u_pos : 0 < u. Proof. apply bpow_gt_0. Qed.
Lemma kappa_pos : 0 < kappa. Proof. apply bpow_gt_0. Qed.
Lemma huge_twice : 2 * huge = bpow radix2 1024.
Proof. unfold huge. change 1024%Z with (1 + 1023)%Z. rewrite bpow_plus. reflexivity. Qed.

(** The standard model: off by u times the number, and less than u times the smallest normal one. *)
Lemma nearest_close z : Rabs (nearest z - z) <= u * (Rabs z + kappa).
Proof.
  unfold nearest. destruct (error_N_FLT radix2 (-1074) 53 ltac:(lia) (fun x => negb (Z.even x)) z) as (e & h & E & H & _ & ->).
  replace (z * (1 + e) + h - z) with (z * e + h) by ring. eapply Rle_trans. apply Rabs_triang. rewrite Rabs_mult.
  assert (U : / 2 * bpow radix2 (- (53) + 1) = u). { unfold u. rewrite bpow_plus. change (bpow radix2 1) with 2. change (bpow radix2 (- (53))) with (bpow radix2 (-53)). field. }
  assert (K : / 2 * bpow radix2 (-1074) = u * kappa).
  { unfold u, kappa. rewrite <- bpow_plus. change (-53 + -1022)%Z with (-1075)%Z. change (-1074)%Z with (1 + -1075)%Z. rewrite bpow_plus. change (bpow radix2 1) with 2. field. }
  rewrite U in E. rewrite K in H.
  assert (Rabs z * Rabs e <= Rabs z * u) by (apply Rmult_le_compat_l; [apply Rabs_pos | auto]). lra.
Qed.
Lemma rounded_close z : Rabs z + u * (Rabs z + kappa) <= huge -> rounded z = Some (nearest z).
Proof.
  intros H. unfold rounded. destruct (Rlt_dec _ _) as [|N]; auto. exfalso. apply N. pose proof (nearest_close z).
  assert (Rabs (nearest z) <= Rabs (nearest z - z) + Rabs z). { replace (nearest z) with ((nearest z - z) + z) at 1 by ring. apply Rabs_triang. }
  rewrite <- huge_twice. assert (0 < huge) by apply bpow_gt_0. lra.
Qed.
Definition float (x : R) := generic_format radix2 (FLT_exp (-1074) 53) x.
Lemma nearest_float z : float (nearest z).
Proof. apply generic_format_round. apply FLT_exp_valid. reflexivity. apply valid_rnd_N. Qed.
Lemma nearest_same x : float x -> nearest x = x.
Proof. intros H. apply round_generic; auto. apply valid_rnd_N. Qed.
Lemma some_rounded z r : rounded z = Some r -> r = nearest z.
Proof. unfold rounded. destruct (Rlt_dec _ _); intros E; inversion E; auto. Qed.

Definition exact (l : list (R * R)) : R := fold_right (fun p s => fst p * snd p + s) 0 l.
Definition weight (l : list (R * R)) : R := fold_right (fun p s => Rabs (fst p * snd p) + kappa + s) 0 l.
Lemma exact_app l m : exact (l ++ m) = exact l + exact m.
Proof. induction l; simpl; rewrite ?IHl; ring. Qed.
Lemma weight_app l m : weight (l ++ m) = weight l + weight m.
Proof. induction l; simpl; rewrite ?IHl; ring. Qed.
Lemma weight_pos l : 0 <= weight l.
Proof. pose proof kappa_pos. induction l; simpl. lra. pose proof (Rabs_pos (fst a * snd a)). lra. Qed.
Lemma exact_le l : Rabs (exact l) <= weight l.
Proof.
  pose proof kappa_pos. induction l; simpl. rewrite Rabs_R0; lra. eapply Rle_trans. apply Rabs_triang. lra.
Qed.
Lemma exact_permutation l m : Permutation l m -> exact l = exact m.
Proof. intros H. induction H; simpl; lra. Qed.
Lemma weight_permutation l m : Permutation l m -> weight l = weight m.
Proof. intros H. induction H; simpl; lra. Qed.

Definition growth (n : nat) : R := (1 + u) ^ n - 1.
Lemma growth_pos n : 0 <= growth n.
Proof. unfold growth. pose proof u_pos. assert (1 <= (1 + u) ^ n) by (apply pow_R1_Rle; lra). lra. Qed.
Lemma growth_le n m : (n <= m)%nat -> growth n <= growth m.
Proof. unfold growth. intros H. pose proof u_pos. apply Rplus_le_compat_r. apply Rle_pow; lra || lia. Qed.
Lemma growth_S n : growth (S n) = u + (1 + u) * growth n.
Proof. unfold growth. simpl. ring. Qed.
(** (1 + u)^n - 1 <= 2 n u, where the latter is at most 1 *)
Lemma growth_bound n : INR n * (2 * u) <= 1 -> growth n <= INR n * (2 * u).
Proof.
  pose proof u_pos. induction n as [|n IH]; intros H0. unfold growth; simpl; lra. rewrite S_INR in *. rewrite growth_S.
  specialize (IH ltac:(lra)). pose proof (growth_pos n). assert ((1 + u) * growth n <= (1 + u) * (INR n * (2 * u))) by (apply Rmult_le_compat_l; lra). nra.
Qed.

(** n products, in any order: every one goes through n roundings at most. *)
Definition fine (l : list (R * R)) (r : R) := float r /\ Rabs (r - exact l) <= growth (length l) * weight l.
Lemma magnitude l r : fine l r -> Rabs r <= (1 + growth (length l)) * weight l.
Proof.
  intros [_ H]. pose proof (exact_le l). replace r with ((r - exact l) + exact l) at 1 by ring. eapply Rle_trans. apply Rabs_triang. lra.
Qed.
Lemma step n m A B a b c r x : 0 <= A -> 0 <= B -> Rabs a <= A -> kappa <= B -> Rabs b + kappa <= B ->
  Rabs (x - a) <= growth n * A -> Rabs (r - b) <= growth m * B -> c = x + r -> (1 + growth (S (n + m))) * (A + B) <= huge ->
  rounded c = Some (nearest c) /\ Rabs (nearest c - (a + b)) <= growth (S (Nat.max n m)) * (A + B).
Proof.
  intros HA HB Ha K Hb Ea Eb -> G. pose proof (growth_pos n). pose proof (growth_pos m). pose proof u_pos. pose proof kappa_pos.
  set (g := growth (Nat.max n m)). assert (growth n <= g) by (apply growth_le; lia). assert (growth m <= g) by (apply growth_le; lia).
  assert (E : Rabs (x + r - (a + b)) <= g * (A + B)).
  { replace (x + r - (a + b)) with ((x - a) + (r - b)) by ring. eapply Rle_trans. apply Rabs_triang.
    assert (growth n * A <= g * A) by (apply Rmult_le_compat_r; auto). assert (growth m * B <= g * B) by (apply Rmult_le_compat_r; auto). lra. }
  assert (M : Rabs (x + r) + kappa <= (1 + g) * (A + B)).
  { replace (x + r) with ((x + r - (a + b)) + (a + b)) by ring. pose proof (Rabs_triang (x + r - (a + b)) (a + b)). pose proof (Rabs_triang a b). lra. }
  pose proof (nearest_close (x + r)) as C.
  assert (U : u * (Rabs (x + r) + kappa) <= u * ((1 + g) * (A + B))) by (apply Rmult_le_compat_l; lra).
  assert (S1 : growth (S (Nat.max n m)) = u + (1 + u) * g) by (unfold g; apply growth_S).
  split.
  - apply rounded_close. assert (growth (S (Nat.max n m)) <= growth (S (n + m))) by (apply growth_le; lia).
    assert ((1 + growth (S (Nat.max n m))) * (A + B) <= (1 + growth (S (n + m))) * (A + B)) by (apply Rmult_le_compat_r; lra).
    rewrite S1 in *. nra.
  - rewrite S1. replace (nearest (x + r) - (a + b)) with ((nearest (x + r) - (x + r)) + (x + r - (a + b))) by ring.
    eapply Rle_trans. apply Rabs_triang. nra.
Qed.
Lemma float_zero : float 0. Proof. apply generic_format_0. Qed.
Lemma fits_less n m A B : (n <= m)%nat -> 0 <= A -> A <= B -> (1 + growth m) * B <= huge -> (1 + growth n) * A <= huge.
Proof.
  intros H HA HB G. pose proof (growth_le _ _ H). pose proof (growth_pos n). eapply Rle_trans; [|exact G]. apply Rmult_le_compat; lra.
Qed.
Lemma rounded_float x : float x -> Rabs x <= huge -> rounded x = Some x.
Proof.
  intros H K. unfold rounded. rewrite nearest_same by auto. destruct (Rlt_dec _ _) as [|N]; auto. exfalso. apply N. rewrite <- huge_twice.
  assert (0 < huge) by apply bpow_gt_0. lra.
Qed.
Theorem adds_fine l o : adds l o -> (1 + growth (S (length l))) * weight l <= huge -> exists r, o = Some r /\ fine l r.
Proof.
  intros H. induction H as [|w x|l m a b Hl IHl Hm IHm|w x l a H IH|x l a H IH|l m H IH|l m a P H IH]; intros G.
  - exists 0. split; auto. split. apply float_zero. simpl. rewrite Rminus_0_r, Rabs_R0. lra.
  - simpl in G. pose proof (growth_pos 2). pose proof u_pos. pose proof kappa_pos. pose proof (Rabs_pos (w * x)).
    assert (growth 2 >= u) by (rewrite growth_S; pose proof (growth_pos 1); nra).
    exists (nearest (w * x)). split. apply rounded_close. nra.
    split. apply nearest_float. simpl. pose proof (nearest_close (w * x)). replace (growth 1) with u by (unfold growth; simpl; ring). rewrite !Rplus_0_r. lra.
  - rewrite app_length, weight_app in G. pose proof (weight_pos l). pose proof (weight_pos m).
    destruct IHl as (a' & E & Fa). { eapply fits_less; [| | |exact G]; lia || lra. } injection E as <-.
    destruct IHm as (b' & E & Fb). { eapply fits_less; [| | |exact G]; lia || lra. } injection E as <-.
    destruct Fa as [La Ea], Fb as [Lb Eb].
    destruct l as [|p l]. { simpl in Ea. assert (a = 0) as ->. { rewrite Rmult_0_r, Rminus_0_r in Ea. destruct (Req_dec a 0); auto. pose proof (Rabs_pos_lt a H1). lra. }
      rewrite Rplus_0_l. exists b. split. 2: split; auto. apply rounded_float; auto. eapply Rle_trans. apply (magnitude m b (conj Lb Eb)).
      eapply fits_less; [| | |exact G]; lia || lra. }
    destruct m as [|q m]. { simpl in Eb. assert (b = 0) as ->. { rewrite Rmult_0_r, Rminus_0_r in Eb. destruct (Req_dec b 0); auto. pose proof (Rabs_pos_lt b H1). lra. }
      rewrite Rplus_0_r, app_nil_r. exists a. split. 2: split; auto. apply rounded_float; auto. eapply Rle_trans. apply (magnitude (p :: l) a (conj La Ea)).
      eapply fits_less; [| | |exact G]; lia || lra. }
    destruct (step (length (p :: l)) (length (q :: m)) (weight (p :: l)) (weight (q :: m)) (exact (p :: l)) (exact (q :: m)) (a + b) b a) as [R1 R2]; auto.
    + apply exact_le. + simpl. pose proof (weight_pos m). pose proof (Rabs_pos (fst q * snd q)). lra.
    + simpl. pose proof (exact_le m). pose proof (Rabs_triang (fst q * snd q) (exact m)). lra.
    + exists (nearest (a + b)). split; auto. split. apply nearest_float. rewrite exact_app, weight_app, app_length. eapply Rle_trans. exact R2.
      apply Rmult_le_compat_r. lra. apply growth_le. simpl. lia.
  - simpl in G. pose proof (weight_pos l). pose proof (Rabs_pos (w * x)). pose proof kappa_pos.
    destruct IH as (a' & E & La & Ea). { eapply fits_less; [| | |exact G]; lia || lra. } injection E as <-.
    destruct (step (length l) 0 (weight l) (Rabs (w * x) + kappa) (exact l) (w * x) (w * x + a) (w * x) a) as [R1 R2]; auto; try lra.
    + apply exact_le. + rewrite Rminus_eq_0, Rabs_R0. apply Rmult_le_pos. apply growth_pos. lra.
    + rewrite Nat.add_0_r. eapply fits_less; [| | |exact G]; lia || lra.
    + exists (nearest (w * x + a)). split; auto. split. apply nearest_float. simpl. rewrite (Rplus_comm (w * x)).
      rewrite (Rplus_comm (w * x) (exact l)), (Rplus_comm (Rabs (w * x) + kappa)). rewrite Nat.max_0_r in R2. rewrite Rplus_comm at 1. auto.
  - simpl in G. pose proof (weight_pos l). pose proof kappa_pos. rewrite Rmult_0_l, Rabs_R0 in G. destruct IH as (r & E & F & K).
    { eapply fits_less; [| | |exact G]; lia || lra. }
    exists r. split; auto. split; auto. simpl. rewrite Rmult_0_l, Rplus_0_l. eapply Rle_trans. exact K.
    rewrite Rabs_R0. apply Rmult_le_compat; try lra. apply growth_pos. apply growth_le; lia.
  - rewrite app_length, weight_app in G. pose proof (weight_pos l). pose proof (weight_pos m). destruct IH as (r & E & _). 2: discriminate.
    eapply fits_less; [| | |exact G]; lia || lra.
  - unfold fine in *. rewrite <- (exact_permutation _ _ P), <- (weight_permutation _ _ P), <- (Permutation_length P) in *. auto.
Qed.

(** A point, rounded, is near. *)
Lemma rounding_is_near k y : (-1000 <= k)%Z -> Forall (fun v => Rabs v <= D2R (1, k)%Z) y -> off (ulp_of k) y (map nearest y).
Proof.
  intros Hk H. assert (P : forall e, D2R (1, e)%Z = bpow radix2 e) by (intros e; unfold D2R; simpl fst; simpl snd; rewrite bpow_powerRZ; simpl; ring).
  unfold off, ulp_of. rewrite P in *. induction H as [|v y Hv H IH]; simpl; constructor; auto.
  eapply Rle_trans. apply nearest_close. assert (K : kappa <= bpow radix2 k) by (apply bpow_le; lia).
  replace (bpow radix2 (k - 52)) with (u * (bpow radix2 k + bpow radix2 k)). apply Rmult_le_compat_l. left; apply u_pos. lra.
  replace (u * (bpow radix2 k + bpow radix2 k)) with (2 * u * bpow radix2 k) by ring.
  unfold u. change 2 with (bpow radix2 1). rewrite <- !bpow_plus. f_equal. lia.
Qed.
