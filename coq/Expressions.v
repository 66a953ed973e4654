(* Expressions over boxes: what they are worth, and that they have a value. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Coquelicot Require Import Coquelicot.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Taylor Intervals Forms.
Import ListNotations.
Open Scope R_scope.

Module Expressions (A : Arithmetic).
Module Export F := Forms A.
Import A.

Section Box.
Variable TL : list I.type.
Variable tl : list R.
Hypothesis HTL : mems TL tl.
Local Notation has := (has tl). Local Notation hass := (Forall2 (F.has tl)).
Local Notation fadd := (fadd TL). Local Notation fmul := (fmul TL). Local Notation funary := (funary TL).
Local Notation fexp := (fexp TL). Local Notation finv := (finv TL). Local Notation fsqrt := (fsqrt TL). Local Notation frelu := (frelu TL).
Local Notation fsin := (fsin TL). Local Notation fcos := (fcos TL).
Let add_ok := fadd_correct TL tl HTL. Let mul_ok := fmul_correct TL tl HTL. Let exp_ok := fexp_correct TL tl HTL.
Let inv_ok := finv_correct TL tl HTL. Let relu_ok := frelu_correct TL tl HTL. Let neg_ok := fneg_correct tl.
Let const_ok := fconst_correct tl.

Definition number n := fconst (I.fromZ prec n).
Lemma number_correct n : has (number n) (IZR n). Proof. apply const_ok, mem_Z. Qed.
Definition fsub a b := fadd a (fneg b).
Lemma fsub_correct a b v w : has a v -> has b w -> has (fsub a b) (v - w).
Proof. intros. apply add_ok; auto. Qed.
Definition around a := I.join (fc a) (fr a).
Lemma around_correct a v : has a v -> mem (around a) v.
Proof. intros [H _]. apply mem_join_r; auto. Qed.

Definition fln a := funary (I.ln prec) (I.inv prec) (fun X => half (I.neg (I.inv prec (I.sqr prec X)))) a.
Lemma fln_correct a v : positive (around a) = true -> has a v -> has (fln a) (ln v).
Proof.
  intros P Ha. assert (Pos : forall x, mem (around a) x -> 0 < x) by (intros; eapply positive_correct; eauto).
  unfold fln. apply (funary_correct_on TL tl HTL) with (g' := fun x => / x) (g'' := fun x => - / (x * x)); auto.
  - intros X x J Hx. apply mem_ln; auto. - intros X x J Hx. apply mem_inv; auto.
  - intros X x J Hx. apply mem_half, mem_neg, mem_inv, mem_sqr; auto.
  - intros x Hx. apply Pos in Hx. split. auto_derive; auto; field; lra. auto_derive; auto. lra. field; lra.
Qed.
Definition ftan a := funary (I.tan prec) (fun X => iadd (I.fromZ prec 1) (I.sqr prec (I.tan prec X)))
  (fun X => imul (I.tan prec X) (iadd (I.fromZ prec 1) (I.sqr prec (I.tan prec X)))) a.
Lemma is_derive_tan x : cos x <> 0 -> is_derive tan x (1 + tan x * tan x).
Proof.
  intros H. apply is_derive_ext with (fun x => sin x * / cos x). intros; reflexivity.
  auto_derive; auto. unfold tan, Rdiv. field. auto.
Qed.
Lemma ftan_correct a v : off_zero (I.cos prec (around a)) = true -> has a v -> has (ftan a) (tan v).
Proof.
  intros P Ha. assert (Pos : forall x, mem (around a) x -> cos x <> 0) by (intros; eapply off_zero_correct; eauto; apply mem_cos; auto).
  unfold ftan. apply (funary_correct_on TL tl HTL) with (g' := fun x => 1 + tan x * tan x) (g'' := fun x => 2 * (tan x * (1 + tan x * tan x))); auto.
  - intros X x J Hx. apply mem_tan; auto.
  - intros X x J Hx. apply mem_add. apply mem_Z. apply mem_sqr, mem_tan; auto.
  - intros X x J Hx. replace (/ 2 * (2 * (tan x * (1 + tan x * tan x)))) with (tan x * (1 + tan x * tan x)) by field.
    apply mem_mul. apply mem_tan; auto. apply mem_add. apply mem_Z. apply mem_sqr, mem_tan; auto.
  - intros x Hx. apply Pos in Hx. split. apply is_derive_tan; auto.
    pose proof (is_derive_tan x Hx) as D.
    assert (E : ex_derive tan x) by (eexists; eauto). auto_derive; auto. replace (Derive (fun x => tan x) x) with (1 + tan x * tan x) by (symmetry; apply is_derive_unique; exact D). ring.
Qed.
Definition fatan a := funary (I.atan prec) (fun X => I.inv prec (iadd (I.fromZ prec 1) (I.sqr prec X)))
  (fun X => I.neg (imul X (I.inv prec (I.sqr prec (iadd (I.fromZ prec 1) (I.sqr prec X)))))) a.
Lemma fatan_correct a v : has a v -> has (fatan a) (atan v).
Proof.
  intros Ha. unfold fatan. apply (funary_correct TL tl HTL) with (g' := fun x => / (1 + x * x)) (g'' := fun x => - (2 * x) * / ((1 + x * x) * (1 + x * x))); auto.
  - apply mem_atan. - intros X x Hx. apply mem_inv, mem_add. apply mem_Z. apply mem_sqr; auto.
  - intros X x Hx. replace (/ 2 * (- (2 * x) * / ((1 + x * x) * (1 + x * x)))) with (- (x * / ((1 + x * x) * (1 + x * x)))) by (field; nra).
    apply mem_neg, mem_mul; auto. apply mem_inv, mem_sqr, mem_add. apply mem_Z. apply mem_sqr; auto.
  - intros x _. split. auto_derive; auto. unfold Rsqr; field; nra. auto_derive; auto. nra. field; nra.
Qed.

Fixpoint fpow_plain a n := match n with O => number 1 | S O => a | S n => fmul a (fpow_plain a n) end.
Definition fpow a n := let p := fpow_plain a n in Form (fc p) (fs p) (I.meet (fr p) (I.power_int prec (fr a) (Z.of_nat n))).
Lemma fpow_correct a v n : has a v -> has (fpow a n) (v ^ n).
Proof.
  intros Ha. assert (P : has (fpow_plain a n) (v ^ n)).
  { induction n as [|[|n] IH]; simpl. apply number_correct. rewrite Rmult_1_r; auto. apply mul_ok; auto. }
  destruct P as [Pr Pl]. split; auto. apply mem_meet; auto. apply mem_power, Ha.
Qed.
Definition fmax a b := fadd b (frelu (fsub a b)).
Lemma fmax_correct a b v w : has a v -> has b w -> has (fmax a b) (Rmax v w).
Proof.
  intros Ha Hb. replace (Rmax v w) with (w + relu (v - w)). apply add_ok; auto. apply relu_ok, fsub_correct; auto.
  unfold relu, Rmax. destruct (Rle_dec (v - w) 0), (Rle_dec v w); lra.
Qed.
Definition fmin a b := fsub a (frelu (fsub a b)).
Lemma fmin_correct a b v w : has a v -> has b w -> has (fmin a b) (Rmin v w).
Proof.
  intros Ha Hb. replace (Rmin v w) with (v - relu (v - w)). apply fsub_correct; auto. apply relu_ok, fsub_correct; auto.
  unfold relu, Rmax, Rmin. destruct (Rle_dec (v - w) 0), (Rle_dec v w); lra.
Qed.
Definition fabs a := fadd (frelu a) (frelu (fneg a)).
Lemma fabs_correct a v : has a v -> has (fabs a) (Rabs v).
Proof.
  intros Ha. replace (Rabs v) with (relu v + relu (- v)). apply add_ok; auto.
  unfold relu, Rmax, Rabs. destruct (Rle_dec v 0), (Rle_dec (- v) 0), (Rcase_abs v); lra.
Qed.
Definition fsinh a := fmul (fconst (half (I.fromZ prec 1))) (fsub (fexp a) (fexp (fneg a))).
Definition fcosh a := fmul (fconst (half (I.fromZ prec 1))) (fadd (fexp a) (fexp (fneg a))).
Definition ftanh a := fsub (number 1) (fmul (number 2) (finv (fadd (fexp (fadd a a)) (number 1)))).
Lemma fsinh_correct a v : has a v -> has (fsinh a) ((exp v - exp (- v)) / 2).
Proof. intros. replace ((exp v - exp (- v)) / 2) with (/ 2 * 1 * (exp v - exp (- v))) by field. apply mul_ok. apply const_ok, mem_half, mem_Z. apply fsub_correct; auto. Qed.
Lemma fcosh_correct a v : has a v -> has (fcosh a) ((exp v + exp (- v)) / 2).
Proof. intros. replace ((exp v + exp (- v)) / 2) with (/ 2 * 1 * (exp v + exp (- v))) by field. apply mul_ok. apply const_ok, mem_half, mem_Z. apply add_ok; auto. Qed.
Lemma ftanh_correct a v : has a v -> has (ftanh a) ((exp v - exp (- v)) / (exp v + exp (- v))).
Proof.
  intros Ha. replace ((exp v - exp (- v)) / (exp v + exp (- v))) with (1 - 2 * / (exp (v + v) + 1)).
  - apply fsub_correct. apply number_correct. apply mul_ok. apply number_correct. apply inv_ok, add_ok. apply exp_ok, add_ok; auto. apply number_correct.
  - rewrite exp_Ropp, exp_plus. pose proof (exp_pos v). assert (0 < exp v * exp v) by (apply Rmult_lt_0_compat; auto). field. nra.
Qed.

(** One of two. *)
Fixpoint joins (a b : list I.type) : list I.type :=
  match a, b with [], _ => map (I.join I.zero) b | _, [] => map (I.join I.zero) a | x :: a, y :: b => I.join x y :: joins a b end.
Definition fjoin a b := Form (I.join (fc a) (fc b)) (joins (fs a) (fs b)) (I.join (fr a) (fr b)).
Lemma padded_r S s : mems S s -> mems (map (I.join I.zero) S) s.
Proof. intros H. induction H; constructor; auto. apply mem_join_r; auto. Qed.
Lemma padded_l S : exists z, mems (map (I.join I.zero) S) z /\ forall t, dot z t = 0.
Proof.
  induction S as [|X S (z & Z1 & Z2)]. exists []. split; auto. constructor.
  exists (0 :: z). split. constructor; auto. apply mem_join_l, mem_zero. intros [|y t]; simpl; auto. rewrite Z2. ring.
Qed.
Lemma joins_l A a : mems A a -> forall B, exists r, mems (joins A B) r /\ forall t, dot r t = dot a t.
Proof.
  intros H. induction H as [|X x A a HX HA IH]; intros B.
  - destruct (padded_l B) as (z & Z1 & Z2). exists z. split; auto.
  - destruct B as [|Y B]. exists (x :: a). split; auto. apply padded_r. constructor; auto.
    destruct (IH B) as (r & R1 & R2). exists (x :: r). split. constructor; auto. apply mem_join_l; auto.
    intros [|y t]; simpl; auto. rewrite R2; auto.
Qed.
Lemma joins_r B b : mems B b -> forall A, exists r, mems (joins A B) r /\ forall t, dot r t = dot b t.
Proof.
  intros H. induction H as [|Y y B b HY HB IH]; intros A.
  - destruct (padded_l A) as (z & Z1 & Z2). exists z. split; auto. destruct A; auto.
  - destruct A as [|X A]. exists (y :: b). split; auto. apply padded_r. constructor; auto.
    destruct (IH A) as (r & R1 & R2). exists (y :: r). split. constructor; auto. apply mem_join_r; auto.
    intros [|z t]; simpl; auto. rewrite R2; auto.
Qed.
Lemma fjoin_l a b v : has a v -> has (fjoin a b) v.
Proof.
  intros [H (c & s & C & S & E)]. split. apply mem_join_l; auto. destruct (joins_l _ _ S (fs b)) as (r & R1 & R2).
  exists c, r. repeat split; auto. apply mem_join_l; auto. rewrite R2; auto.
Qed.
Lemma fjoin_r a b v : has b v -> has (fjoin a b) v.
Proof.
  intros [H (c & s & C & S & E)]. split. apply mem_join_r; auto. destruct (joins_r _ _ S (fs a)) as (r & R1 & R2).
  exists c, r. repeat split; auto. apply mem_join_r; auto. rewrite R2; auto.
Qed.

Definition froot a : option form :=
  if positive (around a) then Some (fsqrt a) else if nonnegative (fr a) then Some (fconst (I.sqrt prec (fr a))) else None.
Lemma froot_correct a s v : froot a = Some s -> has a v -> 0 <= v /\ has s (sqrt v).
Proof.
  unfold froot. intros E Ha. destruct (positive _) eqn:P.
  - injection E as <-. split. left. apply positive_correct with (1 := P). apply around_correct; auto. apply (fsqrt_correct TL tl HTL); auto.
  - destruct (nonnegative _) eqn:N; try discriminate. injection E as <-. destruct Ha as [Hv _]. split.
    apply nonnegative_correct with (1 := N); auto. apply const_ok, mem_sqrt; auto.
Qed.
(** asin x = 2 atan (x / (1 + sqrt (1 - x^2))), at 1 and -1 too. *)
Lemma asin_half x : -1 <= x <= 1 -> asin x = 2 * atan (x * / (1 + sqrt (1 - x * x))).
Proof.
  intros H. pose proof (asin_bound x) as B. assert (S : sqrt (1 - x * x) = cos (asin x)) by (rewrite cos_asin by auto; unfold Rsqr; reflexivity).
  rewrite S. rewrite <- (sin_asin x H) at 2. set (t := asin x / 2). replace (asin x) with (2 * t) in * by (unfold t; field).
  rewrite sin_2a, cos_2a_cos. assert (C : 0 < cos t) by (apply cos_gt_0; pose proof PI_RGT_0; lra).
  replace (2 * sin t * cos t * / (1 + (2 * cos t * cos t - 1))) with (tan t) by (unfold tan; field; split; nra).
  rewrite atan_tan; auto. pose proof PI_RGT_0. lra.
Qed.
Definition fasin a : option form :=
  option_map (fun s => fmul (number 2) (fatan (fmul a (finv (fadd (number 1) s))))) (froot (fsub (number 1) (fmul a a))).
Lemma fasin_correct a b v : fasin a = Some b -> has a v -> -1 <= v <= 1 /\ has b (asin v).
Proof.
  unfold fasin. intros E Ha. destruct (froot _) as [s|] eqn:R; try discriminate. injection E as <-.
  destruct (froot_correct _ _ (1 - v * v) R) as [P Hs]. { apply fsub_correct. apply number_correct. apply mul_ok; auto. }
  assert (B : -1 <= v <= 1) by nra. split; auto. rewrite asin_half by auto. apply mul_ok. apply number_correct. apply fatan_correct.
  apply mul_ok; auto. apply inv_ok, add_ok; auto. apply number_correct.
Qed.
Definition positively (a : form) : option form := if positive (around a) then Some (fln a) else None.
Lemma positively_correct a b v : positively a = Some b -> has a v -> 0 < v /\ has b (ln v).
Proof.
  unfold positively. destruct (positive _) eqn:P; intros E Ha; try discriminate. injection E as <-. split.
  apply positive_correct with (1 := P). apply around_correct; auto. apply fln_correct; auto.
Qed.
Definition fasinh a : option form := match froot (fadd (fmul a a) (number 1)) with Some s => positively (fadd a s) | None => None end.
Definition facosh a : option form :=
  if nonnegative (isub (fr a) (I.fromZ prec 1)) then match froot (fsub (fmul a a) (number 1)) with Some s => positively (fadd a s) | None => None end else None.
Definition fatanh a : option form :=
  let p := fadd (number 1) a in let q := fsub (number 1) a in
  if positive (around p) && positive (around q) then option_map (fun l => fmul l (finv (number 2))) (positively (fmul p (finv q))) else None.
Definition fsign a : form := if positive (around a) then number 1 else if negative (around a) then number (-1) else fconst (I.join (I.fromZ prec (-1)) (I.fromZ prec 1)).
Lemma fasinh_correct a b v : fasinh a = Some b -> has a v -> has b (ln (v + sqrt (v * v + 1))).
Proof.
  unfold fasinh. intros E Ha. destruct (froot _) as [s|] eqn:R; try discriminate.
  destruct (froot_correct _ _ (v * v + 1) R) as [P Hs]. { apply add_ok. apply mul_ok; auto. apply number_correct. }
  apply (positively_correct _ _ _ E). apply add_ok; auto.
Qed.
Lemma facosh_correct a b v : facosh a = Some b -> has a v -> 1 <= v /\ has b (ln (v + sqrt (v * v - 1))).
Proof.
  unfold facosh. intros E Ha. destruct (nonnegative _) eqn:N; try discriminate. destruct (froot _) as [s|] eqn:R; try discriminate.
  destruct (froot_correct _ _ (v * v - 1) R) as [P Hs]. { apply fsub_correct. apply mul_ok; auto. apply number_correct. }
  split. 2: apply (positively_correct _ _ _ E); apply add_ok; auto.
  apply nonnegative_correct with (x := v - 1) in N. lra. apply mem_sub. apply Ha. apply mem_Z.
Qed.
Lemma fatanh_correct a b v : fatanh a = Some b -> has a v -> -1 < v < 1 /\ has b (ln ((1 + v) / (1 - v)) / 2).
Proof.
  unfold fatanh. intros E Ha. destruct (positive _ && positive _) eqn:P; try discriminate. apply andb_prop in P. destruct P as [P1 P2].
  assert (Hp : has (fadd (number 1) a) (1 + v)) by (apply add_ok; auto; apply number_correct).
  assert (Hq : has (fsub (number 1) a) (1 - v)) by (apply fsub_correct; auto; apply number_correct).
  apply positive_correct with (x := 1 + v) in P1. 2: apply around_correct; auto. apply positive_correct with (x := 1 - v) in P2. 2: apply around_correct; auto.
  split. lra. destruct (positively _) as [l|] eqn:L; try discriminate. injection E as <-. apply mul_ok. 2: apply inv_ok, number_correct.
  apply (positively_correct _ _ _ L). apply mul_ok; auto.
Qed.
Lemma fsign_correct a v : has a v -> has (fsign a) (if Rlt_dec 0 v then 1 else if Rlt_dec v 0 then -1 else 0).
Proof.
  intros Ha. unfold fsign. destruct (positive _) eqn:P; [|destruct (negative _) eqn:N].
  - apply positive_correct with (x := v) in P. 2: apply around_correct; auto. destruct (Rlt_dec 0 v); try lra. apply number_correct.
  - apply negative_correct with (x := v) in N. 2: apply around_correct; auto. destruct (Rlt_dec 0 v); try lra. destruct (Rlt_dec v 0); try lra. apply number_correct.
  - apply const_ok. destruct (Rlt_dec 0 v); [apply mem_join_r, mem_Z|]. destruct (Rlt_dec v 0); [apply mem_join_l, mem_Z|].
    apply (mem_between _ (-1) 1). apply mem_join_l, mem_Z. apply mem_join_r, mem_Z. unfold Rmin, Rmax. destruct (Rle_dec (-1) 1); lra.
Qed.
Definition fturned (sign : Z) y x : form := fsub (fmul (number sign) (fmul (fconst (I.pi prec)) (finv (number 2)))) (fatan (fmul x (finv y))).
Definition fatan2 y x : option form :=
  if positive (around x) then Some (fatan (fmul y (finv x)))
  else if positive (around y) then Some (fturned 1 y x) else if negative (around y) then Some (fturned (-1) y x) else None.
Lemma fatan2_correct y x b v w : fatan2 y x = Some b -> has y v -> has x w -> (v <> 0 \/ w <> 0) /\ has b (atan2 v w).
Proof.
  intros E Hy Hx. assert (Q : forall s, has (fmul (number s) (fmul (fconst (I.pi prec)) (finv (number 2)))) (IZR s * (PI * / 2))).
  { intros s. apply mul_ok. apply number_correct. apply mul_ok. apply const_ok, I.pi_correct. apply inv_ok, number_correct. }
  unfold fatan2 in E. destruct (positive (around x)) eqn:PX; [|destruct (positive (around y)) eqn:PY; [|destruct (negative (around y)) eqn:NY; try discriminate]]; injection E as <-.
  - apply positive_correct with (x := w) in PX. 2: apply around_correct; auto. split. right; lra.
    unfold atan2. destruct (Rlt_dec 0 w); try lra. apply fatan_correct, mul_ok; auto.
  - apply positive_correct with (x := v) in PY. 2: apply around_correct; auto. split. left; lra. unfold fturned.
    replace (atan2 v w) with (1 * (PI * / 2) - atan (w * / v)). apply fsub_correct. apply Q. apply fatan_correct, mul_ok; auto.
    unfold atan2. destruct (Rlt_dec 0 w).
    + replace (v / w) with (/ (w * / v)) by (field; lra). rewrite atan_inv by (apply Rmult_lt_0_compat; auto; apply Rinv_0_lt_compat; auto). field.
    + destruct (Rlt_dec 0 v); lra.
  - apply negative_correct with (x := v) in NY. 2: apply around_correct; auto. split. left; lra. unfold fturned.
    replace (atan2 v w) with (-1 * (PI * / 2) - atan (w * / v)). apply fsub_correct. apply Q. apply fatan_correct, mul_ok; auto.
    unfold atan2. destruct (Rlt_dec 0 w).
    + replace (v / w) with (- / (w * / (- v))) by (field; lra). rewrite atan_opp, atan_inv by (apply Rmult_lt_0_compat; auto; apply Rinv_0_lt_compat; lra).
      replace (w * / - v) with (- (w * / v)) by (field; lra). rewrite atan_opp. field.
    + destruct (Rlt_dec 0 v); try lra. destruct (Rlt_dec v 0); lra.
Qed.

Definition ffun (f : func) (a : form) : option form :=
  match f with
  | Sin => Some (fsin a) | Cos => Some (fcos a) | Exp => Some (fexp a) | Atan => Some (fatan a)
  | Sinh => Some (fsinh a) | Cosh => Some (fcosh a) | Tanh => Some (ftanh a) | Abs => Some (fabs a) | Sign => Some (fsign a)
  | Tan => if off_zero (I.cos prec (around a)) then Some (ftan a) else None
  | Log => positively a | Sqrt => froot a
  | Asin => fasin a | Acos => option_map (fun b => fsub (fmul (fconst (I.pi prec)) (finv (number 2))) b) (fasin a)
  | Asinh => fasinh a | Acosh => facosh a | Atanh => fatanh a
  end.
Lemma ffun_correct f a b v : ffun f a = Some b -> has a v -> has_value f v /\ has b (value f v).
Proof.
  destruct f; unfold ffun; intros E Ha; simpl; try (injection E as <-; split; [exact Logic.I|]).
  - apply (fsin_correct TL tl HTL); auto. - apply (fcos_correct TL tl HTL); auto.
  - destruct (off_zero _) eqn:P; try discriminate. injection E as <-. split. 2: apply ftan_correct; auto.
    apply off_zero_correct with (1 := P). apply mem_cos, around_correct; auto.
  - apply exp_ok; auto.
  - apply positively_correct with (1 := E); auto.
  - apply froot_correct with (1 := E); auto.
  - apply fasin_correct with (1 := E); auto.
  - destruct (fasin a) as [c|] eqn:F; try discriminate. injection E as <-. destruct (fasin_correct _ _ _ F Ha) as [B Hc]. split; auto.
    rewrite acos_asin by auto. apply fsub_correct; auto. apply mul_ok. apply const_ok, I.pi_correct. apply inv_ok, number_correct.
  - apply fatan_correct; auto. - apply fsinh_correct; auto. - apply fcosh_correct; auto. - apply ftanh_correct; auto.
  - split; auto. apply fasinh_correct with (1 := E); auto. - apply facosh_correct with (1 := E); auto. - apply fatanh_correct with (1 := E); auto.
  - apply fabs_correct; auto. - apply fsign_correct; auto.
Qed.

Variable V : list form.     (* the coordinates *)
Definition both {A B C} (f : A -> B -> C) (a : option A) (b : option B) : option C :=
  match a, b with Some a, Some b => Some (f a b) | _, _ => None end.

(** Less: whether the second is the larger one all over the box, or nowhere. *)
Definition less a b := let d := fr (fsub b a) in if positive d then Some true else if nonpositive d then Some false else None.
Definition at_most a b := let d := fr (fsub b a) in if nonnegative d then Some true else if negative d then Some false else None.
Definition and3 (a b : option bool) := match a, b with Some false, _ | _, Some false => Some false | Some true, Some true => Some true | _, _ => None end.
Definition or3 (a b : option bool) := match a, b with Some true, _ | _, Some true => Some true | Some false, Some false => Some false | _, _ => None end.

Fixpoint eval_expr (e : expr) : option form :=
  match e with
  | Var k => Some (nth k V (number 0)) | Int n => Some (number n) | Dec d => Some (fconst (D2I d)) | Pi => Some (fconst (I.pi prec))
  | Euler => Some (fexp (number 1))
  | Add a b => both fadd (eval_expr a) (eval_expr b) | Mul a b => both fmul (eval_expr a) (eval_expr b)
  | Neg a => option_map fneg (eval_expr a)
  | Inv a => match eval_expr a with Some a => if off_zero (around a) then Some (finv a) else None | None => None end
  | Pow a n => option_map (fun a => fpow a n) (eval_expr a)
  | Power a p => match eval_expr a, eval_expr p with Some a, Some p => if positive (around a) then Some (fexp (fmul p (fln a))) else None | _, _ => None end
  | Fun f a => match eval_expr a with Some a => ffun f a | None => None end
  | Max a b => both fmax (eval_expr a) (eval_expr b) | Min a b => both fmin (eval_expr a) (eval_expr b)
  | Atan2 a b => match eval_expr a, eval_expr b with Some a, Some b => fatan2 a b | _, _ => None end
  | If c a b => match eval_cond c with
    | None => None
    | Some (Some true) => eval_expr a | Some (Some false) => eval_expr b
    | Some None => both fjoin (eval_expr a) (eval_expr b)
    end
  | Undefined => None
  end
with eval_cond (c : cond) : option (option bool) :=
  match c with
  | Less a b => both less (eval_expr a) (eval_expr b) | AtMost a b => both at_most (eval_expr a) (eval_expr b)
  | Both c d => both and3 (eval_cond c) (eval_cond d) | Either c d => both or3 (eval_cond c) (eval_cond d)
  | Always => Some (Some true)
  end.

Scheme expr_rect2 := Induction for expr Sort Prop with cond_rect2 := Induction for cond Sort Prop.
Combined Scheme expr_cond_ind from expr_rect2, cond_rect2.

Definition knows (k : option bool) (b : bool) := match k with Some c => b = c | None => True end.
Lemma both_some A B C (f : A -> B -> C) a b c : both f a b = Some c -> exists x y, a = Some x /\ b = Some y /\ c = f x y.
Proof. destruct a, b; simpl; intros E; inversion E; eauto. Qed.
Lemma nth_has l x k : hass l x -> has (nth k l (number 0)) (nth k x 0).
Proof. intros H. revert k. induction H; intros [|k]; simpl; auto; apply number_correct. Qed.

Lemma eval_correct v : hass V v ->
  (forall e F, eval_expr e = Some F -> defined e v /\ has F (denote e v)) /\
  (forall c k, eval_cond c = Some k -> settled c v /\ knows k (holds c v)).
Proof.
  intros HV. apply expr_cond_ind; simpl; intros.
  - injection H as <-. split; auto. apply nth_has; auto.
  - injection H as <-. split; auto. apply number_correct.
  - injection H as <-. split; auto. apply const_ok, mem_D2I.
  - injection H as <-. split; auto. apply const_ok, I.pi_correct.
  - injection H as <-. split; auto. apply exp_ok, number_correct.
  - apply both_some in H1. destruct H1 as (x & y & E1 & E2 & ->). destruct (H _ E1), (H0 _ E2). split; auto.
  - apply both_some in H1. destruct H1 as (x & y & E1 & E2 & ->). destruct (H _ E1), (H0 _ E2). split; auto.
  - destruct (eval_expr a); try discriminate. injection H0 as <-. destruct (H _ eq_refl). split; auto.
  - destruct (eval_expr a); try discriminate. destruct (off_zero _) eqn:P; try discriminate. injection H0 as <-. destruct (H _ eq_refl).
    split; [split; auto|apply inv_ok; auto]. apply off_zero_correct with (1 := P). apply around_correct; auto.
  - destruct (eval_expr a); try discriminate. injection H0 as <-. destruct (H _ eq_refl). split; auto. apply fpow_correct; auto.
  - destruct (eval_expr a); try discriminate. destruct (eval_expr p); try discriminate. destruct (positive _) eqn:P; try discriminate.
    injection H1 as <-. destruct (H _ eq_refl), (H0 _ eq_refl). split; [split; [|split]; auto|apply exp_ok, mul_ok; auto; apply fln_correct; auto].
    apply positive_correct with (1 := P). apply around_correct; auto.
  - destruct (eval_expr a); try discriminate. destruct (H _ eq_refl). destruct (ffun_correct _ _ _ _ H0 H2). auto.
  - apply both_some in H1. destruct H1 as (x & y & E1 & E2 & ->). destruct (H _ E1), (H0 _ E2). split; auto. apply fmax_correct; auto.
  - apply both_some in H1. destruct H1 as (x & y & E1 & E2 & ->). destruct (H _ E1), (H0 _ E2). split; auto. apply fmin_correct; auto.
  - destruct (eval_expr y); try discriminate. destruct (eval_expr x); try discriminate. destruct (H _ eq_refl), (H0 _ eq_refl).
    destruct (fatan2_correct _ _ _ _ _ H1 H3 H5). auto.
  - destruct (eval_cond c) as [[[]|]|]; try discriminate; destruct (H _ eq_refl) as [S K]; simpl in K; try rewrite K.
    + destruct (H0 _ H2). auto.
    + destruct (H1 _ H2). auto.
    + apply both_some in H2. destruct H2 as (x & y & E1 & E2 & ->). destruct (H0 _ E1), (H1 _ E2).
      destruct (holds c v); split; auto; [apply fjoin_l | apply fjoin_r]; auto.
  - discriminate.
  - apply both_some in H1. destruct H1 as (x & y & E1 & E2 & ->). destruct (H _ E1) as [D1 A1], (H0 _ E2) as [D2 A2]. split; auto.
    destruct (fsub_correct _ _ _ _ A2 A1) as [M _]. unfold less. destruct (positive _) eqn:P; [|destruct (nonpositive _) eqn:N]; simpl; auto; destruct (Rlt_dec _ _); auto; exfalso.
    apply positive_correct with (2 := M) in P. lra. apply nonpositive_correct with (2 := M) in N. lra.
  - apply both_some in H1. destruct H1 as (x & y & E1 & E2 & ->). destruct (H _ E1) as [D1 A1], (H0 _ E2) as [D2 A2]. split; auto.
    destruct (fsub_correct _ _ _ _ A2 A1) as [M _]. unfold at_most. destruct (nonnegative _) eqn:P; [|destruct (negative _) eqn:N]; simpl; auto; destruct (Rle_dec _ _); auto; exfalso.
    apply nonnegative_correct with (2 := M) in P. lra. apply negative_correct with (2 := M) in N. lra.
  - apply both_some in H1. destruct H1 as (x & y & E1 & E2 & ->). destruct (H _ E1) as [D1 K1], (H0 _ E2) as [D2 K2]. split; auto.
    destruct x as [[]|], y as [[]|]; simpl in *; auto; rewrite ?K1, ?K2; auto; destruct (holds c v); auto.
  - apply both_some in H1. destruct H1 as (x & y & E1 & E2 & ->). destruct (H _ E1) as [D1 K1], (H0 _ E2) as [D2 K2]. split; auto.
    destruct x as [[]|], y as [[]|]; simpl in *; auto; rewrite ?K1, ?K2; auto; destruct (holds c v); auto.
  - injection H as <-. simpl; auto.
Qed.

Fixpoint eval_all (es : list expr) : option (list form) :=
  match es with [] => Some [] | e :: es => both cons (eval_expr e) (eval_all es) end.
Lemma eval_all_correct v : hass V v -> forall es Fs, eval_all es = Some Fs -> List.Forall (fun e => defined e v) es /\ hass Fs (values es v).
Proof.
  intros HV. induction es as [|e es IH]; simpl; intros Fs E. injection E as <-. split; constructor.
  apply both_some in E. destruct E as (x & y & E1 & E2 & ->). destruct (proj1 (eval_correct v HV) _ _ E1), (IH _ E2). split; constructor; auto.
Qed.
End Box.
End Expressions.
