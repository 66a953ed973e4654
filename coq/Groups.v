(* Layers that take one expert of each of several blocks (N15): which ones, from the signs of logits off the gaps between numbers, and what
   their sum is, block by block. *)
From Coq Require Import Reals List ZArith Bool Lra Lia Permutation.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Tasks Gaps Readings Forms Expressions Nets Layers Routes Scores Checker Composition Mixtures.
Import ListNotations.
Open Scope R_scope.

(** * Gaps: in which no number of the format lies, and what ends of pieces become off them. *)
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
Definition less_d (a b : dyadic) : bool := (sign (plus b (opp a)) =? 1)%Z.
Lemma less_d_correct a b : less_d a b = true -> D2R a < D2R b.
Proof. unfold less_d. intros H. apply Z.eqb_eq, sign_pos in H. rewrite D2R_plus, D2R_opp in H. lra. Qed.
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

(** * Logits in terms of values, and their signs where a piece owns these *)
Definition over_values (facts : list finding) (s : known) : known :=
  match s with
  | Line f => match faces_of facts [f] with Some [g] => Line g | _ => Anything end
  | Score fs => match faces_of facts fs with Some gs => Score gs | None => Anything end
  | _ => Anything
  end.
Lemma over_values_correct w facts x s y : Forall2 (holds_for w) facts x -> is_known x s y -> is_known w (over_values facts s) y.
Proof.
  intros H K. destruct s as [f|f|fs|]; cbn [over_values]; try exact Logic.I.
  - destruct (faces_of facts [f]) as [[|g [|]]|] eqn:G; try exact Logic.I. pose proof (faces_of_heights w facts x H _ _ G) as E. injection E as E. simpl in *. congruence.
  - destruct (faces_of facts fs) as [gs|] eqn:G; try exact Logic.I. simpl in *. apply scores_map. rewrite (faces_of_heights w facts x H _ _ G). apply scores_map; auto.
Qed.
Definition gate_knowns (L : layer (block dyadic)) (facts : list finding) : list known :=
  match gate L with
  | Some g => if no_lanes g then map (over_values (picked (sees L) facts)) (of_net g (lines (length (sees L)))) else []
  | None => []
  end.
Lemma gate_knowns_correct w L facts x g : gate L = Some g -> no_lanes g = true -> Forall2 (holds_for w) facts x ->
  Forall2 (is_known w) (gate_knowns L facts) (eval_net (map_net real g) (pick (sees L) x)).
Proof.
  intros G N H. unfold gate_knowns. rewrite G, N. pose proof (picked_correct w (sees L) facts x H) as P. set (y := pick (sees L) x) in *.
  replace (length (sees L)) with (length y) by (unfold y, pick; rewrite map_length; auto).
  pose proof (of_net_correct y g _ _ N (lines_correct y)) as K. revert K. generalize (of_net g (lines (length y))) (eval_net (map_net real g) y). clear - P.
  intros s z K. induction K; constructor; auto. apply over_values_correct with (x := y); auto.
Qed.
Definition turned (f : face) : face := let '(a, k, b) := f in (opp a, k, opp b).
Lemma turned_height w f : height w (turned f) = - height w f.
Proof. destruct f as [[a k] b]. unfold height, turned. simpl. rewrite !D2R_opp. ring. Qed.
(** Softmax needs logits that are 0, of a block in one piece the number 0; uniform weights only some that are not negative. *)
Definition zero_on (w : weighting) (p : piece) (s : known) : bool :=
  match s with Score fs => forallb (below_on p) fs | Line f => is_zero f || match w with Uniform => below_on p (turned f) | _ => false end | _ => false end.
Definition negative_on (p : piece) (s : known) : bool :=
  match s with Score fs => existsb (above_on p) fs | Line f => above_on p (turned f) | _ => false end.
Lemma zero_on_correct u p w s y : owns p w -> is_known w s y -> zero_on u p s = true -> 0 <= y /\ (u = Softmax -> y = 0).
Proof.
  intros O K H. destruct s as [f|f|fs|]; simpl in H; try discriminate.
  - apply orb_prop in H. destruct H as [H|H]. { apply (is_zero_correct w) in H. rewrite <- K in H. split. lra. auto. }
    destruct u; try discriminate. apply (below_on_correct p w _ O) in H. rewrite turned_height in H. simpl in K. split. lra. discriminate.
  - destruct K as (_ & K & _). assert (y = 0). { apply K. rewrite Forall_forall. rewrite forallb_forall in H. intros f F. apply below_on_correct with p; auto. } split. lra. auto.
Qed.
Lemma negative_on_correct p w s y : owns p w -> is_known w s y -> negative_on p s = true -> y < 0.
Proof.
  intros O K H. destruct s as [f|f|fs|]; simpl in H; try discriminate.
  - apply (above_on_correct p w _ O) in H. rewrite turned_height in H. simpl in K. lra.
  - destruct K as (_ & _ & K). apply K. apply Exists_exists. apply existsb_exists in H. destruct H as (f & F & A). exists f. split; auto. apply above_on_correct with p; auto.
