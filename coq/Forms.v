(* Taylor forms of second order over boxes, and the proof that they enclose. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Coquelicot Require Import Coquelicot.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Taylor Intervals.
Import ListNotations.
Open Scope R_scope.

Module Forms (A : Arithmetic).
Module Export J := Intervals A.
Import A.

(** *** Linear parts: vectors of slopes, of any length, missing entries are 0. *)
Fixpoint addv (a b : list I.type) : list I.type :=
  match a, b with [], _ => b | _, [] => a | x :: a, y :: b => iadd x y :: addv a b end.
Fixpoint axpy (w : I.type) (a b : list I.type) : list I.type :=     (* w a + b *)
  match a with [] => b | x :: a' => match b with [] => map (imul w) a | y :: b' => iadd (imul w x) y :: axpy w a' b' end end.
Fixpoint dotI (s T : list I.type) : I.type :=
  match s, T with x :: s, y :: T => iadd (imul x y) (dotI s T) | _, _ => I.zero end.

Definition mems := Forall2 mem.

Lemma dotI_correct s t S T : mems S s -> mems T t -> mem (dotI S T) (dot s t).
Proof.
  intros H. revert t T. induction H as [|X x S s HX HS IH]; intros t T K; simpl. apply mem_zero.
  destruct K; simpl. apply mem_zero. apply mem_add; auto. apply mem_mul; auto.
Qed.
Lemma scale_correct W w S s : mem W w -> mems S s -> mems (map (imul W) S) (map (Rmult w) s).
Proof. intros HW H. induction H; constructor; auto. apply mem_mul; auto. Qed.
Lemma axpy_correct W w S s B b t : mem W w -> mems S s -> mems B b ->
  exists r, mems (axpy W S B) r /\ dot r t = w * dot s t + dot b t.
Proof.
  intros HW H. revert B b t. induction H as [|X x S s HX HS IH]; intros B b t K; simpl.
  - exists b. split; auto. destruct t; simpl; ring.
  - destruct K as [|Y y B b HY HB].
    + exists (map (Rmult w) (x :: s)). split. apply (scale_correct W w (X :: S)); auto. constructor; auto. rewrite dot_scale. simpl. destruct t; simpl; ring.
    + destruct t as [|t0 t].
      * destruct (IH B b [] HB) as [r [H1 H2]]. exists ((w * x + y) :: r). split.
        constructor; auto. apply mem_add; auto. apply mem_mul; auto. simpl. ring.
      * destruct (IH B b t HB) as [r [H1 H2]]. exists ((w * x + y) :: r). split.
        constructor; auto. apply mem_add; auto. apply mem_mul; auto. simpl. rewrite H2. ring.
Qed.
Lemma addv_correct A a B b t : mems A a -> mems B b ->
  exists r, mems (addv A B) r /\ dot r t = dot a t + dot b t.
Proof.
  intros H. revert B b t. induction H as [|X x S s HX HS IH]; intros B b t K; simpl.
  - exists b. split; auto. simpl. destruct t; simpl; ring.
  - destruct K as [|Y y B b HY HB].
    + exists (x :: s). split. constructor; auto. destruct t; simpl; ring.
    + destruct t as [|t0 t].
      * destruct (IH B b [] HB) as [r [H1 H2]]. exists ((x + y) :: r). split.
        constructor; auto. apply mem_add; auto. simpl. ring.
      * destruct (IH B b t HB) as [r [H1 H2]]. exists ((x + y) :: r). split.
        constructor; auto. apply mem_add; auto. simpl. rewrite H2. ring.
Qed.

(** *** Monomials: t_1 .. t_d, then t_1 t_1, t_1 t_2, .. *)
Fixpoint monos2I (t : list I.type) : list I.type := match t with [] => [] | x :: t' => I.sqr prec x :: map (imul x) t' ++ monos2I t' end.
Fixpoint crossI (x y : I.type) (a b : list I.type) := match a, b with p :: a, q :: b => iadd (imul x q) (imul y p) :: crossI x y a b | _, _ => [] end.
Fixpoint qprodI (a b : list I.type) := match a, b with x :: a, y :: b => imul x y :: crossI x y a b ++ qprodI a b | _, _ => [] end.

Lemma pad_correct n : forall S s, mems S s -> mems (pad I.zero n S) (pad 0 n s).
Proof. induction n; intros S s H; simpl. constructor. destruct H; constructor; auto using mem_zero. apply IHn. constructor. apply IHn; auto. Qed.
Lemma skipn_correct n : forall S s, mems S s -> mems (skipn n S) (skipn n s).
Proof. induction n; intros S s H; simpl; auto. destruct H. constructor. apply IHn; auto. Qed.
Lemma mems_app A a B b : mems A a -> mems B b -> mems (A ++ B) (a ++ b).
Proof. apply Forall2_app. Qed.
Lemma crossI_correct X x Y y A a B b : mem X x -> mem Y y -> mems A a -> mems B b -> mems (crossI X Y A B) (cross x y a b).
Proof. intros HX HY H. revert B b. induction H; intros B b K; destruct K; constructor; auto. apply mem_add; apply mem_mul; auto. apply IHForall2; auto. Qed.
Lemma qprodI_correct A a B b : mems A a -> mems B b -> mems (qprodI A B) (qprod a b).
Proof. intros H. revert B b. induction H; intros B b K; destruct K; simpl; constructor. apply mem_mul; auto. apply mems_app; auto. apply crossI_correct; auto. Qed.
Lemma monos2I_correct T t : mems T t -> mems (monos2I T) (monos2 t).
Proof.
  intros H. induction H; simpl; constructor. apply mem_sqr; auto. apply mems_app; auto. apply scale_correct; auto.
Qed.
Lemma zeros_correct n Q q : mems Q q -> mems (repeat I.zero n ++ Q) (repeat 0 n ++ q).
Proof. intros H. apply mems_app; auto. induction n; constructor; auto using mem_zero. Qed.

(** *** Taylor forms of second order: at every point t of the box the value is in the range, and equals c + s.t for some c, s in the intervals. *)
Record form := Form { fc : I.type; fs : list I.type; fr : I.type }.

Section Box.
Variable TL : list I.type.     (* encloses u - m *)
Variable tl : list R.
Hypothesis HTL : mems TL tl.
Let d := length TL.
Let TQ := monos2I TL.
Let T := TL ++ TQ.
Let t := tl ++ monos2 tl.
Lemma HT : mems T t. Proof. apply mems_app; auto. apply monos2I_correct; auto. Qed.
Lemma d_tl : length tl = d. Proof. unfold d. clear -HTL. induction HTL; simpl; auto. Qed.

Definition lin (c : I.type) (s : list I.type) (v : R) := exists c' s', mem c c' /\ mems s s' /\ v = c' + dot s' t.
Definition has (a : form) (v : R) := mem (fr a) v /\ lin (fc a) (fs a) v.

Definition rng c s := iadd c (dotI s T).
Lemma rng_correct c s v : lin c s v -> mem (rng c s) v.
Proof. intros (c' & s' & H1 & H2 & ->). apply mem_add; auto. apply dotI_correct; auto. apply HT. Qed.

Lemma split_dot s : dot s t = dot (pad 0 d s) tl + dot (skipn d s) (monos2 tl).
Proof. unfold t. rewrite dot_app_r, d_tl. reflexivity. Qed.

Definition fconst X := Form X [] X.
Lemma fconst_correct X x : mem X x -> has (fconst X) x.
Proof. intros H. split; auto. exists x, []. repeat split; auto. constructor. simpl. ring. Qed.

Definition fadd a b := let c := iadd (fc a) (fc b) in let s := addv (fs a) (fs b) in Form c s (I.meet (iadd (fr a) (fr b)) (rng c s)).
Lemma fadd_correct a b v w : has a v -> has b w -> has (fadd a b) (v + w).
Proof.
  intros [Hv (c1 & s1 & C1 & S1 & E1)] [Hw (c2 & s2 & C2 & S2 & E2)].
  assert (L : lin (iadd (fc a) (fc b)) (addv (fs a) (fs b)) (v + w)).
  { destruct (addv_correct _ _ _ _ t S1 S2) as (r & R1 & R2). exists (c1 + c2), r. repeat split; auto. apply mem_add; auto. rewrite R2, E1, E2. ring. }
  split; auto. simpl. apply mem_meet. apply mem_add; auto. apply rng_correct; auto.
Qed.

Definition fneg a := Form (I.neg (fc a)) (map I.neg (fs a)) (I.neg (fr a)).
Lemma negs_correct S s : mems S s -> mems (map I.neg S) (map Ropp s).
Proof. intros H. induction H; simpl; constructor; auto. apply mem_neg; auto. Qed.
Lemma fneg_correct a v : has a v -> has (fneg a) (- v).
Proof.
  intros [Hv (c1 & s1 & C1 & S1 & E1)]. split. apply mem_neg; auto.
  exists (- c1), (map Ropp s1). repeat split. apply mem_neg; auto. apply negs_correct; auto. rewrite dot_opp, E1. ring.
Qed.

Definition fmul a b :=
  let l1 := pad I.zero d (fs a) in let l2 := pad I.zero d (fs b) in
  let L1 := dotI l1 TL in let L2 := dotI l2 TL in let Q1 := dotI (skipn d (fs a)) TQ in let Q2 := dotI (skipn d (fs b)) TQ in
  let c := iadd (imul (fc a) (fc b)) (iadd (imul L1 Q2) (imul Q1 (iadd L2 Q2))) in
  let s := axpy (fc b) (fs a) (axpy (fc a) (fs b) (repeat I.zero d ++ qprodI l1 l2)) in
  Form c s (I.meet (imul (fr a) (fr b)) (rng c s)).
Lemma fmul_correct a b v w : has a v -> has b w -> has (fmul a b) (v * w).
Proof.
  intros [Hv (c1 & s1 & C1 & S1 & E1)] [Hw (c2 & s2 & C2 & S2 & E2)].
  pose proof (pad_correct d _ _ S1) as P1. pose proof (pad_correct d _ _ S2) as P2.
  pose proof (skipn_correct d _ _ S1) as K1. pose proof (skipn_correct d _ _ S2) as K2.
  assert (HQ : mems TQ (monos2 tl)) by (apply monos2I_correct; auto).
  rewrite split_dot in E1, E2.
  set (l1 := pad 0 d s1) in *. set (l2 := pad 0 d s2) in *. set (q1 := skipn d s1) in *. set (q2 := skipn d s2) in *.
  set (x1 := dot l1 tl) in *. set (x2 := dot l2 tl) in *. set (y1 := dot q1 (monos2 tl)) in *. set (y2 := dot q2 (monos2 tl)) in *.
  assert (Z : mems (repeat I.zero d ++ qprodI (pad I.zero d (fs a)) (pad I.zero d (fs b))) (repeat 0 d ++ qprod l1 l2)).
  { apply zeros_correct. apply qprodI_correct; auto. }
  destruct (axpy_correct _ _ _ _ _ _ t C1 S2 Z) as (r & R1 & R2). destruct (axpy_correct _ _ _ _ _ _ t C2 S1 R1) as (r' & R3 & R4).
  assert (L : lin (fc (fmul a b)) (fs (fmul a b)) (v * w)).
  { exists (c1 * c2 + (x1 * y2 + y1 * (x2 + y2))), r'. repeat split; auto.
    - simpl. apply mem_add. apply mem_mul; auto. apply mem_add; apply mem_mul; try apply mem_add; apply dotI_correct; auto.
    - rewrite R4, R2, !split_dot. fold l1 l2 q1 q2 x1 x2 y1 y2.
      rewrite <- split_dot. unfold t. rewrite dot_zeros by apply d_tl.
      rewrite qprod_correct by (unfold l1, l2; rewrite length_pad, d_tl; auto). fold x1 x2. rewrite E1, E2. ring. }
  split; auto. simpl fr. apply mem_meet. apply mem_mul; auto. apply rng_correct; auto.
Qed.

(** A twice differentiable function G of a form, G' and G'' its derivatives; H encloses half the second one. *)
Definition funary (G G' H : I.type -> I.type) a :=
  let l := pad I.zero d (fs a) in let L := dotI l TL in let Q := dotI (skipn d (fs a)) TQ in
  let h := H (I.join (fc a) (fr a)) in
  let c := iadd (G (fc a)) (imul h (imul (iadd (iadd L L) Q) Q)) in
  let s := axpy (G' (fc a)) (fs a) (repeat I.zero d ++ map (imul h) (qprodI l l)) in
  Form c s (I.meet (G (fr a)) (rng c s)).
Lemma funary_correct_on (G G' H : I.type -> I.type) (g g' g'' : R -> R) a v :
  (forall X x, mem (I.join (fc a) (fr a)) x -> mem X x -> mem (G X) (g x)) ->
  (forall X x, mem (I.join (fc a) (fr a)) x -> mem X x -> mem (G' X) (g' x)) ->
  (forall X x, mem (I.join (fc a) (fr a)) x -> mem X x -> mem (H X) (/ 2 * g'' x)) ->
  (forall x, mem (I.join (fc a) (fr a)) x -> is_derive g x (g' x) /\ is_derive g' x (g'' x)) ->
  has a v -> has (funary G G' H a) (g v).
Proof.
  intros HG HG' HH HD [Hv (c1 & s1 & C1 & S1 & E1)].
  set (J := I.join (fc a) (fr a)) in *.
  assert (Jc : mem J c1) by (apply mem_join_l; auto). assert (Jv : mem J v) by (apply mem_join_r; auto).
  destruct (taylor2 g g' g'' c1 v) as (x & Hx & Ex). { intros x Hx. apply HD. apply (mem_between J c1 v); auto. }
  assert (Hh : mem (H J) (/ 2 * g'' x)). { assert (mem J x) by (apply (mem_between J c1 v); auto). apply HH; auto. }
  pose proof (pad_correct d _ _ S1) as P1. pose proof (skipn_correct d _ _ S1) as K1.
  assert (HQ : mems TQ (monos2 tl)) by (apply monos2I_correct; auto).
  pose proof E1 as E1'. rewrite split_dot in E1.
  set (l1 := pad 0 d s1) in *. set (q1 := skipn d s1) in *. set (x1 := dot l1 tl) in *. set (y1 := dot q1 (monos2 tl)) in *.
  assert (Z : mems (repeat I.zero d ++ map (imul (H J)) (qprodI (pad I.zero d (fs a)) (pad I.zero d (fs a)))) (repeat 0 d ++ map (Rmult (/ 2 * g'' x)) (qprod l1 l1))).
  { apply zeros_correct. apply scale_correct; auto. apply qprodI_correct; auto. }
  destruct (axpy_correct _ _ _ _ _ _ t (HG' _ _ Jc C1) S1 Z) as (r & R1 & R2).
  assert (L : lin (fc (funary G G' H a)) (fs (funary G G' H a)) (g v)).
  { exists (g c1 + / 2 * g'' x * ((x1 + x1 + y1) * y1)), r. repeat split; auto.
    - simpl. apply mem_add; [apply HG; auto | apply mem_mul; auto; apply mem_mul; [apply mem_add; [apply mem_add|]|]; apply dotI_correct; auto].
    - rewrite R2. unfold t at 2. rewrite dot_zeros by apply d_tl. rewrite dot_scale.
      rewrite qprod_correct by (unfold l1; rewrite length_pad, d_tl; auto). fold x1.
      replace (dot s1 t) with (v - c1) by (rewrite E1'; ring). rewrite Ex. replace (v - c1) with (x1 + y1) by (rewrite E1; ring). ring. }
  split; auto. simpl fr. apply mem_meet. apply HG; auto. apply rng_correct; auto.
Qed.
Lemma funary_correct (G G' H : I.type -> I.type) (g g' g'' : R -> R) a v :
  (forall X x, mem X x -> mem (G X) (g x)) -> (forall X x, mem X x -> mem (G' X) (g' x)) -> (forall X x, mem X x -> mem (H X) (/ 2 * g'' x)) ->
  (forall x, mem (I.join (fc a) (fr a)) x -> is_derive g x (g' x) /\ is_derive g' x (g'' x)) ->
  has a v -> has (funary G G' H a) (g v).
Proof. intros. eapply funary_correct_on; eauto. Qed.

Definition funknown := fconst I.nai.
Lemma funknown_correct v : has funknown v. Proof. apply fconst_correct, mem_nai. Qed.

Definition fsin := funary (I.sin prec) (I.cos prec) (fun X => half (I.neg (I.sin prec X))).
Definition fcos := funary (I.cos prec) (fun X => I.neg (I.sin prec X)) (fun X => half (I.neg (I.cos prec X))).
Definition fexp := funary (I.exp prec) (I.exp prec) (fun X => half (I.exp prec X)).
Definition finv a :=
  let J := I.join (fc a) (fr a) in
  if positive J || negative J then funary (I.inv prec) (fun X => I.neg (I.inv prec (I.sqr prec X))) (fun X => half (imul two (I.inv prec (imul X (I.sqr prec X))))) a else funknown.
Definition fsqrt a :=
  if positive (I.join (fc a) (fr a)) then funary (I.sqrt prec) (fun X => I.inv prec (imul two (I.sqrt prec X)))
    (fun X => half (I.neg (I.inv prec (imul (imul two two) (imul X (I.sqrt prec X)))))) a else funknown.

Lemma fsin_correct a v : has a v -> has (fsin a) (sin v).
Proof. apply funary_correct with (g' := cos) (g'' := fun x => - sin x). exact mem_sin. exact mem_cos. intros; apply mem_half, mem_neg, mem_sin; auto.
  intros x _; split; auto_derive; auto; ring. Qed.
Lemma fcos_correct a v : has a v -> has (fcos a) (cos v).
Proof. apply funary_correct with (g' := fun x => - sin x) (g'' := fun x => - cos x). exact mem_cos. intros; apply mem_neg, mem_sin; auto. intros; apply mem_half, mem_neg, mem_cos; auto.
  intros x _; split; auto_derive; auto; ring. Qed.
Lemma fexp_correct a v : has a v -> has (fexp a) (exp v).
Proof. apply funary_correct with (g' := exp) (g'' := exp). exact mem_exp. exact mem_exp. intros; apply mem_half, mem_exp; auto. intros x _; split; auto_derive; auto; ring. Qed.
Lemma finv_correct a v : has a v -> has (finv a) (/ v).
Proof.
  unfold finv. destruct (positive _ || negative _) eqn:S. 2: intros; apply funknown_correct.
  apply funary_correct with (g' := fun x => - / (x * x)) (g'' := fun x => 2 * / (x * (x * x))). exact mem_inv. intros; apply mem_neg, mem_inv, mem_sqr; auto.
  intros; apply mem_half, mem_mul. apply mem_Z. apply mem_inv, mem_mul; auto. apply mem_sqr; auto.
  intros x Hx. assert (x <> 0). { apply orb_prop in S. destruct S as [S|S]; [apply positive_correct with (x := x) in S | apply negative_correct with (x := x) in S]; auto; lra. }
  assert (x * x <> 0) by (apply Rmult_integral_contrapositive; auto).
  split; auto_derive; auto; field; auto.
Qed.
Lemma fsqrt_correct a v : has a v -> has (fsqrt a) (sqrt v).
Proof.
  unfold fsqrt. destruct (positive _) eqn:S. 2: intros; apply funknown_correct.
  apply funary_correct with (g' := fun x => / (2 * sqrt x)) (g'' := fun x => - / (2 * 2 * (x * sqrt x))). exact mem_sqrt. intros; apply mem_inv, mem_mul. apply mem_Z. apply mem_sqrt; auto.
  intros; apply mem_half, mem_neg, mem_inv, mem_mul. apply mem_mul; apply mem_Z. apply mem_mul; auto. apply mem_sqrt; auto.
  intros x Hx. apply positive_correct with (x := x) in S; auto. assert (P : 0 < sqrt x) by (apply sqrt_lt_R0; auto).
  split. auto_derive; auto. field; lra.
  auto_derive. split; auto. split; auto. apply Rgt_not_eq. lra. 
  replace (x * sqrt x) with (sqrt x * sqrt x * sqrt x) by (rewrite sqrt_sqrt; lra). field. lra.
Qed.

(** relu(v) = A (v + b)^2 - A b^2 + a remainder; A > 0 and b may be any numbers. *)
Definition parabola a : I.type * I.type :=
  let l := I.singleton (I.lower (fr a)) in let r := I.singleton (I.upper (fr a)) in let w := isub r l in
  let least := if positive (iadd l r) then I.neg l else r in
  let A := point (I.div prec (imul two least) (imul w w)) in
  (A, point (I.div prec (isub (I.div prec r w) (imul A (iadd l r))) (imul two A))).
Definition fbent A b a :=
  let P := I.meet (fr a) nonneg in let N := I.meet (I.neg (fr a)) nonneg in
  let b' := isub b (I.inv prec (imul two A)) in
  let D := I.join (imul A (isub (I.sqr prec b') (I.sqr prec (iadd P b')))) (imul A (isub (I.sqr prec b) (I.sqr prec (isub b N)))) in
  let s2 := fmul a a in let B := imul two (imul A b) in
  let c := iadd (iadd (imul A (fc s2)) (imul B (fc a))) D in
  let s := axpy A (fs s2) (map (imul B) (fs a)) in
  Form c s (I.meet (I.join I.zero P) (rng c s)).
Lemma fbent_correct A b a v alpha beta : mem A alpha -> mem b beta -> 0 < alpha -> has a v -> has (fbent A b a) (relu v).
Proof.
  intros HA Hb Pos Ha. pose proof (fmul_correct _ _ _ _ Ha Ha) as [_ (c2 & s2 & C2 & S2 & E2)].
  destruct Ha as [Hv (c1 & s1 & C1 & S1 & E1)]. unfold fbent.
  set (P := I.meet (fr a) nonneg). set (N := I.meet (I.neg (fr a)) nonneg). set (b' := isub b (I.inv prec (imul two A))).
  set (D := I.join _ (imul A (isub (I.sqr prec b) (I.sqr prec (isub b N))))). set (B := imul two (imul A b)).
  assert (HB : mem B (2 * (alpha * beta))) by (apply mem_mul; [apply mem_Z | apply mem_mul; auto]).
  assert (Hb' : mem b' (beta - / (2 * alpha))) by (apply mem_sub; auto; apply mem_inv, mem_mul; auto; apply mem_Z).
  assert (HP : 0 <= v -> mem P v) by (intros; apply mem_meet; auto; apply mem_nonneg; lra).
  assert (HN : v <= 0 -> mem N (- v)) by (intros; apply mem_meet; [apply mem_neg; auto | apply mem_nonneg; lra]).
  set (delta := relu v - alpha * (v * v) - 2 * (alpha * beta) * v).
  assert (HD : mem D delta).
  { destruct (Rle_dec 0 v) as [p|n].
    - apply mem_join_l. set (y := beta - / (2 * alpha)) in *. replace delta with (alpha * (y * y - (v + y) * (v + y))).
      apply mem_mul; auto. apply mem_sub; apply mem_sqr; auto. apply mem_add; auto.
      unfold delta, relu, y. rewrite Rmax_left by lra. field. lra.
    - apply mem_join_r. replace delta with (alpha * (beta * beta - (beta - - v) * (beta - - v))).
      apply mem_mul; auto. apply mem_sub; apply mem_sqr; auto. apply mem_sub; auto. apply HN; lra.
      unfold delta, relu. rewrite Rmax_right by lra. ring. }
  assert (Hlin : lin (iadd (iadd (imul A (fc (fmul a a))) (imul B (fc a))) D) (axpy A (fs (fmul a a)) (map (imul B) (fs a))) (relu v)).
  { destruct (axpy_correct _ _ _ _ _ _ t HA S2 (scale_correct _ _ _ _ HB S1)) as (r & R1 & R2).
    exists (alpha * c2 + 2 * (alpha * beta) * c1 + delta), r. repeat split; auto. apply mem_add; auto. apply mem_add; apply mem_mul; auto.
    rewrite R2, dot_scale. replace (dot s1 t) with (v - c1) by (rewrite E1; ring). replace (dot s2 t) with (v * v - c2) by (rewrite E2; ring). unfold delta. ring. }
  split; auto. cbv beta iota zeta delta [fr]. apply mem_meet. 2: apply rng_correct; auto.
  destruct (Rle_dec 0 v) as [p|n].
  + apply mem_join_r. unfold relu; rewrite Rmax_left by lra; auto.
  + apply mem_join_l. unfold relu; rewrite Rmax_right by lra. apply mem_zero.
Qed.

(** ReLU: kept, dropped, bent, or a chord of slope L (any number: it need not be trusted) and what it is off by. *)
Definition frelu a :=
  match I.sign_large (fr a) with
  | Xgt => a
  | Xlt | Xeq => Form I.zero [] I.zero
  | Xund => if positive (fst (parabola a)) then fbent (fst (parabola a)) (snd (parabola a)) a else
    let P := I.meet (fr a) nonneg in let N := I.meet (I.neg (fr a)) nonneg in
    let U := I.singleton (I.upper P) in
    let L := I.singleton (I.midpoint (I.div prec U (iadd U (I.singleton (I.upper N))))) in
    let D := I.join (imul (isub (I.fromZ prec 1) L) P) (imul L N) in
    let c := iadd (imul L (fc a)) D in
    let s := map (imul L) (fs a) in
    Form c s (I.meet (I.join I.zero P) (rng c s))
  end.
Lemma frelu_correct a v : has a v -> has (frelu a) (relu v).
Proof.
  intros Ha. unfold frelu. generalize (I.sign_large_correct (fr a)). destruct Ha as [Hv Hl].
  destruct (I.sign_large (fr a)); intros S.
  - specialize (S _ Hv). inversion S; subst. replace (relu 0) with 0 by (unfold relu; rewrite Rmax_left; lra). apply fconst_correct, mem_zero.
  - specialize (S _ Hv). simpl in S. replace (relu v) with 0 by (unfold relu; rewrite Rmax_right; lra). apply fconst_correct, mem_zero.
  - specialize (S _ Hv). simpl in S. replace (relu v) with v by (unfold relu; rewrite Rmax_left; lra). split; auto.
  - clear S. destruct (positive (fst (parabola a))) eqn:Pos.
    { apply fbent_correct with (alpha := proj_val (I.F.convert (I.midpoint (I.div prec (imul two (if positive (iadd (I.singleton (I.lower (fr a))) (I.singleton (I.upper (fr a)))) then I.neg (I.singleton (I.lower (fr a))) else I.singleton (I.upper (fr a)))) (imul (isub (I.singleton (I.upper (fr a))) (I.singleton (I.lower (fr a)))) (isub (I.singleton (I.upper (fr a))) (I.singleton (I.lower (fr a)))))))))
        (beta := proj_val (I.F.convert (I.midpoint (I.div prec (isub (I.div prec (I.singleton (I.upper (fr a))) (isub (I.singleton (I.upper (fr a))) (I.singleton (I.lower (fr a))))) (imul (fst (parabola a)) (iadd (I.singleton (I.lower (fr a))) (I.singleton (I.upper (fr a)))))) (imul two (fst (parabola a))))))); try apply mem_point.
      apply positive_correct with (X := fst (parabola a)); auto. apply mem_point. split; auto. }
    set (P := I.meet (fr a) nonneg). set (N := I.meet (I.neg (fr a)) nonneg).
    set (L := I.singleton (I.midpoint _)). set (D := I.join (imul (isub (I.fromZ prec 1) L) P) (imul L N)).
    destruct Hl as (c1 & s1 & C1 & S1 & E1).
    assert (exists l, mem L l) as (l & Hlam) by (eexists; apply mem_point).
    assert (HP : 0 <= v -> mem P v) by (intros; apply mem_meet; auto; apply mem_nonneg; lra).
    assert (HN : v <= 0 -> mem N (- v)) by (intros; apply mem_meet; [apply mem_neg; auto | apply mem_nonneg; lra]).
    assert (HD : mem D (relu v - l * v)).
    { destruct (Rle_dec 0 v) as [p|n].
      - apply mem_join_l. replace (relu v - l * v) with ((1 - l) * v) by (unfold relu; rewrite Rmax_left by lra; ring). apply mem_mul; auto. apply mem_sub; auto. apply mem_Z.
      - apply mem_join_r. replace (relu v - l * v) with (l * - v) by (unfold relu; rewrite Rmax_right by lra; ring). apply mem_mul; auto. apply HN; lra. }
    assert (Hlin : lin (iadd (imul L (fc a)) D) (map (imul L) (fs a)) (relu v)).
    { exists (l * c1 + (relu v - l * v)), (map (Rmult l) s1). repeat split. apply mem_add; auto. apply mem_mul; auto. apply scale_correct; auto. rewrite dot_scale. replace (dot s1 t) with (v - c1) by (rewrite E1; ring). ring. }
    split; auto. cbv beta iota zeta delta [fr]. apply mem_meet. 2: apply rng_correct; auto.
    destruct (Rle_dec 0 v) as [p|n].
    + apply mem_join_r. unfold relu; rewrite Rmax_left by lra; auto.
    + apply mem_join_l. unfold relu; rewrite Rmax_right by lra. apply mem_zero.
Qed.

End Box.
End Forms.
