(* Floats of any precision over 63-bit machine integers: 20 times slower. Axioms: what Coq says of primitive integers. *)
From Interval Require Import Float.Basic Float.Specific_bigint Float.Specific_ops Interval.Interval Interval.Float Interval.Float_full.
From Coq Require Import ZArith.
From AtlasMoE Require Import Intervals Checker.
Module F := SpecificFloat BigIntRadix2.
Module Arithmetic <: Intervals.Arithmetic.
Module I := FloatIntervalFull F.
Definition prec : I.precision := F.PtoP 60%positive.
End Arithmetic.
Module C := Checker Arithmetic.
