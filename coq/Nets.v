(* Networks over boxes. Neurons that share a direction are one function of one variable, which is enclosed by one quadratic. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Forms Expressions.
Import ListNotations.
Open Scope R_scope.

Module Nets (A : Arithmetic).
Module Export E := Expressions A.
Import A.

Definition exactly_zero X := match I.sign_large X with Xeq => true | _ => false end.
Lemma exactly_zero_correct X x : exactly_zero X = true -> mem X x -> x = 0.
Proof.
  unfold exactly_zero. generalize (I.sign_large_correct X). destruct (I.sign_large X); try discriminate.
  intros H _ K. apply H in K. inversion K. auto.
Qed.

(** * Functions w a(c z + b) of one variable z, and sums of them. *)
Record neuron (B : Type) := Neuron { na : activation; nw : B; nc : B; nb : B }.
Arguments Neuron {B}. Arguments na {B}. Arguments nw {B}. Arguments nc {B}. Arguments nb {B}.
Definition at_ (n : neuron R) (z : R) := nw n * activate (na n) (nc n * z + nb n).
Definition total (ns : list (neuron R)) (z : R) := fold_right (fun n s => at_ n z + s) 0 ns.
Definition like (N : neuron I.type) (n : neuron R) := na N = na n /\ mem (nw N) (nw n) /\ mem (nc N) (nc n) /\ mem (nb N) (nb n).
Definition pre (N : neuron I.type) S := iadd (imul (nc N) S) (nb N).
Lemma pre_correct N n S z : like N n -> mem S z -> mem (pre N S) (nc n * z + nb n).
Proof. intros (_ & _ & HC & HB) HS. apply mem_add; auto. apply mem_mul; auto. Qed.

Record quadratic := Quadratic { q2 : I.type; q1 : I.type; q0 : I.type }.
Definition follows (q : quadratic) (z v : R) := exists a b c, mem (q2 q) a /\ mem (q1 q) b /\ mem (q0 q) c /\ v = a * (z * z) + b * z + c.
Definition qadd p q := Quadratic (iadd (q2 p) (q2 q)) (iadd (q1 p) (q1 q)) (iadd (q0 p) (q0 q)).
Definition qnone := Quadratic I.zero I.zero I.zero.
Lemma qadd_correct p q z v w : follows p z v -> follows q z w -> follows (qadd p q) z (v + w).
Proof.
  intros (a & b & c & A1 & B1 & C1 & ->) (a' & b' & c' & A2 & B2 & C2 & ->). exists (a + a'), (b + b'), (c + c').
  repeat split; try (apply mem_add; auto). ring.
Qed.
Lemma qnone_correct z : follows qnone z 0.
Proof. exists 0, 0, 0. repeat split; try apply mem_zero. ring. Qed.

(** What a neuron adds where z is in S: on the side of its bend where the middle of S is, and what it is off by on the other side. *)
Definition rectified y := if nonpositive y then I.zero else if nonnegative y then y else I.meet (I.join I.zero y) nonneg.
Definition over S (N : neuron I.type) : quadratic :=
  let y := pre N S in
  match na N with
  | Identity => Quadratic I.zero (imul (nw N) (nc N)) (imul (nw N) (nb N))
  | Relu =>
    if nonnegative (point y) then Quadratic I.zero (imul (nw N) (nc N)) (imul (nw N) (if nonnegative y then nb N else iadd (nb N) (rectified (I.neg y))))
    else Quadratic I.zero I.zero (imul (nw N) (rectified y))
  | Relu2 =>
    if nonnegative (point y) then Quadratic (imul (nw N) (I.sqr prec (nc N))) (imul (nw N) (imul (iadd (nc N) (nc N)) (nb N))) (imul (nw N) (isub (I.sqr prec (nb N)) (I.sqr prec (rectified (I.neg y)))))
    else Quadratic I.zero I.zero (imul (nw N) (I.sqr prec (rectified y)))
  | _ => Quadratic I.zero I.zero I.nai
  end.
Lemma relu_pos x : 0 <= x -> relu x = x. Proof. intros; unfold relu; rewrite Rmax_left; lra. Qed.
Lemma relu_neg x : x <= 0 -> relu x = 0. Proof. intros; unfold relu; rewrite Rmax_right; lra. Qed.
Lemma rectified_correct Y y : mem Y y -> mem (rectified Y) (relu y).
Proof.
  intros H. unfold rectified. destruct (nonpositive Y) eqn:E. { apply nonpositive_correct with (2 := H) in E. rewrite relu_neg; auto. apply mem_zero. }
  destruct (nonnegative Y) eqn:E'. { apply nonnegative_correct with (2 := H) in E'. rewrite relu_pos; auto. }
  destruct (Rle_dec 0 y).
  - rewrite relu_pos; auto. apply mem_meet. apply mem_join_r; auto. apply mem_nonneg; auto.
  - rewrite relu_neg by lra. apply mem_meet. apply mem_join_l, mem_zero. apply mem_nonneg; lra.
