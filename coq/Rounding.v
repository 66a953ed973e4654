(* Evaluation in floats: static bounds of what rounding does, which experts it may choose, and a checker of charts for both theorems. *)
From Coq Require Import Reals List ZArith Bool Lra Lia Permutation.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From Flocq Require Import Core.
From AtlasMoE Require Import Semantics Forms Expressions Nets Layers Routes Checker Floats Orders.
Import ListNotations.
Open Scope R_scope.

(** * What is sure of all that an evaluation may give. *)
Definition sure {A} (m : may A) (P : A -> Prop) := forall o, m o -> exists a, o = Some a /\ P a.
Lemma sure_gives A (a : A) (P : A -> Prop) : P a -> sure (gives (Some a)) P.
Proof. intros H o ->. eauto. Qed.
Lemma sure_chain A B (m : may A) (k : A -> may B) P Q : sure m P -> (forall a, P a -> sure (k a) Q) -> sure (chain m k) Q.
Proof. intros H K o (a & Ma & E). destruct (H a Ma) as (b & -> & Pb). exact (K b Pb o E). Qed.
Lemma sure_weaker A (m : may A) (P Q : A -> Prop) : sure m P -> (forall a, P a -> Q a) -> sure m Q.
Proof. intros H K o Ho. destruct (H o Ho) as (a & E & Pa). eauto. Qed.

Inductive all3 {A B C} (T : A -> B -> C -> Prop) : list A -> list B -> list C -> Prop :=
| all3_nil : all3 T [] [] []
| all3_cons a b c l m n : T a b c -> all3 T l m n -> all3 T (a :: l) (b :: m) (c :: n).
Arguments all3_nil {A B C T}.
Lemma each_sure A B C (T : A -> B -> C -> Prop) P vs ms : all3 (fun p v m => sure m (T p v)) P vs ms -> sure (each ms) (all3 T P vs).
Proof.
  intros H. induction H; simpl. apply sure_gives; constructor. apply sure_chain with (1 := H). intros x Hx.
  apply sure_chain with (1 := IHall3). intros r Hr. apply sure_gives. constructor; auto.
Qed.

(** A number and what is computed for it: both are at most B, and e apart. *)
Definition about (B e v x : R) := Rabs v <= B /\ Rabs x <= B /\ Rabs (x - v) <= e.
Lemma about_pos B e v x : about B e v x -> 0 <= B /\ 0 <= e.
Proof. intros (H & _ & K). pose proof (Rabs_pos v). pose proof (Rabs_pos (x - v)). lra. Qed.

Fixpoint absdot (w x : list R) : R := match w, x with a :: w, b :: x => Rabs a * Rabs b + absdot w x | _, _ => 0 end.
Lemma absdot_scale c w x : absdot (map (Rmult c) w) x = Rabs c * absdot w x.
Proof. revert x. induction w as [|a w IH]; intros [|b x]; simpl; try ring. rewrite IH, Rabs_mult. ring. Qed.
Lemma absdot_pos w x : 0 <= absdot w x.
Proof. revert x. induction w as [|a w IH]; intros [|b x]; simpl; try lra. specialize (IH x). pose proof (Rabs_pos a). pose proof (Rabs_pos b). nra. Qed.
Lemma dot_le w x : Rabs (dot w x) <= absdot w x.
Proof.
  revert x. induction w as [|a w IH]; intros [|b x]; simpl; try (rewrite Rabs_R0; lra). eapply Rle_trans. apply Rabs_triang. rewrite Rabs_mult. specialize (IH x). lra.
Qed.
Lemma map_dmul c d : map D2R (map (dmul c) d) = map (Rmult (D2R c)) (map D2R d).
Proof.
  rewrite !map_map. apply map_ext. intros e. unfold D2R, dmul; simpl. rewrite mult_IZR, powerRZ_add by lra. ring.
Qed.
Definition terms (w : list R) (b : R) (x : list R) := combine w x ++ [(b, 1)].
Lemma exact_terms w b x : exact (terms w b x) = dot w x + b.
Proof. unfold terms. revert x. induction w as [|a w IH]; intros [|y x]; simpl; try ring. rewrite IH. ring. Qed.
Lemma weight_terms w b x : weight (terms w b x) = absdot w x + Rabs b + INR (length (terms w b x)) * kappa.
Proof.
  unfold terms. revert x. induction w as [|a w IH]; intros [|y x]; simpl combine; simpl app.
  1-3: simpl; rewrite !Rmult_1_r; ring.
  simpl length. rewrite S_INR. simpl weight. rewrite IH. simpl absdot. rewrite Rabs_mult. ring.