Qed.

(** * The K largest logits are those that are not negative, if there are K of these *)
Lemma NoDup_count (js ks : list nat) : NoDup js -> incl js ks -> (length js <= length ks)%nat.
Proof. apply NoDup_incl_length. Qed.
Lemma chosen_top l js : NoDup js -> (forall j, In j js -> (j < length l)%nat /\ 0 <= nth j l 0) -> (forall i, (i < length l)%nat -> ~ In i js -> nth i l 0 < 0) ->
  Permutation (chosen (length js) l) js.
Proof.
  intros ND P N. apply NoDup_Permutation; auto. unfold chosen. apply NoDup_filter, seq_NoDup. intros j. split.
  - intros J. destruct (in_chosen _ _ _ J) as [Lj C]. destruct (in_dec Nat.eq_dec j js) as [|O]; auto. exfalso.
    assert (length js <= length (filter (before l j) (seq 0 (length l))))%nat; [|lia]. apply NoDup_count; auto. intros i I. destruct (P i I) as [Li Zi]. apply filter_In. split. apply in_seq; lia.
    specialize (N j Lj O). unfold before. destruct (Rlt_dec (nth j l 0) (nth i l 0)); auto. lra.
  - intros J. destruct (P j J) as [Lj Zj]. unfold chosen. apply filter_In. split. apply in_seq; lia. apply Nat.ltb_lt.
    destruct (in_split _ _ J) as (a & b & E). subst js. apply NoDup_remove in ND. destruct ND as [ND NI].
    apply Nat.le_lt_trans with (length (a ++ b)). 2: rewrite !app_length; simpl; lia.
    apply NoDup_count. apply NoDup_filter, seq_NoDup. intros i I. apply filter_In in I. destruct I as [I B]. apply in_seq in I.
    destruct (in_dec Nat.eq_dec i (a ++ j :: b)) as [Q|Q].
    + apply in_app_or in Q. destruct Q as [Q|[Q|Q]]; try (apply in_or_app; auto; fail). subst. exfalso. unfold before in B. destruct (Rlt_dec _ _); [lra|]. rewrite Nat.ltb_irrefl in B. discriminate.
    + exfalso. specialize (N i ltac:(lia) Q). unfold before in B. destruct (Rlt_dec (nth j l 0) (nth i l 0)). lra. destruct (Rlt_dec (nth i l 0) (nth j l 0)). discriminate. lra.
