(* Forms of all values of a task graph over a box: of what the box is about, and of all that follows from it. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Tasks Taylor Intervals Forms Expressions Nets Layers Dyadics Findings Truth Asked Checker.
Import ListNotations.
Open Scope R_scope.

Module ValueForms (A : Arithmetic).
Module Export K := Checker A.
Import A.

Lemma in_range rs w k : in_box rs w -> D2R (fst (nth k rs (zero_d, zero_d))) <= nth k w 0 <= D2R (snd (nth k rs (zero_d, zero_d))).
Proof. intros H. revert k. induction H; intros [|k]; simpl; auto; rewrite ?D2R_zero_d; lra. Qed.
Definition range_at (rs : list (dyadic * dyadic)) (k : nat) : I.type := side (nth k rs (zero_d, zero_d)).
Lemma side_correct b x : D2R (fst b) <= x <= D2R (snd b) -> mem (side b) x.
Proof. intros H. assert (Q : mems (map side [b]) [x]) by (apply box_correct; constructor; auto; constructor). inversion Q; auto. Qed.
Lemma range_at_correct rs w k : in_box rs w -> mem (range_at rs k) (nth k w 0).
Proof. intros H. apply side_correct. apply (in_range rs w k H). Qed.
Definition ends_at (k : nat) (X : I.type) (s : nat * (endpoint * endpoint)) : I.type :=
  if Nat.eqb (fst s) k then
    I.meet (match fst (snd s) with Free => X | Closed d | Open d => I.meet X (I.upper_extent (D2I d)) end)
           (match snd (snd s) with Free => X | Closed d | Open d => I.meet X (I.lower_extent (D2I d)) end)
  else X.
Definition narrowed (p : piece) (k : nat) (X : I.type) : I.type := fold_left (ends_at k) (sides p) X.
Lemma narrowed_correct p w k X : owns p w -> mem X (nth k w 0) -> mem (narrowed p k X) (nth k w 0).
Proof.
  unfold owns, narrowed. intros H. revert X. induction H as [|[k' [a b]] ss [HA HB] H IH]; intros X HX; simpl; auto. apply IH. unfold ends_at. simpl in *.
  destruct (Nat.eqb_spec k' k) as [->|]; auto. apply mem_meet.
  - destruct a as [|d|d]; auto; apply mem_meet; auto; apply (I.upper_extent_correct _ _ (D2R d)); try apply mem_D2I; simpl in HA; lra.
  - destruct b as [|d|d]; auto; apply mem_meet; auto; apply (I.lower_extent_correct _ _ (D2R d)); try apply mem_D2I; simpl in HB; lra.
Qed.
Definition sides_of (rs : list (dyadic * dyadic)) (p : piece) (s : source) : list I.type :=
  match s with
  | Value k => [narrowed p k (range_at rs k)]
  | Total k others => [fold_right (fun q X => iadd (imul (D2I (fst q)) (range_at rs (snd q))) X) (range_at rs k) others]
  | OnChart _ c => map side (box c)
  end.
Lemma sides_of_correct rs p w s us : in_box rs w -> owns p w -> means w s us -> mems (sides_of rs p s) us.
Proof.
  intros HR HO M. destruct s as [k|k others|o c]; simpl in *.
  - subst. constructor; [|constructor]. apply narrowed_correct; auto. apply range_at_correct; auto.
  - subst. constructor; [|constructor]. unfold sum_of. induction others as [|q others IH]; simpl. apply range_at_correct; auto.
    apply mem_add; auto. apply mem_mul. apply mem_D2I. apply range_at_correct; auto.
  - apply box_correct, M.
Qed.
Definition box_of rs p ss : list I.type := flat_map (sides_of rs p) ss.
Lemma box_of_correct rs p w ss : in_box rs w -> owns p w -> forall us, all_mean w ss us -> mems (box_of rs p ss) us.
Proof.
  intros HR HO. induction ss as [|s ss IH]; simpl; intros us M. subst; constructor.
  destruct M as (a & b & -> & L & M & N). apply mems_app; auto. apply sides_of_correct with w; auto.
Qed.

(** What is known of channels, nets arranged. *)
Inductive ready := Known (f : finding) | Net (rs : list (option (nat * dyadic))) (n : net_).
Definition ready_of (f : finding) : ready := match f with Computed rs n => if tidy n then Net rs (net_of n) else Known Unknown | _ => Known f end.

(** * Forms of all values over a box *)
Section Box.
Variable TL : list I.type.
Variable tl : list R.
Hypothesis HTL : mems TL tl.
Local Notation has := (has tl). Local Notation hass := (Forall2 (F.has tl)). Local Notation lin := (lin tl).

Definition flat (X : I.type) : form := fconst X.
Definition flats (rs : list (dyadic * dyadic)) : list form := map (fun b => flat (side b)) rs.
Lemma flats_correct rs w : in_box rs w -> hass (flats rs) w.
Proof. intros H. induction H; simpl; constructor; auto. apply fconst_correct. apply side_correct. auto. Qed.
Definition multiple (c : dyadic) (a : form) : form := scaled TL (D2I c) (fc a, fs a) I.zero.
Lemma multiple_correct c a v : has a v -> has (multiple c a) (D2R c * v).
Proof.
  intros [_ H]. replace (D2R c * v) with (D2R c * v + 0) by ring. apply (scaled_correct TL tl HTL). apply mem_D2I. exact H. apply mem_zero.
Qed.
Definition dress_one (s : source) (U : list form) (V : list form) : option (list form) :=
  match s with
  | Value k => Some (put k (nth 0 U (number 0)) V)
  | Total k others => Some (put k (fold_right (fun q a => fadd TL a (multiple (opp (fst q)) (nth (snd q) V (number 0)))) (nth 0 U (number 0)) others) V)
  | OnChart o c => option_map (fun Y => puts o Y V) (eval_all TL U (inverse c))
  end.
Lemma has_length U us : hass U us -> length U = length us.
Proof. intros H; induction H; simpl; auto. Qed.
Lemma dress_one_correct w s U us V V' : hass U us -> means w s us -> hass V w -> dress_one s U V = Some V' -> hass V' w.
Proof.
  intros HU M HV E. destruct s as [k|k others|o c]; simpl in *.
  - injection E as <-. subst. apply put_correct; auto. exact (nth_has tl _ _ 0 HU).
  - injection E as <-. subst. apply put_correct; auto.
    replace (nth k w 0) with (fold_right (fun q a => a + D2R (opp (fst q)) * nth (snd q) w 0) (sum_of w k others) others).
    + pose proof (nth_has tl _ _ 0 HU) as H0. simpl in H0. revert H0. generalize (sum_of w k others) as s. intros s H0. clear HU.
      induction others as [|q others IH]; simpl; auto. apply (fadd_correct TL tl HTL); auto. apply multiple_correct. apply nth_has; auto.
    + unfold sum_of. clear. generalize (nth k w 0) as v. induction others as [|q others IH]; intros v; simpl; auto.
      assert (S : forall x y, fold_right (fun q a => a + D2R (opp (fst q)) * nth (snd q) w 0) (x + y) others = x + fold_right (fun q a => a + D2R (opp (fst q)) * nth (snd q) w 0) y others).
      { clear. induction others; intros; simpl; auto. rewrite IHothers. ring. }
      rewrite S, IH, D2R_opp. ring.
  - destruct (eval_all TL U (inverse c)) as [Y|] eqn:EY; try discriminate. injection E as <-.
    destruct (eval_all_correct TL tl HTL U us HU _ _ EY) as [_ HY]. destruct M as (_ & _ & M). apply puts_correct; auto. rewrite (has_length _ _ HY). unfold values. rewrite map_length. rewrite <- M. auto.
Qed.
(** From the last one to the first: a sum comes before its parts. *)
Fixpoint dress (ss : list source) (U V : list form) : option (list form) :=
  match ss with [] => Some V | s :: ss => match dress ss (skipn (width s) U) V with None => None | Some V => dress_one s (firstn (width s) U) V end end.
Lemma hass_split U a b : hass U (a ++ b) -> hass (firstn (length a) U) a /\ hass (skipn (length a) U) b.
Proof. revert U. induction a as [|x a IH]; intros U H; simpl in *. split; auto. inversion H; subst. destruct (IH _ H4). simpl. split; auto. Qed.
Lemma dress_correct w : forall ss U us (V V' : list form), hass U us -> all_mean w ss us -> hass V w -> dress ss U V = Some V' -> hass V' w.
Proof.
  induction ss as [|s ss IH]; simpl; intros U us V V' HU M HV E. injection E as <-; auto.
  destruct M as (a & b & -> & L & M & N). apply hass_split in HU. rewrite L in HU. destruct HU as [HA HB].
  destruct (dress ss _ V) as [W|] eqn:EW; try discriminate. apply dress_one_correct with (4 := E) (us := a); auto. apply IH with (4 := EW) (us := b); auto.
Qed.
(** Whether a chart's region is left all over the box: then there is nothing to show. *)
Fixpoint off_region (ss : list source) (U : list form) : bool :=
  match ss with
  | [] => false
  | s :: ss => match s with OnChart _ c => existsb (fun r => optional false (fun F => negative (fr F)) (eval_expr TL (firstn (width s) U) r)) (region c) | _ => false end
    || off_region ss (skipn (width s) U)
  end.
Lemma off_region_correct w : forall ss U us, hass U us -> all_mean w ss us -> off_region ss U = false \/ False.
Proof.
  induction ss as [|s ss IH]; simpl; intros U us HU M. auto. destruct M as (a & b & -> & L & M & N). apply hass_split in HU. rewrite L in HU. destruct HU as [HA HB].
  destruct (IH _ _ HB N) as [->|[]]. rewrite orb_false_r. destruct s as [| |o c]; auto. left. destruct M as (_ & Reg & _).
  destruct (existsb _ _) eqn:E; auto. exfalso. apply existsb_exists in E. destruct E as (r & Ir & Hr). rewrite Forall_forall in Reg. specialize (Reg r Ir).
  destruct (eval_expr TL (firstn (width (OnChart o c)) U) r) as [F|] eqn:EF; try discriminate. simpl in Hr.
  destruct (proj1 (eval_correct TL tl HTL _ _ HA) _ _ EF) as [_ [Me _]]. apply negative_correct with (2 := Me) in Hr. lra.
Qed.
(** Whether a piece owns nothing on the box: there is nothing to show of it then. *)
Definition beyond (s : nat * (endpoint * endpoint)) (V : list form) : bool :=
  let X := fr (nth (fst s) V (number 0)) in
  match fst (snd s) with Free => false | Closed d => negative (isub X (D2I d)) | Open d => nonnegative (isub (D2I d) X) end ||
  match snd (snd s) with Free => false | Closed d => negative (isub (D2I d) X) | Open d => nonnegative (isub X (D2I d)) end.
Definition outside (p : piece) (V : list form) : bool := existsb (fun s => beyond s V) (sides p).
Lemma outside_correct p V w : hass V w -> owns p w -> outside p V = false.
Proof.
  intros H O. destruct (outside p V) eqn:E; auto. exfalso. unfold outside in E. apply existsb_exists in E. destruct E as ([k [a b]] & I & B).
  unfold owns in O. rewrite Forall_forall in O. destruct (O _ I) as [Oa Ob]. destruct (nth_has tl _ _ k H) as [M _]. unfold beyond in B. simpl fst in *. simpl snd in *.
  set (X := fr (nth k V (number 0))) in *. set (y := nth k w 0) in *. apply orb_prop in B. destruct B as [B|B].
  - destruct a as [|d|d]; try discriminate; simpl in Oa.
    + apply negative_correct with (x := y - D2R d) in B. lra. apply mem_sub; auto. apply mem_D2I.
    + apply nonnegative_correct with (x := D2R d - y) in B. lra. apply mem_sub; auto. apply mem_D2I.
  - destruct b as [|d|d]; try discriminate; simpl in Ob.
    + apply negative_correct with (x := D2R d - y) in B. lra. apply mem_sub; auto. apply mem_D2I.
    + apply nonnegative_correct with (x := y - D2R d) in B. lra. apply mem_sub; auto. apply mem_D2I.
Qed.
(** Values of nodes from the values before them. *)
Fixpoint chained (steps : list (nat * piece)) (V : list form) : option (list form) :=
  match steps with
  | [] => Some V
  | (o, p) :: steps => match eval_all TL (firstn o V) (functions p) with None => None | Some F => chained steps (puts o F V) end
  end.
Lemma hass_firstn o V w : hass V w -> hass (firstn o V) (firstn o w).
Proof. intros H. revert o. induction H; intros [|o]; simpl; constructor; auto. Qed.
Lemma chained_correct w : forall steps V V', hass V w -> Forall (fun s => values (functions (snd s)) (firstn (fst s) w) = slice (fst s) (length (functions (snd s))) w) steps ->
  chained steps V = Some V' -> hass V' w.
Proof.
  induction steps as [|[o p] steps IH]; simpl; intros V V' HV H E. injection E as <-; auto. inversion H as [|? ? H1 H2]; subst. simpl in H1.
  destruct (eval_all TL (firstn o V) (functions p)) as [F|] eqn:EF; try discriminate.
  destruct (eval_all_correct TL tl HTL _ _ (hass_firstn o V w HV) _ _ EF) as [_ HF]. apply IH with (3 := E); auto. apply puts_correct; auto.
  rewrite (has_length _ _ HF). unfold values. rewrite map_length, <- H1. auto.
Qed.
Definition widened (a : form) (d : dyadic) : form := let E := I.join (I.neg (D2I d)) (D2I d) in Form (iadd (fc a) E) (fs a) (iadd (fr a) E).
Lemma widened_correct a d v y : has a v -> Rabs (v - y) <= D2R d -> has (widened a d) y.
Proof.
  intros [Hr (c & s & C & S & E)] H. set (J := I.join (I.neg (D2I d)) (D2I d)).
  assert (M : mem J (y - v)).
  { apply (mem_between J (- D2R d) (D2R d)). apply mem_join_l, mem_neg, mem_D2I. apply mem_join_r, mem_D2I.
    revert H. unfold Rabs. destruct (Rcase_abs (v - y)); intros; unfold Rmin, Rmax; destruct (Rle_dec (- D2R d) (D2R d)); lra. }
  split. simpl. replace y with (v + (y - v)) by ring. apply mem_add; auto.
  exists (c + (y - v)), s. repeat split; auto. simpl. apply mem_add; auto. rewrite E. ring.
Qed.
Definition read_form (V : list form) (r : option (nat * dyadic)) : form := match r with None => funknown | Some (k, d) => widened (nth k V (number 0)) d end.
Lemma read_form_correct V w rs x : hass V w -> Forall2 (reads_as w) rs x -> hass (map (read_form V) rs) x.
Proof.
  intros HV H. induction H as [|r y rs x Hr H IH]; simpl; constructor; auto. destruct r as [[k d]|]; simpl in *.
  apply widened_correct with (nth k w 0); auto. apply nth_has; auto. apply funknown_correct.
Qed.
Definition form_of (V : list form) (f : ready) : form :=
  match f with
  | Known (Exactly k) => nth k V (number 0) | Known (Around k d) => widened (nth k V (number 0)) d | Known _ => funknown
  | Net rs n => nth 0 (run_net TL n (map (read_form V) rs)) (number 0)
  end.
Lemma forms_of_correct V w facts x : hass V w -> Forall2 (holds_for w) facts x -> hass (map (form_of V) (map ready_of facts)) x.
Proof.
  intros HV H. induction H as [|f y fs x Hf H IH]; simpl; constructor; auto. destruct f as [|k|k d|fs'|rs n]; simpl in *.
  - apply funknown_correct. - rewrite Hf. apply nth_has; auto. - apply widened_correct with (nth k w 0); auto. apply nth_has; auto. - apply funknown_correct.
  - destruct (tidy n) eqn:T; simpl. 2: apply funknown_correct. destruct Hf as (z & Z & ->). apply nth_has. apply (run_net_correct TL tl HTL); auto. apply read_form_correct with w; auto.
Qed.
Definition in_range_form (b : dyadic * dyadic) (F : form) : bool := nonnegative (isub (fr F) (D2I (fst b))) && nonnegative (isub (D2I (snd b)) (fr F)).
Lemma in_range_form_correct b F v : has F v -> in_range_form b F = true -> D2R (fst b) <= v <= D2R (snd b).
Proof.
  intros [H _] E. apply andb_prop in E. destruct E as [E1 E2].
  apply nonnegative_correct with (x := v - D2R (fst b)) in E1. 2: apply mem_sub; auto; apply mem_D2I.
  apply nonnegative_correct with (x := D2R (snd b) - v) in E2. 2: apply mem_sub; auto; apply mem_D2I. lra.
Qed.
Fixpoint in_range_forms (bs : list (dyadic * dyadic)) (Fs : list form) : bool :=
  match bs, Fs with [], [] => true | b :: bs, F :: Fs => in_range_form b F && in_range_forms bs Fs | _, _ => false end.
Lemma in_range_forms_correct bs Fs vs : hass Fs vs -> in_range_forms bs Fs = true -> in_box bs vs.
Proof.
  intros H. revert bs. induction H; intros [|b bs] E; simpl in E; try discriminate; constructor; apply andb_prop in E; destruct E; auto. apply in_range_form_correct with x; auto.
  apply IHForall2; auto.
Qed.
End Box.

Definition forms_at (b : list I.type) (u : list R) (H : mems b u) :=
  conj (shifts_correct b u H) (variables_correct b u 0 (diffs u (map middle b)) H (fun k Hk => nth_diffs b u H k Hk)).
End ValueForms.