Qed.
Lemma length_terms w b x : (length (terms w b x) <= S (length w))%nat.
Proof. unfold terms. rewrite app_length, combine_length. simpl. lia. Qed.
Lemma u_half : 2 * u = bpow radix2 (-52).
Proof. unfold u. change (-52)%Z with (1 + -53)%Z. rewrite bpow_plus. reflexivity. Qed.

(** A row of products and a bias: S bounds them, D what their arguments are off by. *)
Lemma row_close w b v x S D n : length (terms w b x) = length (terms w b v) -> absdot w v + Rabs b <= S -> absdot w x + Rabs b <= S ->
  Rabs (dot w x - dot w v) <= D -> (Datatypes.S (length w) <= n)%nat -> INR (Datatypes.S n) * (2 * u) <= 1 -> 2 * (S + INR n * kappa) <= huge ->
  let r := INR n * (2 * u) * (S + INR n * kappa) in sure (adds (terms w b x)) (about (S + r) (D + r) (dot w v + b)).
Proof.
  intros _ Sv Sx HD Hn N G r o Ho. pose proof u_pos. pose proof kappa_pos. pose proof (pos_INR n).
  assert (LN : INR (length (terms w b x)) <= INR n) by (apply le_INR; pose proof (length_terms w b x); lia).
  assert (W : weight (terms w b x) <= S + INR n * kappa). { rewrite weight_terms. assert (INR (length (terms w b x)) * kappa <= INR n * kappa) by (apply Rmult_le_compat_r; lra). lra. }
  pose proof (weight_pos (terms w b x)).
  assert (Gn : growth n <= INR n * (2 * u)). { apply growth_bound. rewrite S_INR in N. nra. }
  assert (GS : growth (Datatypes.S n) <= 1) by (eapply Rle_trans; [apply growth_bound|]; auto).
  destruct (adds_fine _ _ Ho) as (y & -> & Fy).
  { apply Rle_trans with (2 * (S + INR n * kappa)); auto. apply Rmult_le_compat; auto.
    pose proof (growth_pos (Datatypes.S (length (terms w b x)))). lra.
    assert (growth (Datatypes.S (length (terms w b x))) <= growth (Datatypes.S n)) by (apply growth_le; pose proof (length_terms w b x); lia). lra. }
  exists y. split; auto. destruct Fy as [_ E]. rewrite exact_terms in E.
  assert (R : growth (length (terms w b x)) * weight (terms w b x) <= r).
  { unfold r. apply Rmult_le_compat; auto. apply growth_pos. eapply Rle_trans; [|exact Gn]. apply growth_le. pose proof (length_terms w b x). lia. }
  assert (0 <= r) by (eapply Rle_trans; [|exact R]; apply Rmult_le_pos; auto; apply growth_pos).
  pose proof (dot_le w v). pose proof (dot_le w x). pose proof (Rabs_triang (dot w v) b). pose proof (Rabs_triang (dot w x) b).
  split. lra. split.
  - replace y with ((y - (dot w x + b)) + (dot w x + b)) by ring. eapply Rle_trans. apply Rabs_triang. lra.
  - replace (y - (dot w v + b)) with ((y - (dot w x + b)) + (dot w x - dot w v)) by ring. eapply Rle_trans. apply Rabs_triang. lra.
Qed.
Lemma product_close B1 e1 B2 e2 v1 x1 v2 x2 : about B1 e1 v1 x1 -> about B2 e2 v2 x2 -> 2 * (B1 * B2 + kappa) <= huge ->
  let r := u * (B1 * B2 + kappa) in sure (gives (rounded (x1 * x2))) (about (B1 * B2 + r) (B1 * e2 + e1 * B2 + r) (v1 * v2)).
