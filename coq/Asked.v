(* What is asked of a layer of a task graph: boxes about values, sums of values and coordinates on charts, nodes that are computed in between, and
   what is known behind it if that is so. None of it is trusted. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From AtlasMoE Require Import Semantics Tasks Findings Truth.
Import ListNotations.
Open Scope R_scope.

(** Boxes are about values, sums of values, and coordinates on a chart of an input. *)
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
Definition carried (L : layer (block dyadic)) (facts : list finding) : list finding :=
  map (fun p => match p with (Some c, None) => nth c facts Unknown | _ => Unknown end) (leaves L).

(** * What boxes are about: every list of all values is met by one of the cases *)
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

(** * The nodes that are computed, and what of the channels leaves the layer *)
Section Layer.
Variable g : graph.
Variable rs : list (dyadic * dyadic).
Variable facts : list finding.
Variable L : layer (block dyadic).
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
End Layer.
Definition gate_width (gt : net (block dyadic)) : nat := let '(W, c) := expand (snd gt) in length (combine W c).
Lemma gate_width_correct gt y : length (eval_net (map_net real gt) y) = gate_width gt.
Proof.
  unfold eval_net, gate_width. simpl. set (z := fold_left _ _ _). unfold run, real, map_affine. destruct (expand (snd gt)) as [Wt c]. simpl. generalize z. clear.
  revert c. induction Wt as [|r Wt IH]; intros [|c0 c] z; simpl; auto.
Qed.
Lemma In_combine_l A B (a : A) (l : list A) (l' : list B) : length l' = length l -> In a l -> exists b, In (a, b) (combine l l').
Proof.
  revert l'. induction l as [|y l IH]. intros l' _ []. intros [|b l'] E I; simpl in *; try discriminate. destruct I as [->|I]. exists b; auto. destruct (IH l' ltac:(lia) I) as (b' & H). exists b'; auto.
Qed.