Qed.
Lemma relu_other y : relu y = y + relu (- y).
Proof. destruct (Rle_dec 0 y). rewrite (relu_pos y), (relu_neg (- y)); lra. rewrite (relu_neg y), (relu_pos (- y)); lra. Qed.
Lemma relu2_other y : relu y * relu y = y * y - relu (- y) * relu (- y).
Proof. destruct (Rle_dec 0 y). rewrite (relu_pos y), (relu_neg (- y)); lra. rewrite (relu_neg y), (relu_pos (- y)); lra. Qed.
Lemma over_correct S N n z : like N n -> mem S z -> follows (over S N) z (at_ n z).
Proof.
  intros L HS. pose proof (pre_correct _ _ _ _ L HS) as Y. destruct L as (EA & HW & HC & HB). unfold over, at_. rewrite EA.
  set (y := nc n * z + nb n) in *. pose proof (rectified_correct _ _ Y) as HP. pose proof (rectified_correct _ _ (mem_neg _ _ Y)) as HM.
  destruct (na n); simpl activate.
  - exists 0, (nw n * nc n), (nw n * nb n). repeat split; try apply mem_zero; try apply mem_mul; auto. unfold y. ring.
  - destruct (nonnegative (point (pre N S))).
    + destruct (nonnegative (pre N S)) eqn:U.
      * apply nonnegative_correct with (2 := Y) in U. exists 0, (nw n * nc n), (nw n * nb n). repeat split; try apply mem_zero; try apply mem_mul; auto.
        rewrite relu_pos by auto. unfold y. ring.
      * exists 0, (nw n * nc n), (nw n * (nb n + relu (- y))). repeat split; try apply mem_zero; try apply mem_mul; auto. apply mem_add; auto.
        rewrite relu_other. unfold y. ring.
    + exists 0, 0, (nw n * relu y). repeat split; try apply mem_zero; try apply mem_mul; auto. ring.
  - destruct (nonnegative (point (pre N S))).
    + exists (nw n * (nc n * nc n)), (nw n * ((nc n + nc n) * nb n)), (nw n * (nb n * nb n - relu (- y) * relu (- y))).
      repeat split; try (apply mem_mul; auto). apply mem_sqr; auto. apply mem_mul; auto. apply mem_add; auto. apply mem_sub; apply mem_sqr; auto.
      rewrite relu2_other. unfold y. ring.
    + exists 0, 0, (nw n * (relu y * relu y)). repeat split; try apply mem_zero; try apply mem_mul; auto. apply mem_sqr; auto. ring.
  - exists 0, 0, (nw n * activate Silu y). repeat split; try apply mem_zero; try apply mem_nai. simpl activate. ring.
  - exists 0, 0, (nw n * activate GeluTanh y). repeat split; try apply mem_zero; try apply mem_nai. simpl activate. ring.