Proof.
  intros H1 H2 G r o ->. pose proof (about_pos _ _ _ _ H1). pose proof (about_pos _ _ _ _ H2). destruct H1 as (V1 & X1 & E1), H2 as (V2 & X2 & E2).
  pose proof u_pos. pose proof kappa_pos. assert (U : u <= 1). { unfold u. change 1 with (bpow radix2 0). apply bpow_le. lia. }
  assert (PX : Rabs (x1 * x2) <= B1 * B2) by (rewrite Rabs_mult; apply Rmult_le_compat; auto; apply Rabs_pos).
  assert (PV : Rabs (v1 * v2) <= B1 * B2) by (rewrite Rabs_mult; apply Rmult_le_compat; auto; apply Rabs_pos).
  pose proof (nearest_close (x1 * x2)) as C. assert (K : u * (Rabs (x1 * x2) + kappa) <= r) by (apply Rmult_le_compat_l; lra).
  exists (nearest (x1 * x2)). split. { apply rounded_close. pose proof (Rabs_pos (x1 * x2)). nra. }
  assert (P : 0 <= B1 * B2) by (apply Rmult_le_pos; lra). assert (0 <= r) by (apply Rmult_le_pos; lra).
  split. lra. split.
  - replace (nearest (x1 * x2)) with ((nearest (x1 * x2) - x1 * x2) + x1 * x2) by ring. eapply Rle_trans. apply Rabs_triang. lra.
  - replace (nearest (x1 * x2) - v1 * v2) with ((nearest (x1 * x2) - x1 * x2) + (x1 * (x2 - v2) + (x1 - v1) * v2)) by ring.
    eapply Rle_trans. apply Rabs_triang. pose proof (Rabs_triang (x1 * (x2 - v2)) ((x1 - v1) * v2)) as T. rewrite !Rabs_mult in T.
    assert (Rabs x1 * Rabs (x2 - v2) <= B1 * e2) by (apply Rmult_le_compat; auto; apply Rabs_pos).
    assert (Rabs (x1 - v1) * Rabs v2 <= e1 * B2) by (apply Rmult_le_compat; auto; apply Rabs_pos). lra.
Qed.
Lemma relu_about B e v x : about B e v x -> about B e (relu v) (relu x).
Proof.
  intros H. pose proof (about_pos _ _ _ _ H) as [PB Pe]. destruct H as (V & X & E). unfold about, relu, Rmax in *. repeat split.
  - destruct (Rle_dec v 0); auto. rewrite Rabs_R0; auto. - destruct (Rle_dec x 0); auto. rewrite Rabs_R0; auto.
  - revert E V X. unfold Rabs. destruct (Rle_dec v 0), (Rle_dec x 0); repeat destruct (Rcase_abs _); lra.
Qed.

(** * Paths: whichever expert of every layer has a logit that is less than 2 e from the largest. *)
Fixpoint all_paths (es : list R) (Ls : list (layer (affine R))) (x : list R) (P : list R -> Prop) : Prop :=
  match Ls with
  | [] => P x
  | L :: Ls =>
    match gate L with
    | None => all_paths (tl es) Ls (leaving L x (output L x 0)) P
    | Some g =>
      let l := eval_net g (pick (sees L) x) in l <> [] /\ top L = 1%nat /\ convex (weighs L) = true /\
      forall j, (j < length l)%nat -> (forall i, (i < length l)%nat -> nth i l 0 - nth j l 0 <= 2 * hd 0 es) -> all_paths (tl es) Ls (leaving L x (output L x j)) P
    end
  end.
Lemma chosen_largest l j : In j (chosen 1 l) -> (j < length l)%nat /\ forall i, (i < length l)%nat -> nth i l 0 <= nth j l 0.
Proof.
  intros H. destruct (in_chosen _ _ _ H) as [Lj Cj]. split; auto. intros i Hi.
  assert (N : filter (before l j) (seq 0 (length l)) = []) by (destruct (filter (before l j) (seq 0 (length l))); auto; simpl in Cj; lia).
  destruct (Rle_dec (nth i l 0) (nth j l 0)); auto. exfalso.
  assert (I : In i (filter (before l j) (seq 0 (length l)))). { apply filter_In. split. apply in_seq; lia. unfold before. destruct (Rlt_dec _ _); auto. lra. }
  rewrite N in I. destruct I.
