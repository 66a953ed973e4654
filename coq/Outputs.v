(* A network of which only some outputs are looked at. Several targets, each with its own eps, are proved one by one of these networks. *)
From Coq Require Import Reals List.
From AtlasMoE Require Import Semantics.
Import ListNotations.
Open Scope R_scope.

(** The layer of which only the channels ks leave, and the network that ends with it. *)
Definition only_layer {B} (ks : list nat) (L : layer B) : layer B :=
  Layer (gate L) (sees L) (experts L) (serves L) (reads L) (latent L) (shared L) (map (fun k => nth k (leaves L) (None, None)) ks) (top L) (weighs L).
Fixpoint only {B} (ks : list nat) (Ls : list (layer B)) : list (layer B) :=
  match Ls with [] => [] | L :: rest => match rest with [] => [only_layer ks L] | _ => L :: only ks rest end end.

Lemma leaving_only ks (L : layer (affine R)) x mixed : leaving (only_layer ks L) x mixed = pick ks (leaving L x mixed).
Proof.
  unfold leaving, pick. simpl leaves. rewrite map_map. apply map_ext. intros k.
  match goal with |- _ = nth k (map ?g _) 0 => set (h := g) end.
  assert (D : h (None, None) = 0) by (unfold h; simpl; apply Rplus_0_r).
  rewrite <- D at 1. rewrite map_nth. reflexivity.
Qed.
Lemma eval_only ks (L : layer (affine R)) x : eval_layer (only_layer ks L) x = pick ks (eval_layer L x).
Proof. unfold eval_layer. simpl gate. destruct (gate L); apply leaving_only. Qed.

Lemma moe_only ks (Ls : list (layer (affine R))) : Ls <> [] -> forall x, eval_moe (only ks Ls) x = pick ks (eval_moe Ls x).
Proof.
  unfold eval_moe. induction Ls as [|L Ls IH]; intros N x. { contradiction. }
  destruct Ls as [|L' Ls]. { simpl. apply eval_only. }
  change (only ks (L :: L' :: Ls)) with (L :: only ks (L' :: Ls)). simpl fold_left at 1. rewrite IH by discriminate. reflexivity.
Qed.
Lemma real_only ks (Ls : list (layer (block dyadic))) : map (map_layer real) (only ks Ls) = only ks (map (map_layer real) Ls).
Proof.
  induction Ls as [|L [|L' Ls] IH]; try reflexivity.
  change (only ks (L :: L' :: Ls)) with (L :: only ks (L' :: Ls)). rewrite map_cons, IH. reflexivity.
Qed.
(** Their outputs are those of the whole network. *)
Theorem only_picks ks Ls x : Ls <> [] -> network_of (only ks Ls) x = pick ks (network_of Ls x).
Proof.
  intros N. unfold network_of. rewrite real_only. apply moe_only. intros E. apply N. destruct Ls; auto. discriminate E.
Qed.
Corollary only_close eps f v ks Ls x : Ls <> [] -> close eps f v (network_of (only ks Ls) x) -> close eps f v (pick ks (network_of Ls x)).
Proof. intros N. rewrite only_picks; auto. Qed.

(** As many numbers leave a network as channels leave its last layer. *)
Lemma count_outputs (Ls : list (layer (block dyadic))) L x : Ls <> [] -> length (network_of Ls x) = length (leaves (last Ls L)).
Proof.
  intros N. rewrite (app_removelast_last L N) at 1. unfold network_of, eval_moe. rewrite map_app, fold_left_app. simpl. unfold eval_layer.
  destruct (gate (map_layer real (last Ls L))); apply map_length.
Qed.
