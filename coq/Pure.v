(* Floats of any precision over Coq's own binary integers: no arithmetic of the machine, 150 times slower. *)
From Interval Require Import Float.Basic Float.Specific_stdz Float.Specific_ops Interval.Interval Interval.Float Interval.Float_full.
From Coq Require Import ZArith.
From AtlasMoE Require Import Intervals Checker.
Module F := SpecificFloat StdZRadix2.
Module Arithmetic <: Intervals.Arithmetic.
Module I := FloatIntervalFull F.
Definition prec : I.precision := F.PtoP 60%positive.
End Arithmetic.
Module C := Checker Arithmetic.
