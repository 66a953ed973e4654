(* Task graphs in floats over 63-bit integers. *)
From AtlasMoE Require Import Big Composition.
Module G := Composition Big.Arithmetic.
