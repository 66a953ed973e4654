(* Task graphs in hardware floats. *)
From AtlasMoE Require Import Fast Composition Groups.
Module H := Groups Fast.Arithmetic.
Module G := H.G.
