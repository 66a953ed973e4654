(* The checker of one chart: leaves, trees of boxes, and the theorem that follows where it says true. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From AtlasMoE Require Import Semantics Forms Expressions Nets Layers Routes.
Import ListNotations.
Open Scope R_scope.

Module Checker (A : Arithmetic).
Module Export L := Layers A.
Import A.

(** The virtual machine works out both sides of && and ||, so these are written with if where the second side is dear. *)
Notation "a 'andthen' b" := (if a then b else false) (at level 70, right associativity, only parsing).
Notation "a 'orelse' b" := (if a then true else b) (at level 70, right associativity, only parsing).
Lemma andthen_true (a b : bool) : (a andthen b) = true -> a = true /\ b = true.
Proof. destruct a; auto. Qed.
Fixpoint all_of {A} (f : A -> bool) (l : list A) : bool := match l with [] => true | x :: l => f x andthen all_of f l end.
Lemma all_of_true A (f : A -> bool) l : all_of f l = true -> forall x, In x l -> f x = true.
Proof. induction l as [|a l IH]; simpl; intros H x K. destruct K. apply andthen_true in H. destruct H, K as [<-|K]; auto. Qed.

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

Definition outputs_of (sv : list nat) (n e : nat) : list nat := filter (fun j => Nat.eqb (nth j sv 0%nat) e) (seq 0 n).
(** Of the channels that leave a layer those that are asked for. *)
Fixpoint outputs_asked (asked : list bool) (ps : list (option nat * option nat)) (flags : list bool) : list bool :=
  match ps with [] => flags | p :: ps => outputs_asked (List.tl asked) ps (match snd p with Some i => if hd true asked then raise i flags else flags | None => flags end) end.
Definition expert_on (asked : list bool) (s : step) (X : list form) (e : nat) : list form :=
  let y := picks (s_reads s) X in
  let outputs := match asked with [] => [] | _ => outputs_asked asked (s_leaves s) (repeat false (length (s_leaves s))) end in
  fleaving (s_leaves s) X (run_net_on outputs (nth e (s_experts s) (net_of empty)) (match s_latent s with None => y | Some B => run_affine TL B y end))
    (option_map (fun n => run_net_on outputs n y) (s_shared s)).
Definition expert_out := expert_on [].

(** Outputs of gates that may be chosen, by flags for each layer: what is chosen nowhere on a box is chosen nowhere in its parts. *)
Fixpoint live (fl : list bool) (sv : list nat) (n : nat) : list nat :=
  match n with O => [] | S n => let r := live (List.tl fl) (List.tl sv) n in if hd true fl then hd 0%nat sv :: r else r end.
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
Fixpoint lower (k : nat) (flags : list bool) : list bool :=
  match flags with [] => [] | f :: flags => match k with O => false :: flags | S k => f :: lower k flags end end.
Fixpoint agreed (a b : list bool) : list bool := match a, b with x :: a, y :: b => (x && y) :: agreed a b | _, _ => [] end.
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
Fixpoint raises (ks : list nat) (flags : list bool) : list bool := match ks with [] => flags | k :: ks => raises ks (raise k flags) end.
Fixpoint seen (row : list I.type) (sees : list nat) : list nat :=
  match row, sees with w :: row, c :: sees => if exactly_zero w then seen row sees else c :: seen row sees | _, _ => [] end.
Fixpoint gate_sees (fl : list bool) (D : list (list I.type)) (sel : list (nat * I.type)) (sees : list nat) (flags : list bool) : list bool :=
  match sel with [] => flags | (k, _) :: sel => gate_sees (List.tl fl) D sel sees (if hd true fl then raises (seen (nth k D []) sees) flags else flags) end.
Fixpoint carries (ps : list (option nat * option nat)) (flags : list bool) : list bool :=
  match ps with [] => flags | (Some c, _) :: ps => carries ps (raise c flags) | _ :: ps => carries ps flags end.
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

(** * Boxes, and trees of halvings. *)
Fixpoint variables (n : nat) (box : list I.type) : list form :=
  match box with
  | [] => []
  | X :: box => Form (I.singleton (I.midpoint X)) (repeat I.zero n ++ [I.fromZ prec 1]) X :: variables (S n) box
  end.
Definition middle (X : I.type) : R := proj_val (I.F.convert (I.midpoint X)).
Definition shifts (box : list I.type) : list I.type := map (fun X => isub X (I.singleton (I.midpoint X))) box.
Fixpoint diffs (u m : list R) : list R := match u, m with x :: u, y :: m => x - y :: diffs u m | _, _ => [] end.
Lemma shifts_correct box u : mems box u -> mems (shifts box) (diffs u (map middle box)).
Proof. intros H. induction H; simpl; constructor; auto. apply mem_sub; auto. apply mem_point. Qed.
Lemma dot_unit n : forall u, dot (repeat 0 n ++ [1]) u = nth n u 0.
Proof. induction n; intros [|y u]; simpl; try ring. rewrite IHn. ring. Qed.
Lemma variables_correct : forall box u n t, mems box u ->
  (forall k, (k < length u)%nat -> (n + k < length t)%nat /\ nth (n + k) t 0 = nth k u 0 - middle (nth k box I.zero)) ->
  Forall2 (has t) (variables n box) u.
Proof.
  intros box u n t H. revert n. induction H as [|X x box u HX H IH]; intros n K; simpl; constructor.
  - split; auto. exists (middle X), (repeat 0 n ++ [1]). repeat split. apply mem_point.
    apply Forall2_app. clear. induction n; constructor; auto. apply mem_zero. constructor; auto. apply mem_Z.
    destruct (K 0%nat) as [K1 K2]. simpl; lia. rewrite dot_unit, app_nth1 by lia. simpl in K2. rewrite Nat.add_0_r in K2. rewrite K2. ring.
  - apply IH. intros k Hk. destruct (K (S k)) as [K1 K2]. simpl; lia. simpl in K2. rewrite <- K2. split. lia. f_equal. lia.
Qed.
Lemma nth_diffs box u : mems box u -> forall k, (k < length u)%nat ->
  (k < length (diffs u (map middle box)))%nat /\ nth k (diffs u (map middle box)) 0 = nth k u 0 - middle (nth k box I.zero).
Proof.
  intros H. induction H; intros k Hk; simpl in *. lia. destruct k. split; auto; lia. destruct (IHForall2 k) as [P Q]. lia. split; auto. lia.
Qed.

(** Halve side k of the box. *)
Fixpoint halve (k : nat) (box : list I.type) : list I.type * list I.type :=
  match box, k with
  | [], _ => ([], [])
  | X :: box, O => let (a, b) := I.bisect X in (a :: box, b :: box)
  | X :: box, S k => let (a, b) := halve k box in (X :: a, X :: b)
  end.
Lemma halve_correct box u : mems box u -> forall k, mems (fst (halve k box)) u \/ mems (snd (halve k box)) u.
Proof.
  intros H. induction H as [|X x box u HX H IH]; intros k; simpl. left; destruct k; constructor.
  destruct k; simpl.
  - pose proof (I.bisect_correct X (Xreal x) HX) as K. destruct (I.bisect X). simpl in *. destruct K; [left|right]; constructor; auto.
  - destruct (IH k) as [K|K]; destruct (halve k box); simpl in *; [left|right]; constructor; auto.
Qed.

(** What is known of a box holds in its halves. A leaf says whether a box is settled, and what is known of it. *)
Section Trees.
Variable state : Type.
Variable leaf : state -> list I.type -> bool * state.
Variable good : list R -> Prop.
Variable true_at : state -> list R -> Prop.
Variable worth : nat.      (* boxes of a certificate with no more halvings and leaves than this are looked at before their halves *)
Hypothesis leaf_correct : forall s box u, mems box u -> true_at s u -> (fst (leaf s box) = true -> good u) /\ true_at (snd (leaf s box)) u.

(** A leaf that is not settled is halved, side after side, so often at most. *)
Fixpoint settle_from (fuel d k : nat) (s : state) (box : list I.type) : bool :=
  let (b, s) := leaf s box in
  if b then true else
  match fuel with
  | O => false
  | S fuel => let next := if Nat.leb d (S k) then O else S k in
    let (a, b) := halve k box in if settle_from fuel d next s a then settle_from fuel d next s b else false
  end.
Lemma settle_from_correct fuel : forall d k s box u, mems box u -> true_at s u -> settle_from fuel d k s box = true -> good u.
Proof.
  induction fuel as [|fuel IH]; intros d k s box u Hu Hs H; simpl in H; destruct (leaf_correct s box u Hu Hs) as [L1 L2];
    destruct (leaf s box) as [b s']; simpl in L1, L2; destruct b; try discriminate; auto.
  pose proof (halve_correct box u Hu k) as K. destruct (halve k box) as [a b]. simpl in K.
  destruct (settle_from fuel d _ s' a) eqn:E1; try discriminate. destruct K; eauto.
Qed.
(** Whether the tree with which a list begins has at most so many entries. *)
Fixpoint at_most_entries (most : nat) (trees : nat) (cuts : list nat) : bool :=
  match most, cuts with
  | S most, O :: cuts => match trees with S (S trees) => at_most_entries most (S trees) cuts | _ => true end
  | S most, S _ :: cuts => at_most_entries most (S trees) cuts
  | _, _ => false
  end.
(** What is left of a list behind so many trees. *)
Fixpoint behind (trees : nat) (cuts : list nat) : option (list nat) :=
  match trees with
  | O => Some cuts
  | S less => match cuts with [] => None | O :: cuts => behind less cuts | S _ :: cuts => behind (S trees) cuts end
  end.
(** The boxes of a certificate, in preorder: 0 is a leaf, k + 1 a box that is halved along side k. Gives what is left of the list. *)
Fixpoint walk_from (depth fuel d : nat) (cuts : list nat) (s : state) (box : list I.type) : option (list nat) :=
  match cuts with
  | [] => None
  | O :: cuts => if settle_from fuel d 0 s box then Some cuts else None
  | S k :: cuts =>
    match depth with
    | O => None
    | S depth =>
      let (sure, s) := if at_most_entries worth 2 cuts then leaf s box else (false, s) in
      if sure then behind 2 cuts else
      let (a, b) := halve k box in match walk_from depth fuel d cuts s a with None => None | Some cuts => walk_from depth fuel d cuts s b end
    end
  end.
Lemma walk_from_correct fuel d : forall depth cuts s box u rest, mems box u -> true_at s u -> walk_from depth fuel d cuts s box = Some rest -> good u.
Proof.
  induction depth as [|depth IH]; intros [|[|k] cuts] s box u rest Hu Hs H; simpl in H; try discriminate.
  - destruct (settle_from fuel d 0 s box) eqn:E; try discriminate. eapply settle_from_correct; eauto.
  - destruct (settle_from fuel d 0 s box) eqn:E; try discriminate. eapply settle_from_correct; eauto.
  - destruct (if at_most_entries worth 2 cuts then leaf s box else (false, s)) as [sure s'] eqn:E.
    assert (L : (sure = true -> good u) /\ true_at s' u).
    { destruct (at_most_entries worth 2 cuts). pose proof (leaf_correct s box u Hu Hs) as L. rewrite E in L. exact L. injection E as <- <-. split; auto. discriminate. }
    destruct L as [L1 L2]. destruct sure; auto. pose proof (halve_correct box u Hu k) as K. destruct (halve k box) as [a b]. simpl in K.
    destruct (walk_from depth fuel d cuts s' a) as [more|] eqn:W; try discriminate. destruct K; eauto.
Qed.

(** Where it stops: the corners of the first box that is left, and how many leaves were settled. For people; nothing rests on it. *)
Fixpoint stuck (fuel d k : nat) (s : state) (box : list I.type) (n : N) : N * option (list I.type) :=
  let (b, s) := leaf s box in
  if b then ((n + 1)%N, None) else
  match fuel with
  | O => (n, Some box)
  | S fuel => let next := if Nat.leb d (S k) then O else S k in
    let (a, b) := halve k box in match stuck fuel d next s a n with (n, None) => stuck fuel d next s b n | r => r end
  end.
Fixpoint progress (depth fuel d : nat) (cuts : list nat) (s : state) (box : list I.type) (n : N) : N * (list nat + list I.type) :=
  match cuts with
  | [] => (n, inl [])
  | O :: cuts => match stuck fuel d 0 s box n with (n, None) => (n, inl cuts) | (n, Some b) => (n, inr b) end
  | S k :: cuts =>
    match depth with
    | O => (n, inl [])
    | S depth =>
      let (sure, s) := if at_most_entries worth 2 cuts then leaf s box else (false, s) in
      if sure then ((n + 1)%N, inl (match behind 2 cuts with Some cuts => cuts | None => [] end)) else
      let (a, b) := halve k box in match progress depth fuel d cuts s a n with (n, inl cuts) => progress depth fuel d cuts s b n | r => r end
    end
  end.
End Trees.

(** Where nothing is remembered. *)
Section Plain.
Variable leaf : list I.type -> bool.
Variable good : list R -> Prop.
Hypothesis leaf_correct : forall box u, mems box u -> leaf box = true -> good u.
Definition forgetful (s : unit) (box : list I.type) : bool * unit := (leaf box, s).
Definition settle (fuel d k : nat) (box : list I.type) : bool := settle_from unit forgetful fuel d k tt box.
Definition walk (depth fuel d : nat) (cuts : list nat) (box : list I.type) : option (list nat) := walk_from unit forgetful 0 depth fuel d cuts tt box.
Lemma forgetful_correct s box u : mems box u -> True -> (fst (forgetful s box) = true -> good u) /\ True.
Proof. split; simpl; eauto. Qed.
Lemma settle_correct fuel d k box u : mems box u -> settle fuel d k box = true -> good u.
Proof. intros H. apply (settle_from_correct unit forgetful good (fun _ _ => True) forgetful_correct); auto. Qed.
Lemma walk_correct fuel d depth cuts box u rest : mems box u -> walk depth fuel d cuts box = Some rest -> good u.
Proof. intros H. apply (walk_from_correct unit forgetful good (fun _ _ => True) 0 forgetful_correct); auto. Qed.
End Plain.

(** * A chart. *)
Definition optional {A B} (d : B) (f : A -> B) (a : option A) : B := match a with Some a => f a | None => d end.
Section Chart.
Variable c : chart.
Variable by_chart : bool.        (* whether f is a function of the coordinates u of the chart, or of the point y *)
Variable target : list expr.
Variable Q : option (block dyadic).
Variable Ls : list (layer (block dyadic)).
Variable eps : dyadic.

Definition argument (u y : list R) := if by_chart then u else y.
Definition holds_at := claimed c by_chart target Q Ls eps.
(** Everything that does not depend on the box, once. *)
Record prepared := Prepared { p_steps : list step; p_embedding : option affine_; p_eps : I.type }.
Definition prepare := Prepared (map step_of Ls) (option_map affine_of Q) (D2I eps).
(** A box, and what is known to be chosen on a box that holds it. *)
Definition leaf (p : prepared) (al : list (list bool)) (box : list I.type) : bool * list (list bool) :=
  let T := shifts box in let V := variables 0 box in
  if existsb (fun r => optional false (fun F => negative (fr F)) (eval_expr T V r)) (region c) then (true, al) else
  match eval_all T V (inverse c) with
  | None => (false, al)
  | Some Y =>
    match eval_all T (if by_chart then V else Y) target with
    | None => (false, al)
    | Some F => every_path T (p_steps p) al (optional Y (fun q => run_affine T q Y) (p_embedding p)) (all_within T (p_eps p) F)
    end
  end.
(** Boxes of certificates may be smaller than is needed here; gates without neurons are cheap to ask. *)
Definition worth_asking (p : prepared) : nat :=
  match p_steps p with [s] => match s_gate s with Some g => match stages g with [] => 255 | _ => 3 end | None => 3 end | _ => 3 end.
(** What is known at u, if u is asked for at all. *)
Definition known_at (al : list (list bool)) (u : list R) : Prop :=
  Forall (fun r => 0 <= denote r u) (region c) -> goes_by al Ls (embedded Q (values (inverse c) u)).
Lemma leaf_correct al box u : forallb tidy_layer Ls = true -> mems box u -> known_at al u ->
  (fst (leaf prepare al box) = true -> holds_at u) /\ known_at (snd (leaf prepare al box)) u.
Proof.
  intros Td Hu HA. unfold leaf. set (T := shifts box) in *. set (V := variables 0 box) in *.
  set (t := diffs u (map middle box)). assert (HT : mems T t) by (apply shifts_correct; auto).
  assert (HV : Forall2 (has t) V u). { apply variables_correct; auto. intros k Hk. apply nth_diffs; auto. }
  destruct (existsb _ (region c)) eqn:R.
  { split; auto. intros _ Reg. exfalso. apply existsb_exists in R. destruct R as (r & Ir & Hr). rewrite Forall_forall in Reg. specialize (Reg r Ir).
    destruct (eval_expr T V r) as [F|] eqn:EF; try discriminate. simpl in Hr. destruct (proj1 (eval_correct T t HT V u HV) _ _ EF) as [_ [M _]].
    apply negative_correct with (2 := M) in Hr. lra. }
  clear R. destruct (eval_all T V (inverse c)) as [Y|] eqn:EY; [|split; auto; discriminate]. destruct (eval_all_correct T t HT V u HV _ _ EY) as [DY HY].
  destruct (eval_all T _ target) as [F|] eqn:EF; [|split; auto; discriminate].
  set (y := values (inverse c) u) in *.
  assert (HF : Forall2 (has t) (if by_chart then V else Y) (argument u y)) by (unfold argument; destruct by_chart; auto).
  destruct (eval_all_correct T t HT _ _ HF _ _ EF) as [DF HF'].
  assert (HQ : Forall2 (has t) (optional Y (fun q => run_affine T q Y) (p_embedding prepare)) (embedded Q y)).
  { unfold embedded, prepare. simpl. destruct Q; simpl; auto. apply (run_affine_correct T t HT); auto. }
  assert (K : forall X x, Forall2 (has t) X x -> all_within T (p_eps prepare) F X = true -> near (D2R eps) (values target (argument u y)) x).
  { intros X x HX K. refine (all_within_correct T t HT _ _ _ _ _ _ _ HF' HX K). apply mem_D2I. }
  pose proof (every_path_correct T t HT (D2R eps) (values target (argument u y)) (all_within T (p_eps prepare) F) K Ls Td al _ _ HQ) as E.
  change (p_steps prepare) with (map step_of Ls). split.
  - intros H Reg. split; auto. specialize (HA Reg). destruct (E HA) as [E1 _]. specialize (E1 H). fold y. change (eval_moe (map (map_layer real) Ls) (embedded Q y)) with (network_of Ls (embedded Q y)) in E1.
    clear - DF E1. unfold close, values, argument in *. remember (network_of Ls (embedded Q y)) as psi. clear Heqpsi. revert psi E1.
    induction DF as [|e es D DF IH]; intros psi N; inversion N; subst; constructor; auto.
  - intros Reg. apply (E (HA Reg)).
Qed.

Definition side (b : dyadic * dyadic) : I.type := I.meet (I.upper_extent (D2I (fst b))) (I.lower_extent (D2I (snd b))).
Lemma box_correct b u : in_box b u -> mems (map side b) u.
Proof.
  intros H. induction H as [|s x b u [H1 H2] H IH]; constructor; auto. apply mem_meet.
  apply (I.upper_extent_correct _ x (D2R (fst s))); auto. apply mem_D2I.
  apply (I.lower_extent_correct _ x (D2R (snd s))); auto. apply mem_D2I.
Qed.

(** What is asked of a file: that this is true. A box of the chart is walked along [cuts], leaves are halved [fuel] times at most. *)
Definition accepted_on (b : list (dyadic * dyadic)) (depth fuel : nat) (cuts : list nat) : bool :=
  forallb tidy_layer Ls &&
  let p := prepare in match walk_from _ (leaf p) (worth_asking p) depth fuel (length b) cuts [] (map side b) with Some [] => true | _ => false end.
Theorem accepted_on_sound b depth fuel cuts : accepted_on b depth fuel cuts = true -> forall u, in_box b u -> holds_at u.
Proof.
  unfold accepted_on. intros H u Hu. apply andb_prop in H. destruct H as [Td H].
  destruct (walk_from _ _ _ _ _ _ _ _ _) as [rest|] eqn:W; try discriminate.
  apply (walk_from_correct _ (leaf prepare) holds_at known_at _ (fun al b v Hv => leaf_correct al b v Td Hv)) with (3 := W). apply box_correct; auto.
  intros _. apply goes_by_nothing.
Qed.
Definition accepted := accepted_on (box c).
Theorem accepted_sound depth fuel cuts : accepted depth fuel cuts = true -> forall u, in_box (box c) u -> holds_at u.
Proof. apply accepted_on_sound. Qed.
(** Where it is not true: leaves that are settled, and the corners of the first box that is not. *)
Definition trouble (depth fuel : nat) (cuts : list nat) : N * list (I.F.type * I.F.type) :=
  let p := prepare in match progress _ (leaf p) (worth_asking p) depth fuel (length (box c)) cuts [] (map side (box c)) 0%N with
  | (n, inr b) => (n, map (fun X => (I.lower X, I.upper X)) b) | (n, inl _) => (n, []) end.
End Chart.

(** * That there is something to speak of: a point of the box at which the region is not negative. *)
Fixpoint inside (b : list (dyadic * dyadic)) (X : list I.type) : bool :=
  match b, X with
  | [], [] => true
  | s :: b, x :: X => nonnegative (isub x (D2I (fst s))) && nonnegative (isub (D2I (snd s)) x) && inside b X
  | _, _ => false
  end.
Definition has_point (c : chart) (u : list dyadic) : bool :=
  let X := map D2I u in let T := shifts X in let V := variables 0 X in
  inside (box c) X && all_of (fun r => optional false (fun F => nonnegative (fr F)) (eval_expr T V r)) (region c).
Theorem has_point_sound c u : has_point c u = true -> exists v y, point_of c v y.
Proof.
  unfold has_point. intros H. apply andb_prop in H. destruct H as [B H]. set (v := map D2R u). assert (M : mems (map D2I u) v) by (unfold v; clear; induction u; constructor; auto; apply mem_D2I).
  exists v, (values (inverse c) v). split; [|split; auto].
  - revert B. clear H. generalize (box c). clear c. induction M as [|X x Xs xs HX M IH]; intros [|s b] B; simpl in B; try discriminate; constructor.
    + apply andb_prop in B. destruct B as [B _]. apply andb_prop in B. destruct B as [B1 B2].
      apply nonnegative_correct with (x := x - D2R (fst s)) in B1. 2: apply mem_sub; auto; apply mem_D2I.
      apply nonnegative_correct with (x := D2R (snd s) - x) in B2. 2: apply mem_sub; auto; apply mem_D2I. lra.
    + apply andb_prop in B. apply IH, B.
  - set (t := diffs v (map middle (map D2I u))). assert (HT : mems (shifts (map D2I u)) t) by (apply shifts_correct; auto).
    assert (HV : Forall2 (has t) (variables 0 (map D2I u)) v). { apply variables_correct; auto. intros k Hk. apply nth_diffs; auto. }
    apply Forall_forall. intros r Ir. pose proof (all_of_true _ _ _ H r Ir) as Q. cbv beta in Q. destruct (eval_expr _ _ r) as [F|] eqn:E; simpl in Q; try discriminate.
    destruct (proj1 (eval_correct _ t HT _ v HV) _ _ E) as [_ [Me _]]. apply nonnegative_correct with (1 := Q) (2 := Me).
Qed.
End Checker.
