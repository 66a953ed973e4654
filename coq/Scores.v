(* What is known exactly of the numbers that a net computes: lines, their positive parts, and scores, by the signs of which a gate chooses (B10).
   No intervals, no rounding. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From AtlasMoE Require Import Semantics Dyadics.
Import ListNotations.
Open Scope R_scope.

(** * What a number y is, as computed from the numbers x: a x_r + b, its positive part, or a score, which is at most 0, and 0 only if all a x_r + b are at most 0. *)
Definition face := (dyadic * nat * dyadic)%type.
Definition height (x : list R) (f : face) : R := D2R (fst (fst f)) * nth (snd (fst f)) x 0 + D2R (snd f).
Inductive known := Line (f : face) | Bent (f : face) | Score (fs : list face) | Anything.
Definition scores (x : list R) (fs : list face) (y : R) : Prop :=
  y <= 0 /\ (Forall (fun f => height x f <= 0) fs -> y = 0) /\ (Exists (fun f => 0 < height x f) fs -> y < 0).
Definition is_known (x : list R) (s : known) (y : R) : Prop :=
  match s with Line f => y = height x f | Bent f => y = relu (height x f) | Score fs => scores x fs y | Anything => True end.

(** The terms of a sum that do not vanish. *)
Fixpoint terms (row : list dyadic) (s : list known) : list (dyadic * known) :=
  match row, s with
  | w :: row, a :: s => if (sign w =? 0)%Z then terms row s else (w, a) :: terms row s
  | _, _ => []
  end.
Definition total_of (ts : list (dyadic * known)) (ys : list R) : R := sum (map (fun p => D2R (fst (fst p)) * snd p) (combine ts ys)).
Lemma terms_correct x row : forall s y, Forall2 (is_known x) s y ->
  exists ys, Forall2 (fun t v => is_known x (snd t) v) (terms row s) ys /\ dot (map D2R row) y = total_of (terms row s) ys.
Proof.
  induction row as [|w row IH]; intros s y H. { exists []. split. constructor. reflexivity. }
  destruct H as [|a v s y Ha H]. { exists []. split. constructor. reflexivity. }
  destruct (IH s y H) as (ys & K & E). simpl. destruct (Z.eqb_spec (sign w) 0) as [Z|Z].
  - exists ys. split; auto. rewrite (sign_zero w Z), E. ring.
  - exists (v :: ys). split. constructor; auto. rewrite E. unfold total_of. simpl. reflexivity.
Qed.

(** All terms are positive parts with negative weights: a score. *)
Fixpoint falling (ts : list (dyadic * known)) : option (list face) :=
  match ts with
  | [] => Some []
  | (w, Bent f) :: ts => if (sign w =? -1)%Z then option_map (cons f) (falling ts) else None
  | _ => None
  end.
Lemma relu_cases z : (z <= 0 /\ relu z = 0) \/ (0 < z /\ relu z = z).
Proof. unfold relu. destruct (Rle_dec z 0). left. rewrite Rmax_right; auto. right. rewrite Rmax_left; lra. Qed.
Lemma falling_correct x : forall ts ys fs, Forall2 (fun t v => is_known x (snd t) v) ts ys -> falling ts = Some fs -> scores x fs (total_of ts ys).
Proof.
  induction ts as [|[w a] ts IH]; intros ys fs H E; simpl in E.
  - injection E as <-. unfold total_of. simpl. split. lra. split; auto. intros K; inversion K.
  - destruct a as [| f | |]; try discriminate. destruct (Z.eqb_spec (sign w) (-1)) as [W|W]; try discriminate.
    destruct (falling ts) as [gs|] eqn:G; try discriminate. injection E as <-. inversion H as [|? v ? vs Hv Hvs]; subst.
    destruct (IH _ _ Hvs eq_refl) as (I1 & I2 & I3). simpl in Hv. apply sign_neg in W. unfold total_of in *. simpl.
    destruct (relu_cases (height x f)) as [[A B]|[A B]]; rewrite Hv, B.
    + split. lra. split. intros K. inversion K; subst. rewrite I2 by auto. ring. intros K. inversion K; subst. lra. specialize (I3 H1). lra.
    + assert (D2R w * height x f < 0) by nra. split. lra. split. intros K. inversion K; subst. lra. intros _. lra.
Qed.

(** All terms are positive parts of multiples of one x_r, and their slopes for x_r > 0 and for x_r < 0 are the same. *)
Fixpoint slopes (r : nat) (ts : list (dyadic * known)) : option (dyadic * dyadic) :=
  match ts with
  | [] => Some (zero_d, zero_d)
  | (w, Bent (a, k, b)) :: ts =>
    if Nat.eqb k r && (sign b =? 0)%Z then
      match slopes r ts with
      | Some (p, q) => if (sign a =? 1)%Z then Some (plus (dmul w a) p, q) else if (sign a =? -1)%Z then Some (p, plus (dmul w a) q) else None
      | None => None
      end
    else None
  | _ => None
  end.
Lemma relu_scale a z : 0 < a -> relu (a * z) = a * relu z.
Proof. intros P. destruct (relu_cases z) as [[A B]|[A B]], (relu_cases (a * z)) as [[C D]|[C D]]; rewrite B, D; nra. Qed.
Lemma relu_flip a z : a < 0 -> relu (a * z) = - a * relu (- z).
Proof. intros P. replace (a * z) with (- a * - z) by ring. apply relu_scale. lra. Qed.
Lemma slopes_correct x r : forall ts ys p q, Forall2 (fun t v => is_known x (snd t) v) ts ys -> slopes r ts = Some (p, q) ->
  total_of ts ys = D2R p * relu (nth r x 0) - D2R q * relu (- nth r x 0).
Proof.
  induction ts as [|[w a] ts IH]; intros ys p q H E; simpl in E.
  - injection E as <- <-. unfold total_of. simpl. unfold D2R, zero_d. simpl. ring.
  - destruct a as [| [[a k] b] | |]; try discriminate. destruct (Nat.eqb_spec k r) as [->|]; try discriminate.
    destruct (Z.eqb_spec (sign b) 0) as [B|]; try discriminate. simpl in E. inversion H as [|? v ? vs Hv Hvs]; subst.
    destruct (slopes r ts) as [[p0 q0]|] eqn:S; try discriminate. specialize (IH _ _ _ Hvs eq_refl).
    simpl in Hv. unfold height in Hv. simpl in Hv. rewrite (sign_zero b B), Rplus_0_r in Hv. unfold total_of in *. simpl. rewrite IH, Hv.
    destruct (Z.eqb_spec (sign a) 1) as [A|A]; [|destruct (Z.eqb_spec (sign a) (-1)) as [A'|]; try discriminate]; injection E as <- <-; rewrite D2R_plus, D2R_mul.
    + apply sign_pos in A. rewrite relu_scale by auto. ring.
    + apply sign_neg in A'. rewrite relu_flip by auto. ring.
Qed.
Lemma relu_split z : relu z - relu (- z) = z.
Proof. destruct (relu_cases z) as [[A B]|[A B]], (relu_cases (- z)) as [[C D]|[C D]]; rewrite B, D; lra. Qed.

(** A sum of several terms, and a bias. *)
Definition of_terms (row : list dyadic) (c : dyadic) (s : list known) : known :=
  match terms row s with
  | [] => Line (zero_d, 0%nat, c)
  | [(w, Line (a, r, b))] => Line (dmul w a, r, plus (dmul w b) c)
  | [(w, Score fs)] => if (sign w =? 1)%Z && (sign c =? 0)%Z then Score fs else Anything
  | ts =>
    match ts with
    | (_, Bent (_, r, _)) :: _ =>
      match slopes r ts with
      | Some (p, q) => if same_value p q then Line (p, r, c) else match falling ts with Some fs => if (sign c =? 0)%Z then Score fs else Anything | None => Anything end
      | None => match falling ts with Some fs => if (sign c =? 0)%Z then Score fs else Anything | None => Anything end
      end
    | _ => Anything
    end
  end.
Lemma of_terms_correct x row c s y : Forall2 (is_known x) s y -> is_known x (of_terms row c s) (dot (map D2R row) y + D2R c).
Proof.
  intros H. destruct (terms_correct x row s y H) as (ys & K & ->). unfold of_terms.
  assert (F : is_known x (match falling (terms row s) with Some fs => if (sign c =? 0)%Z then Score fs else Anything | None => Anything end) (total_of (terms row s) ys + D2R c)).
  { destruct (falling (terms row s)) as [fs|] eqn:E; simpl; auto. destruct (Z.eqb_spec (sign c) 0) as [C|]; simpl; auto.
    rewrite (sign_zero c C), Rplus_0_r. apply falling_correct; auto. }
  assert (G : forall r, is_known x (match slopes r (terms row s) with
      | Some (p, q) => if same_value p q then Line (p, r, c) else match falling (terms row s) with Some fs => if (sign c =? 0)%Z then Score fs else Anything | None => Anything end
      | None => match falling (terms row s) with Some fs => if (sign c =? 0)%Z then Score fs else Anything | None => Anything end end) (total_of (terms row s) ys + D2R c)).
  { intros r. destruct (slopes r (terms row s)) as [[p q]|] eqn:E; auto. destruct (same_value p q) eqn:V; auto.
    simpl. unfold height. simpl. rewrite (slopes_correct x r _ _ _ _ K E), (same_value_correct _ _ V), <- Rmult_minus_distr_l, relu_split. reflexivity. }
  destruct (terms row s) as [|[w a] ts].
  - inversion K; subst. unfold total_of. simpl. unfold height. simpl. unfold D2R at 2. simpl. ring.
  - destruct a as [[[a r] b] | [[a r] b] | fs |]; destruct ts as [|t ts]; try exact Logic.I; try apply G.
    + inversion K as [|? v ? vs Hv Hvs]; subst. inversion Hvs; subst. simpl in Hv. unfold total_of. simpl. unfold height in *. simpl in *.
      rewrite Hv, D2R_mul, D2R_plus, D2R_mul. ring.
    + inversion K as [|? v ? vs Hv Hvs]; subst. inversion Hvs; subst. simpl in Hv.
      destruct (Z.eqb_spec (sign w) 1) as [W|]; simpl; auto. destruct (Z.eqb_spec (sign c) 0) as [C|]; simpl; auto.
      apply sign_pos in W. rewrite (sign_zero c C). unfold total_of. simpl. destruct Hv as (V1 & V2 & V3). split. nra. split.
      intros A. rewrite V2 by auto. ring. intros A. specialize (V3 A). nra.
Qed.
(** A row of a matrix, and a bias. A positive multiple of one positive part is one: nets with several layers carry x as relu (relu x) - relu (relu (-x)). *)
Definition of_row (row : list dyadic) (c : dyadic) (s : list known) : known :=
  match terms row s with
  | [(w, Bent (a, r, b))] => if (sign w =? 1)%Z && (sign c =? 0)%Z then Bent (dmul w a, r, dmul w b) else of_terms row c s
  | _ => of_terms row c s
  end.
Lemma of_row_correct x row c s y : Forall2 (is_known x) s y -> is_known x (of_row row c s) (dot (map D2R row) y + D2R c).
Proof.
  intros H. pose proof (of_terms_correct x row c s y H) as K. unfold of_row. destruct (terms_correct x row s y H) as (ys & T & E). revert T E.
  destruct (terms row s) as [|[w a] [|t ts]]; auto; destruct a as [f | [[a r] b] | fs |]; auto. intros T E.
  destruct (Z.eqb_spec (sign w) 1) as [W|]; simpl; auto. destruct (Z.eqb_spec (sign c) 0) as [C|]; simpl; auto.
  rewrite E, (sign_zero c C). inversion T as [|? v ? vs Hv Hvs]; subst. inversion Hvs; subst. unfold total_of. simpl in *. rewrite Hv.
  unfold height. simpl. rewrite !D2R_mul.
  replace (D2R w * D2R a * nth r x 0 + D2R w * D2R b) with (D2R w * (D2R a * nth r x 0 + D2R b)) by ring.
  apply sign_pos in W. rewrite relu_scale by auto. ring.
Qed.

Definition of_map (b : block dyadic) (s : list known) : list known := let '(W, c) := expand b in map (fun p => of_row (fst p) (snd p) s) (combine W c).
Lemma of_map_correct x b s y : Forall2 (is_known x) s y -> Forall2 (is_known x) (of_map b s) (run (real b) y).
Proof.
  intros H. unfold of_map, run, real, map_affine. destruct (expand b) as [W c]. simpl. revert c. induction W as [|row W IH]; intros [|c0 c]; simpl; constructor; auto.
  apply of_row_correct; auto.
Qed.
Definition of_activation (f : activation) (s : known) : known := match f, s with Identity, _ => s | Relu, Line g | Relu, Bent g => Bent g | _, _ => Anything end.
Fixpoint of_bend (fs : list activation) (s : list known) : list known := match fs, s with f :: fs, a :: s => of_activation f a :: of_bend fs s | _, _ => [] end.
Lemma of_bend_correct x : forall fs s y, Forall2 (is_known x) s y -> Forall2 (is_known x) (of_bend fs s) (bend fs y).
Proof.
  induction fs as [|f fs IH]; intros s y H; destruct H; simpl; constructor; auto.
  destruct f, x0; simpl in *; auto; rewrite H; auto. match goal with |- context [height x ?g] => destruct (relu_cases (height x g)) as [[A B]|[A B]] end; rewrite B; unfold relu; [apply Rmax_left; lra | apply Rmax_left; lra].
Qed.
Definition of_hidden (h : hidden (block dyadic)) (s : list known) : list known :=
  let z := of_bend (acts h) (of_map (into h) s) in match lanes h with None => z | Some up => map (fun _ => Anything) z end.
Lemma anything x (s : list known) : forall y, length s = length y -> Forall2 (is_known x) (map (fun _ => Anything) s) y.
Proof. induction s; intros [|v y] E; try discriminate; simpl; constructor; simpl; auto. Qed.
Definition of_net (n : net (block dyadic)) (s : list known) : list known := of_map (snd n) (fold_left (fun s h => of_hidden h s) (fst n) s).
Definition no_lanes (n : net (block dyadic)) : bool := forallb (fun h => match lanes h with None => true | Some _ => false end) (fst n).
Lemma of_net_correct x n s y : no_lanes n = true -> Forall2 (is_known x) s y -> Forall2 (is_known x) (of_net n s) (eval_net (map_net real n) y).
Proof.
  unfold of_net, eval_net, no_lanes. destruct n as [hs b]. simpl. revert s y. induction hs as [|h hs IH]; intros s y N H; simpl in *.
  - apply of_map_correct; auto.
  - apply andb_prop in N. destruct N as [N1 N2]. apply IH; auto. unfold of_hidden, eval_hidden. simpl. destruct (lanes h); try discriminate. simpl. apply of_bend_correct, of_map_correct; auto.
Qed.
(** All that is known of the numbers x themselves. *)
Definition lines (n : nat) : list known := map (fun r => Line (one_d, r, zero_d)) (seq 0 n).
Lemma lines_correct (x : list R) : Forall2 (is_known x) (lines (length x)) x.
Proof.
  unfold lines. assert (G : forall l k, (forall i, (i < length l)%nat -> nth i l 0 = nth (k + i) x 0) -> Forall2 (is_known x) (map (fun r => Line (one_d, r, zero_d)) (seq k (length l))) l).
  { induction l as [|v l IH]; intros k H; simpl; constructor.
    - simpl. unfold height. simpl. specialize (H 0%nat). rewrite Nat.add_0_r in H. simpl in H. rewrite <- H by lia. unfold D2R. simpl. ring.
    - apply IH. intros i Hi. specialize (H (S i)). simpl in H. rewrite H by lia. f_equal. lia. }
  apply G. intros; f_equal; lia.
Qed.
Definition is_zero (f : face) : bool := let '(a, _, b) := f in (sign a =? 0)%Z && (sign b =? 0)%Z.
Lemma is_zero_correct w f : is_zero f = true -> height w f = 0.
Proof.
  destruct f as [[a k] b]. unfold is_zero, height. simpl. intros H. apply andb_prop in H. destruct H as [A B]. apply Z.eqb_eq in A. apply Z.eqb_eq in B.
  rewrite (sign_zero a A), (sign_zero b B). ring.
Qed.
(** Output i of a net is 0 whatever it reads. *)
Definition mute (n : net (block dyadic)) (k i : nat) : bool :=
  match nth_error (of_net n (lines k)) i with Some (Line f) => no_lanes n && is_zero f | _ => false end.
Lemma mute_correct n y i : mute n (length y) i = true -> nth i (eval_net (map_net real n) y) 0 = 0.
Proof.
  unfold mute. destruct (nth_error _ i) as [[f|f|fs|]|] eqn:E; try discriminate. intros H. apply andb_prop in H. destruct H as [N Z].
  pose proof (of_net_correct y n _ _ N (lines_correct y)) as K. revert E. generalize i. induction K as [|s v ss vs Hs K IH]; intros [|k] E; simpl in E; try discriminate.
  - injection E as ->. simpl in Hs. simpl. rewrite Hs. apply is_zero_correct; auto.
  - apply (IH _ E).
Qed.