Qed.
Lemma sum_permutation A (f : A -> R) l l' : Permutation l l' -> sum (map f l) = sum (map f l').
Proof. intros H. induction H; simpl; auto; lra. Qed.
Lemma same_weights u l js : (u = Softmax \/ u = Uniform) -> (u = Softmax -> forall j, In j js -> nth j l 0 = 0) -> forall j, In j js -> weight u l js j = / INR (length js).
Proof.
  intros U Z j J. destruct U as [->| ->]; simpl; auto. rewrite (Z eq_refl j J), exp_0, Rmult_1_l. f_equal. specialize (Z eq_refl). clear J.
  assert (G : forall ks, incl ks js -> sum (map (fun i => exp (nth i l 0)) ks) = INR (length ks)); [|apply G; apply incl_refl].
  induction ks as [|k ks IH]; intros I. reflexivity. simpl map. simpl length. rewrite S_INR. simpl. rewrite IH by (intros i Hi; apply I; right; auto). rewrite Z by (apply I; left; auto). rewrite exp_0. ring.
Qed.
Lemma sum_factor A (f : A -> R) (g : A -> R) c l : (forall x, In x l -> g x = c) -> sum (map (fun x => g x * f x) l) = c * sum (map f l).
Proof. induction l as [|a l IH]; simpl; intros H. ring. rewrite IH by auto. rewrite H by auto. ring. Qed.

(** * What is asked of such a layer; none of it is trusted *)
Record share := Share { factors : list (dyadic * nat); constant : dyadic; off_by : dyadic; by_nodes : list nat; share_effort : effort }.
  (* of what a channel is, a block writes so much of some values, and a constant, to within so much *)
Record total_ := Total_ { t_channel : nat; t_number : nat; t_within : dyadic; t_through : list nat; t_rest : dyadic; t_effort : effort; shares : list share }.
  (* the channel is this value to within so much: the sum of shares, which is this value to within [t_rest], by these nodes *)
Record group_hint := GroupHint { members : list (nat * list nat); totals : list total_ }.
  (* the blocks, each with the gate outputs of its pieces *)
Definition after_groups (facts : list finding) (L : layer (block dyadic)) (h : group_hint) : list finding :=
  fold_left (fun fs t => put (t_channel t) (Around (t_number t) (t_within t)) fs) (totals h) (carried L facts).
Definition share_of (w : list R) (s : share) : R := fold_right (fun q a => D2R (fst q) * nth (snd q) w 0 + a) (D2R (constant s)) (factors s).
Definition no_duplicates (l : list nat) : bool := Nat.eqb (length (nodup Nat.eq_dec l)) (length l).
Lemma no_duplicates_correct l : no_duplicates l = true -> NoDup l.
Proof.
  unfold no_duplicates. intros H. apply Nat.eqb_eq in H. induction l as [|a l IH]. constructor. simpl in H. destruct (in_dec Nat.eq_dec a l) as [I|I].
  - exfalso. assert (length (nodup Nat.eq_dec l) <= length l)%nat; [|lia]. apply NoDup_incl_length. apply NoDup_nodup. intros b B. apply nodup_In in B. auto.
  - simpl in H. constructor; auto.
Qed.

Module Groups (A : Arithmetic).
Module Export G := Mixtures A.
Import A.

Section Box.
Variable TL : list I.type.
Variable tl : list R.
Hypothesis HTL : mems TL tl.
Definition share_form (V : list form) (s : share) : form :=
  fold_right (fun q a => fadd TL (multiple TL (fst q) (nth (snd q) V (number 0))) a) (flat (D2I (constant s))) (factors s).
Lemma share_form_correct V w s : Forall2 (has tl) V w -> has tl (share_form V s) (share_of w s).
Proof.
  intros H. unfold share_form, share_of. induction (factors s) as [|q fs IH]; simpl. apply fconst_correct, mem_D2I.
  apply (fadd_correct TL tl HTL); auto. apply (multiple_correct TL tl HTL). apply nth_has; auto.
Qed.
Definition sum_form (V : list form) (ss : list share) : form := fold_right (fun s a => fadd TL (share_form V s) a) (number 0) ss.
Lemma sum_form_correct V w ss : Forall2 (has tl) V w -> has tl (sum_form V ss) (sum (map (share_of w) ss)).
Proof. intros H. induction ss; simpl. apply number_correct. apply (fadd_correct TL tl HTL); auto. apply share_form_correct; auto. Qed.
End Box.

Section Layer.
Variable g : graph.
Variable rs : list (dyadic * dyadic).
Variable gaps : list gap.
Variable facts : list finding.
Variable L : layer (block dyadic).
Variable h : group_hint.
Definition so_many : dyadic := (Z.of_nat (length (members h)), 0)%Z.
(** What is said of a share where a piece owns the values: so many times it is what the expert of that piece says. *)
Definition share_leaf (F : list ready) (s : step) (k : nat) (sh : share) (E : I.type) (e : nat) (pc : piece) (ss : list source) (chain : list (nat * piece)) (b : list I.type) : bool :=
  let T := shifts b in let U := variables 0 b in
  off_region T ss U orelse
  match dress T ss U (flats rs) with
  | None => false
  | Some V =>
    outside pc V orelse
    match chained T chain V with
    | None => false
    | Some V => within T E (multiple T so_many (share_form T V sh)) (nth k (expert_out T s (map (form_of T V) F) e) (number 0))
    end
  end.
Definition share_ok (F : list ready) (s : step) (k : nat) (sh : share) (o : nat) (p : piece) (j : nat) : bool :=
  let e := share_effort sh in
  match steps g (Some (o, p)) (by_nodes sh) with
  | None => false
  | Some chain => known_input (all_inputs g) (about e) andthen
    all_of (fun ss => settle (share_leaf F s k sh (D2I (dmul so_many (off_by sh))) (nth j (serves L) 0%nat) (sharpened gaps p) ss chain) (fuel e) (cutting e) 0 (box_of rs (sharpened gaps p) ss))
      (cases (all_inputs g) (about e))
  end.
Definition rest_leaf (t : total_) (ss : list source) (chain : list (nat * piece)) (b : list I.type) : bool :=
  let T := shifts b in let U := variables 0 b in
  off_region T ss U orelse
  match dress T ss U (flats rs) with
  | None => false
  | Some V => match chained T chain V with None => false | Some V => within T (D2I (t_rest t)) (nth (t_number t) V (number 0)) (sum_form T V (shares t)) end
  end.
Definition rest_ok (t : total_) : bool :=
  let e := t_effort t in
  match steps g None (t_through t) with
  | None => false
  | Some chain => known_input (all_inputs g) (about e) andthen
    all_of (fun ss => settle (rest_leaf t ss chain) (fuel e) (cutting e) 0 (box_of rs (Piece [] []) ss)) (cases (all_inputs g) (about e))
  end.
Definition total_ok (F : list ready) (s : step) (t : total_) : bool :=
  match nth_error (leaves L) (t_channel t) with
  | Some (None, Some _) =>
    Nat.eqb (length (shares t)) (length (members h)) && at_most_d (fold_right (fun sh d => plus (off_by sh) d) (t_rest t) (shares t)) (t_within t) && rest_ok t &&
    forallb (fun ms => forallb (fun pj => share_ok F s (t_channel t) (snd ms) (fst (fst ms)) (fst pj) (snd pj)) (combine (node_at g (fst (fst ms))) (snd (fst ms)))) (combine (members h) (shares t))
  | _ => false
  end.
(** Where a piece owns the values its output is not negative, those of the other pieces are. *)
Definition group_ok (K : list known) (m : nat * list nat) : bool :=
  Nat.eqb (length (snd m)) (length (node_at g (fst m))) && negb (Nat.eqb (length (snd m)) 0) &&
  forallb (fun pj => let p := sharpened gaps (fst pj) in
    zero_on (weighs L) p (nth (snd pj) K Anything) && forallb (fun i => Nat.eqb i (snd pj) || negative_on p (nth i K Anything)) (snd m)) (combine (node_at g (fst m)) (snd m)).
Definition accepted_groups : bool :=
  tidy_layer L &&
  match gate L, shared L, weighs L with
  | None, _, _ | _, Some _, _ | _, _, Rectified => false
  | Some gt, None, _ =>
    let K := gate_knowns L facts in let every := flat_map snd (members h) in
    no_lanes gt && Nat.eqb (top L) (length (members h)) && no_duplicates every && Nat.eqb (length every) (gate_width gt) &&
    forallb (fun j => Nat.ltb j (gate_width gt)) every && forallb (group_ok K) (members h) && forallb (total_ok (map ready_of facts) (step_of L)) (totals h)
  end.

Variable w : list R.
Hypothesis W : truth g rs w.
Hypothesis O : off_gaps gaps w.
Variable x : list R.
Hypothesis X : Forall2 (holds_for w) facts x.
Local Notation M := (map_layer real L).
Definition taken (m : nat * list nat) (j : nat) : Prop := exists p, In (p, j) (combine (node_at g (fst m)) (snd m)) /\ is_value w (fst m, p) /\ owns p w.
Lemma some_taken K m : group_ok K m = true -> exists j, taken m j.
Proof.
  unfold group_ok. intros H. apply andb_prop in H. destruct H as [H _]. apply andb_prop in H. destruct H as [HL HN]. apply Nat.eqb_eq in HL.
  destruct (node_at g (fst m)) as [|q r] eqn:E. { rewrite HL in HN. discriminate. }
  pose proof (node_at_correct g rs w W (fst m) q) as V. rewrite E in V. destruct (V ltac:(left; auto)) as (p & I & Ow & L1 & Va).
  destruct (In_combine_l _ _ p (q :: r) (snd m) HL I) as (j & J). exists j, p. rewrite E. split; auto. split; auto. unfold is_value. simpl. rewrite L1. exact Va.
Qed.
Lemma all_taken K ms : forallb (group_ok K) ms = true -> exists ts, Forall2 taken ms ts.
Proof.
  induction ms as [|m ms IH]; simpl; intros H. exists []. constructor. apply andb_prop in H. destruct H as [H1 H2].
  destruct (some_taken K m H1) as (j & J). destruct (IH H2) as (ts & T). exists (j :: ts). constructor; auto.
Qed.
Lemma taken_in m j : taken m j -> In j (snd m).
Proof. intros (p & I & _). exact (in_combine_r _ _ _ _ I). Qed.
Lemma taken_incl ms ts : Forall2 taken ms ts -> incl ts (flat_map snd ms).
Proof. intros H. induction H as [|m j ms ts J H IH]; intros i I. destruct I. simpl. apply in_or_app. destruct I as [->|I]; auto. left. apply taken_in; auto. Qed.
Lemma NoDup_apart (a b : list nat) : NoDup (a ++ b) -> NoDup a /\ NoDup b /\ forall i, In i a -> ~ In i b.
Proof.
  induction a as [|c a IH]; simpl; intros H. repeat split; auto. constructor. inversion H as [|? ? N D]; subst. destruct (IH D) as (A1 & A2 & A3). repeat split; auto.
  constructor; auto. intros I. apply N, in_or_app; auto. intros i [->|I] J. apply N, in_or_app; auto. exact (A3 i I J).
Qed.
Lemma taken_NoDup ms ts : Forall2 taken ms ts -> NoDup (flat_map snd ms) -> NoDup ts.
Proof.
  intros H. induction H as [|m j ms ts J H IH]; intros N. constructor. simpl in N. apply NoDup_apart in N. destruct N as (_ & N & D). constructor; auto.
  intros I. apply (D j). apply taken_in; auto. exact (taken_incl _ _ H _ I).
Qed.
Lemma taken_signs K l ms ts : Forall2 (is_known w) K l -> Forall2 taken ms ts -> forallb (group_ok K) ms = true ->
  (forall j, In j ts -> 0 <= nth j l 0 /\ (weighs L = Softmax -> nth j l 0 = 0)) /\ forall i, In i (flat_map snd ms) -> ~ In i ts -> nth i l 0 < 0.
Proof.
  intros HK H. assert (N : forall i, is_known w (nth i K Anything) (nth i l 0)). { clear - HK. intros i. revert i. induction HK; intros [|i]; simpl; auto; exact Logic.I. }
  induction H as [|m j ms ts (p & I & V & Ow) H IH]; simpl; intros G. { split. intros j []. intros i []. }
  apply andb_prop in G. destruct G as [G1 G2]. destruct (IH G2) as [I1 I2]. unfold group_ok in G1. apply andb_prop in G1. destruct G1 as [_ G1]. rewrite forallb_forall in G1. specialize (G1 _ I). simpl in G1.
  apply andb_prop in G1. destruct G1 as [Z Ng]. pose proof (sharpened_owns gaps p w O Ow) as Os. split.
  - intros i [<-|Ii]; auto. apply (zero_on_correct _ _ w _ _ Os (N j) Z).
  - intros i Ii No. apply in_app_or in Ii. destruct Ii as [Ii|Ii].
    + rewrite forallb_forall in Ng. specialize (Ng i Ii). apply orb_prop in Ng. destruct Ng as [Ng|Ng]. apply Nat.eqb_eq in Ng. subst. exfalso. apply No. auto. apply (negative_on_correct _ w _ _ Os (N i) Ng).
    + apply I2; auto.
Qed.
Lemma chained_forms b u ss chain V0 V : mems b u -> all_mean w ss u -> Forall (is_value w) chain -> dress (shifts b) ss (variables 0 b) (flats rs) = Some V0 -> chained (shifts b) chain V0 = Some V ->
  Forall2 (has (diffs u (map middle b))) V w.
Proof.
  intros Hu Me Ch E E'. destruct (forms_at b u Hu) as [HT HV]. destruct W as (WR & _ & _).
  pose proof (dress_correct (shifts b) _ HT w ss _ _ _ _ HV Me (flats_correct _ rs w WR) E) as HW. exact (chained_correct (shifts b) _ HT w chain _ _ HW Ch E').
Qed.
Lemma share_ok_correct k sh o p j : tidy_layer L = true -> is_value w (o, p) -> owns p w -> share_ok (map ready_of facts) (step_of L) k sh o p j = true ->
  Rabs (INR (length (members h)) * share_of w sh - nth k (leaving M x (output M x j)) 0) <= INR (length (members h)) * D2R (off_by sh).
Proof.
  intros Td V Ow H. unfold share_ok in H. destruct (steps g (Some (o, p)) (by_nodes sh)) as [ch|] eqn:S; try discriminate. apply andthen_true in H. destruct H as [H1 H2].
  assert (Ch : Forall (is_value w) ch) by (apply (steps_correct g rs w W (Some (o, p)) V) with (1 := S)).
  pose proof (sharpened_owns gaps p w O Ow) as Os. pose proof W as (WR & WP & _). destruct (cases_correct (all_inputs g) w _ WP H1) as (ss & us & I & Me). pose proof (all_of_true _ _ _ H2 ss I) as H3.
  assert (SM : D2R so_many = INR (length (members h))). { unfold so_many, D2R. simpl. rewrite <- INR_IZR_INZ. ring. } rewrite <- SM, <- D2R_mul.
  refine (settle_correct (share_leaf (map ready_of facts) (step_of L) k sh (D2I (dmul so_many (off_by sh))) (nth j (serves L) 0%nat) (sharpened gaps p) ss ch)
    (fun u => all_mean w ss u -> Rabs (D2R so_many * share_of w sh - nth k (leaving M x (output M x j)) 0) <= D2R (dmul so_many (off_by sh))) _ _ _ _ _ us _ H3 Me).
  - intros b u Hu Hb Hm. destruct (forms_at b u Hu) as [HT HV]. unfold share_leaf in Hb. destruct (off_region_correct (shifts b) _ HT w ss _ _ HV Hm) as [OR|[]]. rewrite OR in Hb. simpl in Hb.
    destruct (dress _ ss _ _) as [V0|] eqn:E; try discriminate.
    rewrite (outside_correct _ (sharpened gaps p) V0 w (dress_correct (shifts b) _ HT w ss _ _ _ _ HV Hm (flats_correct _ rs w WR) E) Os) in Hb.
    destruct (chained _ ch V0) as [V'|] eqn:E'; try discriminate.
    pose proof (chained_forms b u ss ch V0 V' Hu Hm Ch E E') as HW. pose proof (forms_of_correct (shifts b) _ HT V' w facts x HW X) as HX.
    refine (within_correct (shifts b) _ HT (D2I (dmul so_many (off_by sh))) _ _ _ _ _ (mem_D2I _) _ _ Hb).
    apply (multiple_correct (shifts b) _ HT). apply (share_form_correct (shifts b) _ HT); auto. apply nth_has. apply expert_out_correct; auto.
  - apply box_of_correct with w; auto.
Qed.
Lemma rest_ok_correct t : rest_ok t = true -> Rabs (nth (t_number t) w 0 - sum (map (share_of w) (shares t))) <= D2R (t_rest t).
Proof.
  intros H. unfold rest_ok in H. destruct (steps g None (t_through t)) as [ch|] eqn:S; try discriminate. apply andthen_true in H. destruct H as [H1 H2].
  assert (Ch : Forall (is_value w) ch) by (apply (steps_correct g rs w W None Logic.I) with (1 := S)).
  pose proof W as (WR & WP & _). destruct (cases_correct (all_inputs g) w _ WP H1) as (ss & us & I & Me). pose proof (all_of_true _ _ _ H2 ss I) as H3.
  refine (settle_correct (rest_leaf t ss ch) (fun u => all_mean w ss u -> Rabs (nth (t_number t) w 0 - sum (map (share_of w) (shares t))) <= D2R (t_rest t)) _ _ _ _ _ us _ H3 Me).
  - intros b u Hu Hb Hm. destruct (forms_at b u Hu) as [HT HV]. unfold rest_leaf in Hb. destruct (off_region_correct (shifts b) _ HT w ss _ _ HV Hm) as [OR|[]]. rewrite OR in Hb. simpl in Hb.
    destruct (dress _ ss _ _) as [V0|] eqn:E; try discriminate. destruct (chained _ ch V0) as [V'|] eqn:E'; try discriminate.
    pose proof (chained_forms b u ss ch V0 V' Hu Hm Ch E E') as HW.
    refine (within_correct (shifts b) _ HT (D2I (t_rest t)) _ _ _ _ _ (mem_D2I _) _ _ Hb). apply nth_has; auto. apply (sum_form_correct (shifts b) _ HT); auto.
  - apply box_of_correct with w; auto. constructor.
Qed.
(** Errors of shares add up. *)
Lemma shares_add_up K n k t : 0 < n -> forall ms ts shs, Forall2 taken ms ts -> length shs = length ms ->
  (forall m j sh, In (m, sh) (combine ms shs) -> taken m j -> Rabs (n * share_of w sh - K j) <= n * D2R (off_by sh)) ->
  Rabs (k - sum (map (share_of w) shs)) <= D2R t ->
  Rabs (k - / n * sum (map K ts)) <= D2R (fold_right (fun sh d => plus (off_by sh) d) t shs).
Proof.
  intros P ms ts shs H. revert shs k. induction H as [|m j ms ts J H IH]; intros [|sh shs] k E S R; try discriminate; cbn [map sum fold_right] in *.
  - simpl in *. rewrite Rmult_0_r. auto.
  - assert (Q : Rabs (share_of w sh - / n * K j) <= D2R (off_by sh)).
    { replace (share_of w sh - / n * K j) with (/ n * (n * share_of w sh - K j)) by (field; lra). rewrite Rabs_mult, (Rabs_right (/ n)) by (left; apply Rinv_0_lt_compat; auto).
      replace (D2R (off_by sh)) with (/ n * (n * D2R (off_by sh))) by (field; lra). apply Rmult_le_compat_l. left; apply Rinv_0_lt_compat; auto. apply (S m j sh); auto. left; auto. }
    unfold sum in *. cbn [fold_right] in *. fold (sum (map K ts)). fold (sum (map (share_of w) shs)) in R.
    specialize (IH shs (k - share_of w sh) ltac:(simpl in E; lia)). unfold sum in IH. fold (sum (map K ts)) in IH. fold (sum (map (share_of w) shs)) in IH.
    rewrite D2R_plus. replace (k - / n * (K j + sum (map K ts))) with ((share_of w sh - / n * K j) + (k - share_of w sh - / n * sum (map K ts))) by ring.
    eapply Rle_trans. apply Rabs_triang. apply Rplus_le_compat; auto. apply IH. intros m' j' sh' I T. apply (S m' j' sh'); auto. right; auto.
    replace (k - share_of w sh - sum (map (share_of w) shs)) with (k - (share_of w sh + sum (map (share_of w) shs))) by ring. auto.
Qed.
Theorem groups_sound : accepted_groups = true -> Forall2 (holds_for w) (after_groups facts L h) (eval_layer M x).
Proof.
  unfold accepted_groups. intros H. apply andb_prop in H. destruct H as [Td H]. destruct (gate L) as [gt|] eqn:G; try discriminate. destruct (shared L) as [|] eqn:Sh; try discriminate.
  assert (U : weighs L = Softmax \/ weighs L = Uniform) by (destruct (weighs L); auto; discriminate).
  assert (H' : (let K := gate_knowns L facts in let every := flat_map snd (members h) in
    no_lanes gt && Nat.eqb (top L) (length (members h)) && no_duplicates every && Nat.eqb (length every) (gate_width gt) &&
    forallb (fun j => Nat.ltb j (gate_width gt)) every && forallb (group_ok K) (members h) && forallb (total_ok (map ready_of facts) (step_of L)) (totals h)) = true) by (destruct (weighs L); auto; discriminate).
  clear H. cbv zeta in H'. apply andb_prop in H'. destruct H' as [H' HT]. apply andb_prop in H'. destruct H' as [H' HG]. apply andb_prop in H'. destruct H' as [H' HB]. apply andb_prop in H'. destruct H' as [H' HL].
  apply andb_prop in H'. destruct H' as [H' HD]. apply andb_prop in H'. destruct H' as [HN HK]. apply Nat.eqb_eq in HK. apply Nat.eqb_eq in HL. apply no_duplicates_correct in HD.
  destruct (all_taken _ _ HG) as (ts & Ts). pose proof (gate_knowns_correct w L facts x gt G HN X) as Kn. set (l := eval_net (map_net real gt) (pick (sees L) x)) in *.
  assert (LL : length l = gate_width gt) by apply gate_width_correct. destruct (taken_signs _ l _ _ Kn Ts HG) as [Z Ng]. pose proof (taken_NoDup _ _ Ts HD) as ND. pose proof (taken_incl _ _ Ts) as Inc.
  assert (LT : length ts = length (members h)) by (symmetry; exact (same_length _ _ _ _ _ Ts)).
  assert (Cov : incl (seq 0 (length l)) (flat_map snd (members h))).
  { apply NoDup_length_incl; auto. rewrite seq_length. lia. intros j J. rewrite forallb_forall in HB. specialize (HB j J). apply Nat.ltb_lt in HB. apply in_seq. lia. }
  assert (Pm : Permutation (chosen (top L) l) ts).
  { rewrite HK, <- LT. apply chosen_top; auto. intros j J. split. rewrite LL. rewrite forallb_forall in HB. apply Nat.ltb_lt, HB, Inc, J. apply Z; auto. intros i Li. apply Ng, Cov. apply in_seq. lia. }
  assert (Ev : eval_layer M x = leaving M x (fun i => sum (map (fun j => weight (weighs L) l (chosen (top L) l) j * output M x j i) (chosen (top L) l)))).
  { unfold eval_layer. change (gate M) with (option_map (map_net real) (gate L)). rewrite G. reflexivity. }
  rewrite Ev. set (mix := fun i => _). unfold after_groups. pose proof (carried_correct facts L w x X mix) as Cc. rewrite forallb_forall in HT. revert Cc HT. generalize (carried L facts). generalize (totals h).
  induction l0 as [|t tot IH]; intros fs Cc HT; simpl; auto. apply IH; [|intros; apply HT; right; auto]. apply put_correct; auto. simpl.
  specialize (HT t ltac:(left; auto)). unfold total_ok in HT. destruct (nth_error (leaves L) (t_channel t)) as [[[c|] [i|]]|] eqn:EL; try discriminate.
  apply andb_prop in HT. destruct HT as [HT HS]. apply andb_prop in HT. destruct HT as [HT HR]. apply andb_prop in HT. destruct HT as [HA HW]. apply Nat.eqb_eq in HA. apply at_most_d_correct in HW. apply rest_ok_correct in HR.
  rewrite (leaving_written L x _ i mix EL Sh). eapply Rle_trans; [|exact HW].
  destruct ts as [|t0 ts'] eqn:ET.
  { destruct (members h) eqn:EM; try discriminate. destruct (shares t) eqn:EH; try discriminate. simpl in *. assert (mix i = 0). { unfold mix. apply Permutation_sym, Permutation_nil in Pm. rewrite Pm. reflexivity. } rewrite H. exact HR. }
  rewrite <- ET in *. assert (NP : 0 < INR (length (members h))). { rewrite <- LT, ET. apply lt_0_INR. simpl. lia. }
  assert (Em : mix i = / INR (length (members h)) * sum (map (fun j => output M x j i) ts)).
  { unfold mix. rewrite (sum_factor nat (fun j => output M x j i) (weight (weighs L) l (chosen (top L) l)) (/ INR (length (members h)))).
    f_equal. apply sum_permutation; auto. intros j J. rewrite (same_weights _ l (chosen (top L) l) U). rewrite (Permutation_length Pm), LT. reflexivity.
    intros Us j' J'. apply Z; auto. apply (Permutation_in _ Pm); auto. auto. }
  rewrite Em. apply shares_add_up with (ms := members h); auto. intros m j sh I (p & Ip & V & Ow).
  rewrite forallb_forall in HS. specialize (HS _ I). simpl in HS. rewrite forallb_forall in HS. specialize (HS _ Ip). simpl in HS.
  rewrite <- (leaving_written L x _ i (output M x j) EL Sh). apply share_ok_correct with (fst m) p; auto.
Qed.
End Layer.

(** * The whole network, at inputs off the gaps *)
Definition step_off gaps g rs fs L gs : Prop :=
  forall w x, truth g rs w -> off_gaps gaps w -> Forall2 (holds_for w) fs x -> Forall2 (holds_for w) gs (eval_layer (map_layer real L) x).
Theorem groups_hold gaps g rs fs L h gs : accepted_groups g rs gaps fs L h = true -> after_groups fs L h = gs -> step_off gaps g rs fs L gs.
Proof. intros H <- w x W O X. apply groups_sound with g rs gaps; auto. Qed.
Lemma step_anywhere gaps g rs fs L gs : step_holds g rs fs L gs -> step_off gaps g rs fs L gs.
Proof. intros H w x W _ X. apply H; auto. Qed.
Inductive chain_off gaps g rs : list finding -> list (layer (block dyadic)) -> list finding -> Prop :=
| Done_off fs : chain_off gaps g rs fs [] fs
| Then_off fs L gs Ls hs : step_off gaps g rs fs L gs -> chain_off gaps g rs gs Ls hs -> chain_off gaps g rs fs (L :: Ls) hs.
Lemma chain_off_correct gaps g rs w : truth g rs w -> off_gaps gaps w -> forall fs Ls hs, chain_off gaps g rs fs Ls hs -> forall x, Forall2 (holds_for w) fs x ->
  Forall2 (holds_for w) hs (eval_moe (map (map_layer real) Ls) x).
Proof. intros W O fs Ls hs C. induction C; intros x X; simpl; auto. Qed.
Definition about_inputs (g : graph) (gaps : list gap) : bool := forallb (fun p => Nat.ltb (fst p) (total_breadth (inputs g))) gaps.
Lemma off_gaps_more g gaps x w t : about_inputs g gaps = true -> length x = total_breadth (inputs g) -> w = x ++ t -> off_gaps gaps x -> off_gaps gaps w.
Proof.
  intros HI L -> O. unfold off_gaps in *. rewrite Forall_forall in *. unfold about_inputs in HI. rewrite forallb_forall in HI. intros p P. specialize (O p P).
  specialize (HI p P). apply Nat.ltb_lt in HI. destruct p as [k [n e]]. simpl in HI. rewrite app_nth1 by lia. exact O.
Qed.
Theorem composed_off gaps g rs es Ls hs eps : about_inputs g gaps = true -> values_accepted g es rs = true -> chain_off gaps g rs (arriving g) Ls hs -> ends eps (outputs g) hs = true ->
  computes_off gaps g Ls eps.
Proof.
  intros HI HV C E x D O. destruct (values_sound g es rs x HV D) as (L & Ex & F). split; auto. intros w We. destruct (F w We) as (W & t & Et).
  pose proof (off_gaps_more g gaps x w t HI L Et O) as Ow.
  pose proof (arriving_correct g x t L) as X. rewrite <- Et in X. pose proof (chain_off_correct gaps g rs w W Ow _ _ _ C x X) as K. unfold network_of. apply (ends_correct eps w _ _ _ E K).
Qed.
Theorem composed_off_reading reads gaps g rs es Ls hs eps : about_inputs g gaps = true -> values_accepted g es rs = true -> chain_off gaps g rs (map Exactly reads) Ls hs ->
  ends eps (outputs g) hs = true -> computes_off_reading reads gaps g Ls eps.
Proof.
  intros HI HV C E x D O. destruct (values_sound g es rs x HV D) as (L & Ex & F). split; auto. intros w We. destruct (F w We) as (W & t & Et).
  exact (ends_correct eps w _ _ _ E (chain_off_correct gaps g rs w W (off_gaps_more g gaps x w t HI L Et O) _ _ _ C _ (reading_them w reads))).
Qed.
(** Numbers of the format lie in no gap: only coordinates that have gaps need to be such. *)
Theorem at_numbers digits least ks gaps g Ls eps : forallb (empty_gap digits least) gaps = true -> forallb (fun p => existsb (Nat.eqb (fst p)) ks) gaps = true ->
  computes_off gaps g Ls eps -> forall x, in_domain (inputs g) x -> Forall (fun k => has_digits digits least (nth k x 0)) ks ->
  (exists w, evaluates (nodes g) x w) /\
  forall w, evaluates (nodes g) x w -> Forall2 (fun k psi => Rabs (nth k w 0 - psi) <= D2R eps) (outputs g) (network_of Ls x).
Proof.
  intros HE HK C x D N. apply C; auto. apply empty_gaps_correct with (1 := HE). rewrite Forall_forall in *. rewrite forallb_forall in HK. intros p P.
  specialize (HK p P). apply existsb_exists in HK. destruct HK as (k & I & E). apply Nat.eqb_eq in E. rewrite E. apply N; auto.
Qed.
Theorem at_numbers_reading digits least ks reads gaps g Ls eps : forallb (empty_gap digits least) gaps = true -> forallb (fun p => existsb (Nat.eqb (fst p)) ks) gaps = true ->
  computes_off_reading reads gaps g Ls eps -> forall x, in_domain (inputs g) x -> Forall (fun k => has_digits digits least (nth k x 0)) ks ->
  (exists w, evaluates (nodes g) x w) /\
  forall w, evaluates (nodes g) x w -> Forall2 (fun k psi => Rabs (nth k w 0 - psi) <= D2R eps) (outputs g) (network_of Ls (pick reads w)).
Proof.
  intros HE HK C x D N. apply C; auto. apply empty_gaps_correct with (1 := HE). rewrite Forall_forall in *. rewrite forallb_forall in HK. intros p P.
  specialize (HK p P). apply existsb_exists in HK. destruct HK as (k & I & E). apply Nat.eqb_eq in E. rewrite E. apply N; auto.
Qed.
End Groups.
