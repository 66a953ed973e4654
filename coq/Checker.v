(* The checker of one chart: leaves, boxes, and the theorem that follows where it says true. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Taylor Intervals Forms Expressions Nets Layers Routes Conjunctions Trees Paths.
Import ListNotations.
Open Scope R_scope.

Module Checker (A : Arithmetic).
Module Export P := Paths A.
Import A.

(** * Boxes. *)
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

Notation settle := (Trees.settle (list I.type) halve).
Notation walk := (Trees.walk (list I.type) halve).
Definition settle_correct := Trees.settle_correct (list I.type) (list R) halve mems halve_correct.
Definition walk_correct := Trees.walk_correct (list I.type) (list R) halve mems halve_correct.

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
(** A box, and what is known to be chosen on a box that holds it. *)
Definition leaf (p : prepared) (al : list (list bool)) (box : list I.type) : bool * list (list bool) :=
  let T := shifts box in let V := variables 0 box in
  if existsb (fun r => optional false (fun F => negative (fr F)) (eval_expr T V r)) (region c) then (true, al) else
  match eval_all T V (inverse c) with
  | None => (false, al)
  | Some Y =>
    match eval_all T (if by_chart then V else Y) target with
    | None => (false, al)
    | Some F => every_path T (p_steps p) al (optional Y (fun q => run_affine T q Y) (p_embedding p)) (all_within T (p_eps p) F)
    end
  end.
(** Boxes of certificates may be smaller than is needed here; gates without neurons are cheap to ask. *)
Definition worth_asking (p : prepared) : nat :=
  match p_steps p with [s] => match s_gate s with Some g => match stages g with [] => 255 | _ => 3 end | None => 3 end | _ => 3 end.
(** What is known at u, if u is asked for at all. *)
Definition known_at (al : list (list bool)) (u : list R) : Prop :=
  Forall (fun r => 0 <= denote r u) (region c) -> goes_by al Ls (embedded Q (values (inverse c) u)).
Lemma leaf_correct al box u : forallb tidy_layer Ls = true -> mems box u -> known_at al u ->
  (fst (leaf prepare al box) = true -> holds_at u) /\ known_at (snd (leaf prepare al box)) u.
Proof.
  intros Td Hu HA. unfold leaf. set (T := shifts box) in *. set (V := variables 0 box) in *.
  set (t := diffs u (map middle box)). assert (HT : mems T t) by (apply shifts_correct; auto).
  assert (HV : Forall2 (has t) V u). { apply variables_correct; auto. intros k Hk. apply nth_diffs; auto. }
  destruct (existsb _ (region c)) eqn:R.
  { split; auto. intros _ Reg. exfalso. apply existsb_exists in R. destruct R as (r & Ir & Hr). rewrite Forall_forall in Reg. specialize (Reg r Ir).
    destruct (eval_expr T V r) as [F|] eqn:EF; try discriminate. simpl in Hr. destruct (proj1 (eval_correct T t HT V u HV) _ _ EF) as [_ [M _]].
    apply negative_correct with (2 := M) in Hr. lra. }
  clear R. destruct (eval_all T V (inverse c)) as [Y|] eqn:EY; [|split; auto; discriminate]. destruct (eval_all_correct T t HT V u HV _ _ EY) as [DY HY].
  destruct (eval_all T _ target) as [F|] eqn:EF; [|split; auto; discriminate].
  set (y := values (inverse c) u) in *.
  assert (HF : Forall2 (has t) (if by_chart then V else Y) (argument u y)) by (unfold argument; destruct by_chart; auto).
  destruct (eval_all_correct T t HT _ _ HF _ _ EF) as [DF HF'].
  assert (HQ : Forall2 (has t) (optional Y (fun q => run_affine T q Y) (p_embedding prepare)) (embedded Q y)).
  { unfold embedded, prepare. simpl. destruct Q; simpl; auto. apply (run_affine_correct T t HT); auto. }
  assert (K : forall X x, Forall2 (has t) X x -> all_within T (p_eps prepare) F X = true -> near (D2R eps) (values target (argument u y)) x).
  { intros X x HX K. refine (all_within_correct T t HT _ _ _ _ _ _ _ HF' HX K). apply mem_D2I. }
  pose proof (every_path_correct T t HT (D2R eps) (values target (argument u y)) (all_within T (p_eps prepare) F) K Ls Td al _ _ HQ) as E.
  change (p_steps prepare) with (map step_of Ls). split.
  - intros H Reg. split; auto. specialize (HA Reg). destruct (E HA) as [E1 _]. specialize (E1 H). fold y. change (eval_moe (map (map_layer real) Ls) (embedded Q y)) with (network_of Ls (embedded Q y)) in E1.
    clear - DF E1. unfold close, values, argument in *. remember (network_of Ls (embedded Q y)) as psi. clear Heqpsi. revert psi E1.
    induction DF as [|e es D DF IH]; intros psi N; inversion N; subst; constructor; auto.
  - intros Reg. apply (E (HA Reg)).
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
  let p := prepare in match Trees.walk_from _ halve _ (leaf p) (worth_asking p) depth fuel (length b) cuts [] (map side b) with Some [] => true | _ => false end.
Theorem accepted_on_sound b depth fuel cuts : accepted_on b depth fuel cuts = true -> forall u, in_box b u -> holds_at u.
Proof.
  unfold accepted_on. intros H u Hu. apply andb_prop in H. destruct H as [Td H].
  destruct (Trees.walk_from _ _ _ _ _ _ _ _ _ _ _) as [rest|] eqn:W; try discriminate.
  apply (Trees.walk_from_correct _ _ halve mems halve_correct _ (leaf prepare) holds_at known_at _ (fun al b v Hv => leaf_correct al b v Td Hv)) with (3 := W). apply box_correct; auto.
  intros _. apply goes_by_nothing.
Qed.
Definition accepted := accepted_on (box c).
Theorem accepted_sound depth fuel cuts : accepted depth fuel cuts = true -> forall u, in_box (box c) u -> holds_at u.
Proof. apply accepted_on_sound. Qed.
(** Where it is not true: leaves that are settled, and the corners of the first box that is not. *)
Definition trouble (depth fuel : nat) (cuts : list nat) : N * list (I.F.type * I.F.type) :=
  let p := prepare in match Trees.progress _ halve _ (leaf p) (worth_asking p) depth fuel (length (box c)) cuts [] (map side (box c)) 0%N with
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
