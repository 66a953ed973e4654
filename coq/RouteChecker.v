(* The checker of one chart for the theorem about routes. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Taylor Intervals Forms Expressions Nets Layers Routes Conjunctions Trees Paths Checker Routing.
Import ListNotations.
Open Scope R_scope.

(** Something is chosen at every x. *)
Fixpoint chooses (Ls : list (layer (block dyadic))) : bool :=
  match Ls with
  | [] => false
  | [L] => Nat.leb 1 (top L) && match gate L with Some (_, (_, _ :: _, _ :: _)) => true | _ => false end
  | _ :: Ls => chooses Ls
  end.
Lemma some_route Ls x : chooses Ls = true -> routes_of Ls x <> [].
Proof.
  unfold routes_of. revert x. induction Ls as [|L [|L' Ls] IH]; intros x H; try discriminate.
  - cbn [chooses] in H. apply andb_prop in H. destruct H as [T G]. apply Nat.leb_le in T. destruct (gate L) as [[hs [[D [|p sel]] [|b bias]]]|] eqn:E; try discriminate.
    unfold map_layer. cbn [map routes gate top sees]. rewrite E. cbn [option_map]. apply chosen_some; auto. unfold eval_net. simpl. destruct p. discriminate.
  - apply IH. exact H.
Qed.

Module RouteChecker (A : Arithmetic).
Module Export K := Checker A.
Import A.

Section Box.
Variable TL : list I.type.
Variable tl : list R.
Hypothesis HTL : mems TL tl.
Local Notation has := (has tl). Local Notation hass := (Forall2 (F.has tl)).
Local Notation run_net := (run_net TL).

(** k holds of every output of the last gate that may be chosen on the box. *)
Fixpoint every_choice (Ls : list step) (X : list form) (k : nat -> bool) : bool :=
  match Ls with
  | [] => true
  | s :: Ls =>
    match s_gate s with
    | None => match Ls with [] => true | _ => every_choice Ls (expert_out TL s X (nth 0 (s_serves s) 0%nat)) k end
    | Some g =>
      let logits := run_net g (picks (s_sees s) X) in
      let n := length logits in
      match Ls with
      | [] => all_of (fun j => never TL (s_top s) logits j orelse k j) (seq 0 n)
      | _ =>
        (convex (s_weighs s) && negb (Nat.eqb n 0) && Nat.eqb (s_top s) 1) andthen
        all_of (fun e => all_of (never TL (s_top s) logits) (outputs_of (s_serves s) n e) orelse every_choice Ls (expert_out TL s X e) k)
          (nodup Nat.eq_dec (map (fun j => nth j (s_serves s) 0%nat) (seq 0 n)))
      end
    end
  end.
Lemma routes_cons (L L' : layer (affine R)) Ls x : routes (L :: L' :: Ls) x = routes (L' :: Ls) (eval_layer L x).
Proof. reflexivity. Qed.
Lemma every_choice_correct k (G : nat -> Prop) : (forall j, k j = true -> G j) ->
  forall Ls, forallb tidy_layer Ls = true -> forall X x, hass X x -> every_choice (map step_of Ls) X k = true ->
  forall j, In j (routes (map (map_layer real) Ls) x) -> G j.
Proof.
  intros Hk. induction Ls as [|L Ls IH]; intros T X x HX K j Hj. { destruct Hj. }
  simpl in T. apply andb_prop in T. destruct T as [TL' T].
  assert (GL : forall g, gate L = Some g -> hass (run_net (net_of g) (picks (sees L) X)) (eval_net (map_net real g) (pick (sees L) x))).
  { intros g E. apply (run_net_correct TL tl HTL). unfold tidy_layer in TL'. rewrite E in TL'. destruct (tidy g); auto. apply picks_correct; auto. }
  destruct Ls as [|L' Ls].
  - simpl in Hj, K. destruct (gate L) as [g|] eqn:E; simpl in Hj, K; [|destruct Hj]. specialize (GL g eq_refl).
    destruct (in_chosen _ _ _ Hj) as [Lj _]. rewrite <- (same_length _ _ _ _ _ GL) in Lj.
    assert (Ij : In j (seq 0 (length (run_net (net_of g) (picks (sees L) X))))) by (apply in_seq; lia).
    pose proof (all_of_true _ _ _ K j Ij) as KJ. cbv beta in KJ. rewrite (never_correct TL tl HTL (top L) _ _ j GL Hj) in KJ. auto.
  - change (In j (routes (map (map_layer real) (L' :: Ls)) (eval_layer (map_layer real L) x))) in Hj.
    change (map step_of (L :: L' :: Ls)) with (step_of L :: map step_of (L' :: Ls)) in K. cbn [every_choice] in K.
    unfold eval_layer in Hj. change (gate (map_layer real L)) with (option_map (map_net real) (gate L)) in Hj.
    change (s_gate (step_of L)) with (option_map net_of (gate L)) in K. destruct (gate L) as [g|] eqn:E; simpl option_map in Hj, K; cbv iota in Hj, K.
    2:{ apply (IH T) with (2 := K) (3 := Hj). apply (expert_out_correct TL tl HTL L X x 0 TL' HX). }
    specialize (GL g eq_refl). change (map step_of (L' :: Ls)) with (step_of L' :: map step_of Ls) in K. cbv iota zeta in K.
    change (step_of L' :: map step_of Ls) with (map step_of (L' :: Ls)) in K. apply andthen_true in K. destruct K as [K KE].
    apply andb_prop in K. destruct K as [K KT]. apply andb_prop in K. destruct K as [KC KN].
    change (s_top (step_of L)) with (top L) in *. change (s_weighs (step_of L)) with (weighs L) in KC. change (s_sees (step_of L)) with (sees L) in *.
    apply Nat.eqb_eq in KT. cbv zeta in Hj. change (top (map_layer real L)) with (top L) in Hj. rewrite KT in *.
    change (sees (map_layer real L)) with (sees L) in Hj. set (l := eval_net (map_net real g) (pick (sees L) x)) in *.
    assert (NL : l <> []). { intros N. rewrite (same_length _ _ _ _ _ GL), N in KN. discriminate KN. }
    destruct (chosen_one l NL) as (i & Ei & Li). rewrite Ei in Hj. change (weighs (map_layer real L)) with (weighs L) in Hj. rewrite leaving_one in Hj by auto.
    refine (IH T _ _ (expert_out_correct TL tl HTL L X x i TL' HX) _ j Hj).
    assert (Ie : In (nth i (serves L) 0%nat) (nodup Nat.eq_dec (map (fun j => nth j (s_serves (step_of L)) 0%nat) (seq 0 (length (run_net (net_of g) (picks (sees L) X))))))).
    { apply nodup_In. apply in_map_iff. exists i. split; auto. apply in_seq. rewrite (same_length _ _ _ _ _ GL). lia. }
    pose proof (all_of_true _ _ _ KE _ Ie) as KE'. cbv beta in KE'. destruct (all_of _ (outputs_of _ _ _)) eqn:F; auto. exfalso.
    assert (false = true); [|discriminate]. rewrite <- (never_correct TL tl HTL 1 _ _ i GL ltac:(rewrite Ei; left; auto)). apply (all_of_true _ _ _ F).
    unfold outputs_of. apply filter_In. split. apply in_seq. rewrite (same_length _ _ _ _ _ GL). lia. apply Nat.eqb_refl.
Qed.

Fixpoint boxed (b : list (dyadic * dyadic)) (X : list form) : bool :=
  match b, X with
  | [], [] => true
  | (l, h) :: b, a :: X => (nonnegative (isub (fr a) (D2I l)) && nonnegative (isub (D2I h) (fr a))) andthen boxed b X
  | _, _ => false
  end.
Lemma boxed_correct X x : hass X x -> forall b, boxed b X = true -> in_box b x.
Proof.
  intros H. induction H as [|a v X x [Ha _] H IH]; intros [|[l h] b] B; simpl in B; try discriminate; constructor.
  - apply andthen_true in B. destruct B as [B _]. apply andb_prop in B. destruct B as [B1 B2].
    apply nonnegative_correct with (x := v - D2R l) in B1. 2: apply mem_sub; auto; apply mem_D2I.
    apply nonnegative_correct with (x := D2R h - v) in B2. 2: apply mem_sub; auto; apply mem_D2I. simpl. lra.
  - apply andthen_true in B. apply IH, B.
Qed.
Definition surely_in (d : domain) (Y : list form) : bool :=
  match d with
  | Ball depth => optional false (fun F => positive (fr F)) (eval_expr TL Y depth)
  | Forward f c =>
    match eval_all TL Y f with
    | None => false
    | Some V => boxed (box c) V andthen all_of (fun r => optional false (fun F => nonnegative (fr F)) (eval_expr TL V r)) (region c)
    end
  end.
Lemma surely_in_correct d Y y : hass Y y -> surely_in d Y = true -> in_domain d y.
Proof.
  intros HY. destruct d as [depth|f c]; simpl.
  - destruct (eval_expr TL Y depth) as [F|] eqn:E; simpl; try discriminate. destruct (proj1 (eval_correct TL tl HTL Y y HY) _ _ E) as [D [M _]].
    intros P. split; auto. apply positive_correct with (1 := P) (2 := M).
  - destruct (eval_all TL Y f) as [V|] eqn:E; try discriminate. destruct (eval_all_correct TL tl HTL Y y HY _ _ E) as [D HV]. intros P. apply andthen_true in P. destruct P as [B P].
    split; auto. split. apply boxed_correct with (1 := HV) (2 := B). apply Forall_forall. intros r Ir. pose proof (all_of_true _ _ _ P r Ir) as PR. cbv beta in PR.
    destruct (eval_expr TL V r) as [F|] eqn:ER; simpl in PR; try discriminate. destruct (proj1 (eval_correct TL tl HTL V (values f y) HV) _ _ ER) as [_ [M _]].
    apply nonnegative_correct with (1 := PR) (2 := M).
Qed.
End Box.

Section Chart.
Variable c : chart.
Variable own : option nat.
Variable domains : list (option domain).
Variable Q : option (block dyadic).
Variable Ls : list (layer (block dyadic)).

Definition is_own (j : nat) : bool := match own with Some i => Nat.eqb i j | None => false end.
Definition rleaf (steps : list step) (q : option affine_) (box : list I.type) : bool :=
  let T := shifts box in let V := variables 0 box in
  existsb (fun r => optional false (fun F => negative (fr F)) (eval_expr T V r)) (region c) orelse
  match eval_all T V (inverse c) with
  | None => false
  | Some Y =>
    every_choice T steps (optional Y (fun q => run_affine T q Y) q)
      (fun j => is_own j orelse match nth j domains None with Some d => surely_in T d Y | None => false end)
  end.
Lemma rleaf_correct box u : forallb tidy_layer Ls = true -> mems box u -> rleaf (map step_of Ls) (option_map affine_of Q) box = true -> claimed_routes c own domains Q Ls u.
Proof.
  intros Td Hu H Reg y j Hj. unfold rleaf in H. set (T := shifts box) in *. set (V := variables 0 box) in *.
  set (t := diffs u (map middle box)). assert (HT : mems T t) by (apply shifts_correct; auto).
  assert (HV : Forall2 (has t) V u). { apply variables_correct; auto. intros k Hk. apply nth_diffs; auto. }
  destruct (existsb _ _) eqn:ER.
  { exfalso. apply existsb_exists in ER. destruct ER as (r & Ir & Hr). rewrite Forall_forall in Reg. specialize (Reg r Ir).
    destruct (eval_expr T V r) as [F|] eqn:EF; try discriminate. simpl in Hr. destruct (proj1 (eval_correct T t HT V u HV) _ _ EF) as [_ [M _]].
    apply negative_correct with (2 := M) in Hr. lra. }
  destruct (eval_all T V (inverse c)) as [Y|] eqn:EY; try discriminate. destruct (eval_all_correct T t HT V u HV _ _ EY) as [DY HY]. fold y in HY.
  refine (every_choice_correct T t HT _ (fun j => own = Some j \/ belongs domains y j) _ Ls Td _ _ _ H j Hj).
  - intros i Hi. cbv beta in Hi. unfold is_own in Hi. unfold belongs. destruct own as [o|].
    + destruct (Nat.eqb o i) eqn:N. { apply Nat.eqb_eq in N. left. congruence. } right. destruct (nth i domains None) as [d|]; try discriminate. apply (surely_in_correct T t HT d Y y HY Hi).
    + right. destruct (nth i domains None) as [d|]; try discriminate. apply (surely_in_correct T t HT d Y y HY Hi).
  - unfold embedded. destruct Q; simpl; auto. apply (run_affine_correct T t HT); auto.
Qed.
Definition accepted_routes (depth fuel : nat) (cuts : list nat) : bool :=
  forallb tidy_layer Ls andthen
  let steps := map step_of Ls in let q := option_map affine_of Q in
  match walk (rleaf steps q) depth fuel (length (box c)) cuts (map side (box c)) with Some [] => true | _ => false end.
Theorem accepted_routes_sound depth fuel cuts : accepted_routes depth fuel cuts = true -> forall u, in_box (box c) u -> claimed_routes c own domains Q Ls u.
Proof.
  unfold accepted_routes. intros H u Hu. apply andthen_true in H. destruct H as [Td H]. cbv zeta in H.
  destruct (walk _ _ _ _ _ _) as [rest|] eqn:W; try discriminate.
  apply (walk_correct (rleaf (map step_of Ls) (option_map affine_of Q)) (claimed_routes c own domains Q Ls) (fun b v Hv Hb => rleaf_correct b v Td Hv Hb)) with (2 := W). apply box_correct; auto.
Qed.
End Chart.
End RouteChecker.
