(* What the list of all values of a task graph is like: which lists of numbers the nodes and inputs of Tasks.v allow. *)
From Coq Require Import Reals List Lia.
From AtlasMoE Require Import Semantics Tasks.
Import ListNotations.
Open Scope R_scope.

(** * Lists: a part of one, entries that are put elsewhere *)
Definition slice {A} (o m : nat) (w : list A) : list A := firstn m (skipn o w).
Fixpoint put {A} (k : nat) (x : A) (l : list A) : list A :=
  match l, k with [], _ => [] | _ :: l, O => x :: l | y :: l, S k => y :: put k x l end.
Fixpoint puts {A} (o : nat) (xs : list A) (l : list A) : list A := match xs with [] => l | x :: xs => puts (S o) xs (put o x l) end.
Lemma put_correct A (P : A -> R -> Prop) V w : Forall2 P V w -> forall k F, P F (nth k w 0) -> Forall2 P (put k F V) w.
Proof. intros H. induction H; intros [|k] F K; simpl in *; constructor; auto. Qed.
Lemma skipn_S A o (w : list A) : skipn (S o) w = tl (skipn o w).
Proof. revert w. induction o; intros [|x w]; simpl; auto. rewrite <- IHo. destruct w; auto. Qed.
Lemma slice_cons o m w x l : slice o (S m) w = x :: l -> x = nth o w 0 /\ l = slice (S o) m w.
Proof.
  unfold slice. rewrite skipn_S. intros E. assert (N : hd 0 (skipn o w) = nth o w 0). { clear. revert w. induction o; intros [|y w]; simpl; auto. }
  destruct (skipn o w); simpl in *; try discriminate. injection E as <- <-. auto.
Qed.
Lemma puts_correct A (P : A -> R -> Prop) w : forall Fs o V, Forall2 P V w -> Forall2 P Fs (slice o (length Fs) w) -> Forall2 P (puts o Fs V) w.
Proof.
  induction Fs as [|F Fs IH]; intros o V HV HF; simpl in *; auto. inversion HF as [|? y ? l HF1 HF2 E1 E2]; subst. symmetry in E2. apply slice_cons in E2. destruct E2 as [-> ->].
  apply IH; auto. apply put_correct; auto.
Qed.
Lemma slice_app A o m (v t : list A) : length (slice o m v) = m -> slice o m (v ++ t) = slice o m v.
Proof.
  unfold slice. intros H. rewrite firstn_length in H. rewrite skipn_app, firstn_app. replace (m - length (skipn o v))%nat with 0%nat by lia. rewrite firstn_O, app_nil_r. reflexivity.
Qed.
Lemma slice_middle A (a b c : list A) : slice (length a) (length b) (a ++ b ++ c) = b.
Proof. unfold slice. rewrite skipn_app, skipn_all, Nat.sub_diag. simpl. rewrite firstn_app, firstn_all, Nat.sub_diag. simpl. apply app_nil_r. Qed.
Lemma firstn_left A (a b : list A) : firstn (length a) (a ++ b) = a.
Proof. rewrite firstn_app, firstn_all, Nat.sub_diag. simpl. apply app_nil_r. Qed.
Lemma nth_slice (w : list R) o m j : (j < m)%nat -> nth j (slice o m w) 0 = nth (o + j) w 0.
Proof.
  unfold slice. intros H. transitivity (nth j (skipn o w) 0).
  - generalize (skipn o w). revert j H. induction m as [|m IH]; intros j H l. lia. destruct l as [|x l]; simpl. destruct j; auto. destruct j; auto. apply IH. lia.
  - clear. revert w. induction o as [|o IH]; intros [|x w]; simpl; auto. destruct j; auto.
Qed.
Lemma nth_seq_map A (f : nat -> A) d m j : (j < m)%nat -> nth j (map f (seq 0 m)) d = f j.
Proof. intros H. rewrite nth_indep with (d' := f 0%nat) by (rewrite map_length, seq_length; auto). rewrite map_nth, seq_nth by auto. reflexivity. Qed.

(** * Lists of all values *)
Definition arity (n : node) : nat := match n with [] => 0 | p :: _ => length (functions p) end.
Definition breadth (M : list chart) : nat := match M with [] => 0 | c :: _ => length (inverse c) end.
Fixpoint placed (o : nat) (ns : list node) : list (nat * node) := match ns with [] => [] | n :: ns => (o, n) :: placed (o + arity n) ns end.
Fixpoint placed_inputs (o : nat) (Ms : list (list chart)) : list (nat * list chart) := match Ms with [] => [] | M :: Ms => (o, M) :: placed_inputs (o + breadth M) Ms end.
Definition total_breadth (Ms : list (list chart)) : nat := fold_right (fun M s => (breadth M + s)%nat) 0%nat Ms.
Definition point_at (w : list R) (o : nat) (M : list chart) : Prop :=
  exists c u, In c M /\ in_box (box c) u /\ Forall (fun r => 0 <= denote r u) (region c) /\ length (inverse c) = breadth M /\ values (inverse c) u = slice o (breadth M) w.
Definition value_at (w : list R) (o : nat) (n : node) : Prop :=
  exists p, In p n /\ owns p w /\ length (functions p) = arity n /\ values (functions p) (firstn o w) = slice o (arity n) w.
Definition points (Ms : list (nat * list chart)) (w : list R) : Prop := Forall (fun m => point_at w (fst m) (snd m)) Ms.
Definition truth (g : graph) (rs : list (dyadic * dyadic)) (w : list R) : Prop :=
  in_box rs w /\ points (placed_inputs 0 (inputs g)) w /\ Forall (fun n => value_at w (fst n) (snd n)) (placed (total_breadth (inputs g)) (nodes g)).
Lemma in_box_length bs v : in_box bs v -> length bs = length v.
Proof. intros H; induction H; simpl; auto. Qed.
Lemma point_at_more v t o M : point_at v o M -> point_at (v ++ t) o M.
Proof.
  intros (c & u & I & B & Re & L & V). exists c, u. repeat split; auto. rewrite slice_app; auto. rewrite <- V. unfold values. rewrite map_length. auto.
Qed.
Lemma owns_more p v t : forallb (fun s => Nat.ltb (fst s) (length v)) (sides p) = true -> owns p v -> owns p (v ++ t).
Proof.
  unfold owns. intros H O. rewrite Forall_forall in *. rewrite forallb_forall in H. intros s I. specialize (H s I). apply Nat.ltb_lt in H. rewrite app_nth1 by auto. auto.
Qed.
