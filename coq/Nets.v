(* Networks over boxes. Neurons that share a direction are one function of one variable, which is enclosed by one quadratic.
   They lie in a tree by where they bend, so that those that bend outside of a box cost next to nothing there. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Taylor Intervals Forms Expressions.
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
(** The side on which most of y is; it need not be trusted. *)
Definition leans y := if I.bounded y then nonnegative (point y) else negb (I.upper_bounded y).
Definition over S (N : neuron I.type) : quadratic :=
  let y := pre N S in
  match na N with
  | Identity => Quadratic I.zero (imul (nw N) (nc N)) (imul (nw N) (nb N))
  | Relu =>
    if leans y then Quadratic I.zero (imul (nw N) (nc N)) (imul (nw N) (if nonnegative y then nb N else iadd (nb N) (rectified (I.neg y))))
    else Quadratic I.zero I.zero (imul (nw N) (rectified y))
  | Relu2 =>
    if leans y then Quadratic (imul (nw N) (I.sqr prec (nc N))) (imul (nw N) (imul (iadd (nc N) (nc N)) (nb N))) (imul (nw N) (isub (I.sqr prec (nb N)) (I.sqr prec (rectified (I.neg y)))))
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
  - destruct (leans (pre N S)).
    + destruct (nonnegative (pre N S)) eqn:U.
      * apply nonnegative_correct with (2 := Y) in U. exists 0, (nw n * nc n), (nw n * nb n). repeat split; try apply mem_zero; try apply mem_mul; auto.
        rewrite relu_pos by auto. unfold y. ring.
      * exists 0, (nw n * nc n), (nw n * (nb n + relu (- y))). repeat split; try apply mem_zero; try apply mem_mul; auto. apply mem_add; auto.
        rewrite relu_other. unfold y. ring.
    + exists 0, 0, (nw n * relu y). repeat split; try apply mem_zero; try apply mem_mul; auto. ring.
  - destruct (leans (pre N S)).
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

(** A quadratic through the ends and the middle of a function; it need not be trusted. *)
Definition guess Z (value : I.type -> quadratic) : I.type * I.type :=
  let l := I.singleton (I.lower Z) in let u := I.singleton (I.upper Z) in
  let f := fun x => let q := value x in iadd (imul x (iadd (imul (q2 q) x) (q1 q))) (q0 q) in
  let fl := f l in let fu := f u in let w := isub u l in
  let a := point (I.div prec (iadd (isub fl (imul two (f (point Z)))) fu) (imul (I.inv prec two) (I.sqr prec w))) in
  (a, point (isub (I.div prec (isub fu fl) w) (imul a (iadd l u)))).
Definition open Z (N : neuron I.type) : bool :=
  match na N with Identity => false | _ => let y := pre N Z in negb (nonnegative y || nonpositive y) end.
Lemma partition_total P : forall Ns ns, Forall2 like Ns ns ->
  exists bs ss, Forall2 like (fst (partition P Ns)) bs /\ Forall2 like (snd (partition P Ns)) ss /\ forall z, total ns z = total ss z + total bs z.
Proof.
  intros Ns ns H. induction H as [|N n Ns ns HN H IH]; simpl. exists [], []. repeat split; try constructor. intros; simpl; ring.
  destruct IH as (bs & ss & B & S & E). destruct (partition P Ns). destruct (P N); simpl in *.
  - exists (n :: bs), ss. repeat split; auto. intros z. simpl. rewrite E. ring.
  - exists bs, (n :: ss). repeat split; auto. intros z. simpl. rewrite E. ring.
Qed.
Lemma guess_point Z f : exists a b, mem (fst (guess Z f)) a /\ mem (snd (guess Z f)) b.
Proof. unfold guess. simpl. eexists; eexists; split; apply mem_point. Qed.

(** Neurons in a tree by where they bend: where z is beyond all bends of a branch, on either side, its sum is known beforehand. *)
Inductive ridges :=
| Flat (Ns : list (neuron I.type))
| Known (q : quadratic) (T : ridges)
| Cut (lo hi : I.type) (below above : quadratic) (a b : ridges).
(** What is known of the sum over Z, and the neurons that bend there. *)
Fixpoint settled Z (T : ridges) : quadratic * list (neuron I.type) :=
  match T with
  | Flat Ns => let (bent, straight) := partition (open Z) Ns in (overs Z straight, bent)
  | Known q T => let (p, bent) := settled Z T in (qadd q p, bent)
  | Cut lo hi below above a b =>
    if nonnegative (isub Z hi) then (above, []) else if nonpositive (isub Z lo) then (below, []) else
    let (p, bent) := settled Z a in let (q, bent') := settled Z b in (qadd p q, bent ++ bent')
  end.
Definition bend_of (N : neuron I.type) := I.div prec (I.neg (nb N)) (nc N).
Definition hull (Ns : list (neuron I.type)) := match Ns with [] => I.nai | N :: Ns => fold_right (fun N J => I.join (bend_of N) J) (bend_of N) Ns end.
Fixpoint build (fuel : nat) (Ns : list (neuron I.type)) : ridges :=
  match fuel with
  | O => Flat Ns
  | S fuel =>
    match nth_error Ns (Nat.div2 (length Ns)) with
    | None => Flat Ns
    | Some N =>
      let (a, b) := partition (fun M => negative (isub (bend_of M) (bend_of N))) Ns in
      match a with
      | [] => Flat Ns
      | _ => let lo := I.singleton (I.lower (hull Ns)) in let hi := I.singleton (I.upper (hull Ns)) in
        Cut lo hi (overs (I.lower_extent lo) Ns) (overs (I.upper_extent hi) Ns) (build fuel a) (build fuel b)
      end
    end
  end.
Definition straight (N : neuron I.type) := match na N with Identity => true | _ => false end.
Definition ridges_of (Ns : list (neuron I.type)) :=
  match Ns with [] => Flat [] | _ => let (a, b) := partition straight Ns in match a with [] => build 64 b | _ => Known (overs I.nai a) (build 64 b) end end.
Definition holds_of (T : ridges) (ns : list (neuron R)) := forall Z z, mem Z z ->
  exists bs v, Forall2 like (snd (settled Z T)) bs /\ follows (fst (settled Z T)) z v /\ total ns z = v + total bs z.
Lemma total_app ns ms z : total (ns ++ ms) z = total ns z + total ms z.
Proof. induction ns; simpl. ring. rewrite IHns. ring. Qed.
Lemma flat_holds Ns ns : Forall2 like Ns ns -> holds_of (Flat Ns) ns.
Proof.
  intros H Z z HZ. destruct (partition_total (open Z) _ _ H) as (bs & ss & HB & HS & E). exists bs, (total ss z).
  simpl. destruct (partition (open Z) Ns). split; auto. split; auto. apply overs_correct; auto.
Qed.
Lemma build_holds : forall fuel Ns ns, Forall2 like Ns ns -> holds_of (build fuel Ns) ns.
Proof.
  induction fuel as [|fuel IH]; intros Ns ns H. { apply flat_holds; auto. } simpl.
  destruct (nth_error Ns _) as [N|]. 2: apply flat_holds; auto.
  destruct (partition_total (fun M => negative (isub (bend_of M) (bend_of N))) _ _ H) as (bs & ss & HB & HS & E).
  destruct (partition _ Ns) as [[|a0 a] b]. apply flat_holds; auto. simpl fst in HB; simpl snd in HS. intros Z z HZ. cbn [settled].
  destruct (nonnegative _) eqn:P. { apply nonnegative_correct with (2 := mem_sub _ _ _ _ HZ (mem_point _)) in P. exists [], (total ns z). split. constructor. split. 2: simpl; ring.
    apply overs_correct; auto. apply (I.upper_extent_correct _ z _ (mem_point (I.upper (hull Ns)))). lra. }
  clear P. destruct (nonpositive _) eqn:P. { apply nonpositive_correct with (2 := mem_sub _ _ _ _ HZ (mem_point _)) in P. exists [], (total ns z). split. constructor. split. 2: simpl; ring.
    apply overs_correct; auto. apply (I.lower_extent_correct _ z _ (mem_point (I.lower (hull Ns)))). lra. }
  destruct (IH _ _ HB Z z HZ) as (b1 & v1 & B1 & V1 & E1), (IH _ _ HS Z z HZ) as (b2 & v2 & B2 & V2 & E2).
  destruct (settled Z (build fuel (a0 :: a))), (settled Z (build fuel b)). exists (b1 ++ b2), (v1 + v2).
  split. apply Forall2_app; auto. split. apply qadd_correct; auto. rewrite E, E1, E2, total_app. ring.
Qed.
Lemma ridges_of_holds Ns ns : Forall2 like Ns ns -> holds_of (ridges_of Ns) ns.
Proof.
  intros H Z z HZ. unfold ridges_of. destruct Ns as [|N Ns]. { apply flat_holds; auto. } revert H. generalize (N :: Ns). clear N Ns. intros Ns H.
  destruct (partition_total straight _ _ H) as (bs & ss & HB & HS & E). destruct (partition straight Ns) as [a b].
  simpl in HB, HS. pose proof (build_holds 64 _ _ HS) as K. revert K. generalize (build 64 b). intros T K. destruct a as [|N a].
  { inversion HB; subst. destruct (K Z z HZ) as (b1 & v1 & B1 & V1 & E1). exists b1, v1. split; auto. split; auto. rewrite E, E1. simpl. ring. }
  destruct (K Z z HZ) as (b1 & v1 & B1 & V1 & E1). cbn [settled]. destruct (settled Z T).
  exists b1, (total bs z + v1). split; auto. split. apply qadd_correct; auto. apply overs_correct; auto. apply mem_nai. rewrite E, E1. ring.
Qed.
(** What the sum is over S, bends and all. *)
Definition all_over T S := let (q, bent) := settled S T in match bent with [] => q | _ => qadd q (overs S bent) end.
Lemma all_over_correct T ns S z : holds_of T ns -> mem S z -> follows (all_over T S) z (total ns z).
Proof.
  intros H HS. destruct (H S z HS) as (bs & v & HB & HV & ->). unfold all_over. destruct (settled S T) as [q bent]. simpl in HB, HV.
  destruct bent. inversion HB. simpl. rewrite Rplus_0_r. auto. apply qadd_correct; auto. apply overs_correct; auto.
Qed.
(** A function that is a quadratic between its bends, as one quadratic and the range of what is left. *)
Definition fit Z bent (value : I.type -> quadratic) : quadratic :=
  let (a, b) := guess Z value in
  Quadratic a b (piecewise (fun S => qrange (qadd (value S) (Quadratic (I.neg a) (I.neg b) I.zero)) S) (breaks bent) Z).
Lemma fit_correct Z bent value z v : (forall S, mem S z -> follows (value S) z v) -> mem Z z -> follows (fit Z bent value) z v.
Proof.
  intros H HZ. unfold fit. destruct (guess_point Z value) as (a & b & Ha & Hb). destruct (guess Z value) as [GA GB]. simpl in Ha, Hb.
  exists a, b, (v - a * (z * z) - b * z). split; [exact Ha|]. split; [exact Hb|]. split; [|ring].
  cbn [q0]. apply piecewise_correct with (z := z); auto using breaks_correct. intros S HS'. apply qrange_correct with (z := z); auto.
  replace (v - a * (z * z) - b * z) with (v + (- a * (z * z) + - b * z + 0)) by ring.
  apply qadd_correct; auto. exists (- a), (- b), 0. repeat split; try apply mem_neg; auto. apply mem_zero.
Qed.
(** Where few neurons bend, what they do between their bends is added up neuron by neuron, else the tree is asked. *)
Definition ridge Z (T : ridges) : quadratic :=
  let (s, bent) := settled Z T in
  match bent with
  | [] => s
  | _ => if Nat.leb (length bent) 8 then qadd s (fit Z bent (fun S => overs S bent)) else fit Z bent (all_over T)
  end.
Lemma ridge_correct Z T ns z : holds_of T ns -> mem Z z -> follows (ridge Z T) z (total ns z).
Proof.
  intros H HZ. assert (K : follows (fit Z (snd (settled Z T)) (all_over T)) z (total ns z)). { apply fit_correct; auto. intros S HS. apply all_over_correct; auto. }
  unfold ridge. destruct (H Z z HZ) as (bs & v & HB & HS & E). destruct (settled Z T) as [s bent]. simpl in HB, HS, K.
  destruct bent as [|N bent]. { inversion HB; subst. rewrite E. simpl. rewrite Rplus_0_r. auto. }
  destruct (Nat.leb _ 8); auto. rewrite E. apply qadd_correct; auto. apply fit_correct; auto. intros S HS'. apply overs_correct; auto.
Qed.
End Nets.
