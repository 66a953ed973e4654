(* Task graphs in floats over 63-bit integers. *)
From AtlasMoE Require Import Big Composition Groups.
Module H := Groups Big.Arithmetic.
Module G := H.G.
