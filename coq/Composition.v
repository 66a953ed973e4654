(* Task graphs, layer by layer: what is known of the channels before a layer and what follows of those behind it, for all inputs at once;
   and the theorem about the whole network that follows where every layer is accepted (B9, R10). *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Tasks Readings Intervals Forms Expressions Nets Layers Routes Dyadics Scores Findings Winners Few Conjunctions Truth Asked Paths Checker ValueForms Nodes.
Import ListNotations.
Open Scope R_scope.

Module Composition (A : Arithmetic).
Module Export U := Nodes A.
Import A.

(** What files of a proof ask for by this module's name. *)
Definition values_accepted := values_accepted.
Definition point_sound := has_point_sound.

(** * A layer *)
Section Layer.
Variable g : graph.
Variable rs : list (dyadic * dyadic).
Variable facts : list finding.
Variable L : layer (block dyadic).
Variable h : hint.
Local Notation node_at := (node_at g). Local Notation all_inputs := (all_inputs g). Local Notation steps := (steps g).
Inductive choice := Fixed (e : nat) | Open_.
Definition expert_ok T (s : step) (E : I.type) (n : news) (V X : list form) (e : nat) : bool :=
  within T E (nth (number_ n) V (number 0)) (nth (channel n) (expert_out T s X e) (number 0)).
Definition news_leaf (F : list ready) (s : step) (E : I.type) (n : news) (pc : piece) (c : choice) (ss : list source) (chain : list (nat * piece)) (b : list I.type) : bool :=
  let T := shifts b in let U := variables 0 b in
  off_region T ss U orelse
  match dress T ss U (flats rs) with
  | None => false
  | Some V =>
    outside pc V orelse
    match chained T chain V with
    | None => false
    | Some V =>
      let X := map (form_of T V) F in
      match c, s_gate s with
      | Fixed e, _ => expert_ok T s E n V X e
      | Open_, Some gt =>
        let logits := run_net T gt (picks (s_sees s) X) in let m := length logits in
        all_of (fun e => all_of (never T (s_top s) logits) (outputs_of (s_serves s) m e) orelse expert_ok T s E n V X e) (nodup Nat.eq_dec (map (fun j => nth j (s_serves s) 0%nat) (seq 0 m)))
      | Open_, None => false
      end
    end
  end.
Definition news_ok (V : list few) (F : list ready) (s : step) (p : option (nat * piece)) (c : choice) (n : news) : bool :=
  let e := effort_ n in let pc := match p with Some (_, p) => tightened V p | None => Piece [] [] end in
  match steps p (through n) with
  | None => false
  | Some chain => known_input all_inputs (about e) andthen
    all_of (fun ss => settle (news_leaf F s (D2I (within_ n)) n pc c ss chain) (fuel e) (cutting e) 0 (box_of rs pc ss)) (cases all_inputs (about e))
  end.
Definition choice_of (j : nat) : choice := Fixed (nth j (serves L) 0%nat).
Definition accepted_layer : bool :=
  tidy_layer L &&
  let s := step_of L in let F := map ready_of facts in let V := few_values g in
  match gate L with
  | None => match routed h with None => forallb (news_ok V F s None (choice_of 0)) (computed h) | Some _ => false end
  | Some gt =>
    Nat.eqb (top L) 1 && convex (weighs L) && no_lanes gt && Nat.leb 1 (gate_width gt) && Nat.leb (gate_width gt) (length (serves L)) &&
    match routed h with
    | None => match winners h with [] => forallb (news_ok V F s None Open_) (computed h) | _ => false end
    | Some o =>
      let logits := gate_scores L facts in
      match winners h with
      | [] => negb (Nat.eqb (length (node_at o)) 0) && forallb (fun p => forallb (news_ok V F s (Some (o, p)) Open_) (computed h)) (node_at o)
      | js => Nat.eqb (length js) (length (node_at o)) &&
        forallb (fun pj => wins (tightened V (fst pj)) logits (snd pj) && forallb (news_ok V F s (Some (o, fst pj)) (choice_of (snd pj))) (computed h)) (combine (node_at o) js)
      end
    end
  end.

Variable w : list R.
Hypothesis W : truth g rs w.
Variable x : list R.
Hypothesis X : Forall2 (holds_for w) facts x.
Local Notation M := (map_layer real L). Local Notation is_value := (is_value w).
Definition logits_of (gt : net (block dyadic)) : list R := eval_net (map_net real gt) (pick (sees L) x).
Definition allowed (c : choice) (j : nat) : Prop :=
  match c with Fixed e => nth j (serves L) 0%nat = e | Open_ => exists gt, gate L = Some gt /\ In j (chosen (top L) (logits_of gt)) end.
Definition settled_by (n : news) (j : nat) : Prop := Rabs (nth (number_ n) w 0 - nth (channel n) (leaving M x (output M x j)) 0) <= D2R (within_ n).
Lemma news_leaf_correct n pc c ss chain b u j : owns pc w -> tidy_layer L = true -> allowed c j -> all_mean w ss u -> Forall is_value chain -> mems b u ->
  news_leaf (map ready_of facts) (step_of L) (D2I (within_ n)) n pc c ss chain b = true -> settled_by n j.
Proof.
  intros Ow Td Al Me Ch Hu H. destruct (forms_at b u Hu) as [HT HV]. unfold news_leaf in H. set (t := diffs u (map middle b)) in *.
  destruct (off_region_correct (shifts b) t HT w ss _ _ HV Me) as [O|[]]. rewrite O in H. simpl in H. destruct W as (WR & _ & _).
  destruct (dress _ ss _ _) as [V|] eqn:E; try discriminate. pose proof (dress_correct (shifts b) t HT w ss _ _ _ _ HV Me (flats_correct t rs w WR) E) as HW.
  rewrite (outside_correct t pc V w HW Ow) in H.
  destruct (chained _ chain V) as [V'|] eqn:E'; try discriminate. pose proof (chained_correct (shifts b) t HT w chain _ _ HW Ch E') as HW'.
  pose proof (forms_of_correct (shifts b) t HT V' w facts x HW' X) as HX. set (XF := map (form_of (shifts b) V') (map ready_of facts)) in *.
  assert (Ok : expert_ok (shifts b) (step_of L) (D2I (within_ n)) n V' XF (nth j (serves L) 0%nat) = true -> settled_by n j).
  { intros K. refine (within_correct (shifts b) t HT (D2I (within_ n)) (D2R (within_ n)) _ _ _ _ (mem_D2I _) _ _ K). apply nth_has; auto. apply nth_has. apply expert_out_correct; auto. }
  destruct c as [e|]; simpl in Al.
  - apply Ok. rewrite Al. exact H.
  - destruct Al as (gt & G & J). simpl s_gate in H. rewrite G in H. simpl option_map in H. cbv beta iota zeta in H.
    set (logits := run_net (shifts b) (net_of gt) (picks (sees L) XF)) in *.
    assert (HL : Forall2 (has t) logits (logits_of gt)).
    { apply (run_net_correct (shifts b) t HT). unfold tidy_layer in Td. rewrite G in Td. destruct (tidy gt); auto. apply picks_correct; auto. }
    assert (LL : length logits = length (logits_of gt)) by (apply has_length with t; auto).
    destruct (in_chosen _ _ _ J) as [Lj _]. pose proof (all_of_true _ _ _ H (nth j (serves L) 0%nat)) as K. clear H. rename K into H.
    assert (Ie : In (nth j (serves L) 0%nat) (nodup Nat.eq_dec (map (fun j => nth j (serves L) 0%nat) (seq 0 (length logits))))).
    { apply nodup_In. apply in_map_iff. exists j. split; auto. apply in_seq. lia. }
    specialize (H Ie). cbv beta in H. destruct (all_of _ (outputs_of _ _ _)) eqn:NV; auto. exfalso.
    assert (false = true); [|discriminate]. rewrite <- (never_correct (shifts b) t HT (top L) logits (logits_of gt) j HL J). apply (all_of_true _ _ _ NV). unfold outputs_of. apply filter_In. split. apply in_seq. lia. apply Nat.eqb_refl.
Qed.
Lemma news_ok_correct p c n j : tidy_layer L = true -> allowed c j -> match p with Some (o, q) => is_value (o, q) /\ owns q w | None => True end ->
  news_ok (few_values g) (map ready_of facts) (step_of L) p c n = true -> settled_by n j.
Proof.
  intros Td Al HP H. unfold news_ok in H. destruct (steps p (through n)) as [chain|] eqn:S; try discriminate. apply andthen_true in H. destruct H as [H1 H2].
  assert (Ch : Forall is_value chain). { apply (steps_correct g rs w W) with (2 := S). destruct p as [[o q]|]; auto. apply HP. }
  set (pc := match p with Some (_, q) => tightened (few_values g) q | None => Piece [] [] end) in *.
  assert (O : owns pc w). { unfold pc. destruct p as [[o q]|]. apply tightened_owns. apply few_values_correct with rs; auto. apply HP. constructor. }
  destruct W as (WR & WP & _). destruct (cases_correct all_inputs w _ WP H1) as (ss & us & I & Me). pose proof (all_of_true _ _ _ H2 ss I) as H3.
  refine (settle_correct (news_leaf (map ready_of facts) (step_of L) (D2I (within_ n)) n pc c ss chain) (fun u => all_mean w ss u -> settled_by n j) _ _ _ _ _ us _ H3 Me).
  - intros b u Hu Hb Hm. apply news_leaf_correct with (7 := Hb) (u := u); auto.
  - apply box_of_correct with w; auto.
Qed.
Lemma all_news p c j : tidy_layer L = true -> allowed c j -> match p with Some (o, q) => is_value (o, q) /\ owns q w | None => True end ->
  forallb (news_ok (few_values g) (map ready_of facts) (step_of L) p c) (computed h) = true -> Forall (fun n => settled_by n j) (computed h).
Proof. intros Td Al HP H. rewrite forallb_forall in H. rewrite Forall_forall. intros n I. apply news_ok_correct with p c; auto. Qed.
Lemma one_expert : accepted_layer = true ->
  exists j, (match gate L with None => j = 0%nat | Some _ => (j < length (serves L))%nat end) /\
    eval_layer M x = leaving M x (output M x j) /\ Forall (fun n => settled_by n j) (computed h).
Proof.
  unfold accepted_layer. intros H. apply andb_prop in H. destruct H as [Td H]. unfold eval_layer. change (gate M) with (option_map (map_net real) (gate L)).
  destruct (gate L) as [gt|] eqn:G; simpl option_map; cbv beta iota zeta.
  2:{ destruct (routed h); try discriminate. exists 0%nat. split; auto. split; auto. apply all_news with (4 := H); auto. reflexivity. }
  apply andb_prop in H. destruct H as [H HR]. apply andb_prop in H. destruct H as [H HB]. apply andb_prop in H. destruct H as [H HA].
  apply andb_prop in H. destruct H as [H HN]. apply andb_prop in H. destruct H as [HT HC]. apply Nat.eqb_eq in HT. apply Nat.leb_le in HA. apply Nat.leb_le in HB.
  change (top M) with (top L). change (weighs M) with (weighs L). change (sees M) with (sees L). fold (logits_of gt). set (l := logits_of gt) in *.
  assert (LL : length l = gate_width gt) by apply gate_width_correct. assert (NL : l <> []) by (intros E; rewrite E in LL; simpl in LL; lia).
  assert (Fin : forall j p c, chosen 1 l = [j] -> allowed c j -> match p with Some (o, q) => is_value (o, q) /\ owns q w | None => True end ->
    forallb (news_ok (few_values g) (map ready_of facts) (step_of L) p c) (computed h) = true -> exists j, (j < length (serves L))%nat /\
      leaving M x (fun i => sum (map (fun j => weight (weighs L) l (chosen (top L) l) j * output M x j i) (chosen (top L) l))) = leaving M x (output M x j) /\
      Forall (fun n => settled_by n j) (computed h)).
  { intros j p c E Al HP K. exists j. split. { assert (J : In j (chosen 1 l)) by (rewrite E; left; auto). destruct (in_chosen _ _ _ J). lia. }
    split. rewrite HT, E. apply leaving_one; auto. apply all_news with p c; auto. }
  destruct (chosen_one l NL) as (j0 & E0 & _).
  assert (A0 : allowed Open_ j0). { exists gt. split; auto. fold l. rewrite HT, E0. left; auto. }
  destruct (routed h) as [o|].
  2:{ destruct (winners h); try discriminate. apply (Fin j0 None Open_); auto. }
  assert (Own : node_at o <> [] -> exists p, In p (node_at o) /\ is_value (o, p) /\ owns p w).
  { intros N. destruct (node_at o) as [|q r] eqn:Eo; [congruence|]. pose proof (node_at_correct g rs w W o q) as K. rewrite Eo in K. destruct (K ltac:(left; auto)) as (p & I & O & L1 & V).
    exists p. split; auto. split; auto. unfold is_value. simpl. rewrite L1. exact V. }
  destruct (winners h) as [|j1 js] eqn:EW.
  - apply andb_prop in HR. destruct HR as [HE HR]. destruct Own as (p & I & V & O). { intros E. rewrite E in HE. discriminate. }
    rewrite forallb_forall in HR. apply (Fin j0 (Some (o, p)) Open_); auto.
  - apply andb_prop in HR. destruct HR as [HL HR]. apply Nat.eqb_eq in HL. destruct (Own ltac:(intros E; rewrite E in HL; discriminate)) as (p & I & V & O).
    destruct (In_combine_l _ _ p (node_at o) (j1 :: js) HL I) as (j & Ij). rewrite forallb_forall in HR. specialize (HR _ Ij). simpl in HR. apply andb_prop in HR. destruct HR as [HW HR].
    apply (Fin j (Some (o, p)) (choice_of j)); auto. 2: reflexivity. apply (wins_correct w (tightened (few_values g) p) (gate_scores L facts)); auto. apply gate_scores_correct; auto. apply tightened_owns; auto. apply few_values_correct with rs; auto.
Qed.
Theorem layer_sound : accepted_layer = true -> Forall2 (holds_for w) (after facts L h) (eval_layer M x).
Proof.
  intros H. destruct (one_expert H) as (j & J & -> & N). unfold after. pose proof (outgoing_correct w L facts x j J X) as Out.
  revert Out N. generalize (outgoing L facts). generalize (computed h). induction l as [|n ns IH]; intros fs Out N; simpl; auto. inversion N; subst. apply IH; auto.
  apply put_correct; auto.
Qed.
End Layer.

(** * The whole network *)
Definition step_holds g rs fs L gs : Prop :=
  forall w x, truth g rs w -> Forall2 (holds_for w) fs x -> Forall2 (holds_for w) gs (eval_layer (map_layer real L) x).
Theorem layer_holds g rs fs L h gs : accepted_layer g rs fs L h = true -> after fs L h = gs -> step_holds g rs fs L gs.
Proof. intros H <- w x W X. apply layer_sound with g rs; auto. Qed.
Inductive chain g rs : list finding -> list (layer (block dyadic)) -> list finding -> Prop :=
| Done fs : chain g rs fs [] fs
| Then fs L gs Ls hs : step_holds g rs fs L gs -> chain g rs gs Ls hs -> chain g rs fs (L :: Ls) hs.
Definition close_enough (eps : dyadic) (k : nat) (f : finding) : bool :=
  match f with Around k' d => Nat.eqb k k' && at_most_d d eps | _ => false end.
Fixpoint ends (eps : dyadic) (ks : list nat) (fs : list finding) : bool :=
  match ks, fs with [], [] => true | k :: ks, f :: fs => close_enough eps k f && ends eps ks fs | _, _ => false end.
Lemma chain_correct g rs w : truth g rs w -> forall fs Ls hs, chain g rs fs Ls hs -> forall x, Forall2 (holds_for w) fs x ->
  Forall2 (holds_for w) hs (eval_moe (map (map_layer real) Ls) x).
Proof. intros W fs Ls hs C. induction C; intros x X; simpl; auto. Qed.
Lemma arriving_correct g x t : length x = total_breadth (inputs g) -> Forall2 (holds_for (x ++ t)) (arriving g) x.
Proof.
  intros L. unfold arriving. rewrite <- L. clear. assert (G : forall l pre, Forall2 (holds_for (pre ++ l ++ t)) (map Exactly (seq (length pre) (length l))) l).
  { induction l as [|v l IH]; intros pre; simpl; constructor. simpl. rewrite app_nth2 by lia. rewrite Nat.sub_diag. reflexivity.
    specialize (IH (pre ++ [v])). rewrite app_length in IH. simpl in IH. rewrite Nat.add_1_r, <- app_assoc in IH. exact IH. }
  exact (G x []).
Qed.
Lemma ends_correct eps w : forall ks hs ys, ends eps ks hs = true -> Forall2 (holds_for w) hs ys -> Forall2 (fun k psi => Rabs (nth k w 0 - psi) <= D2R eps) ks ys.
Proof.
  induction ks as [|k ks IH]; intros [|f hs] ys E K; simpl in E; try discriminate; inversion K; subst; constructor.
  - apply andb_prop in E. destruct E as [E _]. destruct f as [| |k' d| |]; try discriminate. apply andb_prop in E. destruct E as [E1 E2]. apply Nat.eqb_eq in E1. subst.
    apply at_most_d_correct in E2. simpl in *. lra.
  - apply andb_prop in E. destruct E. eauto.
Qed.
Theorem composed g rs es Ls hs eps : values_accepted g es rs = true -> chain g rs (arriving g) Ls hs -> ends eps (outputs g) hs = true -> computes g Ls eps.
Proof.
  intros HV C E x D. destruct (values_sound g es rs x HV D) as (L & Ex & F). split; auto. intros w We. destruct (F w We) as (W & t & Et).
  pose proof (arriving_correct g x t L) as X. rewrite <- Et in X. exact (ends_correct eps w _ _ _ E (chain_correct g rs w W _ _ _ C x X)).
Qed.
Lemma reading_them w : forall reads, Forall2 (holds_for w) (map Exactly reads) (pick reads w).
Proof. induction reads; simpl; constructor; simpl; auto. Qed.
(** Likewise for a network that reads these values. *)
Theorem composed_reading reads g rs es Ls hs eps : values_accepted g es rs = true -> chain g rs (map Exactly reads) Ls hs -> ends eps (outputs g) hs = true ->
  computes_reading reads g Ls eps.
Proof.
  intros HV C E x D. destruct (values_sound g es rs x HV D) as (L & Ex & F). split; auto. intros w We. destruct (F w We) as (W & t & Et).
  exact (ends_correct eps w _ _ _ E (chain_correct g rs w W _ _ _ C _ (reading_them w reads))).
Qed.
(** There is an input: a point of a chart of each. *)
Fixpoint in_box_d (bs : list (dyadic * dyadic)) (u : list dyadic) : bool :=
  match bs, u with [], [] => true | b :: bs, d :: u => at_most_d (fst b) d && at_most_d d (snd b) && in_box_d bs u | _, _ => false end.
Lemma in_box_d_correct : forall bs u, in_box_d bs u = true -> in_box bs (map D2R u).
Proof.
  induction bs as [|b bs IH]; intros [|d u] H; simpl in H; try discriminate; constructor; apply andb_prop in H; destruct H as [H H2]; [|apply IH; auto].
  apply andb_prop in H. destruct H as [A B]. apply at_most_d_correct in A. apply at_most_d_correct in B. simpl. auto.
Qed.
Definition some_point (c : chart) (u : list dyadic) : bool := match region c with [] => in_box_d (box c) u | _ => has_point c u end.
Lemma some_point_sound c u : some_point c u = true -> exists v y, point_of c v y.
Proof.
  unfold some_point. destruct (region c) eqn:R; intros H. 2: apply has_point_sound with u; auto.
  exists (map D2R u), (values (inverse c) (map D2R u)). split. apply in_box_d_correct; auto. split; auto. rewrite R. constructor.
Qed.
Fixpoint some_input (Ms : list (list chart)) (us : list (nat * list dyadic)) : bool :=
  match Ms, us with
  | [], [] => true
  | M :: Ms, (k, u) :: us => match nth_error M k with Some c => some_point c u | None => false end && some_input Ms us
  | _, _ => false
  end.
Theorem some_input_sound : forall Ms us, some_input Ms us = true -> exists x, in_domain Ms x.
Proof.
  induction Ms as [|M Ms IH]; intros [|[k u] us] H; simpl in H; try discriminate. exists []. reflexivity.
  apply andb_prop in H. destruct H as [H1 H2]. destruct (IH us H2) as (z & Z). destruct (nth_error M k) as [c|] eqn:E; try discriminate.
  destruct (some_point_sound c u H1) as (v & y & P). exists (y ++ z), y, z. split; auto. split; auto. exists c, v. split; auto. apply nth_error_In with k; auto.
Qed.
End Composition.
