(* Layers of a task graph that take several experts of one block, weighed: all that are chosen say the same to within so much, or are copies of one. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From AtlasMoE Require Import Semantics Tasks Intervals Forms Nets Layers Routes Scores Findings Winners Few Truth Asked Paths Checker ValueForms Nodes Composition.
Import ListNotations.
Open Scope R_scope.

(** What is known behind such a layer: channels are carried beside experts, or computed. *)
Definition after_mixture (facts : list finding) (L : layer (block dyadic)) (h : hint) : list finding :=
  fold_left (fun fs n => put (channel n) (Around (number_ n) (within_ n)) fs) (computed h) (carried L facts).
(** Of k logits that are chosen all are copies of output j: those are 0, at least k of them, others are below 0 or behind k of them. *)
Definition copies (sv : list nat) (m j : nat) : list nat := filter (fun i => Nat.eqb (nth i sv 0%nat) (nth j sv 0%nat)) (seq 0 m).
Definition copies_win (sv : list nat) (k : nat) (p : piece) (logits : list finding) (j : nat) : bool :=
  let m := length logits in let js := copies sv m j in
  forallb (fun f => match f with Scores _ => true | _ => false end) logits && Nat.leb k (length js) &&
  forallb (fun i => match nth i logits Unknown with Scores fs => forallb (below_on p) fs | _ => false end) js &&
  forallb (fun i => Nat.eqb (nth i sv 0%nat) (nth j sv 0%nat) || match nth i logits Unknown with Scores fs => existsb (above_on p) fs | _ => false end ||
    Nat.leb k (length (filter (fun i' => Nat.ltb i' i) js))) (seq 0 m).
Lemma incl_length (a b : list nat) : NoDup a -> incl a b -> (length a <= length b)%nat.
Proof. apply NoDup_incl_length. Qed.
Lemma copies_win_correct w sv k p logits l j i : (1 <= k)%nat -> Forall2 (holds_for w) logits l -> owns p w -> copies_win sv k p logits j = true -> In i (chosen k l) ->
  nth i sv 0%nat = nth j sv 0%nat.
Proof.
  intros K1 H O C I. unfold copies_win in C. set (m := length logits) in *. set (js := copies sv m j) in *.
  apply andb_prop in C. destruct C as [C C4]. apply andb_prop in C. destruct C as [C C3]. apply andb_prop in C. destruct C as [C1 C2]. apply Nat.leb_le in C2.
  assert (LL : length l = m) by (unfold m; clear -H; induction H; simpl; auto). destruct (in_chosen _ _ _ I) as [Li Ci]. rewrite LL in *.
  assert (Hi : forall i, holds_for w (nth i logits Unknown) (nth i l 0)) by (intros; apply nth_holds; auto).
  assert (Z : forall a, In a js -> (a < m)%nat /\ nth a l 0 = 0).
  { intros a A. rewrite forallb_forall in C3. specialize (C3 a A). apply filter_In in A. destruct A as [A _]. apply in_seq in A. split. lia.
    specialize (Hi a). destruct (nth a logits Unknown) as [| | |fs|]; try discriminate. apply Hi. rewrite Forall_forall. rewrite forallb_forall in C3. intros f F. apply below_on_correct with p; auto. }
  assert (ND : NoDup js) by apply NoDup_filter, seq_NoDup.
  rewrite forallb_forall in C4. specialize (C4 i ltac:(apply in_seq; lia)). apply orb_prop in C4. destruct C4 as [C4|C4]; [apply orb_prop in C4; destruct C4 as [C4|C4]|].
  - apply Nat.eqb_eq; auto.
  - exfalso. assert (N : nth i l 0 < 0).
    { specialize (Hi i). destruct (nth i logits Unknown) as [| | |fs|]; try discriminate. apply Hi. apply Exists_exists. apply existsb_exists in C4. destruct C4 as (f & F & A). exists f. split; auto. apply above_on_correct with p; auto. }
    assert (length js <= length (filter (before l i) (seq 0 m)))%nat; [|lia]. apply incl_length; auto. intros a A. destruct (Z a A) as [La Za]. apply filter_In. split. apply in_seq; lia.
    unfold before. destruct (Rlt_dec (nth i l 0) (nth a l 0)); auto. lra.
  - exfalso. apply Nat.leb_le in C4. assert (N : nth i l 0 <= 0).
    { specialize (Hi i). rewrite forallb_forall in C1. assert (Ii : In (nth i logits Unknown) logits) by (apply nth_In; fold m; lia). specialize (C1 _ Ii). destruct (nth i logits Unknown) as [| | |fs|]; try discriminate. apply Hi. }
    assert (length (filter (fun i' => Nat.ltb i' i) js) <= length (filter (before l i) (seq 0 m)))%nat; [|lia]. apply incl_length. apply NoDup_filter; auto.
    intros a A. apply filter_In in A. destruct A as [A Q]. apply Nat.ltb_lt in Q. destruct (Z a A) as [La Za]. apply filter_In. split. apply in_seq; lia.
    unfold before. destruct (Rlt_dec (nth i l 0) (nth a l 0)); auto. destruct (Rlt_dec (nth a l 0) (nth i l 0)). lra. apply Nat.ltb_lt; auto.
Qed.
(** Numbers that are all close to v have weighted means close to v. *)
Lemma mean_close (v d : R) (f o : nat -> R) js : (forall j, In j js -> 0 <= f j) -> sum (map f js) = 1 -> (forall j, In j js -> Rabs (v - o j) <= d) ->
  Rabs (v - sum (map (fun j => f j * o j) js)) <= d.
Proof.
  intros P S H. replace (v - sum (map (fun j => f j * o j) js)) with (sum (map (fun j => f j * (v - o j)) js)).
  2:{ transitivity (v * sum (map f js) - sum (map (fun j => f j * o j) js)); [|rewrite S; ring]. clear. induction js as [|j js IH]; simpl; [ring|]. rewrite IH. ring. }
  replace d with (sum (map f js) * d) by (rewrite S; ring). clear S. induction js as [|j js IH]; simpl. rewrite Rabs_R0. lra.
  eapply Rle_trans. apply Rabs_triang. rewrite Rmult_plus_distr_r. apply Rplus_le_compat.
  - rewrite Rabs_mult, (Rabs_right (f j)) by (apply Rle_ge, P; left; auto). apply Rmult_le_compat_l. apply P; left; auto. apply H; left; auto.
  - apply IH; intros i I; [apply P | apply H]; right; auto.
Qed.

Module Mixtures (A : Arithmetic).
Module Export C := Composition A.
Section Layer.
Variable g : graph.
Variable rs : list (dyadic * dyadic).
Variable facts : list finding.
Variable L : layer (block dyadic).
Variable h : hint.
Definition written (n : news) : bool := match nth_error (leaves L) (channel n) with Some (_, Some _) => true | _ => false end.
Definition accepted_mixture : bool :=
  tidy_layer L &&
  let s := step_of L in let F := map ready_of facts in let V := few_values g in
  match gate L with
  | Some gt =>
    Nat.leb 1 (top L) && convex (weighs L) && no_lanes gt && Nat.leb 1 (gate_width gt) && forallb written (computed h) &&
    match routed h, winners h with
    | None, [] => forallb (news_ok g rs V F s None Open_) (computed h)
    | None, _ => false
    | Some o, [] => negb (Nat.eqb (length (node_at g o)) 0) && forallb (fun p => forallb (news_ok g rs V F s (Some (o, p)) Open_) (computed h)) (node_at g o)
    | Some o, js => let logits := gate_scores L facts in
      Nat.eqb (length js) (length (node_at g o)) &&
      forallb (fun pj => copies_win (serves L) (top L) (tightened V (fst pj)) logits (snd pj) && forallb (news_ok g rs V F s (Some (o, fst pj)) (choice_of L (snd pj))) (computed h)) (combine (node_at g o) js)
    end
  | None => false
  end.
Variable w : list R.
Hypothesis W : truth g rs w.
Variable x : list R.
Hypothesis X : Forall2 (holds_for w) facts x.
Local Notation M := (map_layer real L).
Lemma all_chosen gt : gate L = Some gt -> accepted_mixture = true ->
  forall j, In j (chosen (top L) (eval_net (map_net real gt) (pick (sees L) x))) -> Forall (fun n => settled_by L w x n j) (computed h).
Proof.
  intros G H j J. unfold accepted_mixture in H. apply andb_prop in H. destruct H as [Td H]. cbv zeta in H. rewrite G in H.
  apply andb_prop in H. destruct H as [H HR]. apply andb_prop in H. destruct H as [H _]. apply andb_prop in H. destruct H as [H _]. apply andb_prop in H. destruct H as [H HN]. apply andb_prop in H. destruct H as [HK _]. apply Nat.leb_le in HK.
  assert (A0 : allowed L x Open_ j) by (exists gt; split; auto).
  destruct (routed h) as [o|].
  2:{ destruct (winners h); try discriminate. apply (all_news g rs facts L h w W x X) with (4 := HR); auto. }
  assert (Own : node_at g o <> [] -> exists p, In p (node_at g o) /\ is_value w (o, p) /\ owns p w).
  { intros N. destruct (node_at g o) as [|q r] eqn:Eo; [congruence|]. pose proof (node_at_correct g rs w W o q) as K. rewrite Eo in K. destruct (K ltac:(left; auto)) as (p & I & O & L1 & V).
    exists p. split; auto. split; auto. unfold is_value. simpl. rewrite L1. exact V. }
  destruct (winners h) as [|j1 js] eqn:EW.
  - apply andb_prop in HR. destruct HR as [HE HR]. destruct Own as (p & I & V & O). { intros E. rewrite E in HE. discriminate. }
    rewrite forallb_forall in HR. apply (all_news g rs facts L h w W x X (Some (o, p)) Open_ j); auto.
  - apply andb_prop in HR. destruct HR as [HL HR]. apply Nat.eqb_eq in HL. destruct (Own ltac:(intros E; rewrite E in HL; discriminate)) as (p & I & V & O).
    destruct (In_combine_l _ _ p (node_at g o) (j1 :: js) HL I) as (j' & Ij). rewrite forallb_forall in HR. specialize (HR _ Ij). simpl in HR. apply andb_prop in HR. destruct HR as [HW HR].
    apply (all_news g rs facts L h w W x X (Some (o, p)) (choice_of L j') j); auto. simpl.
    apply (copies_win_correct w (serves L) (top L) (tightened (few_values g) p) (gate_scores L facts) (eval_net (map_net real gt) (pick (sees L) x))); auto.
    apply gate_scores_correct; auto. apply tightened_owns; auto. apply few_values_correct with rs; auto.
Qed.
(** Beside what experts say there is what is carried there, and what a shared expert adds: the same for all. *)
Lemma leaving_at k o i : nth_error (leaves L) k = Some (o, Some i) -> exists c, forall m, nth k (leaving M x m) 0 = c + m i.
Proof.
  intros E. exists (match o with None => 0 | Some c => nth c x 0 end + match shared M with None => 0 | Some n => nth i (eval_net n (pick (reads M) x)) 0 end). intros m.
  unfold leaving. change (leaves M) with (leaves L). apply nth_error_nth. erewrite map_nth_error by exact E. simpl. f_equal. ring.
Qed.
Theorem mixture_sound : accepted_mixture = true -> Forall2 (holds_for w) (after_mixture facts L h) (eval_layer M x).
Proof.
  intros H. pose proof H as H'. unfold accepted_mixture in H'. apply andb_prop in H'. destruct H' as [_ H']. cbv zeta in H'. destruct (gate L) as [gt|] eqn:G; try discriminate.
  apply andb_prop in H'. destruct H' as [H' _]. apply andb_prop in H'. destruct H' as [H' Wr]. apply andb_prop in H'. destruct H' as [H' HA]. apply andb_prop in H'. destruct H' as [H' _]. apply andb_prop in H'. destruct H' as [HK HC]. apply Nat.leb_le in HK. apply Nat.leb_le in HA.
  pose proof (all_chosen gt G H) as Ch. set (l := eval_net (map_net real gt) (pick (sees L) x)) in *.
  assert (NL : l <> []). { intros E. assert (Q : length l = gate_width gt) by apply gate_width_correct. rewrite E in Q. simpl in Q. lia. }
  pose proof (chosen_some (top L) l NL HK) as CN. destruct (weights_convex (weighs L) l _ HC CN) as [W1 W2]. set (js := chosen (top L) l) in *.
  assert (Ev : eval_layer M x = leaving M x (fun i => sum (map (fun j => weight (weighs L) l js j * output M x j i) js))).
  { unfold eval_layer. change (gate M) with (option_map (map_net real) (gate L)). rewrite G. reflexivity. }
  rewrite Ev. set (mix := fun i => _). unfold after_mixture. pose proof (carried_correct facts L w x X mix) as Cc. rewrite forallb_forall in Wr.
  assert (Ok : forall n, In n (computed h) -> Rabs (nth (number_ n) w 0 - nth (channel n) (leaving M x mix) 0) <= D2R (within_ n)).
  { intros n I. specialize (Wr n I). unfold written in Wr.
    destruct (nth_error (leaves L) (channel n)) as [[o [i|]]|] eqn:EL; try discriminate.
    destruct (leaving_at _ _ _ EL) as (c & Hc). rewrite Hc. unfold mix. replace (nth (number_ n) w 0 - (c + sum (map (fun j => weight (weighs L) l js j * output M x j i) js)))
      with (nth (number_ n) w 0 - c - sum (map (fun j => weight (weighs L) l js j * output M x j i) js)) by ring. apply mean_close; auto. intros j J. pose proof (Ch j J) as S. rewrite Forall_forall in S. specialize (S n I). unfold settled_by in S.
    rewrite Hc in S. replace (nth (number_ n) w 0 - c - output M x j i) with (nth (number_ n) w 0 - (c + output M x j i)) by ring. exact S. }
  revert Cc Ok. generalize (carried L facts). generalize (computed h). clear. intros ns. induction ns as [|n ns IH]; intros fs Cc Ok; simpl; auto.
  apply IH. apply put_correct; auto. simpl. apply Ok; left; auto. intros; apply Ok; right; auto.
Qed.
End Layer.
Theorem mixture_holds g rs fs L h gs : accepted_mixture g rs fs L h = true -> after_mixture fs L h = gs -> step_holds g rs fs L gs.
Proof. intros H <- w x W X. apply mixture_sound with g rs; auto. Qed.
End Mixtures.
