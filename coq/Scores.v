(* What is known of channels exactly: which are copied, and which are scores, by the signs of which a gate chooses. No intervals, no rounding. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From AtlasMoE Require Import Semantics Tasks Routes.
Import ListNotations.
Open Scope R_scope.

(** * Dyadic fractions *)
Definition zero_d : dyadic := (0, 0)%Z.
Definition over_e (d : dyadic) (e : Z) : Z := (fst d * 2 ^ (snd d - e))%Z.
Definition sign (d : dyadic) : Z := Z.sgn (fst d).
Definition plus (a b : dyadic) : dyadic := let e := Z.min (snd a) (snd b) in ((over_e a e + over_e b e)%Z, e).
Definition opp (a : dyadic) : dyadic := (- fst a, snd a)%Z.
Lemma D2R_mul a b : D2R (dmul a b) = D2R a * D2R b.
Proof. unfold D2R, dmul; simpl. rewrite mult_IZR, powerRZ_add by lra. ring. Qed.
Lemma D2R_opp a : D2R (opp a) = - D2R a.
Proof. unfold D2R, opp; simpl. rewrite opp_IZR. ring. Qed.
Lemma over_e_correct d e : (e <= snd d)%Z -> IZR (over_e d e) * powerRZ 2 e = D2R d.
Proof.
  intros H. unfold over_e, D2R. rewrite mult_IZR. destruct (snd d - e)%Z as [|p|p] eqn:E; try lia.
  - assert (snd d = e) by lia. rewrite H0. simpl. ring.
  - rewrite <- Z.pow_pos_fold, Zpower_pos_nat, Zpower_nat_Z, <- pow_IZR.
    replace (snd d) with (Zpos p + e)%Z by lia. rewrite powerRZ_add by lra. simpl (powerRZ 2 (Zpos p)). ring.
Qed.
Lemma D2R_plus a b : D2R (plus a b) = D2R a + D2R b.
Proof.
  unfold plus. set (e := Z.min (snd a) (snd b)). rewrite <- (over_e_correct a e), <- (over_e_correct b e) by (unfold e; lia).
  unfold D2R. simpl. rewrite plus_IZR. ring.
Qed.
Lemma sign_pos d : sign d = 1%Z -> 0 < D2R d.
Proof. unfold sign, D2R. intros H. apply Rmult_lt_0_compat. apply IZR_lt. lia. apply powerRZ_lt; lra. Qed.
Lemma sign_neg d : sign d = (-1)%Z -> D2R d < 0.
Proof.
  unfold sign, D2R. intros H. assert (P : 0 < powerRZ 2 (snd d)) by (apply powerRZ_lt; lra). assert (IZR (fst d) < 0) by (apply IZR_lt; lia). nra.
Qed.
Lemma sign_zero d : sign d = 0%Z -> D2R d = 0.
Proof. unfold sign, D2R. intros H. replace (fst d) with 0%Z by lia. ring. Qed.
Definition nonpos d := (sign d <=? 0)%Z.
Lemma nonpos_correct d : nonpos d = true -> D2R d <= 0.
Proof.
  unfold nonpos. intros H. apply Z.leb_le in H. destruct (Z.sgn_spec (fst d)) as [[_ S]|[[_ S]|[_ S]]].
  - unfold sign in H. lia. - rewrite (sign_zero d) by (unfold sign; auto). lra. - left. apply sign_neg. auto.
Qed.
Definition same_value (a b : dyadic) : bool := (sign (plus a (opp b)) =? 0)%Z.
Lemma same_value_correct a b : same_value a b = true -> D2R a = D2R b.
Proof. unfold same_value. intros H. apply Z.eqb_eq, sign_zero in H. rewrite D2R_plus, D2R_opp in H. lra. Qed.
Definition at_most_d (a b : dyadic) : bool := nonpos (plus a (opp b)).
Lemma at_most_d_correct a b : at_most_d a b = true -> D2R a <= D2R b.
Proof. unfold at_most_d. intros H. apply nonpos_correct in H. rewrite D2R_plus, D2R_opp in H. lra. Qed.

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
Definition one_d : dyadic := (1, 0)%Z.
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

(** What is known of what leaves a layer, whichever expert is taken. *)
Definition lines (n : nat) : list known := map (fun r => Line (one_d, r, zero_d)) (seq 0 n).
Lemma lines_correct (x : list R) : Forall2 (is_known x) (lines (length x)) x.
Proof.
  unfold lines. assert (G : forall l k, (forall i, (i < length l)%nat -> nth i l 0 = nth (k + i) x 0) -> Forall2 (is_known x) (map (fun r => Line (one_d, r, zero_d)) (seq k (length l))) l).
  { induction l as [|v l IH]; intros k H; simpl; constructor.
    - simpl. unfold height. simpl. specialize (H 0%nat). rewrite Nat.add_0_r in H. simpl in H. rewrite <- H by lia. unfold D2R. simpl. ring.
    - apply IH. intros i Hi. specialize (H (S i)). simpl in H. rewrite H by lia. f_equal. lia. }
  apply G. intros; f_equal; lia.
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

(** * Which logit is the largest *)
Definition gate_scores (L : layer (block dyadic)) (facts : list finding) : list finding :=
  match gate L with
  | Some g => if no_lanes g then map (fact_of (picked (sees L) facts)) (of_net g (lines (length (sees L)))) else []
  | None => []
  end.
Lemma gate_scores_correct w L facts x g : gate L = Some g -> no_lanes g = true -> Forall2 (holds_for w) facts x ->
  Forall2 (holds_for w) (gate_scores L facts) (eval_net (map_net real g) (pick (sees L) x)).
Proof.
  intros G N H. unfold gate_scores. rewrite G, N. pose proof (picked_correct w (sees L) facts x H) as P. set (y := pick (sees L) x) in *.
  replace (length (sees L)) with (length y) by (unfold y, pick; rewrite map_length; auto).
  pose proof (of_net_correct y g _ _ N (lines_correct y)) as K. revert K. generalize (of_net g (lines (length y))) (eval_net (map_net real g) y). clear - P.
  intros s z K. induction K; constructor; auto. apply fact_of_correct with (x := y); auto.
Qed.
(** A face on all of a piece: at most 0, or above 0. *)
Definition below_on (p : piece) (f : face) : bool :=
  let '(a, k, b) := f in
  existsb (fun s => Nat.eqb (fst s) k && match (if (sign a =? 1)%Z then snd (snd s) else if (sign a =? -1)%Z then fst (snd s) else Free) with
    | Closed d | Open d => nonpos (plus (dmul a d) b) | Free => false end) (sides p).
Definition above_on (p : piece) (f : face) : bool :=
  let '(a, k, b) := f in
  existsb (fun s => Nat.eqb (fst s) k && match (if (sign a =? 1)%Z then fst (snd s) else if (sign a =? -1)%Z then snd (snd s) else Free) with
    | Closed d => (sign (plus (dmul a d) b) =? 1)%Z | Open d => negb (sign (plus (dmul a d) b) =? -1)%Z | Free => false end) (sides p).
Lemma nonneg_correct d : negb (sign d =? -1)%Z = true -> 0 <= D2R d.
Proof.
  unfold sign. intros H. apply negb_true_iff, Z.eqb_neq in H. unfold D2R. apply Rmult_le_pos. apply IZR_le. lia. left. apply powerRZ_lt; lra.
Qed.
Lemma below_on_correct p v f : owns p v -> below_on p f = true -> height v f <= 0.
Proof.
  unfold below_on, owns, height. destruct f as [[a k] b]. simpl. intros O H. apply existsb_exists in H. destruct H as ([k' [lo hi]] & I & H). rewrite Forall_forall in O. specialize (O _ I). simpl in *.
  apply andb_prop in H. destruct H as [K H]. apply Nat.eqb_eq in K. subst. destruct O as [O1 O2]. destruct (Z.eqb_spec (sign a) 1) as [A|A]; [|destruct (Z.eqb_spec (sign a) (-1)) as [A'|]; try discriminate].
  - apply sign_pos in A. destruct hi; try discriminate; apply nonpos_correct in H; rewrite D2R_plus, D2R_mul in H; simpl in O2; nra.
  - apply sign_neg in A'. destruct lo; try discriminate; apply nonpos_correct in H; rewrite D2R_plus, D2R_mul in H; simpl in O1; nra.
Qed.
Lemma above_on_correct p v f : owns p v -> above_on p f = true -> 0 < height v f.
Proof.
  unfold above_on, owns, height. destruct f as [[a k] b]. simpl. intros O H. apply existsb_exists in H. destruct H as ([k' [lo hi]] & I & H). rewrite Forall_forall in O. specialize (O _ I). simpl in *.
  apply andb_prop in H. destruct H as [K H]. apply Nat.eqb_eq in K. subst. destruct O as [O1 O2]. destruct (Z.eqb_spec (sign a) 1) as [A|A]; [|destruct (Z.eqb_spec (sign a) (-1)) as [A'|]; try discriminate].
  - apply sign_pos in A. destruct lo as [|d|d]; try discriminate; simpl in O1.
    + apply Z.eqb_eq, sign_pos in H. rewrite D2R_plus, D2R_mul in H. nra.
    + apply nonneg_correct in H. rewrite D2R_plus, D2R_mul in H. nra.
  - apply sign_neg in A'. destruct hi as [|d|d]; try discriminate; simpl in O2.
    + apply Z.eqb_eq, sign_pos in H. rewrite D2R_plus, D2R_mul in H. nra.
    + apply nonneg_correct in H. rewrite D2R_plus, D2R_mul in H. nra.
Qed.
(** Output j of the gate wins wherever piece p owns the values: all logits are scores, its own is 0, those before it are below 0. *)
Definition wins (p : piece) (logits : list finding) (j : nat) : bool :=
  forallb (fun f => match f with Scores _ => true | _ => false end) logits &&
  match nth j logits Unknown with Scores fs => forallb (below_on p) fs | _ => false end &&
  forallb (fun f => match f with Scores fs => existsb (above_on p) fs | _ => false end) (firstn j logits).
Lemma first_wins l j : (j < length l)%nat -> nth j l 0 = 0 -> (forall i, nth i l 0 <= 0) -> (forall i, (i < j)%nat -> nth i l 0 < 0) -> chosen 1 l = [j].
Proof.
  intros Lj Z N B. assert (NE : l <> []) by (destruct l; simpl in *; [lia | congruence]). destruct (chosen_one l NE) as (j' & E & Lj').
  assert (J : In j (chosen 1 l)).
  { unfold chosen. apply filter_In. split. apply in_seq. lia. assert (F : filter (before l j) (seq 0 (length l)) = []); [|rewrite F; reflexivity].
    assert (G : forall ns, filter (before l j) ns = []); auto. induction ns as [|i ns IH]; simpl; auto.
    assert (Q : before l j i = false); [|rewrite Q; auto]. unfold before. rewrite Z. specialize (N i). destruct (Rlt_dec 0 (nth i l 0)); try lra.
    destruct (Rlt_dec (nth i l 0) 0); auto. apply Nat.ltb_ge. destruct (Nat.le_gt_cases j i); auto. specialize (B i H). lra. }
  rewrite E in J. destruct J as [->|[]]. auto.
Qed.
Lemma wins_correct w p logits l j : Forall2 (holds_for w) logits l -> owns p w -> wins p logits j = true -> chosen 1 l = [j].
Proof.
  intros H O W. unfold wins in W. apply andb_prop in W. destruct W as [W W3]. apply andb_prop in W. destruct W as [W1 W2].
  pose proof (nth_holds w logits l) as K. assert (LL : length logits = length l) by (clear -H; induction H; simpl; auto).
  destruct (nth j logits Unknown) as [| | |fs|] eqn:E; try discriminate. apply first_wins.
  - rewrite <- LL. destruct (Nat.lt_ge_cases j (length logits)); auto. rewrite nth_overflow in E by auto. discriminate.
  - specialize (K j H). rewrite E in K. apply K. rewrite Forall_forall. rewrite forallb_forall in W2. intros f F. apply below_on_correct with p; auto.
  - intros i. specialize (K i H). destruct (Nat.lt_ge_cases i (length logits)) as [Li|Li].
    + rewrite forallb_forall in W1. specialize (W1 _ (nth_In logits Unknown Li)). destruct (nth i logits Unknown); try discriminate. apply K.
    + rewrite nth_overflow by lia. lra.
  - intros i Hi. specialize (K i H). rewrite forallb_forall in W3. specialize (W3 (nth i logits Unknown)).
    assert (In (nth i logits Unknown) (firstn j logits)).
    { assert (i < length (firstn j logits))%nat. { rewrite firstn_length. destruct (Nat.lt_ge_cases j (length logits)). lia. rewrite nth_overflow in E by auto. discriminate. }
      rewrite <- (firstn_skipn j logits) at 1. rewrite app_nth1 by auto. apply nth_In; auto. }
    specialize (W3 H0). destruct (nth i logits Unknown) as [| | |gs|]; try discriminate. apply K. apply Exists_exists. apply existsb_exists in W3. destruct W3 as (f & F & A).
    exists f. split; auto. apply above_on_correct with p; auto.
Qed.
