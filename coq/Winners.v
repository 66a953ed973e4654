(* Which logits are the largest where pieces own the values, by the signs of faces: the first largest one (B10), and the K of a gate that tells
   several blocks apart (N15). *)
From Coq Require Import Reals List ZArith Bool Lra Lia Permutation.
From AtlasMoE Require Import Semantics Tasks Routes Dyadics Scores Findings.
Import ListNotations.
Open Scope R_scope.

(** * One logit, of one block *)
Definition gate_scores (L : layer (block dyadic)) (facts : list finding) : list finding :=
  match gate L with
  | Some g => if no_lanes g then map (fact_of (picked (sees L) facts)) (of_net g (lines (length (sees L)))) else []
  | None => []
  end.
Lemma gate_scores_correct w L facts x g : gate L = Some g -> no_lanes g = true -> Forall2 (holds_for w) facts x ->
  Forall2 (holds_for w) (gate_scores L facts) (eval_net (map_net real g) (pick (sees L) x)).
Proof.
  intros G N H. unfold gate_scores. rewrite G, N. pose proof (picked_correct w (sees L) facts x H) as P. set (y := pick (sees L) x) in *.
  replace (length (sees L)) with (length y) by (unfold y, pick; rewrite map_length; auto).
  pose proof (of_net_correct y g _ _ N (lines_correct y)) as K. revert K. generalize (of_net g (lines (length y))) (eval_net (map_net real g) y). clear - P.
  intros s z K. induction K; constructor; auto. apply fact_of_correct with (x := y); auto.
Qed.
(** A face on all of a piece: at most 0, or above 0. *)
Definition below_on (p : piece) (f : face) : bool :=
  let '(a, k, b) := f in
  existsb (fun s => Nat.eqb (fst s) k && match (if (sign a =? 1)%Z then snd (snd s) else if (sign a =? -1)%Z then fst (snd s) else Free) with
    | Closed d | Open d => nonpos (plus (dmul a d) b) | Free => false end) (sides p).
Definition above_on (p : piece) (f : face) : bool :=
  let '(a, k, b) := f in
  existsb (fun s => Nat.eqb (fst s) k && match (if (sign a =? 1)%Z then fst (snd s) else if (sign a =? -1)%Z then snd (snd s) else Free) with
    | Closed d => (sign (plus (dmul a d) b) =? 1)%Z | Open d => negb (sign (plus (dmul a d) b) =? -1)%Z | Free => false end) (sides p).
