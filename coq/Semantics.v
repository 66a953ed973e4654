(* What a compiled atlasmoe model computes, and what is said of it, in real arithmetic.
   This file is what a reader has to believe. Nothing here is about intervals, boxes of a proof, or floating point. *)
From Coq Require Import Reals List ZArith.
Import ListNotations.
Open Scope R_scope.

(** * Numbers. A stored float is a dyadic fraction, written (m, e) for m * 2^e. *)
Definition dyadic := (Z * Z)%type.
Definition D2R (d : dyadic) : R := IZR (fst d) * powerRZ 2 (snd d).

(** * Expressions of task.toml, as they are written there. *)
Inductive func := Sin | Cos | Tan | Exp | Log | Sqrt | Asin | Acos | Atan | Sinh | Cosh | Tanh | Asinh | Acosh | Atanh | Abs | Sign.
Inductive expr :=
| Var (k : nat)                      (* coordinate number k *)
| Int (n : Z)
| Dec (d : dyadic)                   (* a decimal, as the float64 that it was read as *)
| Pi | Euler
| Add (a b : expr) | Mul (a b : expr) | Neg (a : expr) | Inv (a : expr)
| Pow (a : expr) (n : nat)           (* a whole exponent *)
| Power (a p : expr)                 (* any other exponent *)
| Fun (f : func) (a : expr)
| Max (a b : expr) | Min (a b : expr)
| Atan2 (y x : expr)                 (* the angle of (x, y) *)
| If (c : cond) (a b : expr)         (* a Piecewise, case by case *)
| Undefined                          (* where no case of a Piecewise holds *)
with cond := Less (a b : expr) | AtMost (a b : expr) | Both (c d : cond) | Either (c d : cond) | Always.

Definition value (f : func) (x : R) : R :=
  match f with
  | Sin => sin x | Cos => cos x | Tan => tan x | Exp => exp x | Log => ln x | Sqrt => sqrt x | Atan => atan x
  | Sinh => (exp x - exp (- x)) / 2 | Cosh => (exp x + exp (- x)) / 2
  | Tanh => (exp x - exp (- x)) / (exp x + exp (- x)) | Abs => Rabs x
  | Asin => asin x | Acos => acos x
  | Asinh => ln (x + sqrt (x * x + 1)) | Acosh => ln (x + sqrt (x * x - 1)) | Atanh => ln ((1 + x) / (1 - x)) / 2
  | Sign => if Rlt_dec 0 x then 1 else if Rlt_dec x 0 then -1 else 0
  end.
Definition has_value (f : func) (x : R) : Prop :=
  match f with
  | Tan => cos x <> 0 | Log => 0 < x | Sqrt => 0 <= x | Asin | Acos => -1 <= x <= 1 | Acosh => 1 <= x | Atanh => -1 < x < 1
  | _ => True
  end.
Definition atan2 (y x : R) : R :=
  if Rlt_dec 0 x then atan (y / x)
  else if Rlt_dec 0 y then PI / 2 - atan (x / y) else if Rlt_dec y 0 then - (PI / 2) - atan (x / y) else PI.

(** How expressions are written. *)
Declare Scope expr_scope.
Delimit Scope expr_scope with expr.
Bind Scope expr_scope with expr.
Bind Scope expr_scope with cond.
Definition to_Z (e : expr) : option Z := match e with Int n => Some n | _ => None end.
Number Notation expr Int to_Z : expr_scope.
Notation "a + b" := (Add a b) : expr_scope.
Notation "- a" := (Neg a) : expr_scope.
Notation "a - b" := (Add a (Neg b)) : expr_scope.
Notation "a * b" := (Mul a b) : expr_scope.
Notation "a / b" := (Mul a (Inv b)) : expr_scope.
Notation "a ^ n" := (Pow a n%nat) : expr_scope.

(** What an expression is worth at a point u; off its domain, see [defined], the number means nothing. *)
Fixpoint denote (e : expr) (u : list R) : R :=
  match e with
  | Var k => nth k u 0 | Int n => IZR n | Dec d => D2R d | Pi => PI | Euler => exp 1
  | Add a b => denote a u + denote b u | Mul a b => denote a u * denote b u
  | Neg a => - denote a u | Inv a => / denote a u
  | Pow a n => denote a u ^ n | Power a p => exp (denote p u * ln (denote a u))
  | Fun f a => value f (denote a u)
  | Max a b => Rmax (denote a u) (denote b u) | Min a b => Rmin (denote a u) (denote b u)
  | Atan2 a b => atan2 (denote a u) (denote b u)
  | If c a b => if holds c u then denote a u else denote b u
  | Undefined => 0
  end
with holds (c : cond) (u : list R) : bool :=
  match c with
  | Less a b => if Rlt_dec (denote a u) (denote b u) then true else false
  | AtMost a b => if Rle_dec (denote a u) (denote b u) then true else false
  | Both c d => andb (holds c u) (holds d u) | Either c d => orb (holds c u) (holds d u)
  | Always => true
  end.

