(* Task graphs in floats over 63-bit integers. *)
From AtlasMoE Require Import Big Composition Mixtures Groups.
Module H := Groups Big.Arithmetic.
Module M := H.G.
Module G := M.C.
