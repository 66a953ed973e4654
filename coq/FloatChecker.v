(* The checker of one chart for both theorems: about real numbers, and about their evaluation in floats. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Taylor Intervals Forms Expressions Nets Layers Routes Conjunctions Trees Paths Checker Floats Orders Rounding FloatBounds.
Import ListNotations.
Open Scope R_scope.

Module FloatChecker (A : Arithmetic).
Module Export B := FloatBounds A.
Import A.

(** * All paths over a box *)
Section Box.
Variable TL : list I.type.
Variable tl : list R.
Hypothesis HTL : mems TL tl.
Local Notation has := (has tl). Local Notation hass := (Forall2 (F.has tl)).
Local Notation rng := (rng TL). Local Notation run_net := (run_net TL).

(** a > b + 2 m all over the box *)
Definition beats_by (m : I.type) (a b : form) := positive (isub (rng (isub (fc a) (fc b)) (addv (fs a) (map I.neg (fs b)))) (imul two m)).
Lemma beats_by_correct m e a b v w : mem m e -> has a v -> has b w -> beats_by m a b = true -> 2 * e < v - w.
Proof.
  intros Hm [_ (c1 & s1 & C1 & S1 & E1)] Hb P. destruct Hb as [_ (c3 & s3 & C3 & S3 & E3)].
  apply positive_correct with (x := v - w - 2 * e) in P. lra. apply mem_sub. 2: apply mem_mul; auto; apply mem_Z. apply (rng_correct TL tl HTL).
  destruct (addv_correct _ _ (map I.neg (fs b)) (map Ropp s3) (tl ++ monos2 tl) S1) as (r & R1 & R2). { apply negs_correct; auto. }
  exists (c1 - c3), r. repeat split; auto. apply mem_sub; auto. rewrite R2, dot_opp, E1, E3. ring.
Qed.
Definition far (m : I.type) (logits : list form) (j : nat) : bool := let b := nth j logits (number 0) in at_least 1 (fun a => beats_by m a b) logits.
Lemma far_correct m e Ls l j : mem m e -> hass Ls l -> far m Ls j = true -> exists i, (i < length l)%nat /\ 2 * e < nth i l 0 - nth j l 0.
Proof.
  intros Hm H F. apply at_least_correct in F. destruct (filter _ Ls) as [|a r] eqn:EF; simpl in F; try lia.
  assert (Ia : In a Ls /\ beats_by m a (nth j Ls (number 0)) = true) by (apply (proj1 (filter_In (fun a => beats_by m a (nth j Ls (number 0))) a Ls)); rewrite EF; left; auto). destruct Ia as [Ia B]. destruct (In_nth _ _ (number 0) Ia) as (i & Li & <-). exists i. split.
  - rewrite <- (same_length _ _ _ _ _ H); auto. - apply beats_by_correct with (1 := Hm) (4 := B); apply nth_has; auto.
Qed.
Fixpoint each_path (Ms : list I.type) (Ls : list step) (X : list form) (k : list form -> bool) : bool :=
  match Ls with
  | [] => k X
  | s :: Ls =>
    match s_gate s with
    | None => each_path (List.tl Ms) Ls (expert_out TL s X (nth 0 (s_serves s) 0%nat)) k
    | Some g =>
      let logits := run_net g (picks (s_sees s) X) in
      let n := length logits in
      (convex (s_weighs s) && negb (Nat.eqb n 0) && Nat.eqb (s_top s) 1) andthen
      all_of (fun e => all_of (far (hd I.nai Ms) logits) (outputs_of (s_serves s) n e) orelse each_path (List.tl Ms) Ls (expert_out TL s X e) k)
        (nodup Nat.eq_dec (map (fun j => nth j (s_serves s) 0%nat) (seq 0 n)))
    end
  end.
Lemma each_path_correct (G : list R -> Prop) (k : list form -> bool) : (forall X x, hass X x -> k X = true -> G x) ->
  forall Ls, forallb tidy_layer Ls = true -> forall Ms es X x, mems Ms es -> length Ms = length Ls -> hass X x ->
    each_path Ms (map step_of Ls) X k = true -> all_paths es (map (map_layer real) Ls) x G.
Proof.
  intros Hk. induction Ls as [|L Ls IH]; intros T Ms es X x HM LM HX K; simpl in *. { apply Hk with X; auto. }
  apply andb_prop in T. destruct T as [TL' T]. destruct HM as [|M m Ms es Hm HM]; simpl in LM; try discriminate. injection LM as LM.
  destruct (gate L) as [g|] eqn:GL; simpl in K |- *.
  2:{ apply IH with (2 := HM) (4 := expert_out_correct TL tl HTL L X x 0 TL' HX); auto. }
  apply andthen_true in K. destruct K as [K KE]. apply andb_prop in K. destruct K as [K KT]. apply andb_prop in K. destruct K as [KC KN].
  set (logits := run_net (net_of g) (picks (sees L) X)) in *. set (l := eval_net (map_net real g) (pick (sees L) x)).
  assert (HL : hass logits l). { apply (run_net_correct TL tl HTL). unfold tidy_layer in TL'. rewrite GL in TL'. destruct (tidy g); auto. apply picks_correct; auto. }
  assert (LL : length logits = length l) by (apply (same_length _ _ _ _ _ HL)).
  split. { intros E. rewrite E in LL. simpl in LL. rewrite LL in KN. discriminate KN. }
  split. { apply Nat.eqb_eq; auto. } split; auto. intros j Lj D.
  apply IH with (2 := HM) (4 := expert_out_correct TL tl HTL L X x j TL' HX); auto.
  assert (Ie : In (nth j (serves L) 0%nat) (nodup Nat.eq_dec (map (fun j => nth j (serves L) 0%nat) (seq 0 (length logits))))).
  { apply nodup_In. apply in_map_iff. exists j. split; auto. apply in_seq. lia. }
  pose proof (all_of_true _ _ _ KE _ Ie) as KE'. cbv beta in KE'. destruct (all_of _ (outputs_of _ _ _)) eqn:E; auto. exfalso.
  assert (F : far M logits j = true). { apply (all_of_true _ _ _ E). unfold outputs_of. apply filter_In. split. apply in_seq. lia. apply Nat.eqb_refl. }
  destruct (far_correct _ _ _ _ _ Hm HL F) as (i & Li & Di). specialize (D i Li). lra.
Qed.
Definition reached (X : I.type) (a : form) : bool := nonnegative (isub X (I.abs (fr a))).
Lemma reached_correct X B a v : mem X B -> has a v -> reached X a = true -> Rabs v <= B.
Proof. intros HX [Ha _] H. apply nonnegative_correct with (x := B - Rabs v) in H. lra. apply mem_sub; auto. apply mem_abs; auto. Qed.
End Box.

(** * A chart, for both theorems. *)
Section Chart.
Variable c : chart.
Variable by_chart : bool.
Variable target : list expr.
Variable Q : option (block dyadic).
Variable Ls : list (layer (block dyadic)).
Variable eps : dyadic.
Variable k : Z.            (* numbers of M are at most 2^k *)
Variable wide : dyadic.    (* eps and what rounding adds *)

Definition both_hold (y : list R) := claimed c by_chart target Q Ls eps y /\ claimed_floats c by_chart target Q Ls k wide y.
Definition reach := D2I (1, k)%Z.
Definition arriving : nat := optional (length (inverse c)) (fun q : block dyadic => length (biases q)) Q.
Definition start : list bound := repeat (iadd reach (D2I (ulp_of k)), D2I (ulp_of k)) arriving.
Definition fleaf (p : prepared) (Ms : list I.type) (box : list I.type) : bool :=
  let T := shifts box in let V := variables 0 box in
  existsb (fun r => optional false (fun F => negative (fr F)) (eval_expr T V r)) (region c) orelse
  match eval_all T V (inverse c) with
  | None => false
  | Some Y =>
    match eval_all T (if by_chart then V else Y) target with
    | None => false
    | Some F =>
      let X := optional Y (fun q => run_affine T q Y) (p_embedding p) in
      (Nat.eqb (length X) arriving && forallb (reached reach) X) andthen each_path T Ms (p_steps p) X (all_within T (p_eps p) F)
    end
  end.
Lemma start_correct y x : length y = arriving -> Forall (fun v => Rabs v <= D2R (1, k)%Z) y -> off (ulp_of k) y x -> all3 ok start y x.
Proof.
  unfold start, off. intros <- H K. induction K as [|a b y x E K IH]; inversion H; subst; cbn [length repeat]; constructor; auto.
  exists (D2R (1, k)%Z + D2R (ulp_of k)), (D2R (ulp_of k)). cbn [fst snd]. unfold reach. split. apply mem_add; apply mem_D2I. split. apply mem_D2I.
  pose proof (Rabs_pos (b - a)). split. lra. split; auto. replace b with ((b - a) + a) by ring. eapply Rle_trans. apply Rabs_triang. lra.
Qed.
(** What is left for f of the widened error. *)
Definition room (p : bound) : bool := nonnegative (isub (D2I wide) (iadd (D2I eps) (snd p))).
Lemma close_near f v psi : Forall (fun e => defined e v) f -> near (D2R eps) (values f v) psi -> close eps f v psi.
Proof.
  intros D N. unfold close, values in *. revert psi N. induction D as [|e es De D IH]; intros psi N; inversion N; subst; constructor; auto.
Qed.
Lemma close_wide P psi x : all3 ok P psi x -> forallb room P = true -> forall f v, Forall (fun e => defined e v) f -> near (D2R eps) (values f v) psi -> close wide f v x.
Proof.
  intros H. induction H as [|p a b P psi x (B & e & MB & Me & _ & _ & E) H IH]; intros R f v D N; unfold values in *.
  - inversion N. destruct f; try discriminate. constructor.
  - simpl in R. apply andb_prop in R. destruct R as [R1 R2]. inversion N as [|t q f' psi' Hc N' Ef]; subst. destruct f as [|t' f]; simpl in *; try discriminate. injection Ef as -> ->.
    inversion D; subst. constructor. 2: apply IH; auto. split; auto.
    apply nonnegative_correct with (x := D2R wide - (D2R eps + e)) in R1.
    + replace (denote t' v - b) with ((denote t' v - a) - (b - a)) by ring. eapply Rle_trans. apply Rabs_triang. rewrite Rabs_Ropp. lra.
    + apply mem_sub. apply mem_D2I. apply mem_add; auto. apply mem_D2I.
Qed.
Lemma fleaf_correct Ms P box y : forallb tidy_layer Ls = true -> bound_moe Ls start = Some (Ms, P) -> forallb room P = true ->
  mems box y -> fleaf (prepare Q Ls eps) Ms box = true -> both_hold y.
Proof.
  intros Td HB HR Hu H. unfold fleaf in H. set (T := shifts box) in *. set (V := variables 0 box) in *.
  set (t := diffs y (map middle box)). assert (HT : mems T t) by (apply shifts_correct; auto).
  assert (HV : Forall2 (has t) V y). { apply variables_correct; auto. intros i Hi. apply nth_diffs; auto. }
  destruct (existsb _ _) eqn:ER; [clear H; rename ER into H|clear ER].
  { assert (forall Z : Prop, Forall (fun r => 0 <= denote r y) (region c) -> Z) as No.
    { intros Z Reg. exfalso. apply existsb_exists in H. destruct H as (r & Ir & Hr). rewrite Forall_forall in Reg. specialize (Reg r Ir).
      destruct (eval_expr T V r) as [F|] eqn:EF; try discriminate. simpl in Hr. destruct (proj1 (eval_correct T t HT V y HV) _ _ EF) as [_ [M _]].
      apply negative_correct with (2 := M) in Hr. lra. }
    split; intros Reg; apply No; auto. }
  destruct (eval_all T V (inverse c)) as [Y|] eqn:EY; try discriminate. destruct (eval_all_correct T t HT V y HV _ _ EY) as [DY HY].
  destruct (eval_all T _ target) as [F|] eqn:EF; try discriminate. set (z := values (inverse c) y) in *.
  assert (HA : Forall2 (has t) (if by_chart then V else Y) (if by_chart then y else z)) by (destruct by_chart; auto).
  destruct (eval_all_correct T t HT _ _ HA _ _ EF) as [DF HF].
  set (X := optional Y (fun q => run_affine T q Y) (p_embedding (prepare Q Ls eps))) in *.
  assert (HQ : Forall2 (has t) X (embedded Q z)).
  { unfold X, embedded, prepare. simpl. destruct Q; simpl; auto. apply (run_affine_correct T t HT); auto. }
  apply andthen_true in H. destruct H as [H KP]. apply andb_prop in H. destruct H as [KL KR]. apply Nat.eqb_eq in KL.
  assert (LX : length (embedded Q z) = arriving) by (rewrite <- KL; symmetry; apply (same_length _ _ _ _ _ HQ)).
  assert (Reach : Forall (fun v => Rabs v <= D2R (1, k)%Z) (embedded Q z)).
  { clear - HQ KR. induction HQ; simpl in *; constructor; apply andb_prop in KR; destruct KR; auto. apply reached_correct with (2 := H) (3 := H0). apply mem_D2I. }
  assert (LM : length Ms = length Ls).
  { revert HB. generalize start. clear. revert Ms. induction Ls as [|L Ls' IH]; intros Ms S E; simpl in E. injection E as <- <-; auto.
    apply bind_some in E. destruct E as ([M P1] & E1 & E2). simpl in E2. destruct (bound_moe Ls' P1) as [[Ms1 Q1]|] eqn:E3; try discriminate. injection E2 as <- <-. simpl. f_equal. eauto. }
  assert (G : forall es, mems Ms es -> all_paths es (map (map_layer real) Ls) (embedded Q z) (near (D2R eps) (values target (if by_chart then y else z)))).
  { intros es He. apply (each_path_correct T t HT _ (all_within T (p_eps (prepare Q Ls eps)) F)) with (3 := He) (5 := HQ); auto.
    intros W w HW K. refine (all_within_correct T t HT _ _ _ _ _ _ _ HF HW K). apply mem_D2I. }
  split; intros _; fold z.
  - split; auto. apply close_near; auto. unfold network_of.
    assert (exists es, mems Ms es /\ Forall (fun e => 0 <= e) es) as (es & He & Pe) by (apply (some_margins _ _ _ _ HB)).
    apply path_of_reals with (1 := Pe). auto.
  - split; auto. intros x Hx o Ho. pose proof (start_correct _ _ LX Reach Hx) as HS.
    destruct (bound_moe_correct _ Ls _ _ _ _ _ HS HB (fun es He _ => G es He) o Ho) as (psi & -> & p & Gp & Hp).
    exists psi. split; auto. apply close_wide with (1 := Hp) (2 := HR); auto.
Qed.
Definition accepted_floats (depth fuel : nat) (cuts : list nat) : bool :=
  forallb tidy_layer Ls &&
  match bound_moe Ls start with
  | None => false
  | Some (Ms, P) =>
    forallb room P andthen let p := prepare Q Ls eps in match walk (fleaf p Ms) depth fuel (length (box c)) cuts (map side (box c)) with Some [] => true | _ => false end
  end.
Theorem accepted_floats_sound depth fuel cuts : accepted_floats depth fuel cuts = true -> forall y, in_box (box c) y -> both_hold y.
Proof.
  unfold accepted_floats. intros H y Hy. apply andb_prop in H. destruct H as [Td H]. destruct (bound_moe Ls start) as [[Ms P]|] eqn:HB; try discriminate.
  apply andthen_true in H. destruct H as [HR H]. destruct (walk _ _ _ _ _ _) as [rest|] eqn:W; try discriminate.
  apply (walk_correct (fleaf (prepare Q Ls eps) Ms) both_hold (fun b v Hv Hb => fleaf_correct Ms P b v Td HB HR Hv Hb)) with (2 := W). apply box_correct; auto.
Qed.
(** What rounding adds, and what logits are off by, for people. *)
Definition slack : option (list I.type * list I.type) := option_map (fun r => (fst r, map snd (snd r))) (bound_moe Ls start).
End Chart.
End FloatChecker.
