(* Task graphs in Coq's own integers. *)
From AtlasMoE Require Import Pure Composition Groups.
Module H := Groups Pure.Arithmetic.
Module G := H.G.
