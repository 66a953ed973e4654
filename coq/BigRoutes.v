(* The checker of routes, with intervals of 63-bit integers. *)
From AtlasMoE Require Import RouteChecker Big.
Module R := RouteChecker Big.Arithmetic.
