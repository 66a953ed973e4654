(* Inputs and nodes of a task graph: at every input all values exist, and lie in their ranges. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Tasks Intervals Forms Expressions Dyadics Conjunctions Truth Pieces Asked Checker ValueForms.
Import ListNotations.
Open Scope R_scope.

Module Nodes (A : Arithmetic).
Module Export V := ValueForms A.
Import A.

Definition input_leaf (c : chart) (bs : list (dyadic * dyadic)) (b : list I.type) : bool :=
  let T := shifts b in let U := variables 0 b in
  existsb (fun r => optional false (fun F => negative (fr F)) (eval_expr T U r)) (region c) orelse
  match eval_all T U (inverse c) with None => false | Some Y => in_range_forms bs Y end.
Lemma input_leaf_correct c bs b u : mems b u -> input_leaf c bs b = true -> Forall (fun r => 0 <= denote r u) (region c) -> in_box bs (values (inverse c) u).
Proof.
  intros Hu H Reg. destruct (forms_at b u Hu) as [HT HV]. unfold input_leaf in H. set (t := diffs u (map middle b)) in *. destruct (existsb _ (region c)) eqn:R; [clear H; rename R into H | clear R].
  - exfalso. apply existsb_exists in H. destruct H as (r & Ir & Hr). rewrite Forall_forall in Reg. specialize (Reg r Ir).
    destruct (eval_expr (shifts b) (variables 0 b) r) as [F|] eqn:EF; try discriminate. simpl in Hr. destruct (proj1 (eval_correct _ t HT _ u HV) _ _ EF) as [_ [M _]].
    apply negative_correct with (2 := M) in Hr. lra.
  - destruct (eval_all _ _ _) as [Y|] eqn:EY; try discriminate. destruct (eval_all_correct _ t HT _ u HV _ _ EY) as [_ HY]. apply in_range_forms_correct with (1 := HY); auto.
Qed.
Definition input_fuel : nat := 12.
(** A box, taken as it is. *)
Definition identity (c : chart) (bs : list (dyadic * dyadic)) : bool :=
  Nat.eqb (length (inverse c)) (length (box c)) && forallb (fun p => match fst p with Var k => Nat.eqb k (snd p) | _ => false end) (combine (inverse c) (seq 0 (length (box c)))) &&
  Nat.eqb (length bs) (length (box c)) && forallb (fun p => at_most_d (fst (snd p)) (fst (fst p)) && at_most_d (snd (fst p)) (snd (snd p))) (combine (box c) bs).
Definition input_ok (M : list chart) (bs : list (dyadic * dyadic)) : bool :=
  forallb (fun c => Nat.eqb (length (inverse c)) (breadth M) && if identity c bs then true else settle (input_leaf c bs) input_fuel (length (box c)) 0 (map side (box c))) M.
Fixpoint inputs_ok (Ms : list (list chart)) (rs : list (dyadic * dyadic)) : bool :=
  match Ms with [] => true | M :: Ms => input_ok M (firstn (breadth M) rs) && inputs_ok Ms (skipn (breadth M) rs) end.
Lemma identity_values u : forall es k, length es = length u -> forallb (fun p => match fst p with Var i => Nat.eqb i (snd p) | _ => false end) (combine es (seq k (length u))) = true ->
  forall pre, length pre = k -> values es (pre ++ u) = u.
Proof.
  induction u as [|x u IH]; intros [|e es] k L H pre P; simpl in *; try discriminate; auto. apply andb_prop in H. destruct H as [H1 H2]. destruct e; try discriminate. apply Nat.eqb_eq in H1. subst.
  simpl. rewrite app_nth2, Nat.sub_diag by lia. simpl. f_equal. replace (pre ++ x :: u) with ((pre ++ [x]) ++ u) by (rewrite <- app_assoc; auto).
  apply (IH es (S (length pre))); auto. rewrite app_length. simpl. lia.
Qed.
Lemma identity_correct c bs u : identity c bs = true -> in_box (box c) u -> in_box bs (values (inverse c) u).
Proof.
  unfold identity. intros H B. apply andb_prop in H. destruct H as [H H4]. apply andb_prop in H. destruct H as [H H3]. apply andb_prop in H. destruct H as [H1 H2].
  apply Nat.eqb_eq in H1. apply Nat.eqb_eq in H3. assert (LB : length (box c) = length u) by (clear -B; induction B; simpl; auto). rewrite LB in *.
  rewrite (identity_values u (inverse c) 0 H1 H2 [] eq_refl : values (inverse c) u = u). clear H1 H2. revert bs H3 H4. rewrite <- LB. clear LB.
  induction B as [|b x box u Hb B IH]; intros [|b' bs] L H; simpl in *; try discriminate; constructor.
  - apply andb_prop in H. destruct H as [H _]. apply andb_prop in H. destruct H as [Ha Hc]. apply at_most_d_correct in Ha. apply at_most_d_correct in Hc. simpl in *. lra.
  - apply andb_prop in H. destruct H as [_ H]. apply IH; auto.
Qed.
Lemma input_ok_correct M bs y : input_ok M bs = true -> on_charts M y ->
  in_box bs y /\ length y = breadth M /\ forall pre post, point_at (pre ++ y ++ post) (length pre) M.
Proof.
  intros H (c & u & I & B & Reg & ->). unfold input_ok in H. rewrite forallb_forall in H. specialize (H c I). apply andb_prop in H. destruct H as [L H]. apply Nat.eqb_eq in L.
  assert (LV : length (values (inverse c) u) = breadth M) by (unfold values; rewrite map_length; auto).
  split; [|split; auto].
  - destruct (identity c bs) eqn:Id. apply identity_correct; auto. apply (settle_correct (input_leaf c bs) (fun u => Forall (fun r => 0 <= denote r u) (region c) -> in_box bs (values (inverse c) u))) with (3 := H) (u := u); auto.
    + intros b v Hv Hb. apply input_leaf_correct with b; auto. + apply box_correct; auto.
  - intros pre post. exists c, u. repeat split; auto. rewrite <- LV. symmetry. apply slice_middle.
Qed.
Lemma inputs_ok_correct : forall Ms rs x, inputs_ok Ms rs = true -> in_domain Ms x ->
  length x = total_breadth Ms /\ in_box (firstn (total_breadth Ms) rs) x /\
  forall pre post, points (placed_inputs (length pre) Ms) (pre ++ x ++ post).
Proof.
  induction Ms as [|M Ms IH]; simpl; intros rs x H D. { subst. repeat split; try constructor. }
  destruct D as (y & z & -> & Hy & Hz). apply andb_prop in H. destruct H as [H1 H2]. destruct (input_ok_correct M _ y H1 Hy) as (B & L & P). destruct (IH _ z H2 Hz) as (L2 & B2 & P2).
  split. rewrite app_length. lia. split.
  - unfold in_box in *. replace (firstn (breadth M + total_breadth Ms) rs) with (firstn (breadth M) rs ++ firstn (total_breadth Ms) (skipn (breadth M) rs)). apply Forall2_app; auto.
    clear. revert rs. induction (breadth M) as [|m IH]; intros rs; simpl; auto. destruct rs; simpl. destruct (total_breadth Ms); auto. rewrite IH. auto.
  - intros pre post. constructor. simpl. rewrite <- app_assoc. apply P. specialize (P2 (pre ++ y) post). rewrite app_length, L in P2. rewrite <- !app_assoc in P2. rewrite <- app_assoc. exact P2.
Qed.

Section Nodes.
Variable Ms : list (nat * list chart).      (* the inputs, where they are *)
Definition node_leaf (rs bs : list (dyadic * dyadic)) (p : piece) (ss : list source) (b : list I.type) : bool :=
  let T := shifts b in let U := variables 0 b in
  off_region T ss U orelse
  match dress T ss U (flats rs) with None => false | Some V => outside p V orelse match eval_all T V (functions p) with None => false | Some F => in_range_forms bs F end end.
Lemma node_leaf_correct rs bs p ss b u v : mems b u -> node_leaf rs bs p ss b = true -> in_box rs v -> owns p v -> all_mean v ss u ->
  Forall (fun e => defined e v) (functions p) /\ in_box bs (values (functions p) v).
Proof.
  intros Hu H HR HO M. destruct (forms_at b u Hu) as [HT HV]. unfold node_leaf in H. set (t := diffs u (map middle b)) in *.
  destruct (off_region_correct (shifts b) t HT v ss _ _ HV M) as [O|[]]. rewrite O in H. simpl in H.
  destruct (dress _ ss _ _) as [V|] eqn:E; try discriminate. pose proof (dress_correct (shifts b) t HT v ss _ _ _ _ HV M (flats_correct t rs v HR) E) as HW.
  rewrite (outside_correct t p V v HW HO) in H.
  destruct (eval_all _ V _) as [F|] eqn:EF; try discriminate. destruct (eval_all_correct _ t HT V v HW _ _ EF) as [D HF]. split; auto. apply in_range_forms_correct with (1 := HF); auto.
Qed.
Definition piece_ok (e : effort) (rs bs : list (dyadic * dyadic)) (p : piece) : bool :=
  known_input Ms (about e) andthen all_of (fun ss => settle (node_leaf rs bs p ss) (fuel e) (cutting e) 0 (box_of rs p ss)) (cases Ms (about e)).
Lemma piece_ok_correct e rs bs p v : piece_ok e rs bs p = true -> in_box rs v -> points Ms v -> owns p v ->
  Forall (fun e => defined e v) (functions p) /\ in_box bs (values (functions p) v).
Proof.
  intros H HR HP HO. apply andthen_true in H. destruct H as [H1 H2]. destruct (cases_correct Ms v _ HP H1) as (ss & us & I & M).
  pose proof (all_of_true _ _ _ H2 ss I) as H3.
  refine (settle_correct (node_leaf rs bs p ss) (fun u => all_mean v ss u -> Forall (fun e => defined e v) (functions p) /\ in_box bs (values (functions p) v)) _ _ _ _ _ us _ H3 M).
  - intros b u Hu Hb Hm. apply node_leaf_correct with (1 := Hu) (2 := Hb); auto. - apply box_of_correct with v; auto.
Qed.
Fixpoint nodes_ok (es : list effort) (ns : list node) (done rest : list (dyadic * dyadic)) : bool :=
  match ns, es with
  | [], [] => match rest with [] => true | _ => false end
  | n :: ns, e :: es =>
    let bs := firstn (arity n) rest in
    covers (spoken n done) n && forallb (fun p => Nat.eqb (length (functions p)) (arity n) && forallb (fun s => Nat.ltb (fst s) (length done)) (sides p) && piece_ok e done bs p) n &&
    nodes_ok es ns (done ++ bs) (skipn (arity n) rest)
  | _, _ => false
  end.
Lemma nodes_ok_correct : forall ns es done rest v, nodes_ok es ns done rest = true -> in_box done v -> points Ms v ->
  (exists w, evaluates ns v w) /\
  forall w, evaluates ns v w -> in_box (done ++ rest) w /\ Forall (fun n => value_at w (fst n) (snd n)) (placed (length v) ns) /\ exists t, w = v ++ t.
Proof.
  induction ns as [|n ns IH]; intros [|e es] done rest v H HB HP; simpl in H; try discriminate.
  { destruct rest; try discriminate. split. exists v. reflexivity. simpl. intros w ->. rewrite app_nil_r. repeat split; auto. exists []. rewrite app_nil_r; auto. }
  set (bs := firstn (arity n) rest) in *. apply andb_prop in H. destruct H as [H H3]. apply andb_prop in H. destruct H as [H1 H2].
  assert (One : forall p, In p n -> owns p v -> length (functions p) = arity n /\ forallb (fun s => Nat.ltb (fst s) (length v)) (sides p) = true /\
    Forall (fun e => defined e v) (functions p) /\ in_box bs (values (functions p) v)).
  { intros p I O. rewrite forallb_forall in H2. specialize (H2 p I). apply andb_prop in H2. destruct H2 as [H2 H5]. apply andb_prop in H2. destruct H2 as [H2 H4]. apply Nat.eqb_eq in H2.
    rewrite (in_box_length _ _ HB) in H4. destruct (piece_ok_correct e done bs p v H5 HB HP O). auto. }
  assert (Next : forall p, In p n -> owns p v -> in_box (done ++ bs) (v ++ values (functions p) v) /\ points Ms (v ++ values (functions p) v)).
  { intros p I O. destruct (One p I O) as (_ & _ & _ & B). split. apply Forall2_app; auto. unfold points in *. rewrite Forall_forall in *. intros m Im. apply point_at_more; auto. }
  assert (ER : rest = bs ++ skipn (arity n) rest) by (symmetry; apply firstn_skipn).
  split.
  - destruct (covers_correct v n _ H1 (spoken_correct n done v HB)) as (p & I & O). destruct (One p I O) as (_ & _ & D & B). destruct (Next p I O) as [NB NP].
    destruct (IH es _ _ _ H3 NB NP) as [(w & W) _]. exists w. exists p. auto.
  - intros w (p & I & O & D & W). destruct (One p I O) as (L & S & _ & B). destruct (Next p I O) as [NB NP]. destruct (IH es _ _ _ H3 NB NP) as [_ F].
    destruct (F w W) as (F1 & F2 & t & ->). rewrite ER, app_assoc. split; auto. assert (LV : length (values (functions p) v) = arity n) by (unfold values; rewrite map_length; auto).
    rewrite <- app_assoc. split; [|eexists; reflexivity]. simpl. constructor.
    + exists p. simpl. split; auto. split. apply owns_more; auto. split; auto. rewrite firstn_left. rewrite <- LV. symmetry. apply slice_middle.
    + rewrite app_length, LV in F2. rewrite <- app_assoc in F2. exact F2.
Qed.
End Nodes.

Definition values_accepted (g : graph) (es : list effort) (rs : list (dyadic * dyadic)) : bool :=
  let n := total_breadth (inputs g) in inputs_ok (inputs g) rs && nodes_ok (placed_inputs 0 (inputs g)) es (nodes g) (firstn n rs) (skipn n rs).
Theorem values_sound g es rs x : values_accepted g es rs = true -> in_domain (inputs g) x ->
  length x = total_breadth (inputs g) /\ (exists w, evaluates (nodes g) x w) /\ forall w, evaluates (nodes g) x w -> truth g rs w /\ exists t, w = x ++ t.
Proof.
  intros H D. apply andb_prop in H. destruct H as [H1 H2]. destruct (inputs_ok_correct _ _ x H1 D) as (L & B & P).
  pose proof (P [] []) as P0. simpl in P0. rewrite app_nil_r in P0. destruct (nodes_ok_correct _ _ _ _ _ x H2 B P0) as [E F]. split; auto. split; auto.
  intros w W. destruct (F w W) as (F1 & F2 & t & Et). split; [|eauto]. split. rewrite firstn_skipn in F1. auto. split. subst. apply (P [] t). rewrite L in F2. auto.
Qed.
End Nodes.
