(* The checker of one chart: leaves, trees of boxes, and the theorem that follows where it says true. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Forms Expressions Nets Layers Routes.
Import ListNotations.
Open Scope R_scope.

Module Checker (A : Arithmetic).
Module Export L := Layers A.
Import A.

(** The virtual machine works out both sides of && and ||, so these are written with if where the second side is dear. *)
Notation "a 'andthen' b" := (if a then b else false) (at level 70, right associativity, only parsing).
Notation "a 'orelse' b" := (if a then true else b) (at level 70, right associativity, only parsing).
Lemma andthen_true (a b : bool) : (a andthen b) = true -> a = true /\ b = true.
Proof. destruct a; auto. Qed.
Fixpoint all_of {A} (f : A -> bool) (l : list A) : bool := match l with [] => true | x :: l => f x andthen all_of f l end.
Lemma all_of_true A (f : A -> bool) l : all_of f l = true -> forall x, In x l -> f x = true.
Proof. induction l as [|a l IH]; simpl; intros H x K. destruct K. apply andthen_true in H. destruct H, K as [<-|K]; auto. Qed.

(** * Layers, arranged. *)
Record step := Step {
  s_gate : option net_; s_sees : list nat; s_experts : list net_; s_serves : list nat; s_reads : list nat; s_latent : option affine_;
  s_shared : option net_; s_leaves : list (option nat * option nat); s_top : nat; s_weighs : weighting }.
Definition step_of (L : layer (block dyadic)) : step :=
  Step (option_map net_of (gate L)) (sees L) (map net_of (experts L)) (serves L) (reads L)
    (option_map affine_of (latent L)) (option_map net_of (shared L)) (leaves L) (top L) (weighs L).
Definition empty : net (block dyadic) := ([], ([], [], [])).
Definition tidy_layer (L : layer (block dyadic)) :=
  match gate L with None => true | Some g => tidy g end && forallb tidy (experts L) && match shared L with None => true | Some s => tidy s end.

Section Box.
Variable TL : list I.type.
Variable tl : list R.
Hypothesis HTL : mems TL tl.
Local Notation has := (has tl). Local Notation hass := (Forall2 (F.has tl)). Local Notation lin := (lin tl).
Local Notation fadd := (fadd TL). Local Notation rng := (rng TL). Local Notation run_net := (run_net TL).
Let add_ok := fadd_correct TL tl HTL. Let const_ok := fconst_correct tl.

Definition picks (ks : list nat) (X : list form) := map (fun k => nth k X (number 0)) ks.
Lemma picks_correct ks X x : hass X x -> hass (picks ks X) (pick ks x).
Proof. intros H. unfold picks, pick. induction ks; constructor; auto. apply nth_has; auto. Qed.
Definition fleaving (ps : list (option nat * option nat)) (X out : list form) (sh : option (list form)) : list form :=
  map (fun p =>
    let o := match snd p with
      | None => None
      | Some i => Some (match sh with None => nth i out (number 0) | Some s => fadd (nth i out (number 0)) (nth i s (number 0)) end) end in
    match fst p, o with
    | None, None => number 0 | Some c, None => nth c X (number 0) | None, Some o => o | Some c, Some o => fadd (nth c X (number 0)) o
    end) ps.
Lemma fleaving_correct L X x OUT (out : list R) SH : hass X x -> hass OUT out ->
  match SH, shared L with None, None => True | Some s, Some n => hass s (eval_net n (pick (reads L) x)) | _, _ => False end ->
  hass (fleaving (leaves L) X OUT SH) (leaving L x (fun i => nth i out 0)).
Proof.
  intros HX HO HS. unfold fleaving, leaving. induction (leaves L) as [|[c o] ps IH]; simpl; constructor; auto. clear IH.
  assert (O : forall i, has (match SH with None => nth i OUT (number 0) | Some s => fadd (nth i OUT (number 0)) (nth i s (number 0)) end)
    (nth i out 0 + match shared L with None => 0 | Some n => nth i (eval_net n (pick (reads L) x)) 0 end)).
  { intros i. destruct SH, (shared L); try contradiction. apply add_ok; apply nth_has; auto. rewrite Rplus_0_r. apply nth_has; auto. }
  destruct c as [c|], o as [i|]; simpl.
  - apply add_ok; auto. apply nth_has; auto. - rewrite Rplus_0_r. apply nth_has; auto.
  - rewrite Rplus_0_l. apply O. - rewrite Rplus_0_l. apply number_correct.
Qed.

(** a > b, and a < b nowhere *)
Definition beats (a b : form) := positive (rng (isub (fc a) (fc b)) (addv (fs a) (map I.neg (fs b)))).
Lemma beats_correct a b v w : has a v -> has b w -> beats a b = true -> w < v.
Proof.
  intros [_ (c1 & s1 & C1 & S1 & E1)] Hb P. destruct Hb as [_ (c3 & s3 & C3 & S3 & E3)].
  apply positive_correct with (x := v - w) in P. lra. apply (rng_correct TL tl HTL).
  destruct (addv_correct _ _ (map I.neg (fs b)) (map Ropp s3) (tl ++ monos2 tl) S1) as (r & R1 & R2). { apply negs_correct; auto. }
  exists (c1 - c3), r. repeat split; auto. apply mem_sub; auto. rewrite R2, dot_opp, E1, E3. ring.
Qed.
(** Output j of the gate is chosen nowhere on the box. *)
Definition never (k : nat) (logits : list form) (j : nat) : bool := let b := nth j logits (number 0) in at_least k (fun a => beats a b) logits.
Lemma never_correct k Ls l j : hass Ls l -> In j (chosen k l) -> never k Ls j = false.
Proof.
  intros H Hj. destruct (never k Ls j) eqn:E; auto. exfalso. unfold never in E. apply at_least_correct in E.
  destruct (in_chosen _ _ _ Hj) as [Lj Cj]. rewrite <- (filter_seq _ _ (number 0)) in E.
  assert (LL : length Ls = length l) by (clear -H; induction H; simpl; auto). rewrite LL in E.
  assert (length (filter (fun i => beats (nth i Ls (number 0)) (nth j Ls (number 0))) (seq 0 (length l))) <= length (filter (before l j) (seq 0 (length l))))%nat.
  2: lia. apply filter_less. intros i Hi B. apply beats_correct with (v := nth i l 0) (w := nth j l 0) in B; try (apply nth_has; auto).
  unfold before. destruct (Rlt_dec _ _); auto.
Qed.

Definition outputs_of (sv : list nat) (n e : nat) : list nat := filter (fun j => Nat.eqb (nth j sv 0%nat) e) (seq 0 n).
Definition expert_out (s : step) (X : list form) (e : nat) : list form :=
  let y := picks (s_reads s) X in
  fleaving (s_leaves s) X (run_net (nth e (s_experts s) (net_of empty)) (match s_latent s with None => y | Some B => run_affine TL B y end)) (option_map (fun n => run_net n y) (s_shared s)).
Fixpoint every_path (Ls : list step) (X : list form) (k : list form -> bool) : bool :=
  match Ls with
  | [] => k X
  | s :: Ls =>
    match s_gate s with
    | None => every_path Ls (expert_out s X (nth 0 (s_serves s) 0%nat)) k
    | Some g =>
      let logits := run_net g (picks (s_sees s) X) in
      let n := length logits in
      (convex (s_weighs s) && negb (Nat.eqb n 0) && (Nat.eqb (s_top s) 1 || (Nat.leb 1 (s_top s) && match Ls with [] => true | _ => false end))) andthen
      all_of (fun e => all_of (never (s_top s) logits) (outputs_of (s_serves s) n e) orelse every_path Ls (expert_out s X e) k)
        (nodup Nat.eq_dec (map (fun j => nth j (s_serves s) 0%nat) (seq 0 n)))
    end
  end.

Lemma expert_out_correct L X x j : tidy_layer L = true -> hass X x ->
  hass (expert_out (step_of L) X (nth j (serves L) 0%nat)) (leaving (map_layer real L) x (output (map_layer real L) x j)).
Proof.
  intros T HX. unfold tidy_layer in T. apply andb_prop in T. destruct T as [T T3]. apply andb_prop in T. destruct T as [T1 T2].
  set (M := map_layer real L). set (out := eval_net (nth (nth j (serves M) 0%nat) (experts M) ([], ([], []))) (inner M x)).
  change (output M x j) with (fun i => nth i out 0). apply (fleaving_correct M); auto.
  - unfold out, M. simpl experts. simpl serves. change ([], ([], [])) with (map_net real empty). rewrite map_nth.
    simpl s_experts. rewrite map_nth. apply (run_net_correct TL tl HTL).
    + destruct (nth_in_or_default (nth j (serves L) 0%nat) (experts L) empty) as [E|E]. 2: rewrite E; reflexivity. rewrite forallb_forall in T2; auto.
    + unfold inner. simpl. destruct (latent L) as [B|]; simpl; [apply (run_affine_correct TL tl HTL)|]; apply picks_correct; auto.
  - unfold M. simpl. destruct (shared L) as [n|]; simpl; auto. apply (run_net_correct TL tl HTL); auto. apply picks_correct; auto.
Qed.
Lemma every_path_correct eps f (k : list form -> bool) :
  (forall X x, hass X x -> k X = true -> near eps f x) ->
  forall Ls, forallb tidy_layer Ls = true -> forall X x, hass X x -> every_path (map step_of Ls) X k = true ->
  near eps f (eval_moe (map (map_layer real) Ls) x).
Proof.
  intros Hk. induction Ls as [|L Ls IH]; intros T X x HX K; simpl in *. { apply Hk with X; auto. }
  apply andb_prop in T. destruct T as [TL' T]. unfold eval_layer. set (M := map_layer real L).
  destruct (gate L) as [g|] eqn:G; simpl in K.
  2:{ unfold M; simpl. rewrite G. simpl. apply IH with (2 := expert_out_correct L X x 0 TL' HX); auto. }
  unfold M at 1. simpl gate. rewrite G. simpl option_map. cbv beta iota zeta.
  apply andthen_true in K. destruct K as [K KE]. apply andb_prop in K. destruct K as [K KT]. apply andb_prop in K. destruct K as [KC KN].
  set (logits := run_net (net_of g) (picks (sees L) X)) in *. set (l := eval_net (map_net real g) (pick (sees M) x)).
  assert (HL : hass logits l). { apply (run_net_correct TL tl HTL). unfold tidy_layer in TL'. rewrite G in TL'. destruct (tidy g); auto. apply picks_correct; auto. }
  assert (LL : length logits = length l) by (clear -HL; induction HL; simpl; auto).
  assert (NL : l <> []). { intros E. rewrite E in LL. simpl in LL. rewrite LL in KN. discriminate KN. }
  assert (One : forall j, In j (chosen (top L) l) -> every_path (map step_of Ls) (expert_out (step_of L) X (nth j (serves L) 0%nat)) k = true).
  { intros j Hj. destruct (in_chosen _ _ _ Hj) as [Lj _]. pose proof (all_of_true _ _ _ KE (nth j (serves L) 0%nat)) as KE'. clear KE. rename KE' into KE.
    assert (In (nth j (serves L) 0%nat) (nodup Nat.eq_dec (map (fun j => nth j (serves L) 0%nat) (seq 0 (length logits))))) as Ie.
    { apply nodup_In. apply in_map_iff. exists j. split; auto. apply in_seq. lia. }
    specialize (KE Ie). cbv beta in KE. destruct (all_of _ _) eqn:E; auto. exfalso.
    assert (false = true); [|discriminate]. rewrite <- (never_correct (top L) logits l j HL Hj). apply (all_of_true _ _ _ E). unfold outputs_of. apply filter_In. split. apply in_seq. lia. apply Nat.eqb_refl. }
  change (top M) with (top L). change (weighs M) with (weighs L). apply orb_prop in KT. destruct KT as [KT|KT].
  - apply Nat.eqb_eq in KT. rewrite KT in *. destruct (chosen_one l NL) as (j & Ej & Lj). rewrite Ej in *.
    rewrite leaving_one by auto. apply IH with (2 := expert_out_correct L X x j TL' HX); auto. apply One. left; auto.
  - apply andb_prop in KT. destruct KT as [KT KL]. assert (KT' : (1 <= top L)%nat) by (destruct (top L); [discriminate | lia]). destruct Ls as [|L' Ls]; try discriminate. simpl.
    pose proof (chosen_some (top L) l NL KT') as CN. destruct (weights_convex (weighs L) l _ KC CN) as [W1 W2].
    apply mixed_near; auto. intros j Hj. apply Hk with (1 := expert_out_correct L X x j TL' HX). apply (One j Hj).
Qed.

Definition within (E : I.type) (a b : form) : bool :=
  let r := rng (isub (fc a) (fc b)) (addv (fs a) (map I.neg (fs b))) in negb (negative (isub E (I.abs r))) && nonnegative (isub E (I.abs r)).
Lemma within_correct E eps a b v w : mem E eps -> has a v -> has b w -> within E a b = true -> Rabs (v - w) <= eps.
Proof.
  intros HE [_ (c1 & s1 & C1 & S1 & E1)] [_ (c3 & s3 & C3 & S3 & E3)] P. apply andb_prop in P. destruct P as [_ P].
  apply nonnegative_correct with (x := eps - Rabs (v - w)) in P. lra. apply mem_sub; auto.
  apply (I.abs_correct _ (Xreal (v - w))). apply (rng_correct TL tl HTL).
  destruct (addv_correct _ _ (map I.neg (fs b)) (map Ropp s3) (tl ++ monos2 tl) S1) as (r & R1 & R2). { apply negs_correct; auto. }
  exists (c1 - c3), r. repeat split; auto. apply mem_sub; auto. rewrite R2, dot_opp, E1, E3. ring.
Qed.
Fixpoint all_within E (a b : list form) : bool :=
  match a, b with [], [] => true | x :: a, y :: b => within E x y andthen all_within E a b | _, _ => false end.
Lemma all_within_correct E eps X a B b : mem E eps -> hass X a -> hass B b -> all_within E X B = true -> near eps a b.
Proof.
  intros HE HA. revert B b. induction HA; intros B b HB P; destruct HB; simpl in P; try discriminate; constructor.
  - apply andthen_true in P. destruct P as [P1 P2]. exact (within_correct _ _ _ _ _ _ HE H H0 P1).
  - apply andthen_true in P. destruct P as [P1 P2]. exact (IHHA _ _ HB P2).
Qed.
End Box.

(** * Boxes, and trees of halvings. *)
Fixpoint variables (n : nat) (box : list I.type) : list form :=
  match box with
  | [] => []
  | X :: box => Form (I.singleton (I.midpoint X)) (repeat I.zero n ++ [I.fromZ prec 1]) X :: variables (S n) box
  end.
Definition middle (X : I.type) : R := proj_val (I.F.convert (I.midpoint X)).
Definition shifts (box : list I.type) : list I.type := map (fun X => isub X (I.singleton (I.midpoint X))) box.
Fixpoint diffs (u m : list R) : list R := match u, m with x :: u, y :: m => x - y :: diffs u m | _, _ => [] end.
Lemma shifts_correct box u : mems box u -> mems (shifts box) (diffs u (map middle box)).
Proof. intros H. induction H; simpl; constructor; auto. apply mem_sub; auto. apply mem_point. Qed.
Lemma dot_unit n : forall u, dot (repeat 0 n ++ [1]) u = nth n u 0.
Proof. induction n; intros [|y u]; simpl; try ring. rewrite IHn. ring. Qed.
Lemma variables_correct : forall box u n t, mems box u ->
  (forall k, (k < length u)%nat -> (n + k < length t)%nat /\ nth (n + k) t 0 = nth k u 0 - middle (nth k box I.zero)) ->
  Forall2 (has t) (variables n box) u.
Proof.
  intros box u n t H. revert n. induction H as [|X x box u HX H IH]; intros n K; simpl; constructor.
  - split; auto. exists (middle X), (repeat 0 n ++ [1]). repeat split. apply mem_point.
    apply Forall2_app. clear. induction n; constructor; auto. apply mem_zero. constructor; auto. apply mem_Z.
    destruct (K 0%nat) as [K1 K2]. simpl; lia. rewrite dot_unit, app_nth1 by lia. simpl in K2. rewrite Nat.add_0_r in K2. rewrite K2. ring.
  - apply IH. intros k Hk. destruct (K (S k)) as [K1 K2]. simpl; lia. simpl in K2. rewrite <- K2. split. lia. f_equal. lia.
Qed.
Lemma nth_diffs box u : mems box u -> forall k, (k < length u)%nat ->
  (k < length (diffs u (map middle box)))%nat /\ nth k (diffs u (map middle box)) 0 = nth k u 0 - middle (nth k box I.zero).
Proof.
  intros H. induction H; intros k Hk; simpl in *. lia. destruct k. split; auto; lia. destruct (IHForall2 k) as [P Q]. lia. split; auto. lia.
Qed.

(** Halve side k of the box. *)
Fixpoint halve (k : nat) (box : list I.type) : list I.type * list I.type :=
  match box, k with
  | [], _ => ([], [])
  | X :: box, O => let (a, b) := I.bisect X in (a :: box, b :: box)
  | X :: box, S k => let (a, b) := halve k box in (X :: a, X :: b)
  end.
Lemma halve_correct box u : mems box u -> forall k, mems (fst (halve k box)) u \/ mems (snd (halve k box)) u.
Proof.
  intros H. induction H as [|X x box u HX H IH]; intros k; simpl. left; destruct k; constructor.
  destruct k; simpl.
  - pose proof (I.bisect_correct X (Xreal x) HX) as K. destruct (I.bisect X). simpl in *. destruct K; [left|right]; constructor; auto.
  - destruct (IH k) as [K|K]; destruct (halve k box); simpl in *; [left|right]; constructor; auto.
Qed.

Section Trees.
Variable leaf : list I.type -> bool.
Variable good : list R -> Prop.
Hypothesis leaf_correct : forall box u, mems box u -> leaf box = true -> good u.

(** A leaf that is not settled is halved, side after side, so often at most. *)
Fixpoint settle (fuel d k : nat) (box : list I.type) : bool :=
  if leaf box then true else
  match fuel with
  | O => false
  | S fuel => let next := if Nat.leb d (S k) then O else S k in
    let (a, b) := halve k box in if settle fuel d next a then settle fuel d next b else false
  end.
Lemma settle_correct fuel : forall d k box u, mems box u -> settle fuel d k box = true -> good u.
Proof.
  induction fuel as [|fuel IH]; intros d k box u Hu H; simpl in H; destruct (leaf box) eqn:E; try discriminate; try (eapply leaf_correct; eauto; fail).
  pose proof (halve_correct box u Hu k) as K. destruct (halve k box) as [a b]. simpl in K.
  destruct (settle fuel d _ a) eqn:E1; try discriminate. destruct K; eauto.
Qed.
(** The boxes of a certificate, in preorder: 0 is a leaf, k + 1 a box that is halved along side k. Gives what is left of the list. *)
Fixpoint walk (depth fuel d : nat) (cuts : list nat) (box : list I.type) : option (list nat) :=
  match cuts with
  | [] => None
  | O :: cuts => if settle fuel d 0 box then Some cuts else None
  | S k :: cuts =>
    match depth with
    | O => None
    | S depth => let (a, b) := halve k box in match walk depth fuel d cuts a with None => None | Some cuts => walk depth fuel d cuts b end
    end
  end.
Lemma walk_correct fuel d : forall depth cuts box u rest, mems box u -> walk depth fuel d cuts box = Some rest -> good u.
Proof.
  induction depth as [|depth IH]; intros [|[|k] cuts] box u rest Hu H; simpl in H; try discriminate.
  - destruct (settle fuel d 0 box) eqn:E; try discriminate. eapply settle_correct; eauto.
  - destruct (settle fuel d 0 box) eqn:E; try discriminate. eapply settle_correct; eauto.
  - pose proof (halve_correct box u Hu k) as K. destruct (halve k box) as [a b]. simpl in K.
    destruct (walk depth fuel d cuts a) as [more|] eqn:E; try discriminate. destruct K; eauto.
Qed.

(** Where it stops: the corners of the first box that is left, and how many leaves were settled. For people; nothing rests on it. *)
Fixpoint stuck (fuel d k : nat) (box : list I.type) (n : N) : N * option (list I.type) :=
  if leaf box then ((n + 1)%N, None) else
  match fuel with
  | O => (n, Some box)
  | S fuel => let next := if Nat.leb d (S k) then O else S k in
    let (a, b) := halve k box in match stuck fuel d next a n with (n, None) => stuck fuel d next b n | r => r end
  end.
Fixpoint progress (depth fuel d : nat) (cuts : list nat) (box : list I.type) (n : N) : N * (list nat + list I.type) :=
  match cuts with
  | [] => (n, inl [])
  | O :: cuts => match stuck fuel d 0 box n with (n, None) => (n, inl cuts) | (n, Some b) => (n, inr b) end
  | S k :: cuts =>
    match depth with
    | O => (n, inl [])
    | S depth => let (a, b) := halve k box in match progress depth fuel d cuts a n with (n, inl cuts) => progress depth fuel d cuts b n | r => r end
    end
  end.
End Trees.

(** * A chart. *)
Definition optional {A B} (d : B) (f : A -> B) (a : option A) : B := match a with Some a => f a | None => d end.
Section Chart.
Variable c : chart.
Variable by_chart : bool.        (* whether f is a function of the coordinates u of the chart, or of the point y *)
Variable target : list expr.
Variable Q : option (block dyadic).
Variable Ls : list (layer (block dyadic)).
Variable eps : dyadic.

Definition argument (u y : list R) := if by_chart then u else y.
Definition holds_at := claimed c by_chart target Q Ls eps.
(** Everything that does not depend on the box, once. *)
Record prepared := Prepared { p_steps : list step; p_embedding : option affine_; p_eps : I.type }.
Definition prepare := Prepared (map step_of Ls) (option_map affine_of Q) (D2I eps).
Definition leaf (p : prepared) (box : list I.type) : bool :=
  let T := shifts box in let V := variables 0 box in
  existsb (fun r => optional false (fun F => negative (fr F)) (eval_expr T V r)) (region c) orelse
  match eval_all T V (inverse c) with
  | None => false
  | Some Y =>
    match eval_all T (if by_chart then V else Y) target with
    | None => false
    | Some F => every_path T (p_steps p) (optional Y (fun q => run_affine T q Y) (p_embedding p)) (all_within T (p_eps p) F)
    end
  end.
Lemma leaf_correct box u : forallb tidy_layer Ls = true -> mems box u -> leaf prepare box = true -> holds_at u.
Proof.
  intros Td Hu H Reg y. unfold leaf in H. set (T := shifts box) in *. set (V := variables 0 box) in *.
  set (t := diffs u (map middle box)). assert (HT : mems T t) by (apply shifts_correct; auto).
  assert (HV : Forall2 (has t) V u). { apply variables_correct; auto. intros k Hk. apply nth_diffs; auto. }
  destruct (existsb _ (region c)) eqn:R; [clear H; rename R into H | clear R].
  { exfalso. apply existsb_exists in H. destruct H as (r & Ir & Hr). rewrite Forall_forall in Reg. specialize (Reg r Ir).
    destruct (eval_expr T V r) as [F|] eqn:EF; try discriminate. simpl in Hr. destruct (proj1 (eval_correct T t HT V u HV) _ _ EF) as [_ [M _]].
    apply negative_correct with (2 := M) in Hr. lra. }
  destruct (eval_all T V (inverse c)) as [Y|] eqn:EY; try discriminate. destruct (eval_all_correct T t HT V u HV _ _ EY) as [DY HY]. fold y in HY.
  destruct (eval_all T _ target) as [F|] eqn:EF; try discriminate. split; auto.
  assert (HA : Forall2 (has t) (if by_chart then V else Y) (argument u y)) by (unfold argument; destruct by_chart; auto).
  destruct (eval_all_correct T t HT _ _ HA _ _ EF) as [DF HF].
  assert (HQ : Forall2 (has t) (optional Y (fun q => run_affine T q Y) (p_embedding prepare)) (embedded Q y)).
  { unfold embedded, prepare. simpl. destruct Q; simpl; auto. apply (run_affine_correct T t HT); auto. }
  assert (N : near (D2R eps) (values target (argument u y)) (network_of Ls (embedded Q y))).
  { unfold network_of. apply (every_path_correct T t HT (D2R eps) _ (all_within T (p_eps prepare) F)) with (3 := HQ) (4 := H); auto.
    intros X x HX K. refine (all_within_correct T t HT _ _ _ _ _ _ _ HF HX K). apply mem_D2I. }
  clear - DF N. unfold close, values in *. remember (network_of Ls (embedded Q y)) as psi. clear Heqpsi. revert psi N.
  induction DF as [|e es D DF IH]; intros psi N; inversion N; subst; constructor; auto.
Qed.

Definition side (b : dyadic * dyadic) : I.type := I.meet (I.upper_extent (D2I (fst b))) (I.lower_extent (D2I (snd b))).
Lemma box_correct b u : in_box b u -> mems (map side b) u.
Proof.
  intros H. induction H as [|s x b u [H1 H2] H IH]; constructor; auto. apply mem_meet.
  apply (I.upper_extent_correct _ x (D2R (fst s))); auto. apply mem_D2I.
  apply (I.lower_extent_correct _ x (D2R (snd s))); auto. apply mem_D2I.
Qed.

(** What is asked of a file: that this is true. A box of the chart is walked along [cuts], leaves are halved [fuel] times at most. *)
Definition accepted_on (b : list (dyadic * dyadic)) (depth fuel : nat) (cuts : list nat) : bool :=
  forallb tidy_layer Ls &&
  let p := prepare in match walk (leaf p) depth fuel (length b) cuts (map side b) with Some [] => true | _ => false end.
Theorem accepted_on_sound b depth fuel cuts : accepted_on b depth fuel cuts = true -> forall u, in_box b u -> holds_at u.
Proof.
  unfold accepted_on. intros H u Hu. apply andb_prop in H. destruct H as [Td H].
  destruct (walk _ _ _ _ _ _) as [rest|] eqn:W; try discriminate.
  apply (walk_correct (leaf prepare) holds_at (fun b v Hv Hb => leaf_correct b v Td Hv Hb)) with (2 := W). apply box_correct; auto.
Qed.
Definition accepted := accepted_on (box c).
Theorem accepted_sound depth fuel cuts : accepted depth fuel cuts = true -> forall u, in_box (box c) u -> holds_at u.
Proof. apply accepted_on_sound. Qed.
(** Where it is not true: leaves that are settled, and the corners of the first box that is not. *)
Definition trouble (depth fuel : nat) (cuts : list nat) : N * list (I.F.type * I.F.type) :=
  let p := prepare in match progress (leaf p) depth fuel (length (box c)) cuts (map side (box c)) 0%N with
  | (n, inr b) => (n, map (fun X => (I.lower X, I.upper X)) b) | (n, inl _) => (n, []) end.
End Chart.

(** * That there is something to speak of: a point of the box at which the region is not negative. *)
Fixpoint inside (b : list (dyadic * dyadic)) (X : list I.type) : bool :=
  match b, X with
  | [], [] => true
  | s :: b, x :: X => nonnegative (isub x (D2I (fst s))) && nonnegative (isub (D2I (snd s)) x) && inside b X
  | _, _ => false
  end.
Definition has_point (c : chart) (u : list dyadic) : bool :=
  let X := map D2I u in let T := shifts X in let V := variables 0 X in
  inside (box c) X && all_of (fun r => optional false (fun F => nonnegative (fr F)) (eval_expr T V r)) (region c).
Theorem has_point_sound c u : has_point c u = true -> exists v y, point_of c v y.
Proof.
  unfold has_point. intros H. apply andb_prop in H. destruct H as [B H]. set (v := map D2R u). assert (M : mems (map D2I u) v) by (unfold v; clear; induction u; constructor; auto; apply mem_D2I).
  exists v, (values (inverse c) v). split; [|split; auto].
  - revert B. clear H. generalize (box c). clear c. induction M as [|X x Xs xs HX M IH]; intros [|s b] B; simpl in B; try discriminate; constructor.
    + apply andb_prop in B. destruct B as [B _]. apply andb_prop in B. destruct B as [B1 B2].
      apply nonnegative_correct with (x := x - D2R (fst s)) in B1. 2: apply mem_sub; auto; apply mem_D2I.
      apply nonnegative_correct with (x := D2R (snd s) - x) in B2. 2: apply mem_sub; auto; apply mem_D2I. lra.
    + apply andb_prop in B. apply IH, B.
  - set (t := diffs v (map middle (map D2I u))). assert (HT : mems (shifts (map D2I u)) t) by (apply shifts_correct; auto).
    assert (HV : Forall2 (has t) (variables 0 (map D2I u)) v). { apply variables_correct; auto. intros k Hk. apply nth_diffs; auto. }
    apply Forall_forall. intros r Ir. pose proof (all_of_true _ _ _ H r Ir) as Q. cbv beta in Q. destruct (eval_expr _ _ r) as [F|] eqn:E; simpl in Q; try discriminate.
    destruct (proj1 (eval_correct _ t HT _ v HV) _ _ E) as [_ [Me _]]. apply nonnegative_correct with (1 := Q) (2 := Me).
Qed.
End Checker.
