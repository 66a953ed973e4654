(* What is known of the channels between the layers of a task graph, whichever experts are taken: copies of values, scores of values, or outputs
   of nets that read values. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From AtlasMoE Require Import Semantics Dyadics Scores.
Import ListNotations.
Open Scope R_scope.

(** * What is known of the channels between layers: nothing; it is value k; it is within d of value k; it is a score of values;
    it is the first output of a net that reads what is within so much of values, or anything. *)
Inductive finding := Unknown | Exactly (k : nat) | Around (k : nat) (d : dyadic) | Scores (fs : list face)
| Computed (rs : list (option (nat * dyadic))) (n : net (block dyadic)).
Definition reads_as (w : list R) (r : option (nat * dyadic)) (x : R) : Prop := match r with None => True | Some (k, d) => Rabs (nth k w 0 - x) <= D2R d end.
Definition holds_for (w : list R) (f : finding) (y : R) : Prop :=
  match f with
  | Unknown => True | Exactly k => y = nth k w 0 | Around k d => Rabs (nth k w 0 - y) <= D2R d | Scores fs => scores w fs y
  | Computed rs n => exists x, Forall2 (reads_as w) rs x /\ y = nth 0 (eval_net (map_net real n) x) 0
  end.
Definition face_eqb (f g : face) : bool := same_value (fst (fst f)) (fst (fst g)) && Nat.eqb (snd (fst f)) (snd (fst g)) && same_value (snd f) (snd g).
Fixpoint faces_eqb (fs gs : list face) : bool := match fs, gs with [], [] => true | f :: fs, g :: gs => face_eqb f g && faces_eqb fs gs | _, _ => false end.
Definition fact_eqb (f g : finding) : bool :=
  match f, g with
  | Unknown, Unknown => true | Exactly k, Exactly l => Nat.eqb k l | Around k d, Around l e => Nat.eqb k l && same_value d e
  | Scores fs, Scores gs => faces_eqb fs gs | _, _ => false
  end.
Lemma faces_eqb_heights w : forall fs gs, faces_eqb fs gs = true -> map (height w) fs = map (height w) gs.
Proof.
  induction fs as [|[[a r] b] fs IH]; intros [|[[a' r'] b'] gs] E; simpl in E; try discriminate; auto. apply andb_prop in E. destruct E as [E1 E2].
  simpl. rewrite (IH gs E2). f_equal. unfold face_eqb in E1. simpl in E1. apply andb_prop in E1. destruct E1 as [E1 E3]. apply andb_prop in E1. destruct E1 as [E1 E4].
  apply Nat.eqb_eq in E4. unfold height. simpl. rewrite (same_value_correct _ _ E1), (same_value_correct _ _ E3), E4. reflexivity.
Qed.
Lemma scores_map w fs y : scores w fs y <-> (y <= 0 /\ (Forall (fun h => h <= 0) (map (height w) fs) -> y = 0) /\ (Exists (fun h => 0 < h) (map (height w) fs) -> y < 0)).
Proof. unfold scores. rewrite Forall_map, Exists_map. reflexivity. Qed.
Lemma fact_eqb_correct w f g y : fact_eqb f g = true -> holds_for w g y -> holds_for w f y.
Proof.
  destruct f, g; simpl; intros E H; try discriminate; auto.
  - apply Nat.eqb_eq in E. subst; auto.
  - apply andb_prop in E. destruct E as [E1 E2]. apply Nat.eqb_eq in E1. subst. rewrite (same_value_correct _ _ E2). auto.
  - apply scores_map. rewrite (faces_eqb_heights w _ _ E). apply scores_map; auto.
Qed.

(** From what is known in terms of channels, whose facts are given, to a finding. *)
Definition face_of (facts : list finding) (f : face) : option face := match nth (snd (fst f)) facts Unknown with Exactly k => Some (fst (fst f), k, snd f) | _ => None end.
Fixpoint faces_of (facts : list finding) (fs : list face) : option (list face) :=
  match fs with [] => Some [] | f :: fs => match face_of facts f, faces_of facts fs with Some g, Some gs => Some (g :: gs) | _, _ => None end end.
Definition fact_of (facts : list finding) (s : known) : finding :=
  match s with
  | Line (a, r, b) => if same_value a one_d && (sign b =? 0)%Z then nth r facts Unknown else Unknown
  | Score fs => match faces_of facts fs with Some gs => Scores gs | None => Unknown end
  | _ => Unknown
  end.
Lemma nth_holds w facts x r : Forall2 (holds_for w) facts x -> holds_for w (nth r facts Unknown) (nth r x 0).
Proof. intros H. revert r. induction H; intros [|r]; simpl; auto; exact Logic.I. Qed.
Lemma faces_of_heights w facts x : Forall2 (holds_for w) facts x -> forall fs gs, faces_of facts fs = Some gs -> map (height w) gs = map (height x) fs.
Proof.
  intros H. induction fs as [|f fs IH]; intros gs E; simpl in E. injection E as <-; auto.
  destruct (face_of facts f) as [g|] eqn:G; try discriminate. destruct (faces_of facts fs) as [hs|] eqn:HS; try discriminate. injection E as <-. simpl. rewrite (IH hs eq_refl). f_equal.
  unfold face_of in G. pose proof (nth_holds w facts x (snd (fst f)) H) as K. destruct (nth (snd (fst f)) facts Unknown); try discriminate. injection G as <-. unfold height. simpl in *. rewrite K. reflexivity.
Qed.
Lemma fact_of_correct w facts x s y : Forall2 (holds_for w) facts x -> is_known x s y -> holds_for w (fact_of facts s) y.
Proof.
  intros H K. destruct s as [[[a r] b]|f|fs|]; simpl; auto.
  - destruct (same_value a one_d) eqn:A; simpl; auto. destruct (Z.eqb_spec (sign b) 0) as [B|]; simpl; auto. simpl in K. unfold height in K. simpl in K.
    rewrite (same_value_correct _ _ A), (sign_zero b B) in K. replace y with (nth r x 0). apply nth_holds; auto. rewrite K. unfold D2R, one_d. simpl. ring.
  - destruct (faces_of facts fs) as [gs|] eqn:G; simpl; auto. simpl in K. apply scores_map. rewrite (faces_of_heights w facts x H _ _ G). apply scores_map; auto.
Qed.

Definition picked (ks : list nat) (facts : list finding) : list finding := map (fun k => nth k facts Unknown) ks.
Lemma picked_correct w ks facts x : Forall2 (holds_for w) facts x -> Forall2 (holds_for w) (picked ks facts) (pick ks x).
Proof. intros H. unfold picked, pick. induction ks; simpl; constructor; auto. apply nth_holds; auto. Qed.
Definition reading (f : finding) : option (nat * dyadic) := match f with Exactly k => Some (k, zero_d) | Around k d => Some (k, d) | _ => None end.
Lemma reading_correct w f x : holds_for w f x -> reads_as w (reading f) x.
Proof. destruct f; simpl; auto. intros ->. rewrite Rminus_diag_eq by reflexivity. rewrite Rabs_R0. unfold D2R. simpl. lra. Qed.
(** Output i of a net alone. *)
Definition only (n : net (block dyadic)) (i : nat) : net (block dyadic) :=
  let '(D, sel, b) := snd n in (fst n, (D, [nth i sel (0%nat, zero_d)], [nth i b zero_d])).
Lemma only_correct n i x : (i < length (eval_net (map_net real n) x))%nat -> nth 0 (eval_net (map_net real (only n i)) x) 0 = nth i (eval_net (map_net real n) x) 0.
Proof.
  destruct n as [hs [[D sel] b]]. unfold only, eval_net. simpl fst. simpl snd. set (z := fold_left _ _ x). unfold run, real, map_affine, expand. simpl fst. simpl snd. clearbody z. clear.
  revert i b. induction sel as [|s sel IH]; intros i [|c b]; simpl; try (intros; lia). intros H. destruct i; simpl; auto. rewrite <- IH by (simpl; lia). reflexivity.
Qed.
Definition refined (facts : list finding) (n : net (block dyadic)) (i : nat) (s : known) : finding :=
  match fact_of facts s with Unknown => Computed (map reading facts) (only n i) | f => f end.
(** All that a net says of what is known so. *)
Definition said_by (n : net (block dyadic)) (fs : list finding) : list finding :=
  if no_lanes n then map (fun p => refined fs n (fst p) (snd p)) (let s := of_net n (lines (length fs)) in combine (seq 0 (length s)) s) else [].
Lemma said_by_correct w n fs y i : Forall2 (holds_for w) fs y -> holds_for w (nth i (said_by n fs) Unknown) (nth i (eval_net (map_net real n) y) 0).
Proof.
  intros P. unfold said_by. destruct (no_lanes n) eqn:N; [|destruct i; exact Logic.I].
  assert (len : length fs = length y) by (clear -P; induction P; simpl; auto). rewrite len.
  pose proof (of_net_correct y n _ _ N (lines_correct y)) as K. set (s := of_net n (lines (length y))) in *.
  destruct (Nat.lt_ge_cases i (length s)) as [Li|Li].
  2:{ rewrite nth_overflow. exact Logic.I. rewrite map_length, combine_length, seq_length. lia. }
  assert (LK : length s = length (eval_net (map_net real n) y)) by (clear -K; induction K; simpl; auto).
  rewrite nth_indep with (d' := refined fs n 0 Anything) by (rewrite map_length, combine_length, seq_length; lia).
  change (refined fs n 0 Anything) with ((fun p => refined fs n (fst p) (snd p)) (0%nat, Anything)). rewrite map_nth, combine_nth by apply seq_length. simpl fst; simpl snd. rewrite seq_nth by auto. simpl Nat.add.
  assert (HK : is_known y (nth i s Anything) (nth i (eval_net (map_net real n) y) 0)).
  { clear - K. revert i. induction K; intros [|i]; simpl; auto; exact Logic.I. }
  pose proof (fact_of_correct w fs y _ _ P HK) as Q. unfold refined. destruct (fact_of fs (nth i s Anything)) eqn:E; auto.
  exists y. split. clear - P. induction P; simpl; constructor; auto. apply reading_correct; auto. symmetry. apply only_correct. lia.
Qed.
Definition of_expert (L : layer (block dyadic)) (facts : list finding) (e : nat) : list finding :=
  match latent L with None => said_by (nth e (experts L) ([], ([], [], []))) (picked (reads L) facts) | _ => [] end.
Lemma of_expert_correct w L facts x j i : Forall2 (holds_for w) facts x ->
  holds_for w (nth i (of_expert L facts (nth j (serves L) 0%nat)) Unknown) (output (map_layer real L) x j i).
Proof.
  intros H. unfold of_expert, output, inner. simpl. set (e := nth j (serves L) 0%nat). set (n := nth e (experts L) ([], ([], [], []))).
  change ([], ([], [])) with (map_net real ([], ([], [], []))). rewrite map_nth. fold n.
  destruct (latent L); simpl; [destruct i; exact Logic.I|]. apply said_by_correct. apply picked_correct; auto.
Qed.
Definition silent (L : layer (block dyadic)) (i e : nat) : bool :=
  match latent L with None => mute (nth e (experts L) ([], ([], [], []))) (length (reads L)) i | _ => false end.
Lemma silent_correct L x j i : silent L i (nth j (serves L) 0%nat) = true -> output (map_layer real L) x j i = 0.
Proof.
  unfold silent, output, inner. simpl. set (e := nth j (serves L) 0%nat). set (n := nth e (experts L) ([], ([], [], []))).
  change ([], ([], [])) with (map_net real ([], ([], [], []))). rewrite map_nth. fold n. destruct (latent L); simpl; try discriminate.
  replace (length (reads L)) with (length (pick (reads L) x)) by (unfold pick; rewrite map_length; auto). apply mute_correct.
Qed.
Definition common (fs : list finding) : finding := match fs with [] => Unknown | f :: fs => if forallb (fun g => fact_eqb f g) fs then f else Unknown end.
Lemma common_correct w fs f y : In f fs -> holds_for w f y -> holds_for w (common fs) y.
Proof.
  destruct fs as [|g fs]; simpl; auto. intros [->|I] H.
  - destruct (forallb _ fs); simpl; auto.
  - destruct (forallb _ fs) eqn:E; simpl; auto. rewrite forallb_forall in E. apply fact_eqb_correct with (2 := H). auto.
Qed.
(** Of each channel that leaves, from what is carried, or what every expert says. *)
Definition outgoing (L : layer (block dyadic)) (facts : list finding) : list finding :=
  let said := map (of_expert L facts) (nodup Nat.eq_dec (match gate L with None => [nth 0 (serves L) 0%nat] | Some _ => serves L end)) in
  map (fun p => match p with
    | (Some c, None) => nth c facts Unknown
    | (None, Some i) => match shared L with None => common (map (fun out => nth i out Unknown) said)
      | Some n => if mute n (length (reads L)) i then common (map (fun out => nth i out Unknown) said) else if forallb (silent L i) (nodup Nat.eq_dec (match gate L with None => [nth 0 (serves L) 0%nat] | Some _ => serves L end)) then nth i (said_by n (picked (reads L) facts)) Unknown else Unknown end
    | _ => Unknown end) (leaves L).
Lemma outgoing_correct w L facts x j : (match gate L with None => j = 0%nat | Some _ => (j < length (serves L))%nat end) -> Forall2 (holds_for w) facts x ->
  Forall2 (holds_for w) (outgoing L facts) (leaving (map_layer real L) x (output (map_layer real L) x j)).
Proof.
  intros Hj H. unfold outgoing, leaving. simpl. induction (leaves L) as [|[[c|] [i|]] ps IH]; simpl; constructor; auto; try exact Logic.I; clear IH.
  - simpl. rewrite Rplus_0_r. apply nth_holds; auto.
  - simpl. set (e := nth j (serves L) 0%nat). set (every := nodup Nat.eq_dec (match gate L with None => [nth 0 (serves L) 0%nat] | Some _ => serves L end)).
    assert (Ie : In e every) by (apply nodup_In; unfold e; destruct (gate L); [apply nth_In; auto | subst; left; auto]).
    assert (Said : holds_for w (common (map (fun out => nth i out Unknown) (map (of_expert L facts) every))) (output (map_layer real L) x j i)).
    { apply common_correct with (f := nth i (of_expert L facts e) Unknown). 2: apply of_expert_correct; auto.
      apply in_map_iff. exists (of_expert L facts e). split; auto. apply in_map; auto. }
    destruct (shared L) as [sn|]; simpl. 2: rewrite Rplus_0_l, Rplus_0_r; auto.
    destruct (mute sn (length (reads L)) i) eqn:Mu.
    { rewrite mute_correct. rewrite Rplus_0_l, Rplus_0_r; auto. unfold pick. rewrite map_length. auto. }
    destruct (forallb (silent L i) every) eqn:S; simpl; auto. rewrite forallb_forall in S. rewrite (silent_correct L x j i) by (apply S; auto).
    rewrite !Rplus_0_l. apply said_by_correct. apply picked_correct; auto.
Qed.
