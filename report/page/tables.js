// A point that is explained, loads, findings, versions.
const MOST_SCORES = 6, MOST_COORDINATES = 12;

function baseOf(n) {
  const k = PLACES.coordinates.length, all = array(PLACES.base);
  return Array.from({ length: k }, (_, i) => all[n * k + i]);
}

// Point number n of the picture, or coordinates that somebody wrote.
function showPoint(n, base) {
  const parts = [pointHead(n, base)];
  if (NETWORK === null) parts.push(...storedPoint(n));
  else parts.push(...computedPoint(explain(embed(base)), n));
  byId("point").replaceChildren(...parts);
}

function pointHead(n, base) {
  const texts = PLACES.coordinates.map((name, k) => `${name} = ${shown(base[k], 6)}`);
  const more = texts.length > MOST_COORDINATES ? `, … ${texts.length} in all` : "", pairs = [["point", texts.slice(0, MOST_COORDINATES).join(", ") + more]];
  if (n !== null && PLACES.locals.length) {
    const [names, charts] = PLACES.charts, d = PLACES.locals.length, all = array(PLACES.intrinsic);
    const local = PLACES.locals.map((name, k) => `${name} = ${shown(all[n * d + k], 6)}`).join(", ");
    const chart = names[array(charts)[n]];
    pairs.push(["made in", `${chart.startsWith("chart") ? chart : `chart ${chart}`}, ${local}`]);
  }
  const list = definitions(pairs);
  list.setAttribute("data-base", JSON.stringify(base));
  return list;
}

function truthOf(n, name) {
  if (n === null || PLACES.truth === null) return NaN;
  const k = PLACES.components.indexOf(name);
  return k < 0 ? NaN : array(PLACES.truth)[n * PLACES.components.length + k];
}

// Ψ beside f, component by component.
function outputs(n, values) {
  const rows = PLACES.outputs.map((name, k) => {
    const truth = truthOf(n, name);
    return [name, [values[k], 8], [truth, 8], [Math.abs(truth - values[k]), 3]];
  });
  const shownTable = table(["", "Ψ", "f", "error"], rows);
  shownTable.id = "outputs";
  return shownTable;
}

function computedPoint(found, n) {
  const parts = [outputs(n, found.output), bound()];
  if (n === null) parts.push(element("p", { class: "quiet", text: "f is kept at the points of the picture only; atlasmoe explain --at compares elsewhere. "
    + "Nobody has looked whether this is a point of the domain: nothing is claimed elsewhere." }));
  parts.push(element("h3", { text: "Layers" }), layerTable(found));
  parts.push(element("h3", { text: NETWORK.blocks.length === 1 ? "Block" : "Blocks" }), ...found.blocks.map((block) => blockPart(block, found, n)));
  parts.push(element("p", { class: "quiet", text: `Computed in this page, in ${NETWORK.dtype}, sums from the first product to the last.` }));
  return parts;
}

// The largest error of the points of this page; −∞ where f is not at hand.
function largestHere() {
  return PLACES.error === null ? -Infinity : array(PLACES.error).reduce((most, error) => (error > most ? error : most), -Infinity);
}

// Whether a point of this page exceeds what is stated of all, by more than rounding.
function refuted() {
  return DATA.stated.known === "refuted" || (!["sampled", "unknown"].includes(DATA.stated.known) && largestHere() > number(DATA.stated.bound) + DATA.stated.room);
}

// The bound that is stated; where points of this page say more, the largest error of all samples, these among them.
function largestKnown() {
  const stated = number(DATA.stated.bound);
  if (DATA.stated.known === "refuted" || refuted()) return largestHere();
  return DATA.stated.known === "sampled" ? Math.max(stated, largestHere()) : stated;
}

function bound() {
  const { known, source, found } = DATA.stated, size = shown(largestKnown(), 4);
  const said = shown(number(DATA.stated.bound), 4);
  const everywhere = refuted() ? `${source} says that the error is at most ${said} everywhere; a point of this page has ${size}${DATA.about.unit}, which refutes it.`
    : known === "unknown" ? "Of the error over the whole domain nothing is known."
      : known === "sampled" ? `On samples of the domain the error was up to ${size}${DATA.about.unit}: sampled, not proved.`
        : `Over the whole domain the error is at most ${said}${DATA.about.unit} (${known}: ${source})${found === null ? "" : `; ${shown(number(found), 4)} is the largest found`}.`;
  return element("p", { text: everywhere });
}

function layerTable(found) {
  const rows = found.layers.map((step) => {
    const taken = step.chosen.length > 1 ? step.chosen.map(([name, w]) => `${shown(w, 4)}·${name}`).join(" + ") : step.expert;
    const rest = !step.matters ? "all experts are equal" : step.runner_up === null ? "the only one" : `before ${step.runner_up}`;
    return [`${step.layer}${step.does ? `: ${step.does}` : ""}`, taken, [step.matters ? step.margin : NaN, 6], rest];
  });
  const made = table(["layer", "expert", "leads by", ""], rows);
  made.id = "layers";
  return made;
}

