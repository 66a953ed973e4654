(* The checker for both theorems, about real numbers and about floats, with intervals of hardware floats. *)
From AtlasMoE Require Import FloatChecker Fast.
Module D := FloatChecker Fast.Arithmetic.
