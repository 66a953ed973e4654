(* The checker of routes, with intervals of hardware floats. *)
From AtlasMoE Require Import RouteChecker Fast.
Module R := RouteChecker Fast.Arithmetic.