function blockPart(block, found, n) {
  const home = element("div", { "data-block": block.block }), taken = block.chosen.length > 1 ? block.chosen.map(([name, w]) => `${shown(w, 4)}·${name}`).join(" + ") : block.piece;
  const reads = block.reads.map(([name, value]) => `${name} = ${shown(value, 6)}`);
  home.append(element("p", {}, element("b", { text: block.block }), ` takes ${taken}, of ${reads.slice(0, MOST_COORDINATES).join(", ")}`
    + (reads.length > MOST_COORDINATES ? `, … ${reads.length} in all` : "")));
  if (block.subtask.length) home.append(element("p", { class: "code", text: block.components.map((name, k) => `${name} = ${block.subtask[k]}`).join("; ") }));
  const rows = block.components.map((name) => {
    const value = found.values[name], truth = truthOf(n, name);
    return [name, [value, 8], [truth, 8], [Math.abs(value - truth), 3]];
  });
  if (NETWORK.blocks.length > 1) home.append(table(["", "computed", "true", "error"], rows));
  const scores = table(["", "τ"], block.scores.slice(0, MOST_SCORES).map(([name, value]) => [name, [value, 6]]));
  const more = block.scores.length > MOST_SCORES ? ` (the best ${MOST_SCORES} of ${block.scores.length})` : "";
  home.append(element("details", {}, element("summary", { text: `scores${more}` }), scores));
  return home;
}

// What was computed when the page was written, where the network is too large for it.
function storedPoint(n) {
  const limit = `The network has ${thousands(DATA.about.parameters)} numbers, more than the ${thousands(DATA.limits.numbers)} that a page holds: it is left out, `
    + "and points are shown as they were computed when the page was written.";
  if (n === null) return [element("p", { text: `${limit} atlasmoe explain --at explains others.` })];
  const width = PLACES.outputs.length, all = array(PLACES.output), L = NETWORK_BLOCKS.length, routes = array(PLACES.routes), margins = array(PLACES.margins);
  const rows = NETWORK_BLOCKS.map((block, k) => [block.block, block.pieces[routes[n * L + k]], [margins[n * L + k], 4]]);
  return [outputs(n, Array.from({ length: width }, (_, k) => all[n * width + k])), bound(), table(["block", "takes", "margin"], rows), element("p", { class: "quiet", text: limit })];
}

function showLoads(home) {
  home.append(element("p", { class: "quiet", text: `${thousands(DATA.loads.points)} points drawn from the domain.` }));
  for (const block of DATA.loads.blocks) {
    const sum = block.counts.reduce((a, b) => a + b, 0) || 1, most = Math.max(...block.counts), order = block.counts.map((_, k) => k);
    const rows = element("div", { class: "bars" }), limit = 32;
    for (const k of order.slice(0, limit)) {
      const bar = element("div");
      bar.style.width = `${(100 * block.counts[k]) / most}%`;
      rows.append(element("span", { class: "name", text: block.pieces[k] }), element("div", { class: "bar" }, bar),
        element("span", { text: `${shown((100 * block.counts[k]) / sum, 3)} %`, "data-value": String(block.counts[k]) }));
    }
    const unused = block.counts.filter((count) => count === 0).length;
    const text = `${DATA.loads.blocks.length > 1 ? `${block.block}, ` : ""}layer ${block.layer}: ${thousands(block.pieces.length)} expert${block.pieces.length === 1 ? "" : "s"}`
      + (unused ? `, ${thousands(unused)} of them taken by none of the points` : "") + (block.pieces.length > limit ? `; the first ${limit} are shown` : "");
    const few = DATA.loads.blocks.length <= 3;
    home.append(few ? element("div", {}, element("h3", { text }), rows) : element("details", {}, element("summary", { text }), rows));
  }
}

function showFindings(home) {
  const found = DATA.doctor;
  if (found.absent) return home.append(element("p", { text: found.absent }));
  const ill = found.diagnoses.filter((one) => one.ill), well = found.diagnoses.filter((one) => !one.ill);
  home.append(element("p", { class: found.healthy ? "good" : "bad", text: found.healthy
    ? `Healthy: ${well.length} examinations, no hypothesis fails.` : `${ill.length} of ${found.diagnoses.length} examinations found something.` }));
  home.append(element("p", { class: "quiet", text: `Rows are ${found.source}.` }), ...ill.map(finding));
  if (well.length) home.append(element("details", {}, element("summary", { text: `${well.length} healthy` }), ...well.map(finding)));
  if (found.unanswered.length) {
    const rows = found.unanswered.map((one) => [one.title, one.where, one.needs]);
    home.append(element("details", {}, element("summary", { text: `${rows.length} not examined` }), table(["sign", "where", "needs"], rows)));
  }
  if (found.assumes.length) home.append(element("p", { class: "quiet", text: `Assumed: ${found.assumes.join("; ")}.` }));
}

function finding(one) {
  const value = number(one.value), senses = { "<=": "≤", ">=": "≥" }, head = `${one.ill ? "✗" : "✓"} ${one.title}: ${one.where}`;
  const lines = [["found", `${one.quantity}: ${shown(value, 4)}, healthy if ${senses[one.sense] ?? one.sense} ${shown(number(one.threshold), 4)} (${one.known})`], ["that is", one.what]];
  if (one.ill) lines.push(["fails", one.hypothesis], ["do", one.remedy]);
  const body = element("dl", { class: "rows" });
  for (const [name, text] of lines) body.append(element("dt", { text: name }), element("dd", { text }));
  return element("div", { class: `finding ${one.ill ? "ill" : "well"}` }, element("b", { text: head }), body);
}

function showVersions(home) {
  const { compiled, digest, files, page } = DATA.versions;
  home.append(definitions([
    ["compiled by", `atlasmoe ${compiled}`], ["this page", `atlasmoe ${page.atlasmoe}, Python ${page.python}, NumPy ${page.numpy}`],
    ["digest", element("code", { text: digest })],
  ]));
  const made = table(["file", "SHA-256"], Object.entries(files).map(([name, hash]) => [name, hash]));
  made.querySelectorAll("td:last-child").forEach((one) => one.classList.add("code"));
  home.append(made);
}