(** Where an expression has a value: every part of it that is used there has one. *)
Fixpoint defined (e : expr) (u : list R) : Prop :=
  match e with
  | Var _ | Int _ | Dec _ | Pi | Euler => True
  | Add a b | Mul a b | Max a b | Min a b => defined a u /\ defined b u
  | Neg a | Pow a _ => defined a u
  | Inv a => defined a u /\ denote a u <> 0
  | Power a p => defined a u /\ defined p u /\ 0 < denote a u
  | Fun f a => defined a u /\ has_value f (denote a u)
  | Atan2 a b => defined a u /\ defined b u /\ (denote a u <> 0 \/ denote b u <> 0)
  | If c a b => settled c u /\ if holds c u then defined a u else defined b u
  | Undefined => False
  end
with settled (c : cond) (u : list R) : Prop :=
  match c with
  | Less a b | AtMost a b => defined a u /\ defined b u
  | Both c d | Either c d => settled c u /\ settled d u
  | Always => True
  end.

Definition values (es : list expr) (u : list R) : list R := map (fun e => denote e u) es.

(** * Networks. B is the type of affine maps. *)
Fixpoint dot (s t : list R) : R :=
  match s, t with x :: s, y :: t => x * y + dot s t | _, _ => 0 end.
Definition affine (A : Type) := (list (list A) * list A)%type.      (* rows, biases *)
Fixpoint apply (W : list (list R)) (b x : list R) : list R :=
  match W, b with row :: W, c :: b => (dot row x + c) :: apply W b x | _, _ => [] end.
Definition run (a : affine R) (x : list R) : list R := apply (fst a) (snd a) x.

Inductive activation := Identity | Relu | Relu2 | Silu | GeluTanh.
Definition relu (x : R) := Rmax x 0.
Definition activate (a : activation) (x : R) : R :=
  match a with
  | Identity => x | Relu => relu x | Relu2 => relu x * relu x
  | Silu => x * / (1 + exp (- x))
  | GeluTanh => (* x (1 + tanh w) / 2 with w = sqrt(2/pi) (x + 0.044715 x^3), as x / (1 + exp (-2 w)) *)
      x * / (1 + exp (- (2 * (sqrt (2 * / PI) * (x + IZR 44715 * / IZR 1000000 * (x * (x * x)))))))
  end.

(** A hidden layer: each neuron its own activation; in gated layers multiplied by an affine map. *)
Record hidden (B : Type) := Hidden { into : B; acts : list activation; lanes : option B }.
Arguments Hidden {B}. Arguments into {B}. Arguments acts {B}. Arguments lanes {B}.
Definition net (B : Type) := (list (hidden B) * B)%type.
Fixpoint bend (a : list activation) (x : list R) : list R :=
  match a, x with f :: a, z :: x => activate f z :: bend a x | _, _ => [] end.
Fixpoint times (x y : list R) : list R :=
  match x, y with a :: x, b :: y => a * b :: times x y | _, _ => [] end.
Definition eval_hidden (h : hidden (affine R)) (x : list R) : list R :=
  let z := bend (acts h) (run (into h) x) in
  match lanes h with None => z | Some up => times z (run up x) end.
Definition eval_net (n : net (affine R)) (x : list R) : list R :=
  run (snd n) (fold_left (fun x h => eval_hidden h x) (fst n) x).

(** * Layers: the [top] largest logits choose experts, which are weighed and added up. *)
Inductive weighting := Softmax | Uniform | Rectified.
Record layer (B : Type) := Layer {
  gate : option (net B);                    (* None: one expert for all *)
  sees : list nat;                          (* the channels that the gate reads *)
  experts : list (net B);
  serves : list nat;                        (* gate output j is served by this expert *)
  reads : list nat;                         (* the channels that experts read *)
  latent : option B;                        (* an affine map before all experts *)
  shared : option (net B);                  (* an expert that is always added *)
  leaves : list (option nat * option nat);  (* what leaves: the channel that is carried there, the output that is added *)
  top : nat;
  weighs : weighting }.
Arguments Layer {B}. Arguments gate {B}. Arguments sees {B}. Arguments experts {B}. Arguments serves {B}. Arguments reads {B}.
Arguments latent {B}. Arguments shared {B}. Arguments leaves {B}. Arguments top {B}. Arguments weighs {B}.

(** Logit i goes before logit j: it is larger, or equal and first. *)
Definition before (l : list R) (j i : nat) : bool :=
  if Rlt_dec (nth j l 0) (nth i l 0) then true
  else if Rlt_dec (nth i l 0) (nth j l 0) then false else Nat.ltb i j.
Definition chosen (k : nat) (l : list R) : list nat :=
  filter (fun j => Nat.ltb (length (filter (before l j) (seq 0 (length l)))) k) (seq 0 (length l)).
