(* Task graphs in Coq's own integers. *)
From AtlasMoE Require Import Pure Composition Mixtures Groups.
Module H := Groups Pure.Arithmetic.
Module M := H.G.
Module G := M.C.
