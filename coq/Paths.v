(* Every path through the layers of a network over a box: which experts may be chosen there, and that what is true of each that is chosen is true
   of the mixture. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Taylor Intervals Forms Expressions Routes Nets Layers Conjunctions.
Import ListNotations.
Open Scope R_scope.

Module Paths (A : Arithmetic).
Module Export L := Layers A.
Import A.

(** * Layers, arranged. *)
Record step := Step {
  s_gate : option net_; s_sees : list nat; s_experts : list net_; s_serves : list nat; s_reads : list nat; s_latent : option affine_;
  s_shared : option net_; s_leaves : list (option nat * option nat); s_top : nat; s_weighs : weighting }.
Definition step_of (L : layer (block dyadic)) : step :=
  Step (option_map net_of (gate L)) (sees L) (map net_of (experts L)) (serves L) (reads L)
    (option_map affine_of (latent L)) (option_map net_of (shared L)) (leaves L) (top L) (weighs L).
Definition empty : net (block dyadic) := ([], ([], [], [])).
Definition tidy_layer (L : layer (block dyadic)) :=
  match gate L with None => true | Some g => tidy g end && forallb tidy (experts L) && match shared L with None => true | Some s => tidy s end.

Section Box.
Variable TL : list I.type.
Variable tl : list R.
Hypothesis HTL : mems TL tl.
Local Notation has := (has tl). Local Notation hass := (Forall2 (F.has tl)). Local Notation lin := (lin tl).
Local Notation fadd := (fadd TL). Local Notation rng := (rng TL). Local Notation run_net_on := (run_net_on TL).
Let add_ok := fadd_correct TL tl HTL. Let const_ok := fconst_correct tl.

Definition picks (ks : list nat) (X : list form) := map (fun k => nth k X (number 0)) ks.
Lemma picks_correct ks X x : hass X x -> hass (picks ks X) (pick ks x).
Proof. intros H. unfold picks, pick. induction ks; constructor; auto. apply nth_has; auto. Qed.
Definition fleaving (ps : list (option nat * option nat)) (X out : list form) (sh : option (list form)) : list form :=
  map (fun p =>
    let o := match snd p with
      | None => None
      | Some i => Some (match sh with None => nth i out (number 0) | Some s => fadd (nth i out (number 0)) (nth i s (number 0)) end) end in
    match fst p, o with
    | None, None => number 0 | Some c, None => nth c X (number 0) | None, Some o => o | Some c, Some o => fadd (nth c X (number 0)) o
    end) ps.
Lemma fleaving_correct L X x OUT (out : list R) SH : hass X x -> hass OUT out ->
  match SH, shared L with None, None => True | Some s, Some n => hass s (eval_net n (pick (reads L) x)) | _, _ => False end ->
  hass (fleaving (leaves L) X OUT SH) (leaving L x (fun i => nth i out 0)).
Proof.
  intros HX HO HS. unfold fleaving, leaving. induction (leaves L) as [|[c o] ps IH]; simpl; constructor; auto. clear IH.
  assert (O : forall i, has (match SH with None => nth i OUT (number 0) | Some s => fadd (nth i OUT (number 0)) (nth i s (number 0)) end)
    (nth i out 0 + match shared L with None => 0 | Some n => nth i (eval_net n (pick (reads L) x)) 0 end)).
  { intros i. destruct SH, (shared L); try contradiction. apply add_ok; apply nth_has; auto. rewrite Rplus_0_r. apply nth_has; auto. }
  destruct c as [c|], o as [i|]; simpl.
  - apply add_ok; auto. apply nth_has; auto. - rewrite Rplus_0_r. apply nth_has; auto.
  - rewrite Rplus_0_l. apply O. - rewrite Rplus_0_l. apply number_correct.
Qed.

(** a > b, and a < b nowhere *)
Definition beats (a b : form) := positive (rng (isub (fc a) (fc b)) (addv (fs a) (map I.neg (fs b)))).
Lemma beats_correct a b v w : has a v -> has b w -> beats a b = true -> w < v.
Proof.
  intros [_ (c1 & s1 & C1 & S1 & E1)] Hb P. destruct Hb as [_ (c3 & s3 & C3 & S3 & E3)].
  apply positive_correct with (x := v - w) in P. lra. apply (rng_correct TL tl HTL).
  destruct (addv_correct _ _ (map I.neg (fs b)) (map Ropp s3) (tl ++ monos2 tl) S1) as (r & R1 & R2). { apply negs_correct; auto. }
  exists (c1 - c3), r. repeat split; auto. apply mem_sub; auto. rewrite R2, dot_opp, E1, E3. ring.
Qed.
(** Output j of the gate is chosen nowhere on the box. *)
Definition never_one (k : nat) (logits : list form) (b : form) : bool := at_least k (fun a => beats a b) logits.
Definition never (k : nat) (logits : list form) (j : nat) : bool := never_one k logits (nth j logits (number 0)).
(** Some of the logits are enough to tell. *)
Fixpoint keep (fl : list bool) (l : list form) : list form :=
  match l with [] => [] | a :: l => if hd true fl then a :: keep (List.tl fl) l else keep (List.tl fl) l end.
Lemma keep_less f l : forall fl, (length (filter f (keep fl l)) <= length (filter f l))%nat.
Proof. induction l as [|a l IH]; intros fl; simpl; auto. specialize (IH (List.tl fl)). destruct (hd true fl); simpl; destruct (f a); simpl; lia. Qed.
Lemma keep_correct k fl Ls l j : hass Ls l -> In j (chosen k l) -> never_one k (keep fl Ls) (nth j Ls (number 0)) = false.
Proof.
  intros H Hj. destruct (never_one k (keep fl Ls) (nth j Ls (number 0))) eqn:E; auto. exfalso. unfold never_one in E. apply at_least_correct in E.
  pose proof (keep_less (fun a => beats a (nth j Ls (number 0))) Ls fl) as KL.
  destruct (in_chosen _ _ _ Hj) as [Lj Cj]. rewrite <- (filter_seq _ _ (number 0) Ls) in KL.
  assert (LL : length Ls = length l) by (clear -H; induction H; simpl; auto). rewrite LL in KL.
  assert (length (filter (fun i => beats (nth i Ls (number 0)) (nth j Ls (number 0))) (seq 0 (length l))) <= length (filter (before l j) (seq 0 (length l))))%nat.
  2: lia. apply filter_less. intros i Hi B. apply beats_correct with (v := nth i l 0) (w := nth j l 0) in B; try (apply nth_has; auto).
  unfold before. destruct (Rlt_dec _ _); auto.
Qed.
Lemma keep_all l : keep [] l = l.
Proof. induction l; simpl; f_equal; auto. Qed.
Lemma never_correct k Ls l j : hass Ls l -> In j (chosen k l) -> never k Ls j = false.
Proof. intros H Hj. unfold never. rewrite <- (keep_all Ls) at 1. apply keep_correct with l; auto. Qed.

Definition expert_on (asked : list bool) (s : step) (X : list form) (e : nat) : list form :=
  let y := picks (s_reads s) X in
  let outputs := match asked with [] => [] | _ => outputs_asked asked (s_leaves s) (repeat false (length (s_leaves s))) end in
  fleaving (s_leaves s) X (run_net_on outputs (nth e (s_experts s) (net_of empty)) (match s_latent s with None => y | Some B => run_affine TL B y end))
    (option_map (fun n => run_net_on outputs n y) (s_shared s)).
Definition expert_out := expert_on [].

Fixpoint still (k : nat) (all : list form) (fl : list bool) (logits : list form) : list bool :=
  match logits with [] => [] | b :: l => (hd true fl andthen negb (never_one k all b)) :: still k all (List.tl fl) l end.
(** Where one is chosen, logits are compared with those only that are likeliest to be the largest. *)
Fixpoint likeliest (fl : list bool) (logits : list form) (i : nat) (most : I.type) (at_most : option nat) : option nat :=
  match logits with
  | [] => at_most
  | b :: l => let m := point (fc b) in
    if hd true fl andthen (match at_most with None => true | Some _ => positive (isub m most) end) then likeliest (List.tl fl) l (S i) m (Some i)
    else likeliest (List.tl fl) l (S i) most at_most
  end.
Fixpoint rounds (m : nat) (k : nat) (fl ahead : list bool) (logits : list form) : list bool :=
  match m with
  | O => fl
  | S m =>
    match likeliest ahead logits 0 I.zero None with
    | None => fl
    | Some i => let fl := still k (keep (raise i (repeat false (length logits))) logits) fl logits in rounds m k fl (lower i (agreed ahead fl)) logits
    end
  end.
Definition left_over (k : nat) (fl : list bool) (logits : list form) : list bool :=
  match k with 1%nat => rounds 8 k fl (match fl with [] => repeat true (length logits) | _ => fl end) logits | _ => still k (keep fl logits) fl logits end.
(** The channels that the next layer needs where this much is known of it: a hint for what need not be worked out. *)
Fixpoint seen (row : list I.type) (sees : list nat) : list nat :=
  match row, sees with w :: row, c :: sees => if exactly_zero w then seen row sees else c :: seen row sees | _, _ => [] end.
Fixpoint gate_sees (fl : list bool) (D : list (list I.type)) (sel : list (nat * I.type)) (sees : list nat) (flags : list bool) : list bool :=
  match sel with [] => flags | (k, _) :: sel => gate_sees (List.tl fl) D sel sees (if hd true fl then raises (seen (nth k D []) sees) flags else flags) end.
Definition experts_left (fl : list bool) (s : step) (n : nat) : list nat := nodup Nat.eq_dec (live fl (s_serves s) n).
Definition needed (count : nat) (Ls : list step) (al : list (list bool)) : list bool :=
  match Ls, al with
  | s :: _, fl :: _ =>
    match fl with [] => [] | _ =>
      let flags := raises (s_reads s) (carries (s_leaves s) (repeat false count)) in
      match s_gate s with
      | None => flags
      | Some g =>
        match experts_left fl s (length (last_sel g)), stages g with
        | [_], _ => flags
        | _, [] => gate_sees fl (first g) (last_sel g) (s_sees s) flags
        | _, _ => raises (s_sees s) flags
        end
      end
    end
  | _, _ => []
  end.
(** Whether all that may be chosen end with k true; and what may be chosen, as far as that was found out. *)
Definition onward (go : nat -> bool * list (list bool)) (e : nat) := go e.      (* a name for proofs *)
Fixpoint every_path (Ls : list step) (al : list (list bool)) (X : list form) (k : list form -> bool) : bool * list (list bool) :=
  match Ls with
  | [] => (k X, [])
  | s :: Ls =>
    let fl := hd [] al in let al := List.tl al in let asked := needed (length (s_leaves s)) Ls al in
    let go := onward (fun e => every_path Ls al (expert_on asked s X e) k) in
    match s_gate s with
    | None => let (b, al') := go (nth 0 (s_serves s) 0%nat) in (b, fl :: al')
    | Some g =>
      let logits := run_net_on (match experts_left fl s (length (last_sel g)) with [_] => repeat false (length (last_sel g)) | _ => fl end) g (picks (s_sees s) X) in
      let n := length logits in
      let fl := left_over (s_top s) fl logits in
      let fit := convex (s_weighs s) && negb (Nat.eqb n 0) && (Nat.eqb (s_top s) 1 || (Nat.leb 1 (s_top s) && match Ls with [] => true | _ => false end)) in
      match experts_left fl s n with
      | [e] => let (b, al') := go e in (fit && b, fl :: al')
      | es => (fit andthen all_of (fun e => fst (go e)) es, fl :: al)
      end
    end
  end.

Lemma expert_on_correct asked L X x j : tidy_layer L = true -> hass X x ->
  hass (expert_on asked (step_of L) X (nth j (serves L) 0%nat)) (leaving (map_layer real L) x (output (map_layer real L) x j)).
Proof.
  intros T HX. unfold tidy_layer in T. apply andb_prop in T. destruct T as [T T3]. apply andb_prop in T. destruct T as [T1 T2].
  set (M := map_layer real L). set (out := eval_net (nth (nth j (serves M) 0%nat) (experts M) ([], ([], []))) (inner M x)).
  change (output M x j) with (fun i => nth i out 0). unfold expert_on. cbv zeta. set (outputs := match asked with [] => [] | _ => _ end). apply (fleaving_correct M); auto.
  - unfold out, M. simpl experts. simpl serves. change ([], ([], [])) with (map_net real empty). rewrite map_nth.
    simpl s_experts. rewrite map_nth. apply (run_net_on_correct TL tl HTL).
    + destruct (nth_in_or_default (nth j (serves L) 0%nat) (experts L) empty) as [E|E]. 2: rewrite E; reflexivity. rewrite forallb_forall in T2; auto.
    + unfold inner. simpl. destruct (latent L) as [B|]; simpl; [apply (run_affine_correct TL tl HTL)|]; apply picks_correct; auto.
  - unfold M. simpl. destruct (shared L) as [n|]; simpl; auto. apply (run_net_on_correct TL tl HTL); auto. apply picks_correct; auto.
Qed.
Lemma expert_out_correct L X x j : tidy_layer L = true -> hass X x ->
  hass (expert_out (step_of L) X (nth j (serves L) 0%nat)) (leaving (map_layer real L) x (output (map_layer real L) x j)).
Proof. apply expert_on_correct. Qed.

Lemma still_nth k all : forall logits fl j, (j < length logits)%nat -> nth j fl true = true -> never_one k all (nth j logits (number 0)) = false ->
  nth j (still k all fl logits) true = true.
Proof.
  induction logits as [|b l IH]; intros fl j Hj F N; simpl in *. lia. destruct j as [|j].
  - rewrite N. destruct fl; simpl in *; subst; auto. - apply IH. lia. destruct fl; simpl in *; auto. destruct j; auto. auto.
Qed.
Lemma left_over_nth k logits l fl j : hass logits l -> In j (chosen k l) -> nth j fl true = true -> nth j (left_over k fl logits) true = true.
Proof.
  intros HL Hj F. destruct (in_chosen _ _ _ Hj) as [Lj _]. rewrite <- (same_length _ _ _ _ _ HL) in Lj.
  assert (S : forall fl' kept, nth j fl' true = true -> nth j (still k (keep kept logits) fl' logits) true = true).
  { intros fl' kept F'. apply still_nth; auto. apply keep_correct with l; auto. }
  assert (R : forall m fl' ahead, nth j fl' true = true -> nth j (rounds m k fl' ahead logits) true = true).
  { induction m as [|m IH]; intros fl' ahead F'; simpl; auto. destruct (likeliest _ _ _ _ _); auto. }
  unfold left_over. destruct k as [|[|k]]; auto.
Qed.
Lemma every_path_correct eps f (k : list form -> bool) :
  (forall X x, hass X x -> k X = true -> near eps f x) ->
  forall Ls, forallb tidy_layer Ls = true -> forall al X x, hass X x -> goes_by al Ls x ->
  (fst (every_path (map step_of Ls) al X k) = true -> near eps f (eval_moe (map (map_layer real) Ls) x)) /\ goes_by (snd (every_path (map step_of Ls) al X k)) Ls x.
Proof.
  intros Hk. induction Ls as [|L Ls IH]; intros T al X x HX RX; cbn [map every_path].
  { simpl. split; auto. intros K. apply Hk with X; auto. }
  simpl in T. apply andb_prop in T. destruct T as [TL' T]. set (M := map_layer real L). set (fl := hd [] al) in *. set (al1 := List.tl al) in *.
  set (asked := needed _ _ _). clearbody asked. cbv zeta.
  set (go := onward _). simpl goes_by in RX. fold fl al1 in RX.
  assert (Go : forall j, goes_by al1 Ls (leaving M x (output M x j)) ->
    (fst (go (nth j (serves L) 0%nat)) = true -> near eps f (eval_moe (map (map_layer real) Ls) (leaving M x (output M x j)))) /\
    goes_by (snd (go (nth j (serves L) 0%nat))) Ls (leaving M x (output M x j))).
  { intros j R. exact (IH T al1 _ _ (expert_on_correct asked L X x j TL' HX) R). }
  clearbody go. clear IH. change (s_gate (step_of L)) with (option_map net_of (gate L)). unfold eval_moe. cbn [map fold_left]. fold M.
  unfold eval_layer. change (gate M) with (option_map (map_net real) (gate L)).
  destruct (gate L) as [g|] eqn:G; cbn [option_map].
  2:{ destruct (Go 0%nat RX) as [P1 P2]. change (nth 0 (s_serves (step_of L)) 0%nat) with (nth 0 (serves L) 0%nat).
      destruct (go (nth 0 (serves L) 0%nat)) as [b al']. cbn [fst snd] in *. split; [exact P1|]. simpl. rewrite G. exact P2. }
  set (dim := match experts_left fl (step_of L) (length (last_sel (net_of g))) with [_] => repeat false (length (last_sel (net_of g))) | _ => fl end). clearbody dim. cbv zeta.
  change (s_sees (step_of L)) with (sees L). change (s_top (step_of L)) with (top L). change (s_weighs (step_of L)) with (weighs L).
  set (logits := run_net_on dim (net_of g) (picks (sees L) X)) in *. set (l := eval_net (map_net real g) (pick (sees L) x)) in *.
  change (eval_net (map_net real g) (pick (sees M) x)) with l. change (weighs M) with (weighs L). change (top M) with (top L).
  assert (HL : hass logits l). { apply (run_net_on_correct TL tl HTL). unfold tidy_layer in TL'. rewrite G in TL'. destruct (tidy g); auto. apply picks_correct; auto. }
  assert (LL : length logits = length l) by (apply (same_length _ _ _ _ _ HL)).
  set (fl' := left_over (top L) fl logits). 
  assert (Fl : forall j, In j (chosen (top L) l) -> nth j fl' true = true /\ In (nth j (serves L) 0%nat) (experts_left fl' (step_of L) (length logits))).
  { intros j Hj. destruct (in_chosen _ _ _ Hj) as [Lj _]. destruct (RX j Hj) as [Fj _].
    assert (F : nth j fl' true = true). { apply left_over_nth with l; auto. }
    split; auto. apply nodup_In. apply live_correct; auto. lia. }
  set (fit := convex (weighs L) && _ && _). set (es := experts_left fl' (step_of L) (length logits)) in *.
  (* what follows from what is true of each that is chosen *)
  assert (Mix : fit = true -> (forall j, In j (chosen (top L) l) -> near eps f (eval_moe (map (map_layer real) Ls) (leaving M x (output M x j)))) ->
    near eps f (fold_left (fun x L => eval_layer L x) (map (map_layer real) Ls)
      (leaving M x (fun i => sum (map (fun j => weight (weighs L) l (chosen (top L) l) j * output M x j i) (chosen (top L) l)))))).
  { intros K One. unfold fit in K. apply andb_prop in K. destruct K as [K KT]. apply andb_prop in K. destruct K as [KC KN].
    assert (NL : l <> []). { intros E. rewrite E in LL. simpl in LL. rewrite LL in KN. discriminate KN. }
    apply orb_prop in KT. destruct KT as [KT|KT].
    - apply Nat.eqb_eq in KT. rewrite KT in *. destruct (chosen_one l NL) as (j & Ej & Lj). rewrite Ej in *.
      rewrite leaving_one by auto. apply (One j). left; auto.
    - apply andb_prop in KT. destruct KT as [KT KL]. assert (KT' : (1 <= top L)%nat) by (destruct (top L); [discriminate | lia]). destruct Ls as [|L' Ls]; try discriminate. simpl.
      pose proof (chosen_some (top L) l NL KT') as CN. destruct (weights_convex (weighs L) l _ KC CN) as [W1 W2]. apply mixed_near; auto. }
  assert (Many : (fst (fit andthen all_of (fun e => fst (go e)) es, fl' :: al1) = true ->
      near eps f (fold_left (fun x L => eval_layer L x) (map (map_layer real) Ls)
      (leaving M x (fun i => sum (map (fun j => weight (weighs L) l (chosen (top L) l) j * output M x j i) (chosen (top L) l)))))) /\
    goes_by (snd (fit andthen all_of (fun e => fst (go e)) es, fl' :: al1)) (L :: Ls) x).
  { cbn [fst snd]. split.
    - intros K. apply andthen_true in K. destruct K as [K KE]. apply Mix; auto. intros j Hj.
      apply (Go j). apply (RX j Hj). apply (all_of_true _ _ _ KE _ (proj2 (Fl j Hj))).
    - simpl. rewrite G. intros j Hj. split. apply (Fl j Hj). apply (RX j Hj). }
  destruct es as [|e [|e' es']]; try exact Many. clear Many.
  assert (One : forall j, In j (chosen (top L) l) -> nth j (serves L) 0%nat = e). { intros j Hj. destruct (Fl j Hj) as [_ [E|[]]]; auto. }
  destruct (go e) as [b al'] eqn:Eg. cbn [fst snd]. split.
  - intros K. apply andb_prop in K. destruct K as [K KB]. apply Mix; auto. intros j Hj. apply (Go j). apply (RX j Hj). rewrite (One j Hj), Eg. exact KB.
  - simpl. rewrite G. intros j Hj. split. apply (Fl j Hj). destruct (Go j (proj2 (RX j Hj))) as [_ P]. rewrite (One j Hj), Eg in P. exact P.
Qed.

Definition within (E : I.type) (a b : form) : bool :=
  let r := rng (isub (fc a) (fc b)) (addv (fs a) (map I.neg (fs b))) in negb (negative (isub E (I.abs r))) && nonnegative (isub E (I.abs r)).
Lemma within_correct E eps a b v w : mem E eps -> has a v -> has b w -> within E a b = true -> Rabs (v - w) <= eps.
Proof.
  intros HE [_ (c1 & s1 & C1 & S1 & E1)] [_ (c3 & s3 & C3 & S3 & E3)] P. apply andb_prop in P. destruct P as [_ P].
  apply nonnegative_correct with (x := eps - Rabs (v - w)) in P. lra. apply mem_sub; auto.
  apply (I.abs_correct _ (Xreal (v - w))). apply (rng_correct TL tl HTL).
  destruct (addv_correct _ _ (map I.neg (fs b)) (map Ropp s3) (tl ++ monos2 tl) S1) as (r & R1 & R2). { apply negs_correct; auto. }
  exists (c1 - c3), r. repeat split; auto. apply mem_sub; auto. rewrite R2, dot_opp, E1, E3. ring.
Qed.
Fixpoint all_within E (a b : list form) : bool :=
  match a, b with [], [] => true | x :: a, y :: b => within E x y andthen all_within E a b | _, _ => false end.
Lemma all_within_correct E eps X a B b : mem E eps -> hass X a -> hass B b -> all_within E X B = true -> near eps a b.
Proof.
  intros HE HA. revert B b. induction HA; intros B b HB P; destruct HB; simpl in P; try discriminate; constructor.
  - apply andthen_true in P. destruct P as [P1 P2]. exact (within_correct _ _ _ _ _ _ HE H H0 P1).
  - apply andthen_true in P. destruct P as [P1 P2]. exact (IHHA _ _ HB P2).
Qed.
End Box.
End Paths.
