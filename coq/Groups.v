(* Layers that take one expert of each of several blocks (N15): what they write is a sum of shares, one of each block, each compared with the
   experts of that block alone (B9). *)
From Coq Require Import Reals List ZArith Bool Lra Lia Permutation.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Tasks Gaps Readings Intervals Forms Expressions Nets Layers Routes Dyadics Scores Findings Conjunctions EmptyGaps Winners Truth Asked Paths Checker ValueForms Nodes Composition Mixtures.
Import ListNotations.
Open Scope R_scope.

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
