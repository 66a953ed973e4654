// Why a point came out as it did: the same record as `atlasmoe explain --json` has, of what the page can know.
function explain(point) {
  const traced = trace(point), base = unembed(point), rounded = unembed(traced.input);
  const steps = traced.steps.map((step, n) => layerStep(NETWORK.layers[n], step, n));
  const blocks = NETWORK.blocks.map((block) => blockChoice(block, traced, rounded));
  const values = {};
  for (const [name, form] of Object.entries(NETWORK.components)) values[name] = combination(form, traced, rounded);
  return { point: Array.from(point), base: Array.from(base), layers: steps, blocks, values, output: Array.from(traced.output) };
}

function layerStep(layer, step, n) {
  const rest = runnerUp(step.logits, step.chosen);
  return {
    layer: n + 1,
    does: layer.does,
    expert: layer.names[step.chosen[0]],
    logit: step.logits[step.chosen[0]],
    runner_up: rest === null ? null : layer.names[rest],
    margin: lead(step.logits, step.chosen, rest),
    matters: layer.experts.length > 1,
    chosen: step.chosen.map((k, i) => [layer.names[k], step.weights[i]]),
  };
}

function runnerUp(logits, chosen) {
  const rest = largest(logits, logits.length).filter((k) => !chosen.includes(k));
  return rest.length ? rest[0] : null;
}

function lead(logits, chosen, rest) {
  return rest === null ? Infinity : Math.min(...chosen.map((k) => logits[k])) - logits[rest];
}

function blockChoice(block, traced, rounded) {
  const step = traced.steps[block.layer], own = step.logits.slice(block.first, block.first + block.pieces.length);
  const mine = step.chosen.map((k, i) => [k - block.first, step.weights[i]])
    .filter(([k, w]) => k >= 0 && k < own.length && (w !== 0 || step.chosen.length === 1));
  const chosen = mine.map(([k]) => k), rest = runnerUp(own, chosen);
  const piece = chosen.length ? chosen[0] : largest(own, 1)[0];
  return {
    block: block.name,
    layer: block.layer + 1,
    piece: block.pieces[piece],
    subtask: block.formulas[piece],
    components: block.components,
    chosen: mine.map(([k, w]) => [block.pieces[k], w]),
    lead: chosen.length ? lead(own, chosen, rest) : NaN,
    runner_up: rest === null ? null : block.pieces[rest],
    reads: block.reads.map(([name, form]) => [name, combination(form, traced, rounded)]),
    scores: largest(own, own.length).map((k) => [block.pieces[k], own[k]]),
  };
}

// Σ weight · source + constant; NaN where a component is nowhere in the network.
function combination(form, traced, rounded) {
  if (form === null) return NaN;
  const state = form.state === 0 ? traced.input : traced.steps[form.state - 1].state;
  return form.terms.reduce((sum, [where, k, weight]) => sum + weight * (where === 0 ? rounded[k] : state[k]), form.constant);
}
