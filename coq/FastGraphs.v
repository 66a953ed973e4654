(* Task graphs in hardware floats. *)
From AtlasMoE Require Import Fast Composition Mixtures Groups.
Module H := Groups Fast.Arithmetic.
Module M := H.G.
Module G := M.C.