Definition sum (l : list R) : R := fold_right Rplus 0 l.
Definition weight (w : weighting) (l : list R) (js : list nat) (j : nat) : R :=
  match w with
  | Softmax => exp (nth j l 0) * / sum (map (fun i => exp (nth i l 0)) js)
  | Uniform => / INR (length js)
  | Rectified => relu (nth j l 0)
  end.

Definition pick (ks : list nat) (x : list R) : list R := map (fun k => nth k x 0) ks.
Definition inner (L : layer (affine R)) (x : list R) : list R :=
  let y := pick (reads L) x in match latent L with None => y | Some a => run a y end.
Definition output (L : layer (affine R)) (x : list R) (j i : nat) : R :=
  nth i (eval_net (nth (nth j (serves L) 0%nat) (experts L) ([], ([], []))) (inner L x)) 0.
(** What leaves a layer: [mixed i] is what the chosen experts say of output i. *)
Definition leaving (L : layer (affine R)) (x : list R) (mixed : nat -> R) : list R :=
  map (fun p => (match fst p with None => 0 | Some c => nth c x 0 end) +
                match snd p with
                | None => 0
                | Some i => mixed i + match shared L with None => 0 | Some n => nth i (eval_net n (pick (reads L) x)) 0 end
                end) (leaves L).
Definition eval_layer (L : layer (affine R)) (x : list R) : list R :=
  match gate L with
  | None => leaving L x (output L x 0)
  | Some g =>
    let l := eval_net g (pick (sees L) x) in
    let js := chosen (top L) l in
    leaving L x (fun i => sum (map (fun j => weight (weighs L) l js j * output L x j i) js))
  end.
Definition eval_moe (Ls : list (layer (affine R))) (x : list R) : list R := fold_left (fun x L => eval_layer L x) Ls x.

(** * Weights as they are written down: row j of a matrix is c_j times row k_j of D. *)
Definition block (A : Type) := (list (list A) * list (nat * A) * list A)%type.      (* D, (k_j, c_j), biases *)
Definition dmul (a b : dyadic) : dyadic := (fst a * fst b, snd a + snd b)%Z.
Definition expand (b : block dyadic) : affine dyadic :=
  let '(D, sel, bias) := b in (map (fun p => map (dmul (snd p)) (nth (fst p) D [])) sel, bias).
Definition map_affine {A B} (f : A -> B) (a : affine A) : affine B := (map (map f) (fst a), map f (snd a)).
Definition map_hidden {A B} (f : A -> B) (h : hidden A) : hidden B := Hidden (f (into h)) (acts h) (option_map f (lanes h)).
Definition map_net {A B} (f : A -> B) (n : net A) : net B := (map (map_hidden f) (fst n), f (snd n)).
Definition map_layer {A B} (f : A -> B) (L : layer A) : layer B :=
  Layer (option_map (map_net f) (gate L)) (sees L) (map (map_net f) (experts L)) (serves L) (reads L)
    (option_map f (latent L)) (option_map (map_net f) (shared L)) (leaves L) (top L) (weighs L).
Definition real (b : block dyadic) : affine R := map_affine D2R (expand b).
(** The network whose stored weights these are, as a function of real numbers. *)
Definition network_of (Ls : list (layer (block dyadic))) : list R -> list R := eval_moe (map (map_layer real) Ls).

(** * What is said. *)
Definition in_box (box : list (dyadic * dyadic)) (u : list R) : Prop :=
  Forall2 (fun b x => D2R (fst b) <= x <= D2R (snd b)) box u.

(** A chart: the map [inverse] from a box of coordinates to M, of those at which [region], if there is one, is not negative. *)
Record chart := Chart { box : list (dyadic * dyadic); inverse : list expr; region : list expr }.
(** y is the point of M with the coordinates u on chart c. *)
Definition point_of (c : chart) (u y : list R) : Prop :=
  in_box (box c) u /\ Forall (fun r => 0 <= denote r u) (region c) /\ y = values (inverse c) u.

(** The numbers psi are those of f at the point v, which has values there, to within eps. *)
Definition close (eps : dyadic) (f : list expr) (v psi : list R) : Prop :=
  Forall2 (fun e p => defined e v /\ Rabs (denote e v - p) <= D2R eps) f psi.

(** What the network reads at the point y of M: y, or its image under an isometry Q. *)
Definition embedded (Q : option (block dyadic)) (y : list R) : list R := match Q with None => y | Some q => run (real q) y end.

(** What is proved of every u of the box of a chart: f, a function of the point y or of the coordinates u on that chart, and the network are close. *)
Definition claimed (c : chart) (by_chart : bool) (f : list expr) (Q : option (block dyadic)) (Ls : list (layer (block dyadic))) (eps : dyadic) (u : list R) : Prop :=
  Forall (fun r => 0 <= denote r u) (region c) ->
  let y := values (inverse c) u in
  Forall (fun e => defined e u) (inverse c) /\ close eps f (if by_chart then u else y) (network_of Ls (embedded Q y)).
