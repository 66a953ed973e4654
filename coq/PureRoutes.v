(* The checker of routes, with intervals of Coq's own integers. *)
From AtlasMoE Require Import RouteChecker Pure.
Module R := RouteChecker Pure.Arithmetic.
