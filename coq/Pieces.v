(* Whether the pieces of a block cover what they have to: what is left of a box, cut off side by side, is empty in the end. *)
From Coq Require Import Reals List ZArith Bool Lra Lia.
From AtlasMoE Require Import Semantics Tasks Dyadics.
Import ListNotations.
Open Scope R_scope.

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