Qed.
(** The route in real arithmetic is one of them. *)
Lemma path_of_reals P : forall Ls es x, Forall (fun e => 0 <= e) es -> all_paths es Ls x P -> P (eval_moe Ls x).
Proof.
  induction Ls as [|L Ls IH]; intros es x He H; simpl in *; auto. assert (Ht : Forall (fun e => 0 <= e) (tl es)) by (destruct He; simpl; auto).
  unfold eval_layer. destruct (gate L) as [g|]; [|apply IH with (1 := Ht); auto]. destruct H as (N & T & C & H). rewrite T.
  destruct (chosen_one _ N) as (j & Ej & Lj). rewrite Ej, leaving_one by auto. apply IH with (1 := Ht). apply H; auto.
  intros i Hi. destruct (chosen_largest (eval_net g (pick (sees L) x)) j) as [_ M]. rewrite Ej; left; auto. specialize (M i Hi).
  assert (0 <= hd 0 es) by (destruct He; simpl; lra). lra.
Qed.

(** * Every network has an evaluation: what is said of all of them is said of something. *)
Definition possible {A} (m : may A) := exists o, m o.
Lemma possible_gives A (a : option A) : possible (gives a). Proof. exists a. reflexivity. Qed.
Lemma possible_anything A : possible (@anything A). Proof. exists None. exact Logic.I. Qed.
Lemma possible_chain A B (m : may A) (k : A -> may B) : possible m -> (forall a, possible (k a)) -> possible (chain m k).
Proof. intros ([a|] & Ha) K. destruct (K a) as (o & Ho). exists o, (Some a). auto. exists None, None. auto. Qed.
Lemma possible_each A (ms : list (may A)) : Forall possible ms -> possible (each ms).
Proof. intros H. induction H; simpl; repeat (apply possible_chain; auto; intros); apply possible_gives. Qed.
Lemma possible_adds l : possible (adds l).
Proof.
  induction l as [|[w x] l ([a|] & H)]. exists (Some 0). constructor. eexists. apply Fused with (1 := H).
  exists None. apply Ordered with (l ++ [(w, x)]). symmetry. apply Permutation_cons_append. apply Lost; auto.
Qed.
Lemma possible_run a x : possible (fl_run a x).
Proof. apply possible_each. apply Forall_forall. intros m H. apply in_map_iff in H. destruct H as (p & <- & _). apply possible_adds. Qed.
Lemma possible_hidden h x : possible (fl_hidden h x).
Proof.
  apply possible_chain. apply possible_run. intros z. apply possible_chain.
  - apply possible_each. generalize (acts h). induction z as [|b z IH]; intros [|f fs]; simpl; constructor; auto. destruct f; simpl; auto using possible_gives, possible_anything.
  - intros y. destruct (lanes h) as [up|]. 2: apply possible_gives. apply possible_chain. apply possible_run. intros w. apply possible_each.
    revert w. induction y as [|b y IH]; intros [|c w]; simpl; constructor; auto using possible_gives.
Qed.
Lemma possible_net n x : possible (fl_net n x).
Proof.
  apply possible_chain. 2: intros; apply possible_run. revert x. induction (fst n) as [|h hs IH]; intros x; simpl. apply possible_gives.
  apply possible_chain; auto. apply possible_hidden.
Qed.
Lemma possible_layer L x : possible (fl_layer L x).
Proof.
  assert (E : forall j, possible (chain (fl_expert L x j) (fl_leaving L x))).
  { intros j. apply possible_chain.
    - apply possible_chain. 2: intros; apply possible_net. unfold fl_inner. destruct (latent L). apply possible_run. apply possible_gives.
    - intros o. apply possible_chain. unfold fl_shared. destruct (shared L). apply possible_net. apply possible_gives.
      intros sh. apply possible_each. apply Forall_forall. intros m H. apply in_map_iff in H. destruct H as (p & <- & _). apply possible_adds. }
  unfold fl_layer. destruct (gate L) as [g|]; auto. destruct (top L) as [|[|k]]; try apply possible_anything.
  apply possible_chain. apply possible_net. intros l. destruct (chosen 1 l); auto using possible_anything.
Qed.
Theorem evaluation_exists Ls x : exists o, fl_network_of Ls x o.
Proof.
  change (possible (fl_moe (map (map_layer real) Ls) x)). revert x. induction (map (map_layer real) Ls) as [|L M IH]; intros x; simpl. apply possible_gives.
  apply possible_chain; auto. apply possible_layer.
Qed.
