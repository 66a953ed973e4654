(* && and || that stop where the first side tells. The virtual machine works out both sides of Coq's own, so these are written with if where the
   second side is dear. *)
From Coq Require Import List.
Import ListNotations.

Notation "a 'andthen' b" := (if a then b else false) (at level 70, right associativity, only parsing).
Notation "a 'orelse' b" := (if a then true else b) (at level 70, right associativity, only parsing).
Lemma andthen_true (a b : bool) : (a andthen b) = true -> a = true /\ b = true.
Proof. destruct a; auto. discriminate. Qed.
Fixpoint all_of {A} (f : A -> bool) (l : list A) : bool := match l with [] => true | x :: l => f x andthen all_of f l end.
Lemma all_of_true A (f : A -> bool) l : all_of f l = true -> forall x, In x l -> f x = true.
Proof. induction l as [|a l IH]; simpl; intros H x K. destruct K. apply andthen_true in H. destruct H, K as [<-|K]; auto. Qed.
