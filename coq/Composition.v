(* Task graphs, layer by layer: what is known of the channels before a layer and what follows of those behind it, for all inputs at once;
   and the theorem about the whole network that follows where every layer is accepted. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Tasks Readings Forms Expressions Nets Layers Routes Scores Few Checker.
Import ListNotations.
Open Scope R_scope.

(** * Lists *)
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

(** * What a list of all values is like *)
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

(** * Which of them are finitely many *)
Definition few_coordinate (M : list chart) (j : nat) : few :=
  together (map (fun c => few_of (map (fun b => if same_value (fst b) (snd b) then Some [fst b] else None) (box c)) (nth j (inverse c) Undefined)) M).
Definition few_inputs (Ms : list (list chart)) : list few := flat_map (fun M => map (few_coordinate M) (seq 0 (breadth M))) Ms.
Definition few_of_node (V : list few) (n : node) : list few := map (fun j => together (map (fun p => few_of (kept V p) (nth j (functions p) Undefined)) n)) (seq 0 (arity n)).
Fixpoint few_nodes (ns : list node) (V : list few) : list few := match ns with [] => V | n :: ns => few_nodes ns (V ++ few_of_node V n) end.
Definition few_values (g : graph) : list few := few_nodes (nodes g) (few_inputs (inputs g)).
Lemma nth_slice (w : list R) o m j : (j < m)%nat -> nth j (slice o m w) 0 = nth (o + j) w 0.
Proof.
  unfold slice. intros H. transitivity (nth j (skipn o w) 0).
  - generalize (skipn o w). revert j H. induction m as [|m IH]; intros j H l. lia. destruct l as [|x l]; simpl. destruct j; auto. destruct j; auto. apply IH. lia.
  - clear. revert w. induction o as [|o IH]; intros [|x w]; simpl; auto. destruct j; auto.
Qed.
Lemma few_more V Fs w es u o : all_few V w -> length V = o -> length Fs = length es -> values es u = slice o (length es) w ->
  (forall j, (j < length es)%nat -> is_few (nth j Fs None) (denote (nth j es Undefined) u)) -> all_few (V ++ Fs) w.
Proof.
  intros H L E Va F k. destruct (Nat.lt_ge_cases k (length V)) as [K|K]. rewrite app_nth1 by auto. apply H.
  rewrite app_nth2 by auto. destruct (Nat.lt_ge_cases (k - length V) (length es)) as [J|J]. 2: rewrite (nth_overflow Fs) by lia; exact Logic.I.
  replace (nth k w 0) with (denote (nth (k - length V) es Undefined) u). apply F; auto.
  rewrite <- (map_nth (fun e => denote e u) es Undefined). fold (values es u). rewrite Va. change (denote Undefined u) with 0. rewrite nth_slice by auto. f_equal. clear - K L. lia.
Qed.
Lemma nth_seq_map A (f : nat -> A) d m j : (j < m)%nat -> nth j (map f (seq 0 m)) d = f j.
Proof. intros H. rewrite nth_indep with (d' := f 0%nat) by (rewrite map_length, seq_length; auto). rewrite map_nth, seq_nth by auto. reflexivity. Qed.
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

(** * What is asked of a layer. None of it is trusted. Boxes are about values, sums of values, and coordinates on a chart of an input. *)
Inductive source := Value (k : nat) | Total (k : nat) (others : list (dyadic * nat)) | OnChart (o : nat) (c : chart).
Inductive wanted := OfValue (k : nat) | OfTotal (k : nat) (others : list (dyadic * nat)) | OfInput (n : nat).
Record effort := Effort { about : list wanted; cutting : nat; fuel : nat }.      (* what boxes are about, how many sides are halved, how often *)
Record news := News { channel : nat; number_ : nat; within_ : dyadic; through : list nat; effort_ : effort }.
  (* the channel is the value with this number to within so much, computed by the nodes that stand at these places *)
Record hint := Hint { routed : option nat; winners : list nat; computed : list news }.
  (* the block whose pieces the gate tells apart; for each piece the gate output that wins there exactly, none if boxes have to tell *)
(** What is known behind a layer, if that is so; and before the first one. *)
Definition after (facts : list finding) (L : layer (block dyadic)) (h : hint) : list finding :=
  fold_left (fun fs n => put (channel n) (Around (number_ n) (within_ n)) fs) (computed h) (outgoing L facts).
Definition arriving (g : graph) : list finding := map Exactly (seq 0 (total_breadth (inputs g))).

(** * Pieces cover what they have to *)
Definition satisfies (ss : list (nat * (endpoint * endpoint))) (v : list R) : Prop := owns (Piece ss []) v.
Definition beneath (a : endpoint) : option endpoint := match a with Free => None | Closed d => Some (Open d) | Open d => Some (Closed d) end.
Definition contradicts (lo hi : endpoint) : bool :=
  match lo, hi with
  | Closed a, Closed b => (sign (plus a (opp b)) =? 1)%Z
  | Free, _ | _, Free => false
  | Closed a, Open b | Open a, Closed b | Open a, Open b => negb (sign (plus a (opp b)) =? -1)%Z
  end.
Definition empty_region (ss : list (nat * (endpoint * endpoint))) : bool :=
  existsb (fun s => existsb (fun s' => Nat.eqb (fst s) (fst s') && contradicts (fst (snd s)) (snd (snd s'))) ss) ss.
Fixpoint minus (ss ps : list (nat * (endpoint * endpoint))) : list (list (nat * (endpoint * endpoint))) :=
  match ps with
  | [] => []
  | (k, (a, b)) :: ps =>
    match beneath a with None => [] | Some a' => [(k, (Free, a')) :: ss] end ++ match beneath b with None => [] | Some b' => [(k, (b', Free)) :: ss] end ++
    minus ((k, (a, b)) :: ss) ps
  end.
Fixpoint covers (ss : list (nat * (endpoint * endpoint))) (ps : list piece) : bool :=
  empty_region ss || match ps with [] => false | p :: ps => forallb (fun r => covers r ps) (minus ss (sides p)) end.
Lemma contradicts_correct lo hi x : contradicts lo hi = true -> from lo x -> upto hi x -> False.
Proof.
  intros H A B. destruct lo as [|a|a], hi as [|b|b]; simpl in *; try discriminate;
  [apply Z.eqb_eq, sign_pos in H | apply nonneg_correct in H | apply nonneg_correct in H | apply nonneg_correct in H]; rewrite D2R_plus, D2R_opp in H; lra.
Qed.
Lemma empty_region_correct ss v : empty_region ss = true -> satisfies ss v -> False.
Proof.
  intros H S. apply existsb_exists in H. destruct H as (s & I & H). apply existsb_exists in H. destruct H as (s' & I' & H). apply andb_prop in H. destruct H as [K H].
  apply Nat.eqb_eq in K. unfold satisfies, owns in S. rewrite Forall_forall in S. simpl in S. destruct (S s I) as [A _], (S s' I') as [_ B]. rewrite K in A. exact (contradicts_correct _ _ _ H A B).
