(* Polynomials of second order as vectors of coefficients, of which products of linear ones are such; and Taylor's formula of second order, with the
   remainder of Lagrange. *)
From Coq Require Import Reals List Lra Lia.
From Coquelicot Require Import Coquelicot.
From AtlasMoE Require Import Semantics.
Import ListNotations.
Open Scope R_scope.

(** * Sums of products in t_1, .., t_d, then t_1 t_1, t_1 t_2, .. *)
Lemma dot_nil_r s : dot s [] = 0. Proof. destruct s; reflexivity. Qed.
Lemma dot_scale w s t : dot (map (Rmult w) s) t = w * dot s t.
Proof. revert t. induction s as [|x s IH]; intros [|y t]; simpl; try ring. rewrite IH. ring. Qed.
Fixpoint pad {A} (z : A) n (l : list A) : list A :=
  match n with O => [] | S n => match l with [] => z :: pad z n [] | x :: l => x :: pad z n l end end.
Fixpoint monos2 (t : list R) : list R := match t with [] => [] | x :: t' => map (Rmult x) (x :: t') ++ monos2 t' end.
Fixpoint cross (x y : R) (a b : list R) := match a, b with p :: a, q :: b => x * q + y * p :: cross x y a b | _, _ => [] end.
Fixpoint qprod (a b : list R) := match a, b with x :: a, y :: b => x * y :: cross x y a b ++ qprod a b | _, _ => [] end.
Lemma dot_app a b c d : length a = length c -> dot (a ++ b) (c ++ d) = dot a c + dot b d.
Proof. revert c. induction a as [|x a IH]; intros [|y c] H; simpl in *; try discriminate. ring. rewrite IH by lia. ring. Qed.
Lemma dot_pad_nil n a : dot (pad 0 n []) a = 0.
Proof. revert a. induction n as [|n IH]; intros [|y a]; simpl; try ring. rewrite IH. ring. Qed.
Lemma dot_app_r s a b : dot s (a ++ b) = dot (pad 0 (length a) s) a + dot (skipn (length a) s) b.
Proof.
  revert s. induction a as [|y a IH]; intros [|x s]; simpl; try ring.
  - rewrite dot_pad_nil. ring. - rewrite IH. ring.
Qed.
Lemma length_pad A (z : A) n l : length (pad z n l) = n.
Proof. revert l. induction n; intros [|x l]; simpl; auto. Qed.
Lemma length_cross x y a b : length a = length b -> length (cross x y a b) = length a.
Proof. revert b. induction a; intros [|q b] H; simpl in *; auto; try discriminate. Qed.
Lemma dot_map_r z : forall p t, dot p (map (Rmult z) t) = z * dot p t.
Proof. induction p as [|x p IH]; intros [|y t]; simpl; try ring. rewrite IH. ring. Qed.
Lemma dot_cross x y a b t : length a = length t -> length b = length t -> dot (cross x y a b) t = x * dot b t + y * dot a t.
Proof. revert b t. induction a as [|p a IH]; intros [|q b] [|z t] H K; simpl in *; try discriminate; try ring. rewrite IH by lia. ring. Qed.
Lemma qprod_correct a b t : length a = length t -> length b = length t -> dot (qprod a b) (monos2 t) = dot a t * dot b t.
Proof.
  revert b t. induction a as [|x a IH]; intros [|y b] [|z t] H K; simpl in *; try discriminate; try ring.
  rewrite dot_app. 2: rewrite length_cross, map_length; lia.
  rewrite dot_map_r, dot_cross, IH by lia. ring.
Qed.
Lemma dot_zeros n q a b : length a = n -> dot (repeat 0 n ++ q) (a ++ b) = dot q b.
Proof. intros <-. rewrite dot_app by apply repeat_length. replace (dot (repeat 0 (length a)) a) with 0. ring. induction a; simpl; auto. rewrite <- IHa. ring. Qed.
Lemma dot_opp s : forall t, dot (map Ropp s) t = - dot s t.
Proof. induction s as [|x s IH]; intros [|y u]; simpl; try ring. rewrite IH. ring. Qed.

(** * Taylor's formula, between two points in either order *)
Lemma taylor2 (g g' g'' : R -> R) c v :
  (forall x, Rmin c v <= x <= Rmax c v -> is_derive g x (g' x) /\ is_derive g' x (g'' x)) ->
  exists x, Rmin c v <= x <= Rmax c v /\ g v = g c + g' c * (v - c) + / 2 * g'' x * ((v - c) * (v - c)).
Proof.
  intros HD. destruct (Req_dec v c) as [->|N].
  { exists c. split. unfold Rmin, Rmax; destruct (Rle_dec c c); lra. ring. }
  set (K := (g v - g c - g' c * (v - c)) / ((v - c) * (v - c))).
  set (h := fun x => g v - g x - g' x * (v - x) - K * ((v - x) * (v - x))).
  assert (Hh : forall x, Rmin c v <= x <= Rmax c v -> is_derive h x ((v - x) * (2 * K - g'' x))).
  { intros x Hx. destruct (HD x Hx) as [D1 D2]. unfold h.
    assert (E1 : ex_derive g x) by (eexists; eauto). assert (E2 : ex_derive g' x) by (eexists; eauto).
    auto_derive; auto. replace (Derive (fun z : R => g z) x) with (g' x) by (symmetry; apply is_derive_unique; exact D1).
    replace (Derive (fun z : R => g' z) x) with (g'' x) by (symmetry; apply is_derive_unique; exact D2). ring. }
  assert (hv : h v = 0) by (unfold h; ring). assert (hc : h c = 0) by (unfold h, K; field; lra).
  assert (M : Rmin c v < Rmax c v) by (unfold Rmin, Rmax; destruct (Rle_dec c v); lra).
  assert (pr : forall x, Rmin c v < x < Rmax c v -> derivable_pt h x).
  { intros x Hx. exists ((v - x) * (2 * K - g'' x)). apply is_derive_Reals. apply Hh. lra. }
  destruct (Rolle h (Rmin c v) (Rmax c v) pr) as (x & P & Ex); auto.
  { intros x Hx. apply derivable_continuous_pt. exists ((v - x) * (2 * K - g'' x)). apply is_derive_Reals. apply Hh. lra. }
  { unfold Rmin, Rmax; destruct (Rle_dec c v); lra. }
  exists x. split. lra.
  assert (V : v - x <> 0). { pose proof P as P2. revert P2. clear -N. unfold Rmin, Rmax. destruct (Rle_dec c v); lra. }
  assert (E0 : (v - x) * (2 * K - g'' x) = 0).
  { rewrite <- Ex. symmetry. apply derive_pt_eq_0. apply is_derive_Reals. apply Hh. lra. }
  apply Rmult_integral in E0. destruct E0 as [E0|E0]; [lra|]. replace (g'' x) with (2 * K) by lra. unfold K. field. lra.
Qed.
