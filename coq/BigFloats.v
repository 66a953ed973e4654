(* The checker for both theorems, about real numbers and about floats, with intervals of 63-bit integers. *)
From AtlasMoE Require Import FloatChecker Big.
Module D := FloatChecker Big.Arithmetic.
