(* Intervals: an arithmetic of them, what every operation encloses, signs, and stored numbers; over any interval arithmetic of CoqInterval. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics.
Import ListNotations.
Open Scope R_scope.

(** An interval arithmetic, and the precision it is used with. *)
Module Type Arithmetic.
Declare Module I : IntervalOps.
Parameter prec : I.precision.
End Arithmetic.

Module Intervals (A : Arithmetic).
Import A.
Definition mem (X : I.type) (x : R) : Prop := contains (I.convert X) (Xreal x).

Notation iadd := (I.add prec). Notation imul := (I.mul prec). Notation isub := (I.sub prec).

Lemma mem_add X Y x y : mem X x -> mem Y y -> mem (iadd X Y) (x + y).
Proof. exact (I.add_correct prec X Y (Xreal x) (Xreal y)). Qed.
Lemma mem_sub X Y x y : mem X x -> mem Y y -> mem (isub X Y) (x - y).
Proof. exact (I.sub_correct prec X Y (Xreal x) (Xreal y)). Qed.
Lemma mem_mul X Y x y : mem X x -> mem Y y -> mem (imul X Y) (x * y).
Proof. exact (I.mul_correct prec X Y (Xreal x) (Xreal y)). Qed.
Lemma mem_neg X x : mem X x -> mem (I.neg X) (- x).
Proof. exact (I.neg_correct X (Xreal x)). Qed.
Lemma mem_sin X x : mem X x -> mem (I.sin prec X) (sin x).
Proof. exact (I.sin_correct prec X (Xreal x)). Qed.
Lemma mem_cos X x : mem X x -> mem (I.cos prec X) (cos x).
Proof. exact (I.cos_correct prec X (Xreal x)). Qed.
Lemma mem_exp X x : mem X x -> mem (I.exp prec X) (exp x).
Proof. exact (I.exp_correct prec X (Xreal x)). Qed.
Lemma mem_sqrt X x : mem X x -> mem (I.sqrt prec X) (sqrt x).
Proof. exact (I.sqrt_correct prec X (Xreal x)). Qed.
Lemma mem_nai x : mem I.nai x.
Proof. unfold mem. rewrite I.nai_correct. exact Logic.I. Qed.
Lemma mem_inv X x : mem X x -> mem (I.inv prec X) (/ x).
Proof.
  intros H. pose proof (I.inv_correct prec X (Xreal x) H) as K. unfold Xinv, Xinv', Xbind in K. unfold mem.
  destruct (is_zero x); auto. destruct (I.convert (I.inv prec X)); simpl in *; tauto.
Qed.
Lemma mem_zero : mem I.zero 0.
Proof. unfold mem. rewrite I.zero_correct. simpl. lra. Qed.
Lemma mem_join_l X Y x : mem X x -> mem (I.join X Y) x.
Proof. intros H. apply I.join_correct. now left. Qed.
Lemma mem_join_r X Y x : mem Y x -> mem (I.join X Y) x.
Proof. intros H. apply I.join_correct. now right. Qed.
Lemma mem_meet X Y x : mem X x -> mem Y x -> mem (I.meet X Y) x.
Proof. apply I.meet_correct. Qed.
Lemma mem_between X a b x : mem X a -> mem X b -> Rmin a b <= x <= Rmax a b -> mem X x.
Proof.
  unfold mem, contains. destruct (I.convert X) as [|l u]; auto. intros [A1 A2] [B1 B2] [C1 C2].
  split; [destruct l as [|l]; auto | destruct u as [|u]; auto].
  - revert C1. unfold Rmin. destruct (Rle_dec a b); lra.
  - revert C2. unfold Rmax. destruct (Rle_dec a b); lra.
Qed.
Lemma mem_point f : mem (I.singleton f) (proj_val (I.F.convert f)).
Proof. apply I.singleton_correct. Qed.
Lemma mem_Z n : mem (I.fromZ prec n) (IZR n).
Proof. apply I.fromZ_correct. Qed.

Notation two := (I.fromZ prec 2).
Definition point X := I.singleton (I.midpoint X).
Definition nonneg := I.upper_extent I.zero.
Lemma mem_nonneg x : 0 <= x -> mem nonneg x.
Proof. intros H. unfold nonneg. apply (I.upper_extent_correct I.zero x 0); auto. apply mem_zero. Qed.

Definition positive X := match I.sign_strict X with Xgt => true | _ => false end.
Definition negative X := match I.sign_strict X with Xlt => true | _ => false end.
Lemma positive_correct X x : positive X = true -> mem X x -> 0 < x.
Proof. unfold positive. generalize (I.sign_strict_correct X). destruct (I.sign_strict X); try discriminate.
  intros H _ K. apply H in K. simpl in K. tauto. Qed.
Lemma negative_correct X x : negative X = true -> mem X x -> x < 0.
Proof. unfold negative. generalize (I.sign_strict_correct X). destruct (I.sign_strict X); try discriminate.
  intros H _ K. apply H in K. simpl in K. tauto. Qed.

Definition D2I (d : dyadic) : I.type :=
  let (m, e) := d in
  match e with
  | Z0 => I.fromZ prec m
  | Zpos p => imul (I.fromZ prec m) (I.fromZ prec (Zpower_pos 2 p))
  | Zneg p => imul (I.fromZ prec m) (I.inv prec (I.fromZ prec (Zpower_pos 2 p)))
  end.
Lemma IZR_pow2 p : IZR (Zpower_pos 2 p) = 2 ^ Pos.to_nat p.
Proof. rewrite Zpower_pos_nat, Zpower_nat_Z, <- pow_IZR. reflexivity. Qed.
Lemma mem_D2I d : mem (D2I d) (D2R d).
Proof.
  destruct d as [m [|p|p]]; unfold D2I, D2R; cbn [fst snd powerRZ].
  - rewrite Rmult_1_r. apply mem_Z.
  - apply mem_mul. apply mem_Z. rewrite <- IZR_pow2. apply mem_Z.
  - apply mem_mul. apply mem_Z. apply mem_inv. rewrite <- IZR_pow2. apply mem_Z.
Qed.
Lemma mem_sqr X x : mem X x -> mem (I.sqr prec X) (x * x).
Proof. exact (I.sqr_correct prec X (Xreal x)). Qed.
Definition half X := imul (I.inv prec two) X.
Lemma mem_half X x : mem X x -> mem (half X) (/ 2 * x).
Proof. intros H. apply mem_mul; auto. apply mem_inv, mem_Z. Qed.
Lemma mem_ln X x : mem X x -> 0 < x -> mem (I.ln prec X) (ln x).
Proof.
  intros H P. pose proof (I.ln_correct prec X (Xreal x) H) as K. unfold Xbind, Xln' in K. unfold mem.
  rewrite is_positive_true in K; auto.
Qed.
Lemma mem_tan X x : mem X x -> cos x <> 0 -> mem (I.tan prec X) (tan x).
Proof.
  intros H P. pose proof (I.tan_correct prec X (Xreal x) H) as K. unfold Xbind, Xtan' in K. unfold mem.
  rewrite is_zero_false in K; auto.
Qed.
Lemma mem_atan X x : mem X x -> mem (I.atan prec X) (atan x).
Proof. exact (I.atan_correct prec X (Xreal x)). Qed.
Lemma mem_power X x n : mem X x -> mem (I.power_int prec X (Z.of_nat n)) (x ^ n).
Proof.
  intros H. pose proof (I.power_int_correct prec (Z.of_nat n) X (Xreal x) H) as K. unfold mem.
  replace (Xreal (x ^ n)) with (Xpower_int (Xreal x) (Z.of_nat n)); auto.
  unfold Xpower_int, Xbind, Xpower_int'. destruct n; simpl; auto. f_equal. rewrite SuccNat2Pos.id_succ. reflexivity.
Qed.
Definition nonnegative X := match I.sign_large X with Xgt | Xeq => true | _ => false end.
Definition nonpositive X := match I.sign_large X with Xlt | Xeq => true | _ => false end.
Lemma nonnegative_correct X x : nonnegative X = true -> mem X x -> 0 <= x.
Proof.
  unfold nonnegative. generalize (I.sign_large_correct X). destruct (I.sign_large X); try discriminate; intros H _ K; apply H in K; simpl in K.
  inversion K. lra. tauto.
Qed.
Lemma nonpositive_correct X x : nonpositive X = true -> mem X x -> x <= 0.
Proof.
  unfold nonpositive. generalize (I.sign_large_correct X). destruct (I.sign_large X); try discriminate; intros H _ K; apply H in K; simpl in K.
  inversion K. lra. tauto.
Qed.
Definition off_zero X := positive X || negative X.
Lemma off_zero_correct X x : off_zero X = true -> mem X x -> x <> 0.
Proof. intros H M. apply orb_prop in H. destruct H as [H|H]; [apply positive_correct with (x := x) in H | apply negative_correct with (x := x) in H]; auto; lra. Qed.
End Intervals.