Lemma below_on_correct p v f : owns p v -> below_on p f = true -> height v f <= 0.
Proof.
  unfold below_on, owns, height. destruct f as [[a k] b]. simpl. intros O H. apply existsb_exists in H. destruct H as ([k' [lo hi]] & I & H). rewrite Forall_forall in O. specialize (O _ I). simpl in *.
  apply andb_prop in H. destruct H as [K H]. apply Nat.eqb_eq in K. subst. destruct O as [O1 O2]. destruct (Z.eqb_spec (sign a) 1) as [A|A]; [|destruct (Z.eqb_spec (sign a) (-1)) as [A'|]; try discriminate].
  - apply sign_pos in A. destruct hi; try discriminate; apply nonpos_correct in H; rewrite D2R_plus, D2R_mul in H; simpl in O2; nra.
  - apply sign_neg in A'. destruct lo; try discriminate; apply nonpos_correct in H; rewrite D2R_plus, D2R_mul in H; simpl in O1; nra.
Qed.
Lemma above_on_correct p v f : owns p v -> above_on p f = true -> 0 < height v f.
Proof.
  unfold above_on, owns, height. destruct f as [[a k] b]. simpl. intros O H. apply existsb_exists in H. destruct H as ([k' [lo hi]] & I & H). rewrite Forall_forall in O. specialize (O _ I). simpl in *.
  apply andb_prop in H. destruct H as [K H]. apply Nat.eqb_eq in K. subst. destruct O as [O1 O2]. destruct (Z.eqb_spec (sign a) 1) as [A|A]; [|destruct (Z.eqb_spec (sign a) (-1)) as [A'|]; try discriminate].
  - apply sign_pos in A. destruct lo as [|d|d]; try discriminate; simpl in O1.
    + apply Z.eqb_eq, sign_pos in H. rewrite D2R_plus, D2R_mul in H. nra.
    + apply nonneg_correct in H. rewrite D2R_plus, D2R_mul in H. nra.
  - apply sign_neg in A'. destruct hi as [|d|d]; try discriminate; simpl in O2.
    + apply Z.eqb_eq, sign_pos in H. rewrite D2R_plus, D2R_mul in H. nra.
    + apply nonneg_correct in H. rewrite D2R_plus, D2R_mul in H. nra.
Qed.
(** Output j of the gate wins wherever piece p owns the values: all logits are scores, its own is 0, those before it are below 0. *)
Definition wins (p : piece) (logits : list finding) (j : nat) : bool :=
  forallb (fun f => match f with Scores _ => true | _ => false end) logits &&
  match nth j logits Unknown with Scores fs => forallb (below_on p) fs | _ => false end &&
  forallb (fun f => match f with Scores fs => existsb (above_on p) fs | _ => false end) (firstn j logits).
Lemma first_wins l j : (j < length l)%nat -> nth j l 0 = 0 -> (forall i, nth i l 0 <= 0) -> (forall i, (i < j)%nat -> nth i l 0 < 0) -> chosen 1 l = [j].
Proof.
  intros Lj Z N B. assert (NE : l <> []) by (destruct l; simpl in *; [lia | congruence]). destruct (chosen_one l NE) as (j' & E & Lj').
  assert (J : In j (chosen 1 l)).
  { unfold chosen. apply filter_In. split. apply in_seq. lia. assert (F : filter (before l j) (seq 0 (length l)) = []); [|rewrite F; reflexivity].
    assert (G : forall ns, filter (before l j) ns = []); auto. induction ns as [|i ns IH]; simpl; auto.
    assert (Q : before l j i = false); [|rewrite Q; auto]. unfold before. rewrite Z. specialize (N i). destruct (Rlt_dec 0 (nth i l 0)); try lra.
    destruct (Rlt_dec (nth i l 0) 0); auto. apply Nat.ltb_ge. destruct (Nat.le_gt_cases j i); auto. specialize (B i H). lra. }
  rewrite E in J. destruct J as [->|[]]. auto.
Qed.
Lemma wins_correct w p logits l j : Forall2 (holds_for w) logits l -> owns p w -> wins p logits j = true -> chosen 1 l = [j].
Proof.
  intros H O W. unfold wins in W. apply andb_prop in W. destruct W as [W W3]. apply andb_prop in W. destruct W as [W1 W2].
  pose proof (nth_holds w logits l) as K. assert (LL : length logits = length l) by (clear -H; induction H; simpl; auto).
  destruct (nth j logits Unknown) as [| | |fs|] eqn:E; try discriminate. apply first_wins.
  - rewrite <- LL. destruct (Nat.lt_ge_cases j (length logits)); auto. rewrite nth_overflow in E by auto. discriminate.
  - specialize (K j H). rewrite E in K. apply K. rewrite Forall_forall. rewrite forallb_forall in W2. intros f F. apply below_on_correct with p; auto.
  - intros i. specialize (K i H). destruct (Nat.lt_ge_cases i (length logits)) as [Li|Li].
    + rewrite forallb_forall in W1. specialize (W1 _ (nth_In logits Unknown Li)). destruct (nth i logits Unknown); try discriminate. apply K.
    + rewrite nth_overflow by lia. lra.
  - intros i Hi. specialize (K i H). rewrite forallb_forall in W3. specialize (W3 (nth i logits Unknown)).
    assert (In (nth i logits Unknown) (firstn j logits)).
    { assert (i < length (firstn j logits))%nat. { rewrite firstn_length. destruct (Nat.lt_ge_cases j (length logits)). lia. rewrite nth_overflow in E by auto. discriminate. }
      rewrite <- (firstn_skipn j logits) at 1. rewrite app_nth1 by auto. apply nth_In; auto. }
    specialize (W3 H0). destruct (nth i logits Unknown) as [| | |gs|]; try discriminate. apply K. apply Exists_exists. apply existsb_exists in W3. destruct W3 as (f & F & A).
    exists f. split; auto. apply above_on_correct with p; auto.
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
