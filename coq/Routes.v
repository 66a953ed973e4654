(* What the chosen experts are, and what follows for them all from what is known of each; and flags that say which may be chosen. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From AtlasMoE Require Import Semantics.
Import ListNotations.
Open Scope R_scope.

Lemma before_total l i j : i <> j -> before l j i = true \/ before l i j = true.
Proof.
  intros N. unfold before. destruct (Rlt_dec (nth j l 0) (nth i l 0)), (Rlt_dec (nth i l 0) (nth j l 0)); auto.
  destruct (Nat.ltb_spec i j); auto. right. apply Nat.ltb_lt. lia.
Qed.
Lemma in_chosen k l j : In j (chosen k l) -> (j < length l)%nat /\ (length (filter (before l j) (seq 0 (length l))) < k)%nat.
Proof. unfold chosen. intros H. apply filter_In in H. destruct H as [H1 H2]. apply in_seq in H1. apply Nat.ltb_lt in H2. lia. Qed.

(** Some logit goes before all others. *)
Lemma first_of l : l <> [] -> exists j, (j < length l)%nat /\ filter (before l j) (seq 0 (length l)) = [].
Proof.
  intros N. assert (H : forall n, (0 < n <= length l)%nat -> exists j, (j < n)%nat /\ forall i, (i < n)%nat -> before l j i = false).
  { induction n as [|n IH]; intros Hn. lia. destruct n as [|n].
    - exists 0%nat. split. lia. intros i Hi. replace i with 0%nat by lia. unfold before. destruct (Rlt_dec _ _); auto. lra.
    - destruct (IH ltac:(lia)) as (j & Hj & J). destruct (before l j (S n)) eqn:B.
      + exists (S n). split. lia. intros i Hi. unfold before in *. destruct (Rlt_dec (nth j l 0) (nth (S n) l 0)).
        * destruct (Nat.eq_dec i (S n)). { subst. destruct (Rlt_dec _ _). lra. apply Nat.ltb_irrefl. }
          specialize (J i ltac:(lia)). destruct (Rlt_dec (nth (S n) l 0) (nth i l 0)). { destruct (Rlt_dec (nth j l 0) (nth i l 0)). discriminate. lra. }
          destruct (Rlt_dec (nth i l 0) (nth (S n) l 0)); auto. destruct (Rlt_dec (nth j l 0) (nth i l 0)); try discriminate. lra.
        * destruct (Rlt_dec (nth (S n) l 0) (nth j l 0)); try discriminate. apply Nat.ltb_lt in B. lia.
      + exists j. split. lia. intros i Hi. destruct (Nat.eq_dec i (S n)). subst; auto. apply J. lia. }
  destruct (H (length l)) as (j & Hj & J). destruct l; simpl; try lia. congruence.
  exists j. split; auto. assert (forall ns, (forall i, In i ns -> (i < length l)%nat) -> filter (before l j) ns = []).
  { induction ns as [|i ns IHn]; intros K; simpl; auto. rewrite J by (apply K; left; auto). apply IHn. intros; apply K; right; auto. }
  apply H0. intros i Hi. apply in_seq in Hi. lia.
Qed.
Lemma chosen_some k l : l <> [] -> (1 <= k)%nat -> chosen k l <> [].
Proof.
  intros N K E. destruct (first_of l N) as (j & Hj & F). assert (In j (chosen k l)).
  { unfold chosen. apply filter_In. split. apply in_seq. lia. rewrite F. simpl. apply Nat.ltb_lt. lia. }
  rewrite E in H. destruct H.
Qed.
Lemma chosen_one l : l <> [] -> exists j, chosen 1 l = [j] /\ (j < length l)%nat.
Proof.
  intros N. destruct (first_of l N) as (j & Hj & F). exists j. split; auto.
  assert (J : In j (chosen 1 l)). { unfold chosen. apply filter_In. split. apply in_seq. lia. rewrite F. reflexivity. }
  assert (U : forall i, In i (chosen 1 l) -> i = j).
  { intros i Hi. destruct (Nat.eq_dec i j); auto. exfalso. destruct (in_chosen _ _ _ Hi) as [Li Ci].
    destruct (before_total l i j n) as [B|B].
    - assert (In i (filter (before l j) (seq 0 (length l)))) by (apply filter_In; split; auto; apply in_seq; lia). rewrite F in H. destruct H.
    - assert (In j (filter (before l i) (seq 0 (length l)))) by (apply filter_In; split; auto; apply in_seq; lia).
      destruct (filter (before l i) (seq 0 (length l))). destruct H. simpl in Ci. lia. }
  assert (ND : NoDup (chosen 1 l)) by (unfold chosen; apply NoDup_filter, seq_NoDup).
  destruct (chosen 1 l) as [|a [|b r]]. destruct J. f_equal. apply U. left; auto.
  exfalso. inversion ND. apply H1. rewrite (U a), (U b); simpl; auto.
Qed.

(** Weights that are not negative and add up to 1. *)
Definition convex w := match w with Rectified => false | _ => true end.
Lemma sum_map_nonneg A (f : A -> R) l : (forall x, In x l -> 0 <= f x) -> 0 <= sum (map f l).
Proof. induction l as [|a l IH]; simpl; intros H. lra. assert (0 <= f a) by auto. assert (0 <= sum (map f l)) by auto. lra. Qed.
Lemma sum_scale A (f : A -> R) c l : sum (map (fun x => f x * c) l) = sum (map f l) * c.
Proof. induction l; simpl. ring. rewrite IHl. ring. Qed.
Lemma sum_exp_pos (l : list R) js : js <> [] -> 0 < sum (map (fun i => exp (nth i l 0)) js).
Proof.
  destruct js as [|j js]. congruence. intros _. simpl. pose proof (exp_pos (nth j l 0)).
  assert (0 <= sum (map (fun i => exp (nth i l 0)) js)) by (apply sum_map_nonneg; intros; left; apply exp_pos). lra.
Qed.
Lemma weights_convex w l js : convex w = true -> js <> [] ->
  (forall j, In j js -> 0 <= weight w l js j) /\ sum (map (weight w l js) js) = 1.
Proof.
  intros C N. destruct w; try discriminate; unfold weight.
  - pose proof (sum_exp_pos l js N) as P. split. intros. apply Rmult_le_pos. left; apply exp_pos. left. apply Rinv_0_lt_compat; auto.
    rewrite (sum_scale nat (fun j => exp (nth j l 0))). field. lra.
  - assert (P : 0 < INR (length js)). { apply lt_0_INR. destruct js. congruence. simpl; lia. }
    split. intros; left; apply Rinv_0_lt_compat; auto.
    assert (forall n (l' : list nat), length l' = n -> sum (map (fun _ => / INR (length js)) l') = INR n * / INR (length js)).
    { induction n; intros [|x l'] E; try discriminate. simpl; ring. rewrite S_INR. simpl. rewrite IHn by (simpl in E; lia). ring. }
    rewrite (H (length js)); auto. field. lra.
Qed.
Lemma average_close (f a e : R) (w g : nat -> R) js : (forall j, In j js -> 0 <= w j) -> sum (map w js) = 1 ->
  (forall j, In j js -> Rabs (f - (a + g j)) <= e) -> Rabs (f - (a + sum (map (fun j => w j * g j) js))) <= e.
Proof.
  intros W S H.
  assert (K : forall ns, (forall j, In j ns -> In j js) -> Rabs (sum (map w ns) * (f - a) - sum (map (fun j => w j * g j) ns)) <= sum (map w ns) * e).
  { induction ns as [|j ns IH]; intros Hn; simpl. { rewrite Rmult_0_l, Rminus_0_r, Rabs_R0. lra. }
    assert (A : Rabs (w j * (f - (a + g j))) <= w j * e).
    { rewrite Rabs_mult, (Rabs_right (w j)) by (apply Rle_ge, W, Hn; left; auto). apply Rmult_le_compat_l. apply W, Hn; left; auto. apply H, Hn; left; auto. }
    specialize (IH ltac:(intros; apply Hn; right; auto)).
    replace ((w j + sum (map w ns)) * (f - a) - (w j * g j + sum (map (fun j => w j * g j) ns)))
      with (w j * (f - (a + g j)) + (sum (map w ns) * (f - a) - sum (map (fun j => w j * g j) ns))) by ring.
    eapply Rle_trans. apply Rabs_triang. lra. }
  specialize (K js ltac:(auto)). rewrite S in K. replace (f - (a + sum (map (fun j => w j * g j) js))) with (1 * (f - a) - sum (map (fun j => w j * g j) js)) by ring. lra.
Qed.

Definition near (eps : R) := Forall2 (fun f p => Rabs (f - p) <= eps).
(** What is true of every expert alone is true of what is mixed of them. *)
Lemma mixed_near L x w l js eps f : (forall j, In j js -> 0 <= weight w l js j) -> sum (map (weight w l js) js) = 1 ->
  (forall j, In j js -> near eps f (leaving L x (output L x j))) ->
  js <> [] -> near eps f (leaving L x (fun i => sum (map (fun j => weight w l js j * output L x j i) js))).
Proof.
  intros W S H N. unfold leaving in *. revert f H. generalize (leaves L). intros ps. induction ps as [|p ps IH]; intros f H.
  - destruct js as [|j js]. congruence. specialize (H j ltac:(left; auto)). simpl in *. inversion H; constructor.
  - destruct f as [|f0 f]. { exfalso. destruct js as [|j js]. congruence. specialize (H j ltac:(left; auto)). inversion H. }
    simpl. constructor.
    + assert (H0 : forall j, In j js -> Rabs (f0 - (match fst p with None => 0 | Some c => nth c x 0 end + match snd p with None => 0 | Some i => output L x j i +
          match shared L with None => 0 | Some n => nth i (eval_net n (pick (reads L) x)) 0 end end)) <= eps) by (intros j Hj; specialize (H j Hj); inversion H; auto).
      destruct (snd p) as [i|].
      * set (c := match fst p with None => 0 | Some c => nth c x 0 end) in *. set (s := match shared L with None => 0 | Some _ => _ end) in *.
        replace (c + (sum (map (fun j => weight w l js j * output L x j i) js) + s)) with ((c + s) + sum (map (fun j => weight w l js j * output L x j i) js)) by ring.
        apply average_close; auto. intros j Hj. replace (c + s + output L x j i) with (c + (output L x j i + s)) by ring. auto.
      * destruct js as [|j js]. congruence. apply (H0 j). left; auto.
    + apply IH. intros j Hj. specialize (H j Hj). inversion H; auto.
Qed.
Lemma mixed_one L x w l j : convex w = true -> (fun i => sum (map (fun j' => weight w l [j] j' * output L x j' i) [j])) = (fun i => 1 * output L x j i + 0).
Proof.
  intros C. destruct w; try discriminate; simpl; unfold weight; simpl.
  - replace (exp (nth j l 0) * / (exp (nth j l 0) + 0)) with 1. reflexivity. field. pose proof (exp_pos (nth j l 0)). lra.
  - rewrite Rinv_1. reflexivity.
Qed.
Lemma leaving_one L x w l j : convex w = true ->
  leaving L x (fun i => sum (map (fun j' => weight w l [j] j' * output L x j' i) [j])) = leaving L x (output L x j).
Proof.
  intros C. rewrite mixed_one by auto. unfold leaving. apply map_ext. intros [c [i|]]; simpl; auto. ring.
Qed.
Lemma filter_seq A (f : A -> bool) (d : A) l : length (filter (fun i => f (nth i l d)) (seq 0 (length l))) = length (filter f l).
Proof.
  induction l as [|a l IH]; simpl; auto. rewrite <- seq_shift.
  assert (E : forall ns, length (filter (fun i => f (match i with O => a | S m => nth m l d end)) (map S ns)) = length (filter (fun i => f (nth i l d)) ns)).
  { induction ns as [|n ns IHn]; simpl; auto. destruct (f (nth n l d)); simpl; rewrite IHn; auto. }
  destruct (f a); simpl; rewrite E, IH; auto.
Qed.
Lemma filter_less A (f g : A -> bool) l : (forall x, In x l -> f x = true -> g x = true) -> (length (filter f l) <= length (filter g l))%nat.
Proof.
  induction l as [|a l IH]; simpl; intros H; auto. specialize (IH ltac:(auto)). destruct (f a) eqn:E.
  - rewrite (H a) by auto. simpl. lia. - destruct (g a); simpl; lia.
Qed.
(** Whether at least k elements are such. *)
Fixpoint at_least {A} (k : nat) (f : A -> bool) (l : list A) : bool :=
  match k with O => true | S k' => match l with [] => false | a :: l => if f a then at_least k' f l else at_least k f l end end.
Lemma at_least_correct A (f : A -> bool) l : forall k, at_least k f l = true -> (k <= length (filter f l))%nat.
Proof.
  induction l as [|a l IH]; intros [|k] H; simpl in *; try lia; try discriminate. destruct (f a); simpl. specialize (IH _ H). lia. apply (IH (S k)); auto.
Qed.

(** * Flags: what is chosen nowhere on a box is chosen nowhere in its parts *)
Fixpoint raise (k : nat) (flags : list bool) : list bool :=
  match flags with [] => [] | f :: flags => match k with O => true :: flags | S k => f :: raise k flags end end.
Definition outputs_of (sv : list nat) (n e : nat) : list nat := filter (fun j => Nat.eqb (nth j sv 0%nat) e) (seq 0 n).
(** Of the channels that leave a layer those that are asked for. *)
Fixpoint outputs_asked (asked : list bool) (ps : list (option nat * option nat)) (flags : list bool) : list bool :=
  match ps with [] => flags | p :: ps => outputs_asked (List.tl asked) ps (match snd p with Some i => if hd true asked then raise i flags else flags | None => flags end) end.
(** Outputs of gates that may be chosen, by flags for each layer: what is chosen nowhere on a box is chosen nowhere in its parts. *)
Fixpoint live (fl : list bool) (sv : list nat) (n : nat) : list nat :=
  match n with O => [] | S n => let r := live (List.tl fl) (List.tl sv) n in if hd true fl then hd 0%nat sv :: r else r end.
Fixpoint lower (k : nat) (flags : list bool) : list bool :=
  match flags with [] => [] | f :: flags => match k with O => false :: flags | S k => f :: lower k flags end end.
Fixpoint agreed (a b : list bool) : list bool := match a, b with x :: a, y :: b => (x && y) :: agreed a b | _, _ => [] end.
Fixpoint raises (ks : list nat) (flags : list bool) : list bool := match ks with [] => flags | k :: ks => raises ks (raise k flags) end.
Fixpoint carries (ps : list (option nat * option nat)) (flags : list bool) : list bool :=
  match ps with [] => flags | (Some c, _) :: ps => carries ps (raise c flags) | _ :: ps => carries ps flags end.
(** At x gates choose only what the flags say. *)
Fixpoint goes_by (al : list (list bool)) (Ls : list (layer (block dyadic))) (x : list R) : Prop :=
  match Ls with
  | [] => True
  | L :: Ls =>
    let next := fun j => goes_by (List.tl al) Ls (leaving (map_layer real L) x (output (map_layer real L) x j)) in
    match gate L with
    | None => next 0%nat
    | Some g => forall j, In j (chosen (top L) (eval_net (map_net real g) (pick (sees L) x))) -> nth j (hd [] al) true = true /\ next j
    end
  end.
Lemma goes_by_nothing : forall Ls x, goes_by [] Ls x.
Proof. induction Ls as [|L Ls IH]; intros x; simpl; auto. destruct (gate L); auto. intros j _. split; auto. destruct j; auto. Qed.
Lemma live_correct n : forall fl sv j, (j < n)%nat -> nth j fl true = true -> In (nth j sv 0%nat) (live fl sv n).
Proof.
  induction n as [|n IH]; intros fl sv j Hj F. lia. simpl. destruct j as [|j].
  - destruct fl as [|f fl]; simpl in *; subst; destruct sv; left; auto.
  - assert (In (nth j (List.tl sv) 0%nat) (live (List.tl fl) (List.tl sv) n)). { apply IH. lia. destruct fl; simpl in *; auto. destruct j; auto. }
    destruct sv; simpl in *; destruct (hd true fl); try (right; auto; fail); auto; destruct j; try (right; auto; fail); auto.
Qed.
