(* Static bounds of a network: how large its numbers get anywhere, and how far rounding takes them. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From Interval Require Import Float.Basic Interval.Interval Real.Xreal.
From Flocq Require Import Core.
From AtlasMoE Require Import Semantics Taylor Intervals Forms Expressions Nets Layers Routes Conjunctions Trees Paths Checker Floats Orders Rounding.
Import ListNotations.
Open Scope R_scope.

Module FloatBounds (A : Arithmetic).
Module Export K := Checker A.
Import A.

(** An enclosure of B and one of e, see [about]. *)
Definition bound := (I.type * I.type)%type.
Definition ok (p : bound) (v x : R) := exists B e, mem (fst p) B /\ mem (snd p) e /\ about B e v x.
Notation oks := (all3 ok).
Definition none : bound := (I.zero, I.zero).
Lemma ok_none : ok none 0 0.
Proof. exists 0, 0. repeat split; try apply mem_zero; rewrite ?Rminus_0_r, Rabs_R0; lra. Qed.
Lemma oks_nth P v x k : oks P v x -> ok (nth k P none) (nth k v 0) (nth k x 0).
Proof. intros H. revert k. induction H; intros [|k]; simpl; auto using ok_none. Qed.
Lemma oks_length P v x : oks P v x -> length P = length v /\ length x = length v.
Proof. intros H. induction H; simpl; intuition. Qed.
Lemma oks_pick P v x ks : oks P v x -> oks (map (fun k => nth k P none) ks) (pick ks v) (pick ks x).
Proof. intros H. unfold pick. induction ks; simpl; constructor; auto. apply oks_nth; auto. Qed.
Lemma mem_abs X x : mem X x -> mem (I.abs X) (Rabs x).
Proof. exact (I.abs_correct X (Xreal x)). Qed.

Definition uI := D2I (1, -53)%Z.
Definition kappaI := D2I (1, -1022)%Z.
Lemma pow_bpow e : D2R (1, e)%Z = bpow radix2 e.
Proof. unfold D2R. simpl fst. simpl snd. rewrite bpow_powerRZ. simpl. ring. Qed.
Lemma mem_u : mem uI u. Proof. unfold u. rewrite <- pow_bpow. apply mem_D2I. Qed.
Lemma mem_kappa : mem kappaI kappa. Proof. unfold kappa. rewrite <- pow_bpow. apply mem_D2I. Qed.
(** Far from overflow. *)
Definition hugeI := D2I (1, 1000)%Z.
Definition small X := positive (isub hugeI X).
Lemma small_correct X x : small X = true -> mem X x -> 2 * x <= huge.
Proof.
  intros H M. apply positive_correct with (x := bpow radix2 1000 - x) in H.
  - assert (bpow radix2 1000 + bpow radix2 1000 <= huge). { unfold huge. replace (bpow radix2 1000 + bpow radix2 1000) with (bpow radix2 1001). apply bpow_le; lia.
      change 1001%Z with (1 + 1000)%Z. rewrite bpow_plus. change (bpow radix2 1) with 2. ring. } lra.
  - apply mem_sub; auto. rewrite <- pow_bpow. apply mem_D2I.
Qed.

(** * Affine maps: a direction d once, and c d.x + b *)
Fixpoint along (d : list dyadic) (P : list bound) : bound :=
  match d, P with a :: d, p :: P => let (M, E) := along d P in let w := I.abs (D2I a) in (iadd (imul w (fst p)) M, iadd (imul w (snd p)) E) | _, _ => none end.
Lemma along_correct d P v x : oks P v x -> exists M E, mem (fst (along d P)) M /\ mem (snd (along d P)) E /\
  absdot (map D2R d) v <= M /\ absdot (map D2R d) x <= M /\ forall c, Rabs (dot (map (Rmult c) (map D2R d)) x - dot (map (Rmult c) (map D2R d)) v) <= Rabs c * E.
Proof.
  intros H. revert d. induction H as [|p v0 x0 P v x (B & e & MB & Me & V & X & E) H IH]; intros [|a d]; simpl.
  1-3: exists 0, 0; repeat split; try apply mem_zero; try lra; intros; rewrite ?Rminus_0_r, ?Rmult_0_r, Rabs_R0; lra.
  destruct (IH d) as (M & D & MM & MD & MV & MX & K). destruct (along d P) as [MI DI]. simpl in *.
  exists (Rabs (D2R a) * B + M), (Rabs (D2R a) * e + D). pose proof (Rabs_pos (D2R a)). repeat split.
  - apply mem_add; auto. apply mem_mul; auto. apply mem_abs, mem_D2I. - apply mem_add; auto. apply mem_mul; auto. apply mem_abs, mem_D2I.
  - assert (Rabs (D2R a) * Rabs v0 <= Rabs (D2R a) * B) by (apply Rmult_le_compat_l; auto). lra.
  - assert (Rabs (D2R a) * Rabs x0 <= Rabs (D2R a) * B) by (apply Rmult_le_compat_l; auto). lra.
  - intros c. specialize (K c). replace (c * D2R a * x0 + dot (map (Rmult c) (map D2R d)) x - (c * D2R a * v0 + dot (map (Rmult c) (map D2R d)) v))
      with (c * D2R a * (x0 - v0) + (dot (map (Rmult c) (map D2R d)) x - dot (map (Rmult c) (map D2R d)) v)) by ring.
    eapply Rle_trans. apply Rabs_triang. rewrite !Rabs_mult. pose proof (Rabs_pos c).
    assert (Rabs c * Rabs (D2R a) * Rabs (x0 - v0) <= Rabs c * Rabs (D2R a) * e) by (apply Rmult_le_compat_l; auto; apply Rmult_le_pos; auto). lra.
Qed.
Definition entry (row : bound * Z) (c b : dyadic) : option bound :=
  let '((M, E), n) := row in let w := I.abs (D2I c) in let N := I.fromZ prec n in
  let S := iadd (imul w M) (I.abs (D2I b)) in let T := iadd S (imul N kappaI) in
  let r := imul (imul N (imul two uI)) T in
  if small T && Z.ltb n (2 ^ 50) then Some (iadd S r, iadd (imul w E) r) else None.
Fixpoint entries (rows : list (bound * Z)) (sel : list (nat * dyadic)) (bias : list dyadic) : option (list bound) :=
  match sel, bias with
  | (k, c) :: sel, b :: bias => both cons (entry (nth k rows (none, 1%Z)) c b) (entries rows sel bias)
  | _, _ => Some []
  end.
Definition bound_affine (B : block dyadic) (P : list bound) : option (list bound) :=
  let '(D, sel, bias) := B in entries (map (fun d => (along d P, Z.of_nat (S (length d)))) D) sel bias.
Lemma entry_correct d P v x c b p : oks P v x -> entry (along d P, Z.of_nat (S (length d))) c b = Some p ->
  sure (adds (terms (map D2R (map (dmul c) d)) (D2R b) x)) (ok p (dot (map D2R (map (dmul c) d)) v + D2R b)).
Proof.
  intros H E. destruct (along_correct d P v x H) as (M & D & MM & MD & MV & MX & K). unfold entry in E. destruct (along d P) as [MI DI]. simpl fst in MM. simpl snd in MD.
  set (n := S (length d)) in *. destruct (small _ && _) eqn:G; try discriminate. injection E as <-. apply andb_prop in G. destruct G as [G N]. apply Z.ltb_lt in N.
  set (a := Rabs (D2R c)). set (S0 := a * M + Rabs (D2R b)).
  assert (Hn : mem (I.fromZ prec (Z.of_nat n)) (INR n)) by (rewrite INR_IZR_INZ; apply mem_Z).
  assert (HS : mem (iadd (imul (I.abs (D2I c)) MI) (I.abs (D2I b))) S0) by (apply mem_add; [apply mem_mul; auto|]; apply mem_abs, mem_D2I).
  assert (HT : mem (iadd (iadd (imul (I.abs (D2I c)) MI) (I.abs (D2I b))) (imul (I.fromZ prec (Z.of_nat n)) kappaI)) (S0 + INR n * kappa)).
  { apply mem_add; auto. apply mem_mul; auto. apply mem_kappa. }
  apply small_correct with (2 := HT) in G. pose proof (Rabs_pos (D2R c)) as Pa. fold a in Pa.
  assert (W : forall y, absdot (map D2R d) y <= M -> absdot (map D2R (map (dmul c) d)) y + Rabs (D2R b) <= S0).
  { intros y Hy. rewrite map_dmul, absdot_scale. fold a. unfold S0. assert (a * absdot (map D2R d) y <= a * M) by (apply Rmult_le_compat_l; auto). lra. }
  destruct (oks_length _ _ _ H) as [_ LX].
  eapply sure_weaker. apply row_close with (v := v) (S := S0) (D := a * D) (n := n); auto.
  - unfold terms. rewrite !app_length, !combine_length, LX. reflexivity.
  - rewrite map_dmul. apply K.
  - rewrite !map_length. auto.
  - rewrite u_half, INR_IZR_INZ. apply Rle_trans with (IZR (2 ^ 51) * bpow radix2 (-52)).
    + apply Rmult_le_compat_r. apply bpow_ge_0. apply IZR_le. change (2 ^ 50)%Z with 1125899906842624%Z in N. change (2 ^ 51)%Z with 2251799813685248%Z. lia.
    + change (2 ^ 51)%Z with (Zpower radix2 51). rewrite IZR_Zpower by lia. rewrite <- bpow_plus. change 1 with (bpow radix2 0). apply bpow_le. lia.
  - intros y Hy. eexists; eexists; split; [|split]; [| |exact Hy]; simpl.
    + apply mem_add; auto. apply mem_mul; auto. apply mem_mul; auto. apply mem_mul. apply mem_Z. apply mem_u.
    + apply mem_add. apply mem_mul; auto. apply mem_abs, mem_D2I. apply mem_mul; auto. apply mem_mul; auto. apply mem_mul. apply mem_Z. apply mem_u.
Qed.
Lemma bound_affine_correct B P P' v x : oks P v x -> bound_affine B P = Some P' -> sure (fl_run (real B) x) (oks P' (run (real B) v)).
Proof.
  destruct B as [[D sel] bias]. intros H E. unfold fl_run, run, real, map_affine, expand in *. simpl in *. apply each_sure.
  revert bias P' E. induction sel as [|[k c] sel IH]; intros bias P' E; simpl in *. { injection E as <-. constructor. }
  destruct bias as [|b bias]. { injection E as <-. constructor. }
  apply both_some in E. destruct E as (p & P1 & E1 & E2 & ->). simpl. constructor; auto.
  change (none, 1%Z) with ((fun d : list dyadic => (along d P, Z.of_nat (S (length d)))) []) in E1. rewrite map_nth in E1.
  exact (entry_correct _ _ _ _ _ _ _ H E1).
Qed.

(** * Products and activations *)
Definition product (p q : bound) : option bound :=
  let T := iadd (imul (fst p) (fst q)) kappaI in let r := imul uI T in
  if small T then Some (iadd (imul (fst p) (fst q)) r, iadd (iadd (imul (fst p) (snd q)) (imul (snd p) (fst q))) r) else None.
Lemma product_correct p q r v x w y : product p q = Some r -> ok p v x -> ok q w y -> sure (gives (rounded (x * y))) (ok r (v * w)).
Proof.
  unfold product. intros E (B1 & e1 & M1 & N1 & H1) (B2 & e2 & M2 & N2 & H2). destruct (small _) eqn:G; try discriminate. injection E as <-.
  assert (HT : mem (iadd (imul (fst p) (fst q)) kappaI) (B1 * B2 + kappa)) by (apply mem_add; [apply mem_mul; auto | apply mem_kappa]).
  apply small_correct with (2 := HT) in G. eapply sure_weaker. apply (product_close _ _ _ _ _ _ _ _ H1 H2 G).
  intros z Hz. eexists; eexists; split; [|split]; [| |exact Hz]; simpl.
  - apply mem_add. apply mem_mul; auto. apply mem_mul; auto. apply mem_u.
  - apply mem_add. apply mem_add; apply mem_mul; auto. apply mem_mul; auto. apply mem_u.
Qed.
Definition bound_activation (f : activation) (p : bound) : option bound :=
  match f with Identity | Relu => Some p | Relu2 => product p p | _ => None end.
Lemma bound_activation_correct f p q v x : bound_activation f p = Some q -> ok p v x -> sure (fl_activate f x) (ok q (activate f v)).
Proof.
  destruct f; simpl; intros E H; try discriminate.
  - injection E as <-. apply sure_gives; auto.
  - injection E as <-. apply sure_gives. destruct H as (B & e & M & N & H). exists B, e. split; auto. split; auto. apply relu_about; auto.
  - apply (product_correct _ _ _ _ _ _ _ E); destruct H as (B & e & M & N & H); exists B, e; split; auto; split; auto; apply relu_about; auto.
Qed.
Fixpoint bound_bend (fs : list activation) (P : list bound) : option (list bound) :=
  match fs, P with f :: fs, p :: P => both cons (bound_activation f p) (bound_bend fs P) | _, _ => Some [] end.
Lemma bound_bend_correct P v x : oks P v x -> forall fs Q, bound_bend fs P = Some Q -> sure (each (fl_bend fs x)) (oks Q (bend fs v)).
Proof.
  intros H fs Q E. apply each_sure. revert fs Q E. induction H; intros [|f fs] Q E; simpl in *; try (injection E as <-; constructor).
  apply both_some in E. destruct E as (q & Q' & E1 & E2 & ->). constructor; auto. apply bound_activation_correct with (1 := E1); auto.
Qed.
Fixpoint bound_times (P Q : list bound) : option (list bound) :=
  match P, Q with p :: P, q :: Q => both cons (product p q) (bound_times P Q) | _, _ => Some [] end.
Lemma bound_times_correct P v x : oks P v x -> forall Q w y, oks Q w y -> forall S, bound_times P Q = Some S -> sure (each (fl_times x y)) (oks S (times v w)).
Proof.
  intros H Q w y HQ S E. apply each_sure. revert Q w y HQ S E. induction H; intros Q w y HQ S E; destruct HQ; simpl in *; try (injection E as <-; constructor).
  apply both_some in E. destruct E as (s & S' & E1 & E2 & ->). constructor; eauto. apply product_correct with (1 := E1); auto.
Qed.

(** * Nets *)
Definition bind {A B} (a : option A) (f : A -> option B) : option B := match a with Some a => f a | None => None end.
Lemma bind_some A B (a : option A) (f : A -> option B) b : bind a f = Some b -> exists x, a = Some x /\ f x = Some b.
Proof. destruct a; simpl; intros E; [eauto | discriminate]. Qed.
Definition bound_hidden (h : hidden (block dyadic)) (P : list bound) : option (list bound) :=
  bind (bind (bound_affine (into h) P) (bound_bend (acts h))) (fun Z => match lanes h with None => Some Z | Some up => bind (bound_affine up P) (bound_times Z) end).
Lemma bound_hidden_correct h P Q v x : oks P v x -> bound_hidden h P = Some Q -> sure (fl_hidden (map_hidden real h) x) (oks Q (eval_hidden (map_hidden real h) v)).
Proof.
  intros H E. unfold bound_hidden in E. apply bind_some in E. destruct E as (Z & E & F). apply bind_some in E. destruct E as (Y & E1 & E2).
  unfold fl_hidden, eval_hidden. destruct h as [b fs up]. simpl in *. apply sure_chain with (1 := bound_affine_correct _ _ _ _ _ H E1). intros y Hy.
  apply sure_chain with (1 := bound_bend_correct _ _ _ Hy _ _ E2). intros z Hz. destruct up as [up|]; simpl.
  - apply bind_some in F. destruct F as (U & F1 & F2). apply sure_chain with (1 := bound_affine_correct _ _ _ _ _ H F1). intros w Hw. apply (bound_times_correct _ _ _ Hz _ _ _ Hw _ F2).
  - injection F as <-. apply sure_gives; auto.
Qed.
Fixpoint bound_layers (hs : list (hidden (block dyadic))) (P : list bound) : option (list bound) :=
  match hs with [] => Some P | h :: hs => bind (bound_hidden h P) (bound_layers hs) end.
Definition bound_net (n : net (block dyadic)) (P : list bound) : option (list bound) := bind (bound_layers (fst n) P) (bound_affine (snd n)).
Lemma bound_net_correct n P Q v x : oks P v x -> bound_net n P = Some Q -> sure (fl_net (map_net real n) x) (oks Q (eval_net (map_net real n) v)).
Proof.
  intros H E. unfold bound_net in E. apply bind_some in E. destruct E as (Z & E & F). destruct n as [hs b]. unfold fl_net, eval_net. simpl in *.
  assert (G : sure (fl_layers (map (map_hidden real) hs) x) (oks Z (fold_left (fun x h => eval_hidden h x) (map (map_hidden real) hs) v))).
  { revert P v x H E. induction hs as [|h hs IH]; intros P v x H E; simpl in *. { injection E as <-. apply sure_gives; auto. }
    apply bind_some in E. destruct E as (P1 & E1 & E2). apply sure_chain with (1 := bound_hidden_correct _ _ _ _ _ H E1). intros y Hy. apply IH with (1 := Hy); auto. }
  apply sure_chain with (1 := G). intros y Hy. apply bound_affine_correct with (1 := Hy); auto.
Qed.

(** * What leaves a layer: sums of a few numbers *)
Fixpoint sums (P : list bound) : bound := match P with [] => none | p :: P => (iadd (fst p) (fst (sums P)), iadd (snd p) (snd (sums P))) end.
Definition added (P : list bound) : option bound :=
  let (S, D) := sums P in let N := I.fromZ prec (Z.of_nat (length P)) in let T := iadd S (imul N kappaI) in let r := imul (imul N (imul two uI)) T in
  if small T && Z.ltb (Z.of_nat (length P)) (2 ^ 50) then Some (iadd S r, iadd D r) else None.
Lemma small_count n : (Z.of_nat n < 2 ^ 50)%Z -> INR (Datatypes.S n) * (2 * u) <= 1.
Proof.
  intros N. rewrite u_half, INR_IZR_INZ. apply Rle_trans with (IZR (2 ^ 51) * bpow radix2 (-52)).
  - apply Rmult_le_compat_r. apply bpow_ge_0. apply IZR_le. change (2 ^ 50)%Z with 1125899906842624%Z in N. change (2 ^ 51)%Z with 2251799813685248%Z. lia.
  - change (2 ^ 51)%Z with (Zpower radix2 51). rewrite IZR_Zpower by lia. rewrite <- bpow_plus. change 1 with (bpow radix2 0). apply bpow_le. lia.
Qed.
Lemma sums_correct P v x : oks P v x -> let l := map (pair 1) x in exists S D, mem (fst (sums P)) S /\ mem (snd (sums P)) D /\
  Rabs (sum v) <= S /\ Rabs (exact l) <= S /\ weight l <= S + INR (length P) * kappa /\ Rabs (exact l - sum v) <= D.
Proof.
  intros H. induction H as [|p v0 x0 P v x (B & e & M & N & V & X & E) H IH]; simpl.
  - exists 0, 0. repeat split; try apply mem_zero; rewrite ?Rminus_0_r, ?Rabs_R0; lra.
  - destruct IH as (S & D & MS & MD & VS & XS & W & F). change (sum (v0 :: v)) with (v0 + sum v). exists (B + S), (e + D). repeat split; try apply mem_add; auto.
    + pose proof (Rabs_triang v0 (sum v)). lra. + rewrite Rmult_1_l. pose proof (Rabs_triang x0 (exact (map (pair 1) x))). lra.
    + rewrite Rmult_1_l. change (match length P with O => 1 | Datatypes.S _ => INR (length P) + 1 end) with (INR (Datatypes.S (length P))). rewrite S_INR. lra.
    + rewrite Rmult_1_l. replace (x0 + exact (map (pair 1) x) - (v0 + sum v)) with ((x0 - v0) + (exact (map (pair 1) x) - sum v)) by ring.
      eapply Rle_trans. apply Rabs_triang. lra.
Qed.
Lemma added_correct P v x q : oks P v x -> added P = Some q -> sure (adds (map (pair 1) x)) (ok q (sum v)).
Proof.
  intros H E. destruct (sums_correct P v x H) as (S & D & MS & MD & VS & XS & W & F). unfold added in E. destruct (sums P) as [SI DI]. simpl in MS, MD.
  set (n := length P) in *. destruct (small _ && _) eqn:G; try discriminate. injection E as <-. apply andb_prop in G. destruct G as [G N]. apply Z.ltb_lt in N.
  apply small_count in N. assert (Hn : mem (I.fromZ prec (Z.of_nat n)) (INR n)) by (rewrite INR_IZR_INZ; apply mem_Z).
  assert (HT : mem (iadd SI (imul (I.fromZ prec (Z.of_nat n)) kappaI)) (S + INR n * kappa)) by (apply mem_add; auto; apply mem_mul; auto; apply mem_kappa).
  apply small_correct with (2 := HT) in G. set (l := map (pair 1) x) in *. assert (Ln : length l = n). { unfold l. rewrite map_length. destruct (oks_length _ _ _ H). unfold n. congruence. }
  set (r := INR n * (2 * u) * (S + INR n * kappa)). pose proof (weight_pos l). pose proof u_pos. pose proof (pos_INR n).
  assert (Gn : growth n <= INR n * (2 * u)). { apply growth_bound. rewrite S_INR in N. nra. }
  assert (GS : growth (Datatypes.S n) <= 1) by (eapply Rle_trans; [apply growth_bound|]; auto).
  intros o Ho. destruct (adds_fine _ _ Ho) as (y & -> & _ & Fy).
  { rewrite Ln. eapply Rle_trans; [|exact G]. apply Rmult_le_compat; auto. pose proof (growth_pos (Datatypes.S n)). lra. lra. }
  rewrite Ln in Fy. assert (R : growth n * weight l <= r) by (unfold r; apply Rmult_le_compat; auto; apply growth_pos).
  assert (0 <= r) by (eapply Rle_trans; [|exact R]; apply Rmult_le_pos; auto; apply growth_pos).
  exists y. split; auto. exists (S + r), (D + r). assert (HR : mem (imul (imul (I.fromZ prec (Z.of_nat n)) (imul two uI)) (iadd SI (imul (I.fromZ prec (Z.of_nat n)) kappaI))) r).
  { unfold r. apply mem_mul; auto. apply mem_mul; auto. apply mem_mul. apply mem_Z. apply mem_u. }
  split. apply mem_add; auto. split. apply mem_add; auto. split. lra. split.
  - replace y with ((y - exact l) + exact l) by ring. eapply Rle_trans. apply Rabs_triang. lra.
  - replace (y - sum v) with ((y - exact l) + (exact l - sum v)) by ring. eapply Rle_trans. apply Rabs_triang. lra.
Qed.
Definition bound_parts (has_shared : bool) (P out sh : list bound) (p : option nat * option nat) : list bound :=
  match fst p with None => [] | Some c => [nth c P none] end ++
  match snd p with None => [] | Some i => nth i out none :: if has_shared then [nth i sh none] else [] end.
Fixpoint collect {A} (l : list (option A)) : option (list A) := match l with [] => Some [] | a :: l => both cons a (collect l) end.
Definition leave (L : layer (block dyadic)) (P out : list bound) : option (list bound) :=
  bind (match shared L with None => Some [] | Some n => bound_net n (map (fun k => nth k P none) (reads L)) end) (fun sh =>
    collect (map (fun p => added (bound_parts (match shared L with None => false | Some _ => true end) P out sh p)) (leaves L))).
Lemma leave_correct L P out v x o ho Q : oks P v x -> oks out o ho -> leave L P out = Some Q ->
  sure (fl_leaving (map_layer real L) x ho) (oks Q (leaving (map_layer real L) v (fun i => nth i o 0))).
Proof.
  intros H HO E. unfold leave in E. apply bind_some in E. destruct E as (sh & E1 & E2). unfold fl_leaving.
  apply sure_chain with (P := fun y => match shared L with None => True | Some n => oks sh (eval_net (map_net real n) (pick (reads L) v)) y end).
  { unfold fl_shared. simpl. destruct (shared L) as [n|]; simpl. apply bound_net_correct with (2 := E1). apply oks_pick; auto. apply sure_gives; exact Logic.I. }
  intros y Hy. apply each_sure. unfold leaving. simpl leaves. revert Q E2. induction (leaves L) as [|p ps IH]; intros Q E; simpl in *. { injection E as <-. constructor. }
  apply both_some in E. destruct E as (q & Q' & E & E' & ->). constructor; auto. clear IH E'.
  assert (G : exists xs vs, parts (map_layer real L) x ho y p = map (pair 1) xs /\ oks (bound_parts (match shared L with None => false | Some _ => true end) P out sh p) vs xs /\
    match fst p with None => 0 | Some c => nth c v 0 end + match snd p with None => 0 | Some i => nth i o 0 + match option_map (map_net real) (shared L) with None => 0 | Some n => nth i (eval_net n (pick (reads L) v)) 0 end end = sum vs).
  { destruct p as [c i]. unfold parts, bound_parts. simpl. destruct (shared L) as [n|]; simpl in *; destruct c as [c|], i as [i|]; simpl.
    - exists [nth c x 0; nth i ho 0; nth i y 0], [nth c v 0; nth i o 0; nth i (eval_net (map_net real n) (pick (reads L) v)) 0]. split; auto. split; [|unfold sum; simpl; ring].
      repeat constructor; apply oks_nth; auto.
    - exists [nth c x 0], [nth c v 0]. split; auto. split; [|unfold sum; simpl; ring]. repeat constructor; apply oks_nth; auto.
    - exists [nth i ho 0; nth i y 0], [nth i o 0; nth i (eval_net (map_net real n) (pick (reads L) v)) 0]. split; auto. split; [|unfold sum; simpl; ring]. repeat constructor; apply oks_nth; auto.
    - exists [], []. split; auto. split; [|unfold sum; simpl; ring]. constructor.
    - exists [nth c x 0; nth i ho 0], [nth c v 0; nth i o 0]. split; auto. split; [|unfold sum; simpl; ring]. repeat constructor; apply oks_nth; auto.
    - exists [nth c x 0], [nth c v 0]. split; auto. split; [|unfold sum; simpl; ring]. repeat constructor; apply oks_nth; auto.
    - exists [nth i ho 0], [nth i o 0]. split; auto. split; [|unfold sum; simpl; ring]. repeat constructor; apply oks_nth; auto.
    - exists [], []. split; auto. split; [|unfold sum; simpl; ring]. constructor. }
  destruct G as (xs & vs & -> & G & ->). apply added_correct with (1 := G); auto.
Qed.

(** * Layers, whichever expert is taken; and what logits may be off by *)
Fixpoint widest (P : list bound) : I.type := match P with [] => I.zero | p :: P => I.join (snd p) (widest P) end.
Lemma widest_correct P v x : oks P v x -> exists m, mem (widest P) m /\ 0 <= m /\ forall i, Rabs (nth i x 0 - nth i v 0) <= m.
Proof.
  intros H. induction H as [|p v0 x0 P v x (B & e & M & N & V & X & E) H (m & Mm & Pm & IH)]; simpl.
  - exists 0. split. apply mem_zero. split. lra. intros [|i]; rewrite Rminus_0_r, Rabs_R0; lra.
  - exists (Rmax e m). split; [|split].
    + unfold Rmax. destruct (Rle_dec e m). apply mem_join_r; auto. apply mem_join_l; auto.
    + apply Rle_trans with (1 := Pm), Rmax_r.
    + intros [|i]. eapply Rle_trans. exact E. apply Rmax_l. eapply Rle_trans. apply IH. apply Rmax_r.
Qed.
Fixpoint either (P Q : list bound) : option (list bound) :=
  match P, Q with
  | [], [] => Some [] | p :: P, q :: Q => option_map (cons (I.join (fst p) (fst q), I.join (snd p) (snd q))) (either P Q) | _, _ => None
  end.
Lemma either_l P v x : oks P v x -> forall Q S, either P Q = Some S -> oks S v x.
Proof.
  intros H. induction H as [|p v0 x0 P v x (B & e & M & N & K) H IH]; intros [|q Q] S E; simpl in *; try discriminate. injection E as <-; constructor.
  destruct (either P Q) eqn:F; try discriminate. injection E as <-. constructor; eauto. exists B, e. split. apply mem_join_l; auto. split; auto. apply mem_join_l; auto.
Qed.
Lemma either_r Q v x : oks Q v x -> forall P S, either P Q = Some S -> oks S v x.
Proof.
  intros H. induction H as [|q v0 x0 Q v x (B & e & M & N & K) H IH]; intros [|p P] S E; simpl in *; try discriminate. injection E as <-; constructor.
  destruct (either P Q) eqn:F; try discriminate. injection E as <-. constructor; eauto. exists B, e. split. apply mem_join_r; auto. split; auto. apply mem_join_r; auto.
Qed.
Fixpoint any (Ps : list (option (list bound))) : option (list bound) :=
  match Ps with [] => None | [P] => P | P :: Ps => bind P (fun P => bind (any Ps) (either P)) end.
Lemma any_correct v x : forall Ps S P, any Ps = Some S -> In (Some P) Ps -> oks P v x -> oks S v x.
Proof.
  induction Ps as [|Q Ps IH]; intros S P E I H; simpl in *. destruct I.
  destruct Ps as [|Q' Ps]. { destruct I as [->|[]]. injection E as <-. auto. }
  apply bind_some in E. destruct E as (P1 & -> & E). apply bind_some in E. destruct E as (P2 & E2 & E). destruct I as [I|I].
  - injection I as ->. apply either_l with (1 := H) (2 := E). - apply either_r with (2 := E). eapply IH; eauto.
Qed.
Definition bound_expert (L : layer (block dyadic)) (P : list bound) (e : nat) : option (list bound) :=
  let Y := map (fun k => nth k P none) (reads L) in
  bind (match latent L with None => Some Y | Some B => bound_affine B Y end) (fun Y => bind (bound_net (nth e (experts L) empty) Y) (leave L P)).
Lemma bound_expert_correct L P v x j Q : oks P v x -> bound_expert L P (nth j (serves L) 0%nat) = Some Q ->
  sure (chain (fl_expert (map_layer real L) x j) (fl_leaving (map_layer real L) x)) (oks Q (leaving (map_layer real L) v (output (map_layer real L) v j))).
Proof.
  intros H E. unfold bound_expert in E. apply bind_some in E. destruct E as (Y & E1 & E). apply bind_some in E. destruct E as (Z & E2 & E3).
  apply sure_chain with (P := oks Z (eval_net (nth (nth j (serves L) 0%nat) (map (map_net real) (experts L)) ([], ([], []))) (inner (map_layer real L) v))).
  - unfold fl_expert. apply sure_chain with (P := oks Y (inner (map_layer real L) v)).
    + unfold fl_inner, inner. simpl. destruct (latent L) as [B|]; simpl. apply bound_affine_correct with (2 := E1). apply oks_pick; auto.
      injection E1 as <-. apply sure_gives, oks_pick; auto.
    + intros y Hy. simpl experts. simpl serves. change ([], ([], [])) with (map_net real empty). rewrite map_nth. apply bound_net_correct with (1 := Hy); auto.
  - intros o Ho. apply leave_correct with (1 := H) (2 := Ho) (3 := E3).
Qed.
(** Bounds behind a layer, and an enclosure of what its logits are off by. *)
Definition bound_layer (L : layer (block dyadic)) (P : list bound) : option (I.type * list bound) :=
  match gate L with
  | None => option_map (pair I.zero) (bound_expert L P (nth 0 (serves L) 0%nat))
  | Some g =>
    bind (bound_net g (map (fun k => nth k P none) (sees L))) (fun l =>
      option_map (pair (widest l)) (any (map (bound_expert L P) (nodup Nat.eq_dec (map (fun j => nth j (serves L) 0%nat) (seq 0 (length l)))))))
  end.
Fixpoint bound_moe (Ls : list (layer (block dyadic))) (P : list bound) : option (list I.type * list bound) :=
  match Ls with
  | [] => Some ([], P)
  | L :: Ls => bind (bound_layer L P) (fun r => option_map (fun s => (fst r :: fst s, snd s)) (bound_moe Ls (snd r)))
  end.
Lemma any_some Ps S P : any Ps = Some S -> In P Ps -> exists Q, P = Some Q.
Proof.
  revert S. induction Ps as [|Q Ps IH]; intros S E I; simpl in *. destruct I. destruct Ps as [|Q' Ps].
  - destruct I as [<-|[]]. eauto.
  - apply bind_some in E. destruct E as (P1 & -> & E). apply bind_some in E. destruct E as (P2 & E2 & E). destruct I as [<-|I]; eauto.
Qed.
Lemma some_margin l : exists m, mem (widest l) m /\ 0 <= m.
Proof. induction l as [|p l (m & Hm & Pm)]; simpl. exists 0. split. apply mem_zero. lra. exists m. split; auto. apply mem_join_r; auto. Qed.
Lemma some_margins Ls : forall P Ms Q, bound_moe Ls P = Some (Ms, Q) -> exists es, mems Ms es /\ Forall (fun e => 0 <= e) es.
Proof.
  induction Ls as [|L Ls IH]; intros P2 Ms1 Q1 E; simpl in E. injection E as <- <-. exists []. split; constructor.
  apply bind_some in E. destruct E as ([M P1] & E1 & E2). simpl in E2. destruct (bound_moe Ls P1) as [[Ms Q]|] eqn:E3; try discriminate. injection E2 as <- <-.
  destruct (IH _ _ _ E3) as (es & He & Pe). simpl. unfold bound_layer in E1. destruct (gate L).
  - apply bind_some in E1. destruct E1 as (l & _ & E1). destruct (any _); try discriminate. injection E1 as <- <-.
    destruct (some_margin l) as (m & Hm & Pm). exists (m :: es). split; constructor; auto.
  - destruct (bound_expert _ _ _); try discriminate. injection E1 as <- <-. exists (0 :: es). split; constructor; auto. apply mem_zero. lra.
Qed.
Theorem bound_moe_correct G : forall Ls P v x Ms Q, oks P v x -> bound_moe Ls P = Some (Ms, Q) ->
  (forall es, mems Ms es -> Forall (fun e => 0 <= e) es -> all_paths es (map (map_layer real) Ls) v G) ->
  sure (fl_moe (map (map_layer real) Ls) x) (fun y => exists p, G p /\ oks Q p y).
Proof.
  induction Ls as [|L Ls IH]; intros P v x Ms Q H E K; simpl in E.
  { injection E as <- <-. simpl in *. apply sure_gives. exists v. split; auto. apply (K []); constructor. }
  apply bind_some in E. destruct E as ([M P1] & E1 & E2). simpl in E2. destruct (bound_moe Ls P1) as [[Ms1 Q1]|] eqn:E3; try discriminate. injection E2 as <- <-. simpl.
  unfold bound_layer in E1. destruct (gate L) as [g|] eqn:GL.
  2:{ destruct (bound_expert L P (nth 0 (serves L) 0%nat)) as [P2|] eqn:E4; try discriminate. injection E1 as <- <-.
      unfold fl_layer. simpl gate. rewrite GL. simpl option_map. apply sure_chain with (1 := bound_expert_correct _ _ _ _ _ _ H E4).
      intros y Hy. apply (IH _ _ _ _ _ Hy E3). intros es He Pe.
      specialize (K (0 :: es)). simpl in K. rewrite GL in K. apply K; constructor; auto; try apply mem_zero; lra. }
  apply bind_some in E1. destruct E1 as (l & E1 & E4). destruct (any _) as [P2|] eqn:E5; try discriminate. injection E4 as <- <-.
  pose proof (bound_net_correct g _ _ _ _ (oks_pick _ _ _ (sees L) H) E1) as HG.
  unfold fl_layer. simpl gate. rewrite GL. simpl option_map. cbv iota.
  assert (K0 : let t := eval_net (map_net real g) (pick (sees L) v) in t <> [] /\ top L = 1%nat).
  { destruct (oks_length _ _ _ H). 
    destruct (some_margin l) as (m & Hm & Pm). destruct (some_margins _ _ _ _ E3) as (es & He & Pe).
    specialize (K (m :: es)). simpl in K. rewrite GL in K. destruct K as (K1 & K2 & _); try constructor; auto. }
  destruct K0 as [K0 KT]. simpl top. rewrite KT. set (r := eval_net (map_net real g) (pick (sees L) v)) in *.
  apply sure_chain with (P := fun y => exists j m, (j < length r)%nat /\ mem (widest l) m /\ 0 <= m /\
    (forall i, (i < length r)%nat -> nth i r 0 - nth j r 0 <= 2 * m) /\ oks P2 (leaving (map_layer real L) v (output (map_layer real L) v j)) y).
  - apply sure_chain with (1 := HG). intros t Ht. destruct (oks_length _ _ _ Ht) as [Ll Lt].
    assert (NT : t <> []). { intros ->. destruct r; auto. discriminate. }
    destruct (chosen_one t NT) as (j & Ej & Lj). destruct (chosen_largest t j) as [_ Mj]. { rewrite Ej. left; auto. } rewrite Ej.
    assert (Ie : In (bound_expert L P (nth j (serves L) 0%nat)) (map (bound_expert L P) (nodup Nat.eq_dec (map (fun j => nth j (serves L) 0%nat) (seq 0 (length l)))))).
    { apply in_map. apply nodup_In. apply in_map_iff. exists j. split; auto. apply in_seq. lia. }
    destruct (any_some _ _ _ E5 Ie) as (Pj & EPj). rewrite EPj in Ie. eapply sure_weaker. apply bound_expert_correct with (1 := H) (2 := EPj).
    intros y Hy. destruct (widest_correct _ _ _ Ht) as (m & Mm & Pm & D). exists j, m. split. lia. split; auto. split; auto. split.
    + intros i Hi. specialize (Mj i ltac:(lia)). pose proof (D i) as Di. pose proof (D j) as Dj. revert Di Dj. unfold Rabs. destruct (Rcase_abs _), (Rcase_abs _); lra.
    + apply any_correct with (1 := E5) (2 := Ie); auto.
  - intros y (j & m & Lj & Mm & Pm & D & Hy). apply (IH _ _ _ _ _ Hy E3). intros es He Pe.
    specialize (K (m :: es)). simpl in K. rewrite GL in K. simpl in K. destruct K as (_ & _ & _ & K); try constructor; auto.
Qed.
End FloatBounds.
