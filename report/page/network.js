// The network, as numpy evaluates it: in float64, or in float32 with every operation rounded. Sums go from the first product to the last.
const NETWORK = DATA.network;
const round = NETWORK && NETWORK.dtype === "float32" ? Math.fround : (value) => value;

function affine(map, x) {
  map.w ??= array(map.weight);
  map.b ??= map.bias === null ? new Float64Array(map.rows) : array(map.bias);
  const out = new Float64Array(map.rows);
  for (let i = 0, at = 0; i < map.rows; i++) {
    let sum = 0;
    for (let j = 0; j < map.columns; j++, at++) sum = round(sum + round(map.w[at] * x[j]));
    out[i] = round(sum + map.b[i]);
  }
  return out;
}

function logistic(z) {
  return round(1 / round(1 + round(Math.exp(-z))));
}

// Φ, the normal distribution function: φ(t)·Σ t^(2n+1)/(2n+1)!! beside one half; far out the continued fraction of its tail.
function normal(z) {
  const t = Math.abs(z), density = Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI);
  if (t < 3) {
    let term = t, sum = t;
    for (let n = 1; term > 1e-18 * sum; n++) {
      term *= (t * t) / (2 * n + 1);
      sum += term;
    }
    return z < 0 ? 0.5 - density * sum : 0.5 + density * sum;
  }
  let below = 0;
  for (let n = 80; n > 0; n--) below = n / (t + below);
  const tail = density / (t + below);
  return z < 0 ? tail : 1 - tail;
}

const ACTIVATIONS = {
  relu: (z) => (z < 0 ? 0 : z),
  relu2: (z) => (z < 0 ? 0 : round(z * z)),
  silu: (z) => round(z * logistic(z)),
  gelu: (z) => round(z * round(normal(z))),
  gelu_tanh: (z) => {
    const [linear, cubic] = NETWORK.cubic.map(round);
    return round(z * logistic(round(z * round(linear + round(round(cubic * z) * z)))));
  },
  identity: (z) => z,
};

function run(net, x) {
  net.runs.forEach((parts, layer) => {
    const out = affine(net.affines[layer], x);
    let at = 0;
    for (const [count, name] of parts) {
      const act = ACTIVATIONS[name];
      for (const end = at + count; at < end; at++) out[at] = act(out[at]);
    }
    const up = net.ups[layer];
    if (up !== null) affine(up, x).forEach((value, i) => (out[i] = round(out[i] * value)));
    x = out;
  });
  return affine(net.affines[net.affines.length - 1], x);
}

// The places of the largest logits, of equal ones the first.
function largest(logits, count) {
  return Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b).slice(0, count);
}

function weighed(layer, logits, chosen) {
  const scores = chosen.map((k) => logits[k]);
  if (layer.weighting === "rectified") return scores.map((s) => Math.max(s, 0));
  if (layer.weighting === "uniform") return scores.map(() => round(1 / layer.top));
  const most = Math.max(...scores), powers = scores.map((s) => round(Math.exp(round(s - most))));
  const sum = powers.reduce((a, b) => round(a + b));
  return powers.map((p) => round(p / sum));
}

function picked(x, places) {
  return places === null ? x : Float64Array.from(places, (k) => x[k]);
}

// h ← carry(h) + scatter(Σ w·expert + shared), and what the gate said.
function advance(layer, x) {
  const logits = layer.gate === null ? new Float64Array(1) : run(layer.gate, picked(x, layer.sees));
  const chosen = largest(logits, layer.top), weights = weighed(layer, logits, chosen);
  const read = picked(x, layer.reads), low = layer.latent === null ? read : affine(layer.latent, read);
  const unit = layer.top === 1 && layer.weighting !== "rectified";
  let written = null;
  chosen.forEach((k, n) => {
    let out = run(layer.experts[layer.serves[k]], low);
    if (!unit) out = out.map((value) => round(value * weights[n]));
    written = written === null ? out : written.map((value, i) => round(value + out[i]));
  });
  if (layer.shared !== null) {
    const shared = run(layer.shared, read);
    written = written.map((value, i) => round(value + shared[i]));
  }
  if (layer.plain) return { logits, chosen, weights, state: written };
  const state = Float64Array.from(layer.carries, (k) => (k < 0 ? 0 : x[k]));
  layer.writes.forEach((place, i) => (state[place] = round(state[place] + written[i])));
  return { logits, chosen, weights, state };
}

// All layers at a point of R^D, rounded to the network's dtype first.
function trace(point) {
  const input = Float64Array.from(point, round), steps = [];
  for (const layer of NETWORK.layers) steps.push(advance(layer, steps.length ? steps[steps.length - 1].state : input));
  return { input, steps, output: steps[steps.length - 1].state };
}

function product(place, rows, x) {
  const matrix = array(place), columns = x.length, out = new Float64Array(rows);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[i] += matrix[i * columns + j] * x[j];
  return out;
}

// Between coordinates before embedding and points of R^D.
function embed(base) {
  return NETWORK.embedding === null ? Float64Array.from(base) : product(NETWORK.embedding, NETWORK.inputs.length, base);
}

function unembed(point) {
  return NETWORK.projection === null ? Float64Array.from(point) : product(NETWORK.projection, DATA.places.coordinates.length, point);
}
