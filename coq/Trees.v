(* Trees of boxes: what is settled on every leaf holds everywhere. Boxes are of any kind that can be halved. *)
From Coq Require Import List Bool NArith.
Import ListNotations.

Section Trees.
Variables Box Point : Type.
Variable halve : nat -> Box -> Box * Box.
Variable inside : Box -> Point -> Prop.
Hypothesis halve_correct : forall b u, inside b u -> forall k, inside (fst (halve k b)) u \/ inside (snd (halve k b)) u.

(** What is known of a box holds in its halves. A leaf says whether a box is settled, and what is known of it. *)
Section Remembering.
Variable state : Type.
Variable leaf : state -> Box -> bool * state.
Variable good : Point -> Prop.
Variable true_at : state -> Point -> Prop.
Variable worth : nat.      (* boxes of a certificate with no more halvings and leaves than this are looked at before their halves *)
Hypothesis leaf_correct : forall s box u, inside box u -> true_at s u -> (fst (leaf s box) = true -> good u) /\ true_at (snd (leaf s box)) u.

(** A leaf that is not settled is halved, side after side, so often at most. *)
Fixpoint settle_from (fuel d k : nat) (s : state) (box : Box) : bool :=
  let (b, s) := leaf s box in
  if b then true else
  match fuel with
  | O => false
  | S fuel => let next := if Nat.leb d (S k) then O else S k in
    let (a, b) := halve k box in if settle_from fuel d next s a then settle_from fuel d next s b else false
  end.
Lemma settle_from_correct fuel : forall d k s box u, inside box u -> true_at s u -> settle_from fuel d k s box = true -> good u.
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
Fixpoint walk_from (depth fuel d : nat) (cuts : list nat) (s : state) (box : Box) : option (list nat) :=
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
Lemma walk_from_correct fuel d : forall depth cuts s box u rest, inside box u -> true_at s u -> walk_from depth fuel d cuts s box = Some rest -> good u.
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
Fixpoint stuck (fuel d k : nat) (s : state) (box : Box) (n : N) : N * option Box :=
  let (b, s) := leaf s box in
  if b then ((n + 1)%N, None) else
  match fuel with
  | O => (n, Some box)
  | S fuel => let next := if Nat.leb d (S k) then O else S k in
    let (a, b) := halve k box in match stuck fuel d next s a n with (n, None) => stuck fuel d next s b n | r => r end
  end.
Fixpoint progress (depth fuel d : nat) (cuts : list nat) (s : state) (box : Box) (n : N) : N * (list nat + Box) :=
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
End Remembering.

(** Where nothing is remembered. *)
Section Plain.
Variable leaf : Box -> bool.
Variable good : Point -> Prop.
Hypothesis leaf_correct : forall box u, inside box u -> leaf box = true -> good u.
Definition forgetful (s : unit) (box : Box) : bool * unit := (leaf box, s).
Definition settle (fuel d k : nat) (box : Box) : bool := settle_from unit forgetful fuel d k tt box.
Definition walk (depth fuel d : nat) (cuts : list nat) (box : Box) : option (list nat) := walk_from unit forgetful 0 depth fuel d cuts tt box.
Lemma forgetful_correct s box u : inside box u -> True -> (fst (forgetful s box) = true -> good u) /\ True.
Proof. split; simpl; eauto. Qed.
Lemma settle_correct fuel d k box u : inside box u -> settle fuel d k box = true -> good u.
Proof. intros H. apply (settle_from_correct unit forgetful good (fun _ _ => True) forgetful_correct); auto. Qed.
Lemma walk_correct fuel d depth cuts box u rest : inside box u -> walk depth fuel d cuts box = Some rest -> good u.
Proof. intros H. apply (walk_from_correct unit forgetful good (fun _ _ => True) 0 forgetful_correct); auto. Qed.
End Plain.
End Trees.