Qed.

Definition overs S (Ns : list (neuron I.type)) := fold_right (fun N q => qadd (over S N) q) qnone Ns.
Lemma overs_correct S z : mem S z -> forall Ns ns, Forall2 like Ns ns -> follows (overs S Ns) z (total ns z).
Proof. intros HS Ns ns H. induction H; simpl. apply qnone_correct. apply qadd_correct; auto. apply over_correct; auto. Qed.

(** The range of a quadratic over S: Taylor's formula at the middle of S and at the vertex. *)
Definition qtaylor q S m := iadd (iadd (q0 q) (imul m (iadd (q1 q) (imul (q2 q) m))))
  (iadd (imul (iadd (q1 q) (imul (iadd m m) (q2 q))) (isub S m)) (imul (q2 q) (I.sqr prec (isub S m)))).
Definition qrange q S :=
  if exactly_zero (q2 q) then iadd (imul (q1 q) S) (q0 q)
  else I.meet (qtaylor q S (point S)) (qtaylor q S (point (I.div prec (I.neg (q1 q)) (iadd (q2 q) (q2 q))))).
Lemma qtaylor_correct q S z v X : follows q z v -> mem S z -> mem (qtaylor q S (point X)) v.
Proof.
  intros (a & b & c & A1 & B1 & C1 & ->) HS. assert (exists m, mem (point X) m) as (m & Hm) by (eexists; apply mem_point).
  replace (a * (z * z) + b * z + c) with (c + m * (b + a * m) + ((b + (m + m) * a) * (z - m) + a * ((z - m) * (z - m)))) by ring.
  unfold qtaylor. repeat (first [apply mem_add | apply mem_mul | apply mem_sqr | apply mem_sub]); auto.
Qed.
Lemma qrange_correct q S z v : follows q z v -> mem S z -> mem (qrange q S) v.
Proof.
  intros H HS. unfold qrange. destruct (exactly_zero (q2 q)) eqn:Z.
  - destruct H as (a & b & c & A1 & B1 & C1 & ->). apply exactly_zero_correct with (2 := A1) in Z. subst a.
    replace (0 * (z * z) + b * z + c) with (b * z + c) by ring. apply mem_add; auto. apply mem_mul; auto.
  - apply mem_meet; apply qtaylor_correct with (z := z); auto.
Qed.

(** Cut an interval at points, and join what f says of the pieces. *)
Fixpoint piecewise (f : I.type -> I.type) (ps : list I.type) (W : I.type) : I.type :=
  match ps with [] => f W | p :: ps => I.join (f (I.meet W (I.lower_extent p))) (piecewise f ps (I.meet W (I.upper_extent p))) end.
Lemma piecewise_correct f z v ps : Forall (fun p => exists r, mem p r) ps -> (forall S, mem S z -> mem (f S) v) -> forall W, mem W z -> mem (piecewise f ps W) v.
Proof.
  intros Hp Hf. induction Hp as [|p ps (r & Hr) Hp IH]; intros W HW; simpl; auto. destruct (Rle_dec z r) as [L|L].
  - apply mem_join_l, Hf, mem_meet; auto. apply (I.lower_extent_correct p z r); auto.
  - apply mem_join_r, IH, mem_meet; auto. apply (I.upper_extent_correct p z r); auto. lra.
Qed.
Fixpoint sorted_in (p : I.type) (ps : list I.type) : list I.type :=
  match ps with [] => [p] | q :: r => if nonpositive (isub p q) then p :: ps else q :: sorted_in p r end.
Definition breaks (Ns : list (neuron I.type)) := fold_right (fun N ps => sorted_in (point (I.div prec (I.neg (nb N)) (nc N))) ps) [] Ns.
Lemma breaks_correct Ns : Forall (fun p => exists r, mem p r) (breaks Ns).
Proof.
  induction Ns as [|N Ns IH]; simpl. constructor. revert IH. generalize (breaks Ns). intros l H. induction H as [|q l Hq H IH]; simpl.
  - constructor; auto. eexists; apply mem_point.
  - destruct (nonpositive _); constructor; auto. eexists; apply mem_point.
Qed.

(** A quadratic through the ends and the middle; it need not be trusted. *)
Definition guess Z Ns : I.type * I.type :=
  let l := I.singleton (I.lower Z) in let u := I.singleton (I.upper Z) in
  let f := fun x => let q := overs x Ns in iadd (imul x (iadd (imul (q2 q) x) (q1 q))) (q0 q) in
  let fl := f l in let fu := f u in let w := isub u l in
  let a := point (I.div prec (imul two (iadd (isub fl (imul two (f (point Z)))) fu)) (I.sqr prec w)) in
  (a, point (isub (I.div prec (isub fu fl) w) (imul a (iadd l u)))).
Definition open Z (N : neuron I.type) : bool :=
  match na N with Identity => false | _ => let y := pre N Z in negb (nonnegative y || nonpositive y) end.
Definition ridge Z (Ns : list (neuron I.type)) : quadratic :=
  let (bent, straight) := partition (open Z) Ns in
  let s := overs Z straight in
  match bent with
  | [] => s
  | _ =>
    let (a, b) := guess Z bent in
    qadd s (Quadratic a b (piecewise (fun S => qrange (qadd (overs S bent) (Quadratic (I.neg a) (I.neg b) I.zero)) S) (breaks bent) Z))
  end.
Lemma partition_total P : forall Ns ns, Forall2 like Ns ns ->
  exists bs ss, Forall2 like (fst (partition P Ns)) bs /\ Forall2 like (snd (partition P Ns)) ss /\ forall z, total ns z = total ss z + total bs z.
Proof.
  intros Ns ns H. induction H as [|N n Ns ns HN H IH]; simpl. exists [], []. repeat split; try constructor. intros; simpl; ring.
  destruct IH as (bs & ss & B & S & E). destruct (partition P Ns). destruct (P N); simpl in *.
  - exists (n :: bs), ss. repeat split; auto. intros z. simpl. rewrite E. ring.
  - exists bs, (n :: ss). repeat split; auto. intros z. simpl. rewrite E. ring.
Qed.
Lemma guess_point Z Ns : exists a b, mem (fst (guess Z Ns)) a /\ mem (snd (guess Z Ns)) b.
Proof. unfold guess. simpl. eexists; eexists; split; apply mem_point. Qed.
Lemma ridge_correct Z Ns ns z : Forall2 like Ns ns -> mem Z z -> follows (ridge Z Ns) z (total ns z).
Proof.
  intros H HZ. unfold ridge. destruct (partition_total (open Z) _ _ H) as (bs & ss & HB & HS & E). rewrite E.
  destruct (partition (open Z) Ns) as [bent straight]. simpl in HB, HS. pose proof (overs_correct _ _ HZ _ _ HS) as Q.
  destruct bent as [|N bent]. { inversion HB; subst. simpl. rewrite Rplus_0_r. auto. }
  destruct (guess_point Z (N :: bent)) as (a & b & Ha & Hb). destruct (guess Z (N :: bent)) as [GA GB]. simpl in Ha, Hb.
  apply qadd_correct; auto. exists a, b, (total bs z - a * (z * z) - b * z). split; [exact Ha|]. split; [exact Hb|]. split; [|ring].
  cbn [q0]. apply piecewise_correct with (z := z); auto using breaks_correct. intros S HS'. apply qrange_correct with (z := z); auto.
  replace (total bs z - a * (z * z) - b * z) with (total bs z + (- a * (z * z) + - b * z + 0)) by ring.
  apply qadd_correct. apply overs_correct; auto. exists (- a), (- b), 0. repeat split; try apply mem_neg; auto. apply mem_zero.
Qed.
End Nets.
