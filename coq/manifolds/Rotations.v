(* Rotations are quaternions, of which some number is not smaller than the others. *)
From Coq Require Import Reals Lra Psatz.
Open Scope R_scope.

Section Matrix.
Variables a b c d e f g h i : R.      (* the matrix, row by row *)
Definition orthonormal := a * a + d * d + g * g = 1 /\ b * b + e * e + h * h = 1 /\ c * c + f * f + i * i = 1 /\
  a * b + d * e + g * h = 0 /\ a * c + d * f + g * i = 0 /\ b * c + e * f + h * i = 0.
Definition determinant := a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g).
Hypothesis O : orthonormal.
Hypothesis D : determinant = 1.

(** A rotation is its matrix of cofactors. *)
Lemma cofactors : a = e * i - f * h /\ b = f * g - d * i /\ c = d * h - e * g /\
  d = c * h - b * i /\ e = a * i - c * g /\ f = b * g - a * h /\
  g = b * f - c * e /\ h = c * d - a * f /\ i = a * e - b * d.
Proof.
  destruct O as (H1 & H2 & H3 & H4 & H5 & H6).
  assert (K : forall x y z p q r : R, (x * determinant = p * y + q * z + r * 0)%R -> x = p * y + q * z + r * 0) by (intros; rewrite D in *; lra). clear K.
  pose (A := e * i - f * h). pose (B := f * g - d * i). pose (C := d * h - e * g).
  pose (A' := c * h - b * i). pose (B' := a * i - c * g). pose (C' := b * g - a * h).
  pose (A'' := b * f - c * e). pose (B'' := c * d - a * f). pose (C'' := a * e - b * d).
  assert (E1 : a * determinant = (a * a + d * d + g * g) * A + (a * b + d * e + g * h) * B + (a * c + d * f + g * i) * C) by (unfold determinant, A, B, C; ring).
  assert (E2 : b * determinant = (a * b + d * e + g * h) * A + (b * b + e * e + h * h) * B + (b * c + e * f + h * i) * C) by (unfold determinant, A, B, C; ring).
  assert (E3 : c * determinant = (a * c + d * f + g * i) * A + (b * c + e * f + h * i) * B + (c * c + f * f + i * i) * C) by (unfold determinant, A, B, C; ring).
  assert (E4 : d * determinant = (a * a + d * d + g * g) * A' + (a * b + d * e + g * h) * B' + (a * c + d * f + g * i) * C') by (unfold determinant, A', B', C'; ring).
  assert (E5 : e * determinant = (a * b + d * e + g * h) * A' + (b * b + e * e + h * h) * B' + (b * c + e * f + h * i) * C') by (unfold determinant, A', B', C'; ring).
  assert (E6 : f * determinant = (a * c + d * f + g * i) * A' + (b * c + e * f + h * i) * B' + (c * c + f * f + i * i) * C') by (unfold determinant, A', B', C'; ring).
  assert (E7 : g * determinant = (a * a + d * d + g * g) * A'' + (a * b + d * e + g * h) * B'' + (a * c + d * f + g * i) * C'') by (unfold determinant, A'', B'', C''; ring).
  assert (E8 : h * determinant = (a * b + d * e + g * h) * A'' + (b * b + e * e + h * h) * B'' + (b * c + e * f + h * i) * C'') by (unfold determinant, A'', B'', C''; ring).
  assert (E9 : i * determinant = (a * c + d * f + g * i) * A'' + (b * c + e * f + h * i) * B'' + (c * c + f * f + i * i) * C'') by (unfold determinant, A'', B'', C''; ring).
  rewrite ?H1, ?H2, ?H3, ?H4, ?H5, ?H6, D in *. fold A B C A' B' C' A'' B'' C''. repeat split; lra.
Qed.
(** 4 q_j q_k of its quaternion q. *)
Definition p00 := 1 + a + e + i. Definition p11 := 1 + a - e - i. Definition p22 := 1 - a + e - i. Definition p33 := 1 - a - e + i.
Definition p01 := h - f. Definition p02 := c - g. Definition p03 := d - b. Definition p12 := b + d. Definition p13 := c + g. Definition p23 := f + h.
Lemma rank_one :
  (p01 * p01 = p00 * p11 /\ p02 * p02 = p00 * p22 /\ p03 * p03 = p00 * p33 /\ p12 * p12 = p11 * p22 /\ p13 * p13 = p11 * p33 /\ p23 * p23 = p22 * p33) /\
  (p01 * p02 = p00 * p12 /\ p01 * p03 = p00 * p13 /\ p02 * p03 = p00 * p23) /\ (p01 * p12 = p11 * p02 /\ p01 * p13 = p11 * p03 /\ p12 * p13 = p11 * p23) /\
  (p02 * p12 = p22 * p01 /\ p02 * p23 = p22 * p03 /\ p12 * p23 = p22 * p13) /\ (p03 * p13 = p33 * p01 /\ p03 * p23 = p33 * p02 /\ p13 * p23 = p33 * p12).
Proof.
  destruct O as (H1 & H2 & H3 & H4 & H5 & H6). pose proof cofactors as (C1 & C2 & C3 & C4 & C5 & C6 & C7 & C8 & C9).
  assert (R1 : a * a + b * b + c * c = 1). { rewrite <- D. unfold determinant. rewrite C1 at 1. rewrite C2 at 1. rewrite C3 at 1. ring. }
  assert (R2 : d * d + e * e + f * f = 1). { rewrite <- D. unfold determinant. rewrite C4 at 1. rewrite C5 at 1. rewrite C6 at 1. ring. }
  assert (R3 : g * g + h * h + i * i = 1). { rewrite <- D. unfold determinant. rewrite C7 at 1. rewrite C8 at 1. rewrite C9 at 1. ring. }
  assert (R4 : a * d + b * e + c * f = 0). { rewrite C1, C2, C3 at 1. ring. }
  assert (R5 : a * g + b * h + c * i = 0). { rewrite C1, C2, C3 at 1. ring. }
  assert (R6 : d * g + e * h + f * i = 0). { rewrite C4, C5, C6 at 1. ring. }
  unfold p00, p11, p22, p33, p01, p02, p03, p12, p13, p23. repeat split; lra.
Qed.
End Matrix.

(** The rotation of the quaternion (p, q, r, s), of any length but 0. *)
Definition rotates (p q r s a b c d e f g h i : R) :=
  let n := p * p + q * q + r * r + s * s in
  n * a = p * p + q * q - r * r - s * s /\ n * b = 2 * (q * r - p * s) /\ n * c = 2 * (q * s + p * r) /\
  n * d = 2 * (q * r + p * s) /\ n * e = p * p - q * q + r * r - s * s /\ n * f = 2 * (r * s - p * q) /\
  n * g = 2 * (q * s - p * r) /\ n * h = 2 * (r * s + p * q) /\ n * i = p * p - q * q - r * r + s * s.
Lemma small m x : 0 < m -> x * x <= m * m -> -1 <= x / m <= 1.
Proof.
  intros M H. assert (- m <= x <= m) by nra. unfold Rdiv.
  split; apply Rmult_le_reg_r with m; auto; rewrite Rmult_assoc, Rinv_l; lra.
Qed.
(** From m times the products of the quaternion's numbers, which are those of the matrix, to the matrix. *)
Lemma turned m w x y z P Q R S p q r s t u a b c d e f g h i : 0 < m -> w + x + y + z = 4 ->
  m * (P * P) = w -> m * (Q * Q) = x -> m * (R * R) = y -> m * (S * S) = z ->
  m * (P * Q) = p -> m * (P * R) = q -> m * (P * S) = r -> m * (Q * R) = s -> m * (Q * S) = t -> m * (R * S) = u ->
  4 * a = w + x - y - z -> 4 * e = w - x + y - z -> 4 * i = w - x - y + z -> 2 * h = u + p -> 2 * f = u - p -> 2 * c = t + q -> 2 * g = t - q ->
  2 * d = s + r -> 2 * b = s - r -> rotates P Q R S a b c d e f g h i.
Proof.
  intros M Sum <- <- <- <- <- <- <- <- <- <- Ea Ee Ei Eh Ef Ec Eg Ed Eb. unfold rotates.
  assert (N : m * (P * P + Q * Q + R * R + S * S) = 4) by lra.
  assert (K : forall v k, m * (P * P + Q * Q + R * R + S * S) * v = m * k -> (P * P + Q * Q + R * R + S * S) * v = k).
  { intros v k H. apply Rmult_eq_reg_l with m; [|lra]. rewrite <- H. ring. }
  repeat split; apply K; rewrite N; lra.
Qed.
Lemma covered a b c d e f g h i : orthonormal a b c d e f g h i -> determinant a b c d e f g h i = 1 ->
  exists p q r s, -1 <= p <= 1 /\ -1 <= q <= 1 /\ -1 <= r <= 1 /\ -1 <= s <= 1 /\ (p = 1 \/ q = 1 \/ r = 1 \/ s = 1) /\ rotates p q r s a b c d e f g h i.
Proof.
  intros O D. destruct (rank_one a b c d e f g h i O D) as ((S1 & S2 & S3 & S4 & S5 & S6) & (T1 & T2 & T3) & (T4 & T5 & T6) & (T7 & T8 & T9) & (T10 & T11 & T12)).
  set (w := p00 a e i) in *. set (x := p11 a e i) in *. set (y := p22 a e i) in *. set (z := p33 a e i) in *.
  assert (Sum : w + x + y + z = 4) by (unfold w, x, y, z, p00, p11, p22, p33; ring).
  assert (Ea : 4 * a = w + x - y - z) by (unfold w, x, y, z, p00, p11, p22, p33; ring).
  assert (Ee : 4 * e = w - x + y - z) by (unfold w, x, y, z, p00, p11, p22, p33; ring).
  assert (Ei : 4 * i = w - x - y + z) by (unfold w, x, y, z, p00, p11, p22, p33; ring).
  assert (Eh : 2 * h = p23 f h + p01 f h) by (unfold p23, p01; ring). assert (Ef : 2 * f = p23 f h - p01 f h) by (unfold p23, p01; ring).
  assert (Ec : 2 * c = p13 c g + p02 c g) by (unfold p13, p02; ring). assert (Eg : 2 * g = p13 c g - p02 c g) by (unfold p13, p02; ring).
  assert (Ed : 2 * d = p12 b d + p03 b d) by (unfold p12, p03; ring). assert (Eb : 2 * b = p12 b d - p03 b d) by (unfold p12, p03; ring).
  set (p := p01 f h) in *. set (q := p02 c g) in *. set (r := p03 b d) in *. set (s := p12 b d) in *. set (t := p13 c g) in *. set (u := p23 f h) in *.
  clearbody w x y z p q r s t u. clear O D.
  assert (M : (x <= w /\ y <= w /\ z <= w) \/ (w <= x /\ y <= x /\ z <= x) \/ (w <= y /\ x <= y /\ z <= y) \/ (w <= z /\ x <= z /\ y <= z)) by lra.
  assert (L : forall m k o : R, 0 < m -> k * k = m * o -> o <= m -> -1 <= k / m <= 1) by (intros m k o P E Q; apply small; auto; rewrite E; apply Rmult_le_compat_l; lra).
  destruct M as [(M1 & M2 & M3)|[(M1 & M2 & M3)|[(M1 & M2 & M3)|(M1 & M2 & M3)]]].
  - assert (P : 0 < w) by lra. exists 1, (p / w), (q / w), (r / w). split; [lra|].
    split; [apply (L w p x); lra|]. split; [apply (L w q y); lra|]. split; [apply (L w r z); lra|]. split; [auto|].
    apply (turned w w x y z 1 (p / w) (q / w) (r / w) p q r s t u); auto; field_simplify_eq; auto; lra.
  - assert (P : 0 < x) by lra. exists (p / x), 1, (s / x), (t / x). split; [apply (L x p w); lra|]. split; [lra|].
    split; [apply (L x s y); lra|]. split; [apply (L x t z); lra|]. split; [auto|].
    apply (turned x w x y z (p / x) 1 (s / x) (t / x) p q r s t u); auto; field_simplify_eq; auto; lra.
  - assert (P : 0 < y) by lra. exists (q / y), (s / y), 1, (u / y). split; [apply (L y q w); lra|]. split; [apply (L y s x); lra|].
    split; [lra|]. split; [apply (L y u z); lra|]. split; [auto|].
    apply (turned y w x y z (q / y) (s / y) 1 (u / y) p q r s t u); auto; field_simplify_eq; auto; lra.
  - assert (P : 0 < z) by lra. exists (r / z), (t / z), (u / z), 1. split; [apply (L z r w); lra|]. split; [apply (L z t x); lra|].
    split; [apply (L z u y); lra|]. split; [lra|]. split; [auto|].
    apply (turned z w x y z (r / z) (t / z) (u / z) 1 p q r s t u); auto; field_simplify_eq; auto; lra.
Qed.
Lemma entry n x k v : n * x = k -> n <> 0 -> v = k / n -> x = v.
Proof. intros <- N ->. field. auto. Qed.
