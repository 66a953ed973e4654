(* Nets and layers over boxes, and which experts may be chosen there. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Coquelicot Require Import Coquelicot.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From Coq Require Import List.
From AtlasMoE Require Import Semantics Taylor Intervals Forms Expressions Nets Routes.
Import ListNotations.
Open Scope R_scope.

Module Layers (A : Arithmetic).
Module Export N := Nets A.
Import A.

Definition rows := list (list dyadic).
Definition value_of := (I.type * list I.type)%type.      (* the constant and linear part of a form *)

(** Weights as intervals, arranged: neurons by the direction that they share, what is 0 left out. *)
Inductive stage :=
| Ridges (K : nat) (next : list (list ridges))
| Plain (K : nat) (sel : list (nat * I.type)) (bias : list I.type) (fs : list activation)
        (up : option (list (nat * I.type) * list I.type)) (next : list (list I.type)).
Record net_ := Net_ { first : list (list I.type); stages : list stage; last_sel : list (nat * I.type); last_bias : list I.type }.

Definition directions (b : block dyadic) : rows := fst (fst b).
Definition selection (b : block dyadic) := snd (fst b).
Definition biases (b : block dyadic) := snd b.
Definition is_zero_d (d : dyadic) := Z.eqb (fst d) 0.
Fixpoint gather (k : nat) (sel : list (nat * dyadic)) (bias : list dyadic) (fs : list activation) (w : list dyadic) : list (neuron dyadic) :=
  match sel, bias, fs, w with
  | s :: sel, b :: bias, f :: fs, x :: w =>
    if Nat.eqb (fst s) k && negb (is_zero_d x) then Neuron f x (snd s) b :: gather k sel bias fs w else gather k sel bias fs w
  | _, _, _, _ => []
  end.
Definition neuronI (n : neuron dyadic) : neuron I.type := Neuron (na n) (D2I (nw n)) (D2I (nc n)) (D2I (nb n)).
Definition neuronR (n : neuron dyadic) : neuron R := Neuron (na n) (D2R (nw n)) (D2R (nc n)) (D2R (nb n)).
Definition selI (sel : list (nat * dyadic)) := map (fun p => (fst p, D2I (snd p))) sel.
Definition piecewise_polynomial (f : activation) := match f with Identity | Relu | Relu2 => true | _ => false end.

Definition needs (hs : list (hidden (block dyadic))) (last : block dyadic) : rows :=
  match hs with [] => directions last | h :: _ => directions (into h) ++ match lanes h with None => [] | Some u => directions u end end.
Definition stage_of (h : hidden (block dyadic)) (next : rows) : stage :=
  let K := length (directions (into h)) in
  match lanes h with
  | None =>
    if forallb piecewise_polynomial (acts h) then
      Ridges K (map (fun w => map (fun k => ridges_of (map neuronI (gather k (selection (into h)) (biases (into h)) (acts h) w))) (seq 0 K)) next)
    else Plain K (selI (selection (into h))) (map D2I (biases (into h))) (acts h) None (map (map D2I) next)
  | Some u => Plain K (selI (selection (into h))) (map D2I (biases (into h))) (acts h) (Some (selI (selection u), map D2I (biases u))) (map (map D2I) next)
  end.
Fixpoint stages_of hs last : list stage := match hs with [] => [] | h :: hs => stage_of h (needs hs last) :: stages_of hs last end.
Definition net_of (n : net (block dyadic)) : net_ :=
  Net_ (map (map D2I) (needs (fst n) (snd n))) (stages_of (fst n) (snd n)) (selI (selection (snd n))) (map D2I (biases (snd n))).
Definition affine_ := (list (list I.type) * list (nat * I.type) * list I.type)%type.
Definition affine_of (B : block dyadic) : affine_ := (map (map D2I) (directions B), selI (selection B), map D2I (biases B)).
(** Every row is one of D: what `needs` gives is then all that is read. *)
Definition within_rows (b : block dyadic) := forallb (fun p => Nat.ltb (fst p) (length (directions b))) (selection b).
Definition tidy_hidden (h : hidden (block dyadic)) := within_rows (into h) && match lanes h with None => true | Some u => within_rows u end.
Definition tidy (n : net (block dyadic)) := forallb tidy_hidden (fst n).

Section Box.
Variable TL : list I.type.
Variable tl : list R.
Hypothesis HTL : mems TL tl.
Let t := tl ++ monos2 tl.
Local Notation has := (has tl). Local Notation hass := (Forall2 (F.has tl)). Local Notation lin := (lin tl).
Local Notation fadd := (fadd TL). Local Notation fmul := (fmul TL). Local Notation frelu := (frelu TL). Local Notation rng := (rng TL).
Local Notation fexp := (fexp TL). Local Notation finv := (finv TL). Local Notation fsub := (fsub TL).
Let add_ok := fadd_correct TL tl HTL. Let mul_ok := fmul_correct TL tl HTL. Let exp_ok := fexp_correct TL tl HTL.
Let inv_ok := finv_correct TL tl HTL. Let relu_ok := frelu_correct TL tl HTL. Let neg_ok := fneg_correct tl.
Let const_ok := fconst_correct tl.

Definition is (y : value_of) (v : R) := lin (fst y) (snd y) v.
Lemma is_zero : is (I.zero, []) 0.
Proof. exists 0, []. repeat split. apply mem_zero. constructor. simpl; ring. Qed.

Fixpoint row_dot (w : list I.type) (x : list form) (c : I.type) (s : list I.type) : value_of :=
  match w, x with
  | w0 :: w, a :: x => if exactly_zero w0 then row_dot w x c s else row_dot w x (iadd (imul w0 (fc a)) c) (axpy w0 (fs a) s)
  | _, _ => (c, s)
  end.
Lemma row_dot_correct W w X x : mems W w -> hass X x -> forall C S v, lin C S v -> is (row_dot W X C S) (dot w x + v).
Proof.
  intros HW. revert X x. induction HW as [|W0 w0 W w H0 HW IH]; intros X x HX C S v L; simpl. { rewrite Rplus_0_l. auto. }
  destruct HX as [|a y X x Ha HX]. { rewrite Rplus_0_l. auto. }
  destruct (exactly_zero W0) eqn:Z.
  - apply exactly_zero_correct with (2 := H0) in Z. subst w0. replace (0 * y + dot w x + v) with (dot w x + v) by ring. apply IH; auto.
  - destruct Ha as [Hr (c1 & s1 & C1 & S1 & E1)]. destruct L as (c2 & s2 & C2 & S2 & E2). destruct (axpy_correct _ _ _ _ _ _ t H0 S1 S2) as (r & R1 & R2).
    replace (w0 * y + dot w x + v) with (dot w x + (w0 * y + v)) by ring. apply IH; auto.
    exists (w0 * c1 + c2), r. repeat split; auto. apply mem_add; auto. apply mem_mul; auto. unfold t in R2. rewrite R2, E1, E2. ring.
Qed.
Definition lin_rows (D : list (list I.type)) (x : list form) := map (fun row => row_dot row x I.zero []) D.
Definition rows_at (ys : list value_of) (D : rows) (x : list R) := Forall2 (fun y d => is y (dot (map D2R d) x)) ys D.
Lemma mems_D2I l : mems (map D2I l) (map D2R l).
Proof. induction l; constructor; auto using mem_D2I. Qed.
Lemma lin_rows_correct D X x : hass X x -> rows_at (lin_rows (map (map D2I) D) X) D x.
Proof.
  intros HX. unfold lin_rows. rewrite map_map. induction D as [|d D IH]; constructor; auto.
  pose proof (row_dot_correct _ _ _ _ (mems_D2I d) HX I.zero [] 0 is_zero) as K. rewrite Rplus_0_r in K. exact K.
Qed.
Definition scaled (c : I.type) (y : value_of) (b : I.type) :=
  let c' := iadd (imul c (fst y)) b in let s' := map (imul c) (snd y) in Form c' s' (rng c' s').
Lemma scaled_correct C c y v B b : mem C c -> is y v -> mem B b -> has (scaled C y B) (c * v + b).
Proof.
  intros HC (c1 & s1 & C1 & S1 & E1) HB.
  assert (L : lin (iadd (imul C (fst y)) B) (map (imul C) (snd y)) (c * v + b)).
  { exists (c * c1 + b), (map (Rmult c) s1). repeat split. apply mem_add; auto. apply mem_mul; auto. apply scale_correct; auto. rewrite dot_scale, E1. ring. }
  split; auto. simpl. apply (rng_correct TL tl HTL); auto.
Qed.
Fixpoint select (ys : list value_of) (sel : list (nat * I.type)) (b : list I.type) : list form :=
  match sel, b with
  | (k, c) :: sel, b0 :: b => scaled c (nth k ys (I.zero, [])) b0 :: select ys sel b
  | _, _ => []
  end.
Lemma rows_nth ys D x k : rows_at ys D x -> is (nth k ys (I.zero, [])) (dot (map D2R (nth k D [])) x).
Proof. intros H. revert k. induction H; intros [|k]; simpl; auto using is_zero. Qed.
Lemma dot_dmul c d x : dot (map D2R (map (dmul c) d)) x = D2R c * dot (map D2R d) x.
Proof.
  revert x. induction d as [|e d IH]; intros [|y x]; simpl; try ring. rewrite IH. replace (D2R (dmul c e)) with (D2R c * D2R e). ring.
  unfold D2R, dmul; simpl. rewrite mult_IZR, powerRZ_add by lra. ring.
Qed.
Lemma select_correct ys D x : rows_at ys D x -> forall sel b,
  hass (select ys (selI sel) (map D2I b)) (run (real (D, sel, b)) x).
Proof.
  intros H sel. unfold run, real, map_affine, expand. simpl. induction sel as [|[k c] sel IH]; intros [|b0 b]; simpl; constructor; auto.
  rewrite dot_dmul. apply scaled_correct; auto using mem_D2I. apply rows_nth; auto.
Qed.
Definition run_affine (B : affine_) (x : list form) : list form := let '(D, sel, b) := B in select (lin_rows D x) sel b.
Lemma run_affine_correct B X x : hass X x -> hass (run_affine (affine_of B) X) (run (real B) x).
Proof. intros H. destruct B as [[D sel] b]. apply select_correct. apply lin_rows_correct; auto. Qed.

(** * Hidden layers *)
Definition square a := fmul a a.
(** x s(x) with s(x) = 1 / (1 + exp (-x)): derivatives s (1 + x (1 - s)) and s (1 - s) (2 + x (1 - 2 s)). *)
Definition logistic X := I.inv prec (iadd (I.fromZ prec 1) (I.exp prec (I.neg X))).
Definition slogistic x := / (1 + exp (- x)).
Lemma mem_logistic X x : mem X x -> mem (logistic X) (slogistic x).
Proof. intros H. apply mem_inv, mem_add. apply mem_Z. apply mem_exp, mem_neg; auto. Qed.
Definition fsilu a :=
  funary TL (fun X => imul X (logistic X))
    (fun X => let s := logistic X in imul s (iadd (I.fromZ prec 1) (imul X (isub (I.fromZ prec 1) s))))
    (fun X => let s := logistic X in half (imul (imul s (isub (I.fromZ prec 1) s)) (iadd (I.fromZ prec 2) (imul X (isub (I.fromZ prec 1) (iadd s s)))))) a.
Lemma is_derive_logistic x : is_derive slogistic x (slogistic x * (1 - slogistic x)).
Proof.
  pose proof (exp_pos (- x)). unfold slogistic. auto_derive. lra. field. lra.
Qed.
Lemma fsilu_correct a v : has a v -> has (fsilu a) (v * slogistic v).
Proof.
  intros Ha. unfold fsilu. apply (funary_correct TL tl HTL) with (g := fun x => x * slogistic x) (g' := fun x => slogistic x * (1 + x * (1 - slogistic x)))
    (g'' := fun x => slogistic x * (1 - slogistic x) * (2 + x * (1 - (slogistic x + slogistic x)))); auto.
  - intros X x H. apply mem_mul; auto. apply mem_logistic; auto.
  - intros X x H. pose proof (mem_logistic _ _ H). repeat (first [apply mem_mul | apply mem_add | apply mem_sub | apply mem_Z]); auto.
  - intros X x H. pose proof (mem_logistic _ _ H). apply mem_half. repeat (first [apply mem_mul | apply mem_add | apply mem_sub | apply mem_Z]); auto.
  - intros x _. pose proof (is_derive_logistic x) as D. assert (E : ex_derive slogistic x) by (eexists; eauto).
    assert (V : Derive slogistic x = slogistic x * (1 - slogistic x)) by (apply is_derive_unique; auto).
    split; auto_derive; auto; change (Derive (fun x0 => slogistic x0) x) with (Derive slogistic x); rewrite V; ring.
Qed.
Definition fgelu a :=
  let cube := fmul a (fmul a a) in
  let k := fconst (I.sqrt prec (imul (I.fromZ prec 2) (I.inv prec (I.pi prec)))) in
  let c := fconst (imul (I.fromZ prec 44715) (I.inv prec (I.fromZ prec 1000000))) in
  fmul a (finv (fadd (number 1) (fexp (fneg (fmul (number 2) (fmul k (fadd a (fmul c cube)))))))).
Definition fact (f : activation) a := match f with Identity => a | Relu => frelu a | Relu2 => square (frelu a) | Silu => fsilu a | GeluTanh => fgelu a end.
Lemma fact_correct f a v : has a v -> has (fact f a) (activate f v).
Proof.
  intros Ha. destruct f; simpl; auto.
  - apply mul_ok; auto.
  - apply fsilu_correct; auto.
  - apply mul_ok; auto. apply inv_ok, add_ok. apply number_correct. apply exp_ok, neg_ok, mul_ok. apply number_correct.
    apply mul_ok. apply const_ok, mem_sqrt, mem_mul; [apply mem_Z | apply mem_inv, I.pi_correct].
    apply add_ok; auto. apply mul_ok. apply const_ok, mem_mul; [|apply mem_inv]; apply mem_Z. apply mul_ok; auto.
Qed.
Fixpoint fbend (fs : list activation) (x : list form) := match fs, x with f :: fs, a :: x => fact f a :: fbend fs x | _, _ => [] end.
Fixpoint ftimes (x y : list form) := match x, y with a :: x, b :: y => fmul a b :: ftimes x y | _, _ => [] end.
Lemma fbend_correct fs X x : hass X x -> hass (fbend fs X) (bend fs x).
Proof. intros H. revert fs. induction H; intros [|f fs]; simpl; constructor; auto. apply fact_correct; auto. Qed.
Lemma ftimes_correct X x Y y : hass X x -> hass Y y -> hass (ftimes X Y) (times x y).
Proof. intros H. revert Y y. induction H; intros Y' y' K; destruct K; simpl; constructor; auto. Qed.

Definition combine_one (q : quadratic) (z zz : form) (y : value_of) : value_of :=
  let '(c, s) := y in
  let '(c, s) := if exactly_zero (q1 q) then (c, s) else (iadd (imul (q1 q) (fc z)) c, axpy (q1 q) (fs z) s) in
  let c := iadd (q0 q) c in
  if exactly_zero (q2 q) then (c, s) else (iadd (imul (q2 q) (fc zz)) c, axpy (q2 q) (fs zz) s).
(** The same about the middle m of what z is at t = 0, if that is known but roughly: q(z) = q(m) + q'(m) (z - m) + q2 (z - m)^2. *)
Definition roughly X := negb (positive (isub (I.inv prec (I.fromZ prec 1073741824)) (isub (I.singleton (I.upper X)) (I.singleton (I.lower X))))).
Definition shifted (q : quadratic) (m : I.type) :=
  Quadratic (q2 q) (iadd (q1 q) (imul (iadd m m) (q2 q))) (iadd (q0 q) (imul m (iadd (q1 q) (imul (q2 q) m)))).
Definition combine_near (q : quadratic) (z zz : form) (y : value_of) : value_of :=
  if exactly_zero (q2 q) then combine_one q z zz y else
  if roughly (fc z) then
    let m := point (fc z) in let z' := Form (isub (fc z) m) (fs z) (isub (fr z) m) in combine_one (shifted q m) z' (square z') y
  else combine_one q z zz y.
Lemma is_plus W w a v c s x : mem W w -> lin (fc a) (fs a) v -> lin c s x -> is (iadd (imul W (fc a)) c, axpy W (fs a) s) (w * v + x).
Proof.
  intros HW (c1 & s1 & C1 & S1 & E1) (c2 & s2 & C2 & S2 & E2). destruct (axpy_correct _ _ _ _ _ _ t HW S1 S2) as (r & R1 & R2).
  exists (w * c1 + c2), r. repeat split; auto. apply mem_add; auto. apply mem_mul; auto. unfold t in R2. rewrite R2, E1, E2. ring.
Qed.
Lemma combine_one_correct q z zz y v x w : has z v -> has zz (v * v) -> is y x -> follows q v w -> is (combine_one q z zz y) (w + x).
Proof.
  intros [_ Hz] [_ Hzz] Hy (a & b & c & A1 & B1 & C1 & ->). unfold combine_one. destruct y as [yc ys]. unfold is in Hy; simpl in Hy.
  assert (S1 : let '(c', s') := if exactly_zero (q1 q) then (yc, ys) else (iadd (imul (q1 q) (fc z)) yc, axpy (q1 q) (fs z) ys) in lin c' s' (b * v + x)).
  { destruct (exactly_zero (q1 q)) eqn:Z. apply exactly_zero_correct with (2 := B1) in Z. subst b. replace (0 * v + x) with x by ring. auto.
    apply (is_plus _ _ _ _ _ _ _ B1 Hz Hy). }
  destruct (if exactly_zero (q1 q) then _ else _) as [c' s'].
  assert (S2 : lin (iadd (q0 q) c') s' (c + (b * v + x))).
  { destruct S1 as (c1 & s1 & K1 & K2 & K3). exists (c + c1), s1. repeat split; auto. apply mem_add; auto. rewrite K3. ring. }
  destruct (exactly_zero (q2 q)) eqn:Z.
  - apply exactly_zero_correct with (2 := A1) in Z. subst a. replace (0 * (v * v) + b * v + c + x) with (c + (b * v + x)) by ring. auto.
  - replace (a * (v * v) + b * v + c + x) with (a * (v * v) + (c + (b * v + x))) by ring. apply (is_plus _ _ _ _ _ _ _ A1 Hzz S2).
Qed.
Lemma combine_near_correct q z zz y v x w : has z v -> has zz (v * v) -> is y x -> follows q v w -> is (combine_near q z zz y) (w + x).
Proof.
  intros Hz Hzz Hy Hq. unfold combine_near. destruct (exactly_zero (q2 q)). apply combine_one_correct with v; auto.
  destruct (roughly (fc z)). 2: apply combine_one_correct with v; auto.
  assert (exists m, mem (point (fc z)) m) as (m & Hm) by (eexists; apply mem_point). set (M := point (fc z)) in *.
  assert (Hz' : has (Form (isub (fc z) M) (fs z) (isub (fr z) M)) (v - m)).
  { destruct Hz as [Hr (c & s & C & S & E)]. split. apply mem_sub; auto. exists (c - m), s. repeat split; auto. apply mem_sub; auto. rewrite E. ring. }
  apply combine_one_correct with (v := v - m); auto. apply mul_ok; auto.
  destruct Hq as (a & b & c & A1 & B1 & C1 & ->). exists a, (b + (m + m) * a), (c + m * (b + a * m)). repeat split; auto.
  - apply mem_add; auto. apply mem_mul; auto. apply mem_add; auto.
  - apply mem_add; auto. apply mem_mul; auto. apply mem_add; auto. apply mem_mul; auto.
  - ring.
Qed.
Fixpoint combine_all (groups : list ridges) (zs : list (form * form)) (y : value_of) : value_of :=
  match groups, zs with
  | Flat [] :: groups, _ :: zs => combine_all groups zs y
  | g :: groups, (z, zz) :: zs => combine_all groups zs (combine_near (ridge (fr z) g) z zz y)
  | _, _ => y
  end.
Definition both_forms (y : value_of) : form * form := let z := Form (fst y) (snd y) (rng (fst y) (snd y)) in (z, square z).
Definition run_stage (st : stage) (ys : list value_of) : list value_of :=
  match st with
  | Ridges K next => let zs := map both_forms (firstn K ys) in map (fun groups => combine_all groups zs (I.zero, [])) next
  | Plain K sel b fs up next =>
    let h := fbend fs (select (firstn K ys) sel b) in
    lin_rows next (match up with None => h | Some (sel', b') => ftimes h (select (skipn K ys) sel' b') end)
  end.
(** Numbers that are not asked for need not be worked out: of a list of flags, true where it ends, those that are. *)
Definition unknown : value_of := (I.nai, []).
Fixpoint map_on {B} (asked : list bool) (f : B -> value_of) (l : list B) : list value_of :=
  match l with [] => [] | a :: l => (if hd true asked then f a else unknown) :: map_on (List.tl asked) f l end.
Fixpoint select_on (asked : list bool) (ys : list value_of) (sel : list (nat * I.type)) (b : list I.type) : list form :=
  match sel, b with
  | (k, c) :: sel, b0 :: b => (if hd true asked then scaled c (nth k ys (I.zero, [])) b0 else Form I.nai [] I.nai) :: select_on (List.tl asked) ys sel b
  | _, _ => []
  end.
(** The rows of which outputs are made that are asked for. *)
Fixpoint rows_asked (asked : list bool) (sel : list (nat * I.type)) (flags : list bool) : list bool :=
  match sel with [] => flags | (k, _) :: sel => rows_asked (List.tl asked) sel (if hd true asked then raise k flags else flags) end.
Definition run_stage_on (asked : list bool) (st : stage) (ys : list value_of) : list value_of :=
  match st with
  | Ridges K next => let zs := map both_forms (firstn K ys) in map_on asked (fun groups => combine_all groups zs (I.zero, [])) next
  | Plain _ _ _ _ _ _ => run_stage st ys
  end.
Fixpoint run_stages (asked : list bool) (sts : list stage) (ys : list value_of) : list value_of :=
  match sts with [] => ys | [st] => run_stage_on asked st ys | st :: sts => run_stages asked sts (run_stage st ys) end.
Definition rows_after (st : stage) := match st with Ridges _ next => length next | Plain _ _ _ _ _ next => length next end.
Definition run_net_on (asked : list bool) (n : net_) (x : list form) : list form :=
  let rows := match asked, stages n with
    | [], _ => []
    | _, [] => rows_asked asked (last_sel n) (repeat false (length (first n)))
    | _, st :: sts => rows_asked asked (last_sel n) (repeat false (rows_after (last sts st)))
    end in
  let ys := match stages n with [] => map_on rows (fun row => row_dot row x I.zero []) (first n) | _ => lin_rows (first n) x end in
  select_on asked (run_stages rows (stages n) ys) (last_sel n) (last_bias n).
Definition run_net (n : net_) (x : list form) : list form := run_net_on [] n x.

(** The sum over neurons is the sum over directions of sums over neurons. *)
Fixpoint sum_seq (f : nat -> R) (a n : nat) : R := match n with O => 0 | S n => f a + sum_seq f (S a) n end.
Lemma sum_seq_ext f g : forall n a, (forall k, (a <= k < a + n)%nat -> f k = g k) -> sum_seq f a n = sum_seq g a n.
Proof. induction n; intros a H; simpl; auto. rewrite H by lia. f_equal. apply IHn. intros; apply H; lia. Qed.
Lemma sum_seq_plus f g : forall n a, sum_seq (fun k => f k + g k) a n = sum_seq f a n + sum_seq g a n.
Proof. induction n; intros a; simpl. ring. rewrite IHn. ring. Qed.
Lemma sum_seq_zero : forall n a, sum_seq (fun _ => 0) a n = 0.
Proof. induction n; intros a; simpl; auto. rewrite IHn; ring. Qed.
Lemma sum_seq_one v j : forall n a, (a <= j < a + n)%nat -> sum_seq (fun k => if Nat.eqb j k then v else 0) a n = v.
Proof.
  induction n; intros a H; simpl. lia. destruct (Nat.eqb_spec j a).
  - subst. rewrite (sum_seq_ext _ (fun _ => 0)). rewrite sum_seq_zero. ring. intros k Hk. destruct (Nat.eqb_spec a k); auto. lia.
  - rewrite IHn by lia. ring.
Qed.
Lemma D2R_zero d : is_zero_d d = true -> D2R d = 0.
Proof. unfold is_zero_d, D2R. intros H. apply Z.eqb_eq in H. rewrite H. ring. Qed.
Lemma gather_sum D x K : forall sel bias fs w, forallb (fun p : nat * dyadic => Nat.ltb (fst p) K) sel = true ->
  dot (map D2R w) (bend fs (run (real (D, sel, bias)) x)) =
  sum_seq (fun k => total (map neuronR (gather k sel bias fs w)) (dot (map D2R (nth k D [])) x)) 0 K.
Proof.
  unfold run, real, map_affine, expand. simpl fst; simpl snd.
  induction sel as [|[j c] sel IH]; intros bias fs w HK.
  { transitivity 0. destruct w; simpl; auto. destruct fs; auto. symmetry. simpl. rewrite sum_seq_zero; auto. }
  simpl in HK. apply andb_prop in HK. destruct HK as [HJ HK]. apply Nat.ltb_lt in HJ.
  destruct bias as [|b bias]. { transitivity 0. simpl. destruct fs, w; auto. symmetry. simpl. rewrite sum_seq_zero; auto. }
  destruct fs as [|f fs]. { transitivity 0. simpl. destruct w; auto. symmetry. simpl. rewrite sum_seq_zero; auto. }
  destruct w as [|e w]. { simpl. rewrite sum_seq_zero; auto. }
  simpl map. simpl apply. simpl bend. simpl dot. rewrite IH by auto. rewrite dot_dmul.
  rewrite <- (sum_seq_one (D2R e * activate f (D2R c * dot (map D2R (nth j D [])) x + D2R b)) j K 0) by lia.
  rewrite <- sum_seq_plus. apply sum_seq_ext. intros k Hk. simpl gather. simpl fst; simpl snd. destruct (Nat.eqb_spec j k).
  - subst. destruct (is_zero_d e) eqn:Z; simpl. rewrite (D2R_zero _ Z). ring. unfold at_; simpl. ring.
  - simpl. ring.
Qed.
Lemma like_D2I n : like (neuronI n) (neuronR n).
Proof. repeat split; simpl; apply mem_D2I. Qed.
Lemma same_length B C (P : B -> C -> Prop) l m : Forall2 P l m -> length l = length m.
Proof. intros H; induction H; simpl; auto. Qed.
Lemma likes_D2I l : Forall2 like (map neuronI l) (map neuronR l).
Proof. induction l; constructor; auto using like_D2I. Qed.
Lemma only_zero x : mem I.zero x -> x = 0.
Proof. unfold mem. rewrite I.zero_correct. simpl. lra. Qed.
Lemma combine_all_correct G : forall K a zs ys vs, (forall k, In k (seq a K) -> holds_of (G k) (vs k)) ->
  forall pts, Forall2 (fun z v => has (fst z) v /\ has (snd z) (v * v)) zs pts -> length zs = K ->
  forall x, is ys x -> is (combine_all (map G (seq a K)) zs ys) (sum_seq (fun k => total (vs k) (nth (k - a) pts 0)) a K + x).
Proof.
  induction K as [|K IH]; intros a zs ys vs HG pts HZ HL x Hy.
  { simpl. rewrite Rplus_0_l. destruct zs; auto. }
  destruct HZ as [|[z zz] v zs pts [Hz Hzz] HZ]; try discriminate.
  cbn [map seq sum_seq]. replace (a - a)%nat with 0%nat by lia. change (nth 0 (v :: pts) 0) with v.
  assert (TL' : sum_seq (fun k => total (vs k) (nth (k - a) (v :: pts) 0)) (S a) K = sum_seq (fun k => total (vs k) (nth (k - S a) pts 0)) (S a) K).
  { apply sum_seq_ext. intros k Hk. replace (k - a)%nat with (S (k - S a)) by lia. reflexivity. }
  rewrite TL'. assert (Ha : holds_of (G a) (vs a)) by (apply HG; left; auto).
  simpl in HL. specialize (IH (S a) zs). simpl combine_all.
  assert (Hz' : mem (fr z) v) by apply Hz. destruct (match G a with Flat [] => true | _ => false end) eqn:EG.
  - destruct (G a) as [[|N Ns]| |]; try discriminate. destruct (Ha _ _ Hz') as (bs & w & HB & HW & ->). inversion HB; subst. clear HB. simpl in HW.
    destruct HW as (p & q & r & P & Q & R & ->). apply only_zero in P, Q, R. subst. simpl total.
    replace (0 * (v * v) + 0 * v + 0 + 0 + _ + x) with (sum_seq (fun k => total (vs k) (nth (k - S a) pts 0)) (S a) K + x) by ring.
    apply IH; auto. intros; apply HG; right; auto.
  - replace (total (vs a) v + _ + x) with (sum_seq (fun k => total (vs k) (nth (k - S a) pts 0)) (S a) K + (total (vs a) v + x)) by ring.
    assert (J : is (combine_all (map G (seq (S a) K)) zs (combine_near (ridge (fr z) (G a)) z zz ys))
      (sum_seq (fun k => total (vs k) (nth (k - S a) pts 0)) (S a) K + (total (vs a) v + x))).
    { apply IH; auto. intros; apply HG; right; auto. apply combine_near_correct with (v := v); auto. apply ridge_correct; auto. }
    destruct (G a) as [[|N Ns]| |]; try discriminate; exact J.
Qed.
Lemma both_forms_correct y v : is y v -> has (fst (both_forms y)) v /\ has (snd (both_forms y)) (v * v).
Proof. intros H. assert (has (fst (both_forms y)) v). { split; auto. simpl. apply (rng_correct TL tl HTL); auto. } split; auto. simpl. apply mul_ok; auto. Qed.
Lemma pairs_correct l D x : rows_at l D x ->
  Forall2 (fun z v => has (fst z) v /\ has (snd z) (v * v)) (map both_forms l) (map (fun d => dot (map D2R d) x) D).
Proof. intros H. induction H; constructor; auto. apply both_forms_correct; auto. Qed.
Lemma rows_app ys D D' x : rows_at ys (D ++ D') x -> rows_at (firstn (length D) ys) D x /\ rows_at (skipn (length D) ys) D' x.
Proof.
  revert ys. induction D as [|d D IH]; intros ys H; simpl in *. { split; auto. constructor. }
  inversion H; subst. destruct (IH _ H4). simpl. split; auto. constructor; auto.
Qed.
Lemma run_stage_correct h next ys x : tidy_hidden h = true ->
  rows_at ys (directions (into h) ++ match lanes h with None => [] | Some u => directions u end) x ->
  rows_at (run_stage (stage_of h next) ys) next (eval_hidden (map_hidden real h) x).
Proof.
  intros HT H. apply rows_app in H. destruct H as [H1 H2]. apply andb_prop in HT. destruct HT as [T1 T2].
  unfold stage_of, eval_hidden. destruct h as [b fs up]. simpl in *. destruct b as [[D sel] bias]. unfold directions, selection, biases in *. simpl in *.
  assert (PL : forall u : unit, rows_at (lin_rows (map (map D2I) next) (fbend fs (select (firstn (length D) ys) (selI sel) (map D2I bias)))) next (bend fs (run (real (D, sel, bias)) x))).
  { intros _. apply lin_rows_correct, fbend_correct, select_correct; auto. }
  destruct up as [[[Du selu] bu]|]; simpl.
  - apply lin_rows_correct, ftimes_correct. apply fbend_correct, select_correct; auto. apply select_correct; auto.
  - destruct (forallb piecewise_polynomial fs); simpl; [|apply (PL tt)].
    rewrite map_map. set (pts := map (fun d => dot (map D2R d) x) D).
    assert (HZ : Forall2 (fun z v => has (fst z) v /\ has (snd z) (v * v)) (map both_forms (firstn (length D) ys)) pts).
    { apply pairs_correct; auto. }
    clear PL. induction next as [|w next IH]; constructor; auto.
    rewrite (gather_sum D x (length D)) by exact T1.
    pose proof (combine_all_correct (fun k => ridges_of (map neuronI (gather k sel bias fs w))) (length D) 0 (map both_forms (firstn (length D) ys)) (I.zero, [])
      (fun k => map neuronR (gather k sel bias fs w))) as C.
    specialize (C ltac:(intros k _; apply ridges_of_holds, likes_D2I) pts HZ).
    assert (HLen : length (map both_forms (firstn (length D) ys)) = length D) by (rewrite (same_length _ _ _ _ _ HZ); unfold pts; apply map_length).
    specialize (C HLen 0 is_zero). rewrite Rplus_0_r in C.
    replace (sum_seq _ 0 (length D)) with (sum_seq (fun k => total (map neuronR (gather k sel bias fs w)) (nth (k - 0) pts 0)) 0 (length D)); auto.
    apply sum_seq_ext. intros k Hk. f_equal. rewrite Nat.sub_0_r. unfold pts.
    rewrite nth_indep with (d' := dot (map D2R []) x) by (rewrite map_length; lia). apply (map_nth (fun d => dot (map D2R d) x)).
Qed.
Lemma map_on_at B (f : B -> value_of) l : forall asked D x, rows_at (map f l) D x -> rows_at (map_on asked f l) D x.
Proof.
  induction l as [|a l IH]; intros asked D x H; inversion H as [|? d ? D' H1 H2]; subst; simpl; constructor; [|apply IH; auto].
  destruct (hd true asked); auto. exists (dot (map D2R d) x), []. repeat split. apply mem_nai. constructor. simpl. ring.
Qed.
Lemma select_on_correct asked ys sel b : forall x, hass (select ys sel b) x -> hass (select_on asked ys sel b) x.
Proof.
  revert asked b. induction sel as [|[k c] sel IH]; intros asked [|b0 b] x H; simpl in *; auto. inversion H; subst. constructor; [|apply IH; auto].
  destruct (hd true asked); auto. apply (const_ok I.nai), mem_nai.
Qed.
Lemma run_stage_on_at asked st ys D x : rows_at (run_stage st ys) D x -> rows_at (run_stage_on asked st ys) D x.
Proof. destruct st; simpl; auto. apply map_on_at. Qed.
Lemma run_net_on_correct asked n X x : tidy n = true -> hass X x -> hass (run_net_on asked (net_of n) X) (eval_net (map_net real n) x).
Proof.
  destruct n as [hs b]. unfold tidy, eval_net, run_net_on, net_of. cbn [fst snd first stages last_sel last_bias]. intros HT HX.
  set (rows := match asked with [] => [] | _ => _ end). clearbody rows. apply select_on_correct.
  assert (G : forall ys, forallb tidy_hidden hs = true -> forall x, rows_at ys (needs hs b) x ->
    hass (select (run_stages rows (stages_of hs b) ys) (selI (selection b)) (map D2I (biases b)))
      (run (real b) (fold_left (fun x h => eval_hidden h x) (map (map_hidden real) hs) x))).
  { clear HT HX. induction hs as [|h hs IH]; intros ys HT x0 H; simpl in *.
    - destruct b as [[D sel] bias]. apply select_correct; auto.
    - apply andb_prop in HT. destruct HT as [T1 T2]. pose proof (run_stage_correct h (needs hs b) ys x0 T1 H) as K.
      destruct hs as [|h' hs]; [|apply IH; auto]. simpl. apply (run_stage_on_at rows) in K. destruct b as [[D sel] bias]. apply select_correct; auto. }
  pose proof (lin_rows_correct (needs hs b) X x HX) as K. destruct hs as [|h hs]; apply G; auto. apply map_on_at, K.
Qed.
Lemma run_net_correct n X x : tidy n = true -> hass X x -> hass (run_net (net_of n) X) (eval_net (map_net real n) x).
Proof. apply run_net_on_correct. Qed.
End Box.
End Layers.