Qed.
Lemma from_or a x : from a x \/ exists a', beneath a = Some a' /\ upto a' x.
Proof. destruct a as [|d|d]; simpl; auto; [destruct (Rle_dec (D2R d) x) | destruct (Rlt_dec (D2R d) x)]; auto; right; eexists; split; eauto; simpl; lra. Qed.
Lemma upto_or b x : upto b x \/ exists b', beneath b = Some b' /\ from b' x.
Proof. destruct b as [|d|d]; simpl; auto; [destruct (Rle_dec x (D2R d)) | destruct (Rlt_dec x (D2R d))]; auto; right; eexists; split; eauto; simpl; lra. Qed.
Lemma minus_correct v : forall ps ss, satisfies ss v -> satisfies ps v \/ exists r, In r (minus ss ps) /\ satisfies r v.
Proof.
  induction ps as [|[k [a b]] ps IH]; intros ss S. left; constructor. simpl.
  destruct (from_or a (nth k v 0)) as [A|(a' & Ea & A)].
  2:{ right. exists ((k, (Free, a')) :: ss). split. rewrite Ea. left; auto. constructor; simpl; auto. }
  destruct (upto_or b (nth k v 0)) as [B|(b' & Eb & B)].
  2:{ right. exists ((k, (b', Free)) :: ss). split. rewrite Eb. apply in_or_app. right. left; auto. constructor; simpl; auto. }
  destruct (IH ((k, (a, b)) :: ss)) as [T|(r & I & T)]. constructor; simpl; auto.
  - left. constructor; simpl; auto. - right. exists r. split; auto. apply in_or_app; right. apply in_or_app; right; auto.
Qed.
Lemma covers_correct v : forall ps ss, covers ss ps = true -> satisfies ss v -> exists p, In p ps /\ owns p v.
Proof.
  induction ps as [|p ps IH]; intros ss H S; simpl in H; apply orb_prop in H; destruct H as [H|H]; try (exfalso; eapply empty_region_correct; eauto; fail); try discriminate.
  destruct (minus_correct v (sides p) ss S) as [T|(r & I & T)]. exists p. split. left; auto. exact T.
  rewrite forallb_forall in H. destruct (IH r (H r I) T) as (q & Iq & Q). exists q. split; auto. right; auto.
Qed.
Definition closed_sides (rs : list (dyadic * dyadic)) : list (nat * (endpoint * endpoint)) :=
  map (fun p => (fst p, (Closed (fst (snd p)), Closed (snd (snd p))))) (combine (seq 0 (length rs)) rs).
Lemma closed_sides_correct rs v : in_box rs v -> satisfies (closed_sides rs) v.
Proof.
  unfold satisfies, owns, closed_sides. simpl. intros H.
  assert (G : forall o pre, length pre = o -> Forall (fun s => from (fst (snd s)) (nth (fst s) (pre ++ v) 0) /\ upto (snd (snd s)) (nth (fst s) (pre ++ v) 0))
    (map (fun p => (fst p, (Closed (fst (snd p)), Closed (snd (snd p))))) (combine (seq o (length rs)) rs))).
  { induction H as [|r x rs v Hr H IH]; intros o pre L; simpl; constructor; simpl.
    - rewrite app_nth2 by lia. rewrite L, Nat.sub_diag. simpl. exact Hr.
    - specialize (IH (S o) (pre ++ [x])). rewrite <- app_assoc in IH. simpl in IH. apply IH. rewrite app_length. simpl. lia. }
  apply (G 0%nat []). reflexivity.
Qed.
(** Only those sides matter that some piece speaks of. *)
Definition spoken (ps : list piece) (rs : list (dyadic * dyadic)) := filter (fun s => existsb (fun p => existsb (fun s' => Nat.eqb (fst s) (fst s')) (sides p)) ps) (closed_sides rs).
Lemma spoken_correct ps rs v : in_box rs v -> satisfies (spoken ps rs) v.
Proof. intros H. apply closed_sides_correct in H. unfold satisfies, owns in *. simpl in *. rewrite Forall_forall in *. intros s I. apply filter_In in I. destruct I. auto. Qed.

Definition carried (L : layer (block dyadic)) (facts : list finding) : list finding :=
  map (fun p => match p with (Some c, None) => nth c facts Unknown | _ => Unknown end) (leaves L).

Module Composition (A : Arithmetic).
Module Export K := Checker A.
Import A.

(** * What boxes are about *)
Fixpoint cases (Ms : list (nat * list chart)) (ws : list wanted) : list (list source) :=
  match ws with
  | [] => [[]]
  | OfValue k :: ws => map (cons (Value k)) (cases Ms ws)
  | OfTotal k others :: ws => map (cons (Total k others)) (cases Ms ws)
  | OfInput n :: ws => let rest := cases Ms ws in match nth_error Ms n with None => [] | Some m => flat_map (fun c => map (cons (OnChart (fst m) c)) rest) (snd m) end
  end.
Definition known_input (Ms : list (nat * list chart)) (ws : list wanted) : bool :=
  forallb (fun w => match w with OfInput n => match nth_error Ms n with None => false | Some _ => true end | _ => true end) ws.
Definition width (s : source) : nat := match s with OnChart _ c => length (box c) | _ => 1 end.
Definition sum_of (w : list R) (k : nat) (others : list (dyadic * nat)) : R := fold_right (fun p s => D2R (fst p) * nth (snd p) w 0 + s) (nth k w 0) others.
Definition means (w : list R) (s : source) (us : list R) : Prop :=
  match s with
  | Value k => us = [nth k w 0]
  | Total k others => us = [sum_of w k others]
  | OnChart o c => in_box (box c) us /\ Forall (fun r => 0 <= denote r us) (region c) /\ values (inverse c) us = slice o (length (inverse c)) w
  end.
Fixpoint all_mean (w : list R) (ss : list source) (us : list R) : Prop :=
  match ss with [] => us = [] | s :: ss => exists a b, us = a ++ b /\ length a = width s /\ means w s a /\ all_mean w ss b end.

Definition range_at (rs : list (dyadic * dyadic)) (k : nat) : I.type := side (nth k rs (zero_d, zero_d)).
Lemma D2R_zero_d : D2R zero_d = 0. Proof. unfold D2R; simpl; ring. Qed.
Lemma in_range rs w k : in_box rs w -> D2R (fst (nth k rs (zero_d, zero_d))) <= nth k w 0 <= D2R (snd (nth k rs (zero_d, zero_d))).
Proof. intros H. revert k. induction H; intros [|k]; simpl; auto; rewrite ?D2R_zero_d; lra. Qed.
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
Lemma cases_correct Ms w ws : points Ms w -> known_input Ms ws = true -> exists ss us, In ss (cases Ms ws) /\ all_mean w ss us.
Proof.
  intros P. induction ws as [|[k|k others|n] ws IH]; simpl; intros K. exists [], []. split; simpl; auto.
  - destruct IH as (ss & us & I & M); auto. exists (Value k :: ss), (nth k w 0 :: us). split. apply in_map; auto. exists [nth k w 0], us. simpl; auto.
  - destruct IH as (ss & us & I & M); auto. exists (Total k others :: ss), (sum_of w k others :: us). split. apply in_map; auto. exists [sum_of w k others], us. simpl; auto.
  - apply andb_prop in K. destruct K as [K1 K]. destruct IH as (ss & us & I & M); auto. destruct (nth_error Ms n) as [m|] eqn:E; try discriminate.
    unfold points in P. rewrite Forall_forall in P. destruct (P m (nth_error_In _ _ E)) as (c & u & Ic & B & Re & Le & V).
    exists (OnChart (fst m) c :: ss), (u ++ us). split. apply in_flat_map. exists c. split; auto. apply in_map; auto.
    exists u, us. split; auto. split. simpl. clear -B. induction B; simpl; auto. split; auto. simpl. rewrite Le. auto.
Qed.

(** What is known of channels, nets arranged. *)
Inductive ready := Known (f : finding) | Net (rs : list (option (nat * dyadic))) (n : net_).
Definition ready_of (f : finding) : ready := match f with Computed rs n => if tidy n then Net rs (net_of n) else Known Unknown | _ => Known f end.

(** * Forms of all values over a box *)
Section Box.
Variable TL : list I.type.
Variable tl : list R.
Hypothesis HTL : mems TL tl.
Local Notation has := (has tl). Local Notation hass := (Forall2 (K.L.N.E.F.has tl)). Local Notation lin := (lin tl).

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

(** * Inputs and nodes: values exist, and lie in their ranges *)
Definition input_leaf (c : chart) (bs : list (dyadic * dyadic)) (b : list I.type) : bool :=
  let T := shifts b in let U := variables 0 b in
  existsb (fun r => optional false (fun F => negative (fr F)) (eval_expr T U r)) (region c) orelse
  match eval_all T U (inverse c) with None => false | Some Y => in_range_forms bs Y end.
Definition forms_at (b : list I.type) (u : list R) (H : mems b u) :=
  conj (shifts_correct b u H) (variables_correct b u 0 (diffs u (map middle b)) H (fun k Hk => nth_diffs b u H k Hk)).
Lemma input_leaf_correct c bs b u : mems b u -> input_leaf c bs b = true -> Forall (fun r => 0 <= denote r u) (region c) -> in_box bs (values (inverse c) u).
Proof.
  intros Hu H Reg. destruct (forms_at b u Hu) as [HT HV]. unfold input_leaf in H. set (t := diffs u (map middle b)) in *. destruct (existsb _ (region c)) eqn:R; [clear H; rename R into H | clear R].
  - exfalso. apply existsb_exists in H. destruct H as (r & Ir & Hr). rewrite Forall_forall in Reg. specialize (Reg r Ir).
    destruct (eval_expr (shifts b) (variables 0 b) r) as [F|] eqn:EF; try discriminate. simpl in Hr. destruct (proj1 (eval_correct _ t HT _ u HV) _ _ EF) as [_ [M _]].
    apply negative_correct with (2 := M) in Hr. lra.
  - destruct (eval_all _ _ _) as [Y|] eqn:EY; try discriminate. destruct (eval_all_correct _ t HT _ u HV _ _ EY) as [_ HY]. apply in_range_forms_correct with (1 := HY); auto.
Qed.
Definition input_fuel : nat := 12.
(** A box, taken as it is. *)
Definition identity (c : chart) (bs : list (dyadic * dyadic)) : bool :=
  Nat.eqb (length (inverse c)) (length (box c)) && forallb (fun p => match fst p with Var k => Nat.eqb k (snd p) | _ => false end) (combine (inverse c) (seq 0 (length (box c)))) &&
  Nat.eqb (length bs) (length (box c)) && forallb (fun p => at_most_d (fst (snd p)) (fst (fst p)) && at_most_d (snd (fst p)) (snd (snd p))) (combine (box c) bs).
Definition input_ok (M : list chart) (bs : list (dyadic * dyadic)) : bool :=
  forallb (fun c => Nat.eqb (length (inverse c)) (breadth M) && if identity c bs then true else settle (input_leaf c bs) input_fuel (length (box c)) 0 (map side (box c))) M.
Fixpoint inputs_ok (Ms : list (list chart)) (rs : list (dyadic * dyadic)) : bool :=
  match Ms with [] => true | M :: Ms => input_ok M (firstn (breadth M) rs) && inputs_ok Ms (skipn (breadth M) rs) end.
Lemma identity_values u : forall es k, length es = length u -> forallb (fun p => match fst p with Var i => Nat.eqb i (snd p) | _ => false end) (combine es (seq k (length u))) = true ->
  forall pre, length pre = k -> values es (pre ++ u) = u.
Proof.
  induction u as [|x u IH]; intros [|e es] k L H pre P; simpl in *; try discriminate; auto. apply andb_prop in H. destruct H as [H1 H2]. destruct e; try discriminate. apply Nat.eqb_eq in H1. subst.
  simpl. rewrite app_nth2, Nat.sub_diag by lia. simpl. f_equal. replace (pre ++ x :: u) with ((pre ++ [x]) ++ u) by (rewrite <- app_assoc; auto).
  apply (IH es (S (length pre))); auto. rewrite app_length. simpl. lia.
Qed.
Lemma identity_correct c bs u : identity c bs = true -> in_box (box c) u -> in_box bs (values (inverse c) u).
Proof.
  unfold identity. intros H B. apply andb_prop in H. destruct H as [H H4]. apply andb_prop in H. destruct H as [H H3]. apply andb_prop in H. destruct H as [H1 H2].
  apply Nat.eqb_eq in H1. apply Nat.eqb_eq in H3. assert (LB : length (box c) = length u) by (clear -B; induction B; simpl; auto). rewrite LB in *.
  rewrite (identity_values u (inverse c) 0 H1 H2 [] eq_refl : values (inverse c) u = u). clear H1 H2. revert bs H3 H4. rewrite <- LB. clear LB.
  induction B as [|b x box u Hb B IH]; intros [|b' bs] L H; simpl in *; try discriminate; constructor.
  - apply andb_prop in H. destruct H as [H _]. apply andb_prop in H. destruct H as [Ha Hc]. apply at_most_d_correct in Ha. apply at_most_d_correct in Hc. simpl in *. lra.
  - apply andb_prop in H. destruct H as [_ H]. apply IH; auto.
Qed.
Lemma input_ok_correct M bs y : input_ok M bs = true -> on_charts M y ->
  in_box bs y /\ length y = breadth M /\ forall pre post, point_at (pre ++ y ++ post) (length pre) M.
Proof.
  intros H (c & u & I & B & Reg & ->). unfold input_ok in H. rewrite forallb_forall in H. specialize (H c I). apply andb_prop in H. destruct H as [L H]. apply Nat.eqb_eq in L.
  assert (LV : length (values (inverse c) u) = breadth M) by (unfold values; rewrite map_length; auto).
  split; [|split; auto].
  - destruct (identity c bs) eqn:Id. apply identity_correct; auto. apply (settle_correct (input_leaf c bs) (fun u => Forall (fun r => 0 <= denote r u) (region c) -> in_box bs (values (inverse c) u))) with (3 := H) (u := u); auto.
    + intros b v Hv Hb. apply input_leaf_correct with b; auto. + apply box_correct; auto.
  - intros pre post. exists c, u. repeat split; auto. rewrite <- LV. symmetry. apply slice_middle.
Qed.
Lemma inputs_ok_correct : forall Ms rs x, inputs_ok Ms rs = true -> in_domain Ms x ->
  length x = total_breadth Ms /\ in_box (firstn (total_breadth Ms) rs) x /\
  forall pre post, points (placed_inputs (length pre) Ms) (pre ++ x ++ post).
Proof.
  induction Ms as [|M Ms IH]; simpl; intros rs x H D. { subst. repeat split; try constructor. }
  destruct D as (y & z & -> & Hy & Hz). apply andb_prop in H. destruct H as [H1 H2]. destruct (input_ok_correct M _ y H1 Hy) as (B & L & P). destruct (IH _ z H2 Hz) as (L2 & B2 & P2).
  split. rewrite app_length. lia. split.
  - unfold in_box in *. replace (firstn (breadth M + total_breadth Ms) rs) with (firstn (breadth M) rs ++ firstn (total_breadth Ms) (skipn (breadth M) rs)). apply Forall2_app; auto.
    clear. revert rs. induction (breadth M) as [|m IH]; intros rs; simpl; auto. destruct rs; simpl. destruct (total_breadth Ms); auto. rewrite IH. auto.
  - intros pre post. constructor. simpl. rewrite <- app_assoc. apply P. specialize (P2 (pre ++ y) post). rewrite app_length, L in P2. rewrite <- !app_assoc in P2. rewrite <- app_assoc. exact P2.
Qed.

Section Nodes.
Variable Ms : list (nat * list chart).      (* the inputs, where they are *)
Definition node_leaf (rs bs : list (dyadic * dyadic)) (p : piece) (ss : list source) (b : list I.type) : bool :=
  let T := shifts b in let U := variables 0 b in
  off_region T ss U orelse
  match dress T ss U (flats rs) with None => false | Some V => outside p V orelse match eval_all T V (functions p) with None => false | Some F => in_range_forms bs F end end.
Lemma node_leaf_correct rs bs p ss b u v : mems b u -> node_leaf rs bs p ss b = true -> in_box rs v -> owns p v -> all_mean v ss u ->
  Forall (fun e => defined e v) (functions p) /\ in_box bs (values (functions p) v).
Proof.
  intros Hu H HR HO M. destruct (forms_at b u Hu) as [HT HV]. unfold node_leaf in H. set (t := diffs u (map middle b)) in *.
  destruct (off_region_correct (shifts b) t HT v ss _ _ HV M) as [O|[]]. rewrite O in H. simpl in H.
  destruct (dress _ ss _ _) as [V|] eqn:E; try discriminate. pose proof (dress_correct (shifts b) t HT v ss _ _ _ _ HV M (flats_correct t rs v HR) E) as HW.
  rewrite (outside_correct t p V v HW HO) in H.
  destruct (eval_all _ V _) as [F|] eqn:EF; try discriminate. destruct (eval_all_correct _ t HT V v HW _ _ EF) as [D HF]. split; auto. apply in_range_forms_correct with (1 := HF); auto.
Qed.
Definition piece_ok (e : effort) (rs bs : list (dyadic * dyadic)) (p : piece) : bool :=
  known_input Ms (about e) andthen all_of (fun ss => settle (node_leaf rs bs p ss) (fuel e) (cutting e) 0 (box_of rs p ss)) (cases Ms (about e)).
Lemma piece_ok_correct e rs bs p v : piece_ok e rs bs p = true -> in_box rs v -> points Ms v -> owns p v ->
  Forall (fun e => defined e v) (functions p) /\ in_box bs (values (functions p) v).
Proof.
  intros H HR HP HO. apply andthen_true in H. destruct H as [H1 H2]. destruct (cases_correct Ms v _ HP H1) as (ss & us & I & M).
  pose proof (all_of_true _ _ _ H2 ss I) as H3.
  refine (settle_correct (node_leaf rs bs p ss) (fun u => all_mean v ss u -> Forall (fun e => defined e v) (functions p) /\ in_box bs (values (functions p) v)) _ _ _ _ _ us _ H3 M).
  - intros b u Hu Hb Hm. apply node_leaf_correct with (1 := Hu) (2 := Hb); auto. - apply box_of_correct with v; auto.
Qed.
Fixpoint nodes_ok (es : list effort) (ns : list node) (done rest : list (dyadic * dyadic)) : bool :=
  match ns, es with
  | [], [] => match rest with [] => true | _ => false end
  | n :: ns, e :: es =>
    let bs := firstn (arity n) rest in
    covers (spoken n done) n && forallb (fun p => Nat.eqb (length (functions p)) (arity n) && forallb (fun s => Nat.ltb (fst s) (length done)) (sides p) && piece_ok e done bs p) n &&
    nodes_ok es ns (done ++ bs) (skipn (arity n) rest)
  | _, _ => false
  end.
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
Lemma nodes_ok_correct : forall ns es done rest v, nodes_ok es ns done rest = true -> in_box done v -> points Ms v ->
  (exists w, evaluates ns v w) /\
  forall w, evaluates ns v w -> in_box (done ++ rest) w /\ Forall (fun n => value_at w (fst n) (snd n)) (placed (length v) ns) /\ exists t, w = v ++ t.
Proof.
  induction ns as [|n ns IH]; intros [|e es] done rest v H HB HP; simpl in H; try discriminate.
  { destruct rest; try discriminate. split. exists v. reflexivity. simpl. intros w ->. rewrite app_nil_r. repeat split; auto. exists []. rewrite app_nil_r; auto. }
  set (bs := firstn (arity n) rest) in *. apply andb_prop in H. destruct H as [H H3]. apply andb_prop in H. destruct H as [H1 H2].
  assert (One : forall p, In p n -> owns p v -> length (functions p) = arity n /\ forallb (fun s => Nat.ltb (fst s) (length v)) (sides p) = true /\
    Forall (fun e => defined e v) (functions p) /\ in_box bs (values (functions p) v)).
  { intros p I O. rewrite forallb_forall in H2. specialize (H2 p I). apply andb_prop in H2. destruct H2 as [H2 H5]. apply andb_prop in H2. destruct H2 as [H2 H4]. apply Nat.eqb_eq in H2.
    rewrite (in_box_length _ _ HB) in H4. destruct (piece_ok_correct e done bs p v H5 HB HP O). auto. }
  assert (Next : forall p, In p n -> owns p v -> in_box (done ++ bs) (v ++ values (functions p) v) /\ points Ms (v ++ values (functions p) v)).
  { intros p I O. destruct (One p I O) as (_ & _ & _ & B). split. apply Forall2_app; auto. unfold points in *. rewrite Forall_forall in *. intros m Im. apply point_at_more; auto. }
  assert (ER : rest = bs ++ skipn (arity n) rest) by (symmetry; apply firstn_skipn).
  split.
  - destruct (covers_correct v n _ H1 (spoken_correct n done v HB)) as (p & I & O). destruct (One p I O) as (_ & _ & D & B). destruct (Next p I O) as [NB NP].
    destruct (IH es _ _ _ H3 NB NP) as [(w & W) _]. exists w. exists p. auto.
  - intros w (p & I & O & D & W). destruct (One p I O) as (L & S & _ & B). destruct (Next p I O) as [NB NP]. destruct (IH es _ _ _ H3 NB NP) as [_ F].
    destruct (F w W) as (F1 & F2 & t & ->). rewrite ER, app_assoc. split; auto. assert (LV : length (values (functions p) v) = arity n) by (unfold values; rewrite map_length; auto).
    rewrite <- app_assoc. split; [|eexists; reflexivity]. simpl. constructor.
    + exists p. simpl. split; auto. split. apply owns_more; auto. split; auto. rewrite firstn_left. rewrite <- LV. symmetry. apply slice_middle.
    + rewrite app_length, LV in F2. rewrite <- app_assoc in F2. exact F2.
Qed.
End Nodes.

Definition values_accepted (g : graph) (es : list effort) (rs : list (dyadic * dyadic)) : bool :=
  let n := total_breadth (inputs g) in inputs_ok (inputs g) rs && nodes_ok (placed_inputs 0 (inputs g)) es (nodes g) (firstn n rs) (skipn n rs).
Theorem values_sound g es rs x : values_accepted g es rs = true -> in_domain (inputs g) x ->
  length x = total_breadth (inputs g) /\ (exists w, evaluates (nodes g) x w) /\ forall w, evaluates (nodes g) x w -> truth g rs w /\ exists t, w = x ++ t.
Proof.
  intros H D. apply andb_prop in H. destruct H as [H1 H2]. destruct (inputs_ok_correct _ _ x H1 D) as (L & B & P).
  pose proof (P [] []) as P0. simpl in P0. rewrite app_nil_r in P0. destruct (nodes_ok_correct _ _ _ _ _ x H2 B P0) as [E F]. split; auto. split; auto.
  intros w W. destruct (F w W) as (F1 & F2 & t & Et). split; [|eauto]. split. rewrite firstn_skipn in F1. auto. split. subst. apply (P [] t). rewrite L in F2. auto.
Qed.

(** * A layer *)
Section Layer.
Variable g : graph.
Variable rs : list (dyadic * dyadic).
Variable facts : list finding.
Variable L : layer (block dyadic).
Variable h : hint.
Definition all_nodes := placed (total_breadth (inputs g)) (nodes g).
Definition all_inputs := placed_inputs 0 (inputs g).
Definition node_at (o : nat) : node := match find (fun n => Nat.eqb (fst n) o) all_nodes with Some n => snd n | None => [] end.
(** Nodes that compute, the routed one with the piece that is looked at; others have to have one piece. *)
Fixpoint steps (piece_ : option (nat * piece)) (os : list nat) : option (list (nat * piece)) :=
  match os with
  | [] => Some []
  | o :: os =>
    match steps piece_ os with
    | None => None
    | Some rest =>
      match piece_ with
      | Some (o', p) => if Nat.eqb o o' then Some ((o, p) :: rest) else match node_at o with [p] => Some ((o, p) :: rest) | _ => None end
      | None => match node_at o with [p] => Some ((o, p) :: rest) | _ => None end
      end
    end
  end.
Inductive choice := Fixed (e : nat) | Open_.
Definition expert_ok T (s : step) (E : I.type) (n : news) (V X : list form) (e : nat) : bool :=
  within T E (nth (number_ n) V (number 0)) (nth (channel n) (expert_out T s X e) (number 0)).
Definition news_leaf (F : list ready) (s : step) (E : I.type) (n : news) (pc : piece) (c : choice) (ss : list source) (chain : list (nat * piece)) (b : list I.type) : bool :=
  let T := shifts b in let U := variables 0 b in
  off_region T ss U orelse
  match dress T ss U (flats rs) with
  | None => false
  | Some V =>
    outside pc V orelse
    match chained T chain V with
    | None => false
    | Some V =>
      let X := map (form_of T V) F in
      match c, s_gate s with
      | Fixed e, _ => expert_ok T s E n V X e
      | Open_, Some gt =>
        let logits := run_net T gt (picks (s_sees s) X) in let m := length logits in
        all_of (fun e => all_of (never T (s_top s) logits) (outputs_of (s_serves s) m e) orelse expert_ok T s E n V X e) (nodup Nat.eq_dec (map (fun j => nth j (s_serves s) 0%nat) (seq 0 m)))
      | Open_, None => false
      end
    end
  end.
Definition news_ok (V : list few) (F : list ready) (s : step) (p : option (nat * piece)) (c : choice) (n : news) : bool :=
  let e := effort_ n in let pc := match p with Some (_, p) => tightened V p | None => Piece [] [] end in
  match steps p (through n) with
  | None => false
  | Some chain => known_input all_inputs (about e) andthen
    all_of (fun ss => settle (news_leaf F s (D2I (within_ n)) n pc c ss chain) (fuel e) (cutting e) 0 (box_of rs pc ss)) (cases all_inputs (about e))
  end.
Definition gate_width (gt : net (block dyadic)) : nat := let '(W, c) := expand (snd gt) in length (combine W c).
Definition choice_of (j : nat) : choice := Fixed (nth j (serves L) 0%nat).
Definition accepted_layer : bool :=
  tidy_layer L &&
  let s := step_of L in let F := map ready_of facts in let V := few_values g in
  match gate L with
  | None => match routed h with None => forallb (news_ok V F s None (choice_of 0)) (computed h) | Some _ => false end
  | Some gt =>
    Nat.eqb (top L) 1 && convex (weighs L) && no_lanes gt && Nat.leb 1 (gate_width gt) && Nat.leb (gate_width gt) (length (serves L)) &&
    match routed h with
    | None => match winners h with [] => forallb (news_ok V F s None Open_) (computed h) | _ => false end
    | Some o =>
      let logits := gate_scores L facts in
      match winners h with
      | [] => negb (Nat.eqb (length (node_at o)) 0) && forallb (fun p => forallb (news_ok V F s (Some (o, p)) Open_) (computed h)) (node_at o)
      | js => Nat.eqb (length js) (length (node_at o)) &&
        forallb (fun pj => wins (tightened V (fst pj)) logits (snd pj) && forallb (news_ok V F s (Some (o, fst pj)) (choice_of (snd pj))) (computed h)) (combine (node_at o) js)
      end
    end
  end.

Variable w : list R.
Hypothesis W : truth g rs w.
Variable x : list R.
Hypothesis X : Forall2 (holds_for w) facts x.
Local Notation M := (map_layer real L).
Lemma node_at_correct o p : In p (node_at o) -> value_at w o (node_at o).
Proof.
  destruct W as (_ & _ & V). unfold node_at. destruct (find _ all_nodes) as [[o' n]|] eqn:E; intros I; [|destruct I].
  apply find_some in E. destruct E as [In_ Eo]. apply Nat.eqb_eq in Eo. simpl in Eo. subst. rewrite Forall_forall in V. exact (V _ In_).
Qed.
Definition is_value (s : nat * piece) : Prop := values (functions (snd s)) (firstn (fst s) w) = slice (fst s) (length (functions (snd s))) w.
Lemma single_is_value o p : node_at o = [p] -> is_value (o, p).
Proof.
  intros E. pose proof (node_at_correct o p) as K. rewrite E in K. destruct (K ltac:(left; auto)) as (q & [<-|[]] & _ & L1 & V). unfold is_value. simpl. rewrite L1. exact V.
Qed.
Lemma steps_correct p : match p with Some s => is_value s | None => True end -> forall os chain, steps p os = Some chain -> Forall is_value chain.
Proof.
  intros P. induction os as [|o os IH]; simpl; intros chain E. { injection E as <-. constructor. }
  destruct (steps p os) as [rest|]; try discriminate. specialize (IH rest eq_refl). destruct p as [[o' q]|].
  - destruct (Nat.eqb_spec o o') as [->|].
    + injection E as <-. constructor; auto.
    + destruct (node_at o) as [|q' [|]] eqn:N; try discriminate. injection E as <-. constructor; auto. apply single_is_value; auto.
  - destruct (node_at o) as [|q' [|]] eqn:N; try discriminate. injection E as <-. constructor; auto. apply single_is_value; auto.
Qed.
Lemma leaving_written k i m : nth_error (leaves L) k = Some (None, Some i) -> shared L = None -> nth k (leaving M x m) 0 = m i.
Proof.
  intros E S. unfold leaving. change (leaves M) with (leaves L). change (shared M) with (option_map (map_net real) (shared L)). rewrite S. apply nth_error_nth. erewrite map_nth_error by exact E. simpl. f_equal. ring.
Qed.
Lemma carried_correct m : Forall2 (holds_for w) (carried L facts) (leaving M x m).
Proof.
  unfold carried, leaving. change (leaves M) with (leaves L). induction (leaves L) as [|[[c|] [i|]] ps IH]; simpl; constructor; auto; try exact Logic.I. rewrite Rplus_0_r. apply nth_holds; auto.
Qed.
Definition logits_of (gt : net (block dyadic)) : list R := eval_net (map_net real gt) (pick (sees L) x).
Definition allowed (c : choice) (j : nat) : Prop :=
  match c with Fixed e => nth j (serves L) 0%nat = e | Open_ => exists gt, gate L = Some gt /\ In j (chosen (top L) (logits_of gt)) end.
Definition settled_by (n : news) (j : nat) : Prop := Rabs (nth (number_ n) w 0 - nth (channel n) (leaving M x (output M x j)) 0) <= D2R (within_ n).
Lemma news_leaf_correct n pc c ss chain b u j : owns pc w -> tidy_layer L = true -> allowed c j -> all_mean w ss u -> Forall is_value chain -> mems b u ->
  news_leaf (map ready_of facts) (step_of L) (D2I (within_ n)) n pc c ss chain b = true -> settled_by n j.
Proof.
  intros Ow Td Al Me Ch Hu H. destruct (forms_at b u Hu) as [HT HV]. unfold news_leaf in H. set (t := diffs u (map middle b)) in *.
  destruct (off_region_correct (shifts b) t HT w ss _ _ HV Me) as [O|[]]. rewrite O in H. simpl in H. destruct W as (WR & _ & _).
  destruct (dress _ ss _ _) as [V|] eqn:E; try discriminate. pose proof (dress_correct (shifts b) t HT w ss _ _ _ _ HV Me (flats_correct t rs w WR) E) as HW.
  rewrite (outside_correct t pc V w HW Ow) in H.
  destruct (chained _ chain V) as [V'|] eqn:E'; try discriminate. pose proof (chained_correct (shifts b) t HT w chain _ _ HW Ch E') as HW'.
  pose proof (forms_of_correct (shifts b) t HT V' w facts x HW' X) as HX. set (XF := map (form_of (shifts b) V') (map ready_of facts)) in *.
  assert (Ok : expert_ok (shifts b) (step_of L) (D2I (within_ n)) n V' XF (nth j (serves L) 0%nat) = true -> settled_by n j).
  { intros K. refine (within_correct (shifts b) t HT (D2I (within_ n)) (D2R (within_ n)) _ _ _ _ (mem_D2I _) _ _ K). apply nth_has; auto. apply nth_has. apply expert_out_correct; auto. }
  destruct c as [e|]; simpl in Al.
  - apply Ok. rewrite Al. exact H.
  - destruct Al as (gt & G & J). simpl s_gate in H. rewrite G in H. simpl option_map in H. cbv beta iota zeta in H.
    set (logits := run_net (shifts b) (net_of gt) (picks (sees L) XF)) in *.
    assert (HL : Forall2 (has t) logits (logits_of gt)).
    { apply (run_net_correct (shifts b) t HT). unfold tidy_layer in Td. rewrite G in Td. destruct (tidy gt); auto. apply picks_correct; auto. }
    assert (LL : length logits = length (logits_of gt)) by (apply has_length with t; auto).
    destruct (in_chosen _ _ _ J) as [Lj _]. pose proof (all_of_true _ _ _ H (nth j (serves L) 0%nat)) as K. clear H. rename K into H.
    assert (Ie : In (nth j (serves L) 0%nat) (nodup Nat.eq_dec (map (fun j => nth j (serves L) 0%nat) (seq 0 (length logits))))).
    { apply nodup_In. apply in_map_iff. exists j. split; auto. apply in_seq. lia. }
    specialize (H Ie). cbv beta in H. destruct (all_of _ (outputs_of _ _ _)) eqn:NV; auto. exfalso.
    assert (false = true); [|discriminate]. rewrite <- (never_correct (shifts b) t HT (top L) logits (logits_of gt) j HL J). apply (all_of_true _ _ _ NV). unfold outputs_of. apply filter_In. split. apply in_seq. lia. apply Nat.eqb_refl.
Qed.
Lemma news_ok_correct p c n j : tidy_layer L = true -> allowed c j -> match p with Some (o, q) => is_value (o, q) /\ owns q w | None => True end ->
  news_ok (few_values g) (map ready_of facts) (step_of L) p c n = true -> settled_by n j.
Proof.
  intros Td Al HP H. unfold news_ok in H. destruct (steps p (through n)) as [chain|] eqn:S; try discriminate. apply andthen_true in H. destruct H as [H1 H2].
  assert (Ch : Forall is_value chain). { apply steps_correct with (2 := S). destruct p as [[o q]|]; auto. apply HP. }
  set (pc := match p with Some (_, q) => tightened (few_values g) q | None => Piece [] [] end) in *.
  assert (O : owns pc w). { unfold pc. destruct p as [[o q]|]. apply tightened_owns. apply few_values_correct with rs; auto. apply HP. constructor. }
  destruct W as (WR & WP & _). destruct (cases_correct all_inputs w _ WP H1) as (ss & us & I & Me). pose proof (all_of_true _ _ _ H2 ss I) as H3.
  refine (settle_correct (news_leaf (map ready_of facts) (step_of L) (D2I (within_ n)) n pc c ss chain) (fun u => all_mean w ss u -> settled_by n j) _ _ _ _ _ us _ H3 Me).
  - intros b u Hu Hb Hm. apply news_leaf_correct with (7 := Hb) (u := u); auto.
  - apply box_of_correct with w; auto.
Qed.
Lemma all_news p c j : tidy_layer L = true -> allowed c j -> match p with Some (o, q) => is_value (o, q) /\ owns q w | None => True end ->
  forallb (news_ok (few_values g) (map ready_of facts) (step_of L) p c) (computed h) = true -> Forall (fun n => settled_by n j) (computed h).
Proof. intros Td Al HP H. rewrite forallb_forall in H. rewrite Forall_forall. intros n I. apply news_ok_correct with p c; auto. Qed.
Lemma gate_width_correct gt y : length (eval_net (map_net real gt) y) = gate_width gt.
Proof.
  unfold eval_net, gate_width. simpl. set (z := fold_left _ _ _). unfold run, real, map_affine. destruct (expand (snd gt)) as [Wt c]. simpl. generalize z. clear.
  revert c. induction Wt as [|r Wt IH]; intros [|c0 c] z; simpl; auto.
Qed.
Lemma In_combine_l A B (a : A) (l : list A) (l' : list B) : length l' = length l -> In a l -> exists b, In (a, b) (combine l l').
Proof.
  revert l'. induction l as [|y l IH]. intros l' _ []. intros [|b l'] E I; simpl in *; try discriminate. destruct I as [->|I]. exists b; auto. destruct (IH l' ltac:(lia) I) as (b' & H). exists b'; auto.
Qed.
Lemma one_expert : accepted_layer = true ->
  exists j, (match gate L with None => j = 0%nat | Some _ => (j < length (serves L))%nat end) /\
    eval_layer M x = leaving M x (output M x j) /\ Forall (fun n => settled_by n j) (computed h).
Proof.
  unfold accepted_layer. intros H. apply andb_prop in H. destruct H as [Td H]. unfold eval_layer. change (gate M) with (option_map (map_net real) (gate L)).
  destruct (gate L) as [gt|] eqn:G; simpl option_map; cbv beta iota zeta.
  2:{ destruct (routed h); try discriminate. exists 0%nat. split; auto. split; auto. apply all_news with (4 := H); auto. reflexivity. }
  apply andb_prop in H. destruct H as [H HR]. apply andb_prop in H. destruct H as [H HB]. apply andb_prop in H. destruct H as [H HA].
  apply andb_prop in H. destruct H as [H HN]. apply andb_prop in H. destruct H as [HT HC]. apply Nat.eqb_eq in HT. apply Nat.leb_le in HA. apply Nat.leb_le in HB.
  change (top M) with (top L). change (weighs M) with (weighs L). change (sees M) with (sees L). fold (logits_of gt). set (l := logits_of gt) in *.
  assert (LL : length l = gate_width gt) by apply gate_width_correct. assert (NL : l <> []) by (intros E; rewrite E in LL; simpl in LL; lia).
  assert (Fin : forall j p c, chosen 1 l = [j] -> allowed c j -> match p with Some (o, q) => is_value (o, q) /\ owns q w | None => True end ->
    forallb (news_ok (few_values g) (map ready_of facts) (step_of L) p c) (computed h) = true -> exists j, (j < length (serves L))%nat /\
      leaving M x (fun i => sum (map (fun j => weight (weighs L) l (chosen (top L) l) j * output M x j i) (chosen (top L) l))) = leaving M x (output M x j) /\
      Forall (fun n => settled_by n j) (computed h)).
  { intros j p c E Al HP K. exists j. split. { assert (J : In j (chosen 1 l)) by (rewrite E; left; auto). destruct (in_chosen _ _ _ J). lia. }
    split. rewrite HT, E. apply leaving_one; auto. apply all_news with p c; auto. }
  destruct (chosen_one l NL) as (j0 & E0 & _).
  assert (A0 : allowed Open_ j0). { exists gt. split; auto. fold l. rewrite HT, E0. left; auto. }
  destruct (routed h) as [o|].
  2:{ destruct (winners h); try discriminate. apply (Fin j0 None Open_); auto. }
  assert (Own : node_at o <> [] -> exists p, In p (node_at o) /\ is_value (o, p) /\ owns p w).
  { intros N. destruct (node_at o) as [|q r] eqn:Eo; [congruence|]. pose proof (node_at_correct o q) as K. rewrite Eo in K. destruct (K ltac:(left; auto)) as (p & I & O & L1 & V).
    exists p. split; auto. split; auto. unfold is_value. simpl. rewrite L1. exact V. }
  destruct (winners h) as [|j1 js] eqn:EW.
  - apply andb_prop in HR. destruct HR as [HE HR]. destruct Own as (p & I & V & O). { intros E. rewrite E in HE. discriminate. }
    rewrite forallb_forall in HR. apply (Fin j0 (Some (o, p)) Open_); auto.
  - apply andb_prop in HR. destruct HR as [HL HR]. apply Nat.eqb_eq in HL. destruct (Own ltac:(intros E; rewrite E in HL; discriminate)) as (p & I & V & O).
    destruct (In_combine_l _ _ p (node_at o) (j1 :: js) HL I) as (j & Ij). rewrite forallb_forall in HR. specialize (HR _ Ij). simpl in HR. apply andb_prop in HR. destruct HR as [HW HR].
    apply (Fin j (Some (o, p)) (choice_of j)); auto. 2: reflexivity. apply (wins_correct w (tightened (few_values g) p) (gate_scores L facts)); auto. apply gate_scores_correct; auto. apply tightened_owns; auto. apply few_values_correct with rs; auto.
Qed.
Theorem layer_sound : accepted_layer = true -> Forall2 (holds_for w) (after facts L h) (eval_layer M x).
Proof.
  intros H. destruct (one_expert H) as (j & J & -> & N). unfold after. pose proof (outgoing_correct w L facts x j J X) as Out.
  revert Out N. generalize (outgoing L facts). generalize (computed h). induction l as [|n ns IH]; intros fs Out N; simpl; auto. inversion N; subst. apply IH; auto.
  apply put_correct; auto.
Qed.
End Layer.

(** * The whole network *)
Definition step_holds g rs fs L gs : Prop :=
  forall w x, truth g rs w -> Forall2 (holds_for w) fs x -> Forall2 (holds_for w) gs (eval_layer (map_layer real L) x).
Theorem layer_holds g rs fs L h gs : accepted_layer g rs fs L h = true -> after fs L h = gs -> step_holds g rs fs L gs.
Proof. intros H <- w x W X. apply layer_sound with g rs; auto. Qed.
Inductive chain g rs : list finding -> list (layer (block dyadic)) -> list finding -> Prop :=
| Done fs : chain g rs fs [] fs
| Then fs L gs Ls hs : step_holds g rs fs L gs -> chain g rs gs Ls hs -> chain g rs fs (L :: Ls) hs.
Definition close_enough (eps : dyadic) (k : nat) (f : finding) : bool :=
  match f with Around k' d => Nat.eqb k k' && at_most_d d eps | _ => false end.
Fixpoint ends (eps : dyadic) (ks : list nat) (fs : list finding) : bool :=
  match ks, fs with [], [] => true | k :: ks, f :: fs => close_enough eps k f && ends eps ks fs | _, _ => false end.
Lemma chain_correct g rs w : truth g rs w -> forall fs Ls hs, chain g rs fs Ls hs -> forall x, Forall2 (holds_for w) fs x ->
  Forall2 (holds_for w) hs (eval_moe (map (map_layer real) Ls) x).
Proof. intros W fs Ls hs C. induction C; intros x X; simpl; auto. Qed.
Lemma arriving_correct g x t : length x = total_breadth (inputs g) -> Forall2 (holds_for (x ++ t)) (arriving g) x.
Proof.
  intros L. unfold arriving. rewrite <- L. clear. assert (G : forall l pre, Forall2 (holds_for (pre ++ l ++ t)) (map Exactly (seq (length pre) (length l))) l).
  { induction l as [|v l IH]; intros pre; simpl; constructor. simpl. rewrite app_nth2 by lia. rewrite Nat.sub_diag. reflexivity.
    specialize (IH (pre ++ [v])). rewrite app_length in IH. simpl in IH. rewrite Nat.add_1_r, <- app_assoc in IH. exact IH. }
  exact (G x []).
Qed.
Lemma ends_correct eps w : forall ks hs ys, ends eps ks hs = true -> Forall2 (holds_for w) hs ys -> Forall2 (fun k psi => Rabs (nth k w 0 - psi) <= D2R eps) ks ys.
Proof.
  induction ks as [|k ks IH]; intros [|f hs] ys E K; simpl in E; try discriminate; inversion K; subst; constructor.
  - apply andb_prop in E. destruct E as [E _]. destruct f as [| |k' d| |]; try discriminate. apply andb_prop in E. destruct E as [E1 E2]. apply Nat.eqb_eq in E1. subst.
    apply at_most_d_correct in E2. simpl in *. lra.
  - apply andb_prop in E. destruct E. eauto.
Qed.
Theorem composed g rs es Ls hs eps : values_accepted g es rs = true -> chain g rs (arriving g) Ls hs -> ends eps (outputs g) hs = true -> computes g Ls eps.
Proof.
  intros HV C E x D. destruct (values_sound g es rs x HV D) as (L & Ex & F). split; auto. intros w We. destruct (F w We) as (W & t & Et).
  pose proof (arriving_correct g x t L) as X. rewrite <- Et in X. exact (ends_correct eps w _ _ _ E (chain_correct g rs w W _ _ _ C x X)).
Qed.
Lemma reading_them w : forall reads, Forall2 (holds_for w) (map Exactly reads) (pick reads w).
Proof. induction reads; simpl; constructor; simpl; auto. Qed.
(** Likewise for a network that reads these values. *)
Theorem composed_reading reads g rs es Ls hs eps : values_accepted g es rs = true -> chain g rs (map Exactly reads) Ls hs -> ends eps (outputs g) hs = true ->
  computes_reading reads g Ls eps.
Proof.
  intros HV C E x D. destruct (values_sound g es rs x HV D) as (L & Ex & F). split; auto. intros w We. destruct (F w We) as (W & t & Et).
  exact (ends_correct eps w _ _ _ E (chain_correct g rs w W _ _ _ C _ (reading_them w reads))).
Qed.
(** There is an input: a point of a chart of each. *)
Fixpoint in_box_d (bs : list (dyadic * dyadic)) (u : list dyadic) : bool :=
  match bs, u with [], [] => true | b :: bs, d :: u => at_most_d (fst b) d && at_most_d d (snd b) && in_box_d bs u | _, _ => false end.
Lemma in_box_d_correct : forall bs u, in_box_d bs u = true -> in_box bs (map D2R u).
Proof.
  induction bs as [|b bs IH]; intros [|d u] H; simpl in H; try discriminate; constructor; apply andb_prop in H; destruct H as [H H2]; [|apply IH; auto].
  apply andb_prop in H. destruct H as [A B]. apply at_most_d_correct in A. apply at_most_d_correct in B. simpl. auto.
Qed.
Definition some_point (c : chart) (u : list dyadic) : bool := match region c with [] => in_box_d (box c) u | _ => has_point c u end.
Lemma some_point_sound c u : some_point c u = true -> exists v y, point_of c v y.
Proof.
  unfold some_point. destruct (region c) eqn:R; intros H. 2: apply has_point_sound with u; auto.
  exists (map D2R u), (values (inverse c) (map D2R u)). split. apply in_box_d_correct; auto. split; auto. rewrite R. constructor.
Qed.
Fixpoint some_input (Ms : list (list chart)) (us : list (nat * list dyadic)) : bool :=
  match Ms, us with
  | [], [] => true
  | M :: Ms, (k, u) :: us => match nth_error M k with Some c => some_point c u | None => false end && some_input Ms us
  | _, _ => false
  end.
Theorem some_input_sound : forall Ms us, some_input Ms us = true -> exists x, in_domain Ms x.
Proof.
  induction Ms as [|M Ms IH]; intros [|[k u] us] H; simpl in H; try discriminate. exists []. reflexivity.
  apply andb_prop in H. destruct H as [H1 H2]. destruct (IH us H2) as (z & Z). destruct (nth_error M k) as [c|] eqn:E; try discriminate.
  destruct (some_point_sound c u H1) as (v & y & P). exists (y ++ z), y, z. split; auto. split; auto. exists c, v. split; auto. apply nth_error_In with k; auto.
Qed.
End Composition.
