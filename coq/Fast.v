(* Binary64 hardware floats in the virtual machine of the kernel: fast. Axioms: what Coq says of primitive floats and integers. *)
From Interval Require Import Float.Basic Float.Primitive_ops Interval.Interval Interval.Float Interval.Float_full.
From Coq Require Import ZArith.
From AtlasMoE Require Import Intervals Checker.
Module Arithmetic <: Intervals.Arithmetic.
Module I := FloatIntervalFull PrimitiveFloat.
Definition prec : I.precision := PrimitiveFloat.PtoP 53%positive.
End Arithmetic.
Module C := Checker Arithmetic.
