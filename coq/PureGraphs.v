(* Task graphs in Coq's own integers. *)
From AtlasMoE Require Import Pure Composition.
Module G := Composition Pure.Arithmetic.
