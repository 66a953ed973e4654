(* Values that are finitely many: of inputs, of what is computed from them by + and *, of all values of a graph; and what ends of pieces become then.
   No intervals. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From AtlasMoE Require Import Semantics Tasks Dyadics Truth.
Import ListNotations.
Open Scope R_scope.

(** All values that a number takes; None where that is not known. *)
Definition few := option (list dyadic).
Definition is_few (f : few) (x : R) : Prop := match f with None => True | Some l => exists d, In d l /\ x = D2R d end.
Definition most : nat := 4096.
(** Without those that are there before. *)
Fixpoint distinct (l done : list dyadic) : list dyadic :=
  match l with [] => done | d :: l => if existsb (same_value d) done then distinct l done else distinct l (d :: done) end.
Lemma distinct_correct x : forall l done, (exists d, In d (l ++ done) /\ x = D2R d) -> exists d, In d (distinct l done) /\ x = D2R d.
Proof.
  induction l as [|c l IH]; intros done (d & I & E); simpl in *. eauto. destruct (existsb (same_value c) done) eqn:Q.
  - apply IH. destruct I as [<-|I]; eauto. apply existsb_exists in Q. destruct Q as (c' & I & Q). apply same_value_correct in Q. exists c'. split. apply in_or_app; auto. congruence.
  - apply IH. exists d. split; auto. destruct I as [<-|I]. apply in_or_app. right; left; auto. apply in_app_or in I. apply in_or_app. destruct I; auto. right; right; auto.
Qed.
Definition pairs (f : dyadic -> dyadic -> dyadic) (a b : few) : few :=
  match a, b with
  | Some a, Some b => if (length a * length b <=? most)%nat then Some (distinct (flat_map (fun x => map (f x) b) a) []) else None
  | _, _ => None
  end.
Lemma pairs_correct f g a b x y : (forall c d, D2R (f c d) = g (D2R c) (D2R d)) -> is_few a x -> is_few b y -> is_few (pairs f a b) (g x y).
Proof.
  intros F A B. destruct a as [a|], b as [b|]; simpl; auto. destruct (_ <=? _)%nat; simpl; auto. destruct A as (c & C & ->), B as (d & D & ->).
  apply distinct_correct. exists (f c d). split; auto. rewrite app_nil_r. apply in_flat_map. exists c. split; auto. apply in_map; auto.
Qed.
Fixpoint few_of (V : list few) (e : expr) : few :=
  match e with
  | Var k => nth k V None | Int n => Some [(n, 0%Z)] | Dec d => Some [d]
  | Add a b => pairs plus (few_of V a) (few_of V b) | Mul a b => pairs dmul (few_of V a) (few_of V b)
  | Neg a => option_map (map opp) (few_of V a)
  | Pow a n => match few_of V a with None => None | Some l => Some (map (fun d => Nat.iter n (dmul d) (1, 0)%Z) l) end
  | _ => None
  end.
Definition all_few (V : list few) (w : list R) : Prop := forall k, is_few (nth k V None) (nth k w 0).
Lemma few_of_correct V w e : all_few V w -> is_few (few_of V e) (denote e w).
Proof.
  intros H. induction e; simpl; auto; try exact I.
  - exists (n, 0%Z). split. left; auto. unfold D2R. simpl. ring.
  - exists d. split; [left|]; auto.
  - apply pairs_correct with (g := Rplus); auto. apply D2R_plus.
  - apply pairs_correct with (g := Rmult); auto. apply D2R_mul.
  - destruct (few_of V e) as [l|]; simpl in *; auto. destruct IHe as (d & D & ->). exists (opp d). split. apply in_map; auto. rewrite D2R_opp. auto.
  - destruct (few_of V e) as [l|]; simpl in *; auto. destruct IHe as (d & D & ->). eexists. split. apply in_map_iff. exists d. split; eauto. simpl. clear.
    induction n as [|n IH]; simpl. unfold D2R. simpl. ring. rewrite D2R_mul, <- IH. auto.
Qed.
(** Those of several cases together. *)
Fixpoint together (fs : list few) : few :=
  match fs with [] => Some [] | f :: fs => match f, together fs with Some a, Some b => Some (distinct a b) | _, _ => None end end.
Lemma together_correct x f : forall fs, In f fs -> is_few f x -> is_few (together fs) x.
Proof.
  induction fs as [|g fs IH]; intros I H; simpl. destruct I. destruct g as [a|] eqn:G, (together fs) as [b|] eqn:T; simpl; auto. apply distinct_correct. destruct I as [<-|I].
  - destruct H as (d & D & ->). exists d. split; auto. apply in_or_app; auto.
  - destruct (IH I H) as (d & D & ->). exists d. split; auto. apply in_or_app; auto.
Qed.

(** * Ends of pieces: the least and the largest value that lies there *)
Definition starts (a : endpoint) (d : dyadic) : bool :=
  match a with Free => true | Closed c => at_most_d c d | Open c => (sign (plus d (opp c)) =? 1)%Z end.
Definition stops (b : endpoint) (d : dyadic) : bool :=
  match b with Free => true | Closed c => at_most_d d c | Open c => (sign (plus c (opp d)) =? 1)%Z end.
Lemma at_most_complete a b : D2R a <= D2R b -> at_most_d a b = true.
Proof.
  intros H. unfold at_most_d. destruct (nonpos (plus a (opp b))) eqn:E; auto. exfalso. unfold nonpos in E. apply Z.leb_gt in E.
  assert (P : sign (plus a (opp b)) = 1%Z) by (unfold sign in *; lia). apply sign_pos in P. rewrite D2R_plus, D2R_opp in P. lra.
Qed.
Lemma less_complete a b : D2R a < D2R b -> (sign (plus b (opp a)) =? 1)%Z = true.
Proof.
  intros H. apply Z.eqb_eq. assert (Q : 0 < D2R (plus b (opp a))) by (rewrite D2R_plus, D2R_opp; lra).
  unfold sign. destruct (Z.sgn_spec (fst (plus b (opp a)))) as [[P E]|[[P E]|[P E]]]; auto; exfalso; unfold D2R in Q.
  - rewrite <- P in Q. lra.
  - assert (0 < powerRZ 2 (snd (plus b (opp a)))) by (apply powerRZ_lt; lra). assert (IZR (fst (plus b (opp a))) < 0) by (apply IZR_lt; auto). nra.
Qed.
Definition lies (s : endpoint * endpoint) (d : dyadic) : bool := starts (fst s) d && stops (snd s) d.
Lemma lies_complete s d : from (fst s) (D2R d) -> upto (snd s) (D2R d) -> lies s d = true.
Proof.
  intros A B. apply andb_true_intro. split.
  - destruct (fst s) as [|c|c]; simpl in *; auto. apply at_most_complete; auto. apply less_complete; auto.
  - destruct (snd s) as [|c|c]; simpl in *; auto. apply at_most_complete; auto. apply less_complete; auto.
Qed.
Definition smaller (a b : dyadic) : dyadic := if at_most_d a b then a else b.
Definition larger (a b : dyadic) : dyadic := if at_most_d a b then b else a.
Lemma smaller_correct a b : D2R (smaller a b) <= D2R a /\ D2R (smaller a b) <= D2R b.
Proof.
  unfold smaller. destruct (at_most_d a b) eqn:E. apply at_most_d_correct in E. lra. split; [|lra].
  destruct (Rle_dec (D2R a) (D2R b)) as [H|H]; [|lra]. rewrite (at_most_complete a b H) in E. discriminate.
Qed.
Lemma larger_correct a b : D2R a <= D2R (larger a b) /\ D2R b <= D2R (larger a b).
Proof.
  unfold larger. destruct (at_most_d a b) eqn:E. apply at_most_d_correct in E. lra. split; [lra|].
  destruct (Rle_dec (D2R a) (D2R b)) as [H|H]; [|lra]. rewrite (at_most_complete a b H) in E. discriminate.
Qed.
Lemma extremes (d : dyadic) : forall l a, In d (a :: l) -> D2R (fold_left smaller l a) <= D2R d <= D2R (fold_left larger l a).
Proof.
  induction l as [|b l IH]; intros a I; simpl. destruct I as [<-|[]]; lra.
  destruct (smaller_correct a b) as [S1 S2], (larger_correct a b) as [L1 L2].
  assert (K : forall l a, D2R (fold_left smaller l a) <= D2R a /\ D2R a <= D2R (fold_left larger l a)).
  { clear. induction l as [|b l IH]; intros a; simpl. lra. destruct (IH (smaller a b)), (IH (larger a b)), (smaller_correct a b), (larger_correct a b). lra. }
  destruct (K l (smaller a b)), (K l (larger a b)). destruct I as [<-|[<-|I]]; try lra.
  split. apply (IH (smaller a b)); right; auto. apply (IH (larger a b)); right; auto.
Qed.
(** Side k of a piece, if few values are known there: from the first to the last of those that lie in it. *)
Definition tight (V : list few) (s : nat * (endpoint * endpoint)) : nat * (endpoint * endpoint) :=
  match nth (fst s) V None with
  | None => s
  | Some l => match filter (lies (snd s)) l with [] => s | a :: l => (fst s, (Closed (fold_left smaller l a), Closed (fold_left larger l a))) end
  end.
Definition tightened (V : list few) (p : piece) : piece := Piece (map (tight V) (sides p)) (functions p).
Lemma tightened_owns V p w : all_few V w -> owns p w -> owns (tightened V p) w.
Proof.
  intros H. unfold owns, tightened. simpl. intros O. apply Forall_map. revert O. apply Forall_impl. intros [k [a b]] [A B]. unfold tight. simpl fst in *. simpl snd in *. pose proof (H k) as Hk.
  destruct (nth k V None) as [l|]; simpl; auto. simpl in Hk. destruct Hk as (d & D & E). rewrite E in *. pose proof (lies_complete (a, b) d A B) as Q.
  assert (F : In d (filter (lies (a, b)) l)) by (apply filter_In; auto). destruct (filter (lies (a, b)) l) as [|c l'] eqn:EF. destruct F. simpl. rewrite E. exact (extremes d l' c F).
Qed.
(** Values that lie where a piece owns them. *)
Definition kept_side (V : list few) (s : nat * (endpoint * endpoint)) : list few :=
  match nth (fst s) V None with None => V | Some l => firstn (fst s) V ++ Some (filter (lies (snd s)) l) :: skipn (S (fst s)) V end.
Definition kept (V : list few) (p : piece) : list few := fold_left kept_side (sides p) V.
Lemma kept_side_correct V k s w : all_few V w -> from (fst s) (nth k w 0) -> upto (snd s) (nth k w 0) -> all_few (kept_side V (k, s)) w.
Proof.
  intros H A B. pose proof (H k) as Hk. unfold kept_side. simpl fst. simpl snd. destruct (nth k V None) as [l|] eqn:E; auto.
  assert (Lk : (k < length V)%nat). { destruct (Nat.lt_ge_cases k (length V)); auto. rewrite nth_overflow in E by auto. discriminate. }
  assert (Lf : length (firstn k V) = k) by (rewrite firstn_length; lia). intros i. pose proof (H i) as Hi. destruct (Nat.lt_trichotomy i k) as [L|[->|L]].
  - rewrite app_nth1 by lia. rewrite <- (firstn_skipn k V), app_nth1 in Hi by lia. exact Hi.
  - rewrite app_nth2, Lf, Nat.sub_diag by lia. cbn [nth]. destruct Hk as (d & D & Q). exists d. split; auto. apply filter_In. split; auto. rewrite Q in A, B. apply lies_complete; auto.
  - rewrite app_nth2, Lf by lia. destruct (i - k)%nat as [|j] eqn:Ej; [lia|]. cbn [nth]. rewrite <- (firstn_skipn (S k) V), app_nth2 in Hi; rewrite firstn_length, Nat.min_l in * by lia; [|lia].
    replace (i - S k)%nat with j in Hi by lia. exact Hi.
Qed.
Lemma kept_correct V p w : all_few V w -> owns p w -> all_few (kept V p) w.
Proof.
  unfold owns, kept. intros H O. revert V H. induction O as [|[k s] ss [A B] O IH]; intros V H; simpl; auto. apply (IH (kept_side V (k, s))). apply kept_side_correct; auto.
Qed.
Lemma kept_length V p : length (kept V p) = length V.
Proof.
  unfold kept. revert V. induction (sides p) as [|[k s] ss IH]; intros V; simpl; auto. rewrite IH. unfold kept_side. simpl. destruct (nth k V None) as [l|] eqn:E; auto.
  assert (k < length V)%nat. { destruct (Nat.lt_ge_cases k (length V)); auto. rewrite nth_overflow in E by auto. discriminate. }
  pose proof (firstn_length k V) as F. pose proof (skipn_length (S k) V) as G.
  rewrite app_length, F. cbn [length]. cbn [skipn] in G. rewrite G. lia.
Qed.

(** * All values of a graph, node after node *)
Definition few_coordinate (M : list chart) (j : nat) : few :=
  together (map (fun c => few_of (map (fun b => if same_value (fst b) (snd b) then Some [fst b] else None) (box c)) (nth j (inverse c) Undefined)) M).
Definition few_inputs (Ms : list (list chart)) : list few := flat_map (fun M => map (few_coordinate M) (seq 0 (breadth M))) Ms.
Definition few_of_node (V : list few) (n : node) : list few := map (fun j => together (map (fun p => few_of (kept V p) (nth j (functions p) Undefined)) n)) (seq 0 (arity n)).
Fixpoint few_nodes (ns : list node) (V : list few) : list few := match ns with [] => V | n :: ns => few_nodes ns (V ++ few_of_node V n) end.
Definition few_values (g : graph) : list few := few_nodes (nodes g) (few_inputs (inputs g)).
Lemma few_more V Fs w es u o : all_few V w -> length V = o -> length Fs = length es -> values es u = slice o (length es) w ->
  (forall j, (j < length es)%nat -> is_few (nth j Fs None) (denote (nth j es Undefined) u)) -> all_few (V ++ Fs) w.
Proof.
  intros H L E Va F k. destruct (Nat.lt_ge_cases k (length V)) as [K|K]. rewrite app_nth1 by auto. apply H.
  rewrite app_nth2 by auto. destruct (Nat.lt_ge_cases (k - length V) (length es)) as [J|J]. 2: rewrite (nth_overflow Fs) by lia; exact Logic.I.
  replace (nth k w 0) with (denote (nth (k - length V) es Undefined) u). apply F; auto.
  rewrite <- (map_nth (fun e => denote e u) es Undefined). fold (values es u). rewrite Va. change (denote Undefined u) with 0. rewrite nth_slice by auto. f_equal. clear - K L. lia.
Qed.
Lemma few_inputs_correct w : forall Ms V, points (placed_inputs (length V) Ms) w -> all_few V w -> all_few (V ++ few_inputs Ms) w.
Proof.
  induction Ms as [|M Ms IH]; intros V P H; simpl. rewrite app_nil_r; auto. inversion P as [|? ? (c & u & Ic & B & Re & L & Va) P']; subst. simpl in L, Va, P'.
  rewrite app_assoc. apply IH. { rewrite app_length, map_length, seq_length. exact P'. }
  apply few_more with (es := inverse c) (u := u) (o := length V); auto. rewrite map_length, seq_length; auto. rewrite L. auto.
  intros j J. rewrite L in J. rewrite nth_seq_map by auto. unfold few_coordinate. eapply together_correct. apply in_map_iff. exists c. split; [reflexivity|auto].
  apply few_of_correct. clear -B. unfold in_box in B. induction B as [|b x bs u [B1 B2] B IH]; intros k; destruct k; simpl; try exact I; auto.
  destruct (same_value (fst b) (snd b)) eqn:Q; simpl; auto. apply same_value_correct in Q. exists (fst b). split; auto. lra.
Qed.
Lemma few_nodes_correct w : forall ns V, Forall (fun n => value_at w (fst n) (snd n)) (placed (length V) ns) -> all_few V w -> all_few (few_nodes ns V) w.
Proof.
  induction ns as [|n ns IH]; intros V P H; simpl; auto. inversion P as [|? ? (p & Ip & O & L & Va) P']; subst. simpl in Ip, L, Va, P'.
  apply IH. { rewrite app_length. unfold few_of_node. rewrite map_length, seq_length. exact P'. }
  apply few_more with (es := functions p) (u := firstn (length V) w) (o := length V); auto. unfold few_of_node. rewrite map_length, seq_length; auto. rewrite L. auto.
  intros j J. rewrite L in J. unfold few_of_node. rewrite nth_seq_map by auto. eapply together_correct. apply in_map_iff. exists p. split; [reflexivity|auto].
  apply few_of_correct. pose proof (kept_correct V p w H O) as K. intros k. specialize (K k). destruct (Nat.lt_ge_cases k (length V)) as [Lk|Lk].
  - replace (nth k (firstn (length V) w) 0) with (nth k w 0); auto. symmetry. exact (nth_slice w 0 (length V) k Lk).
  - rewrite nth_overflow by (rewrite kept_length; auto). exact I.
Qed.
Lemma few_values_correct g rs w : truth g rs w -> all_few (few_values g) w.
Proof.
  intros (_ & P & V). assert (H : all_few (few_inputs (inputs g)) w). { apply (few_inputs_correct w (inputs g) []); auto. intros [|k]; exact I. }
  apply few_nodes_correct; auto. replace (length (few_inputs (inputs g))) with (total_breadth (inputs g)); auto.
  clear. unfold few_inputs. induction (inputs g) as [|M Ms IH]; simpl; auto. rewrite app_length, map_length, seq_length, IH. auto.
Qed.
