(* Task graphs in hardware floats. *)
From AtlasMoE Require Import Fast Composition.
Module G := Composition Fast.Arithmetic.
