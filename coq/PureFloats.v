(* The checker for both theorems, about real numbers and about floats, with intervals of Coq's own integers. *)
From AtlasMoE Require Import FloatChecker Pure.
Module D := FloatChecker Pure.Arithmetic.
