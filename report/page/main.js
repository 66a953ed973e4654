// The page, from the top down.
function showHead() {
  const about = DATA.about, { known, source } = DATA.stated, size = largestKnown(), met = size <= number(about.epsilon);
  byId("name").textContent = about.name;
  const where = ["exact", "formula", "proved"].includes(known) ? "at every point" : known === "sampled" ? "on all samples, those of this page too" : "";
  const verdict = byId("verdict");
  verdict.textContent = refuted()
    ? `${about.measure} reaches ${shown(size, 4)} at a point of this page; ${source} says at most ${shown(number(DATA.stated.bound), 4)}, which is refuted`
    : known === "unknown" ? `${about.measure}: nothing is known of all points; ε = ${shown(number(about.epsilon), 4)}`
      : `${about.measure} ≤ ${shown(size, 4)} ${where}: ${known}${known === "sampled" ? "" : ` (${source})`}; ε = ${shown(number(about.epsilon), 4)}`;
  verdict.classList.add(met && !refuted() && known !== "unknown" ? "good" : "bad");
  byId("headline").textContent = about.summary || about.headline;
  const facts = [
    ["model", about.folder], ["construction", about.theorem], ["layers", about.layers], ["numbers", thousands(about.parameters)],
    ["numbers per input", thousands(about.active)], ["dtype", about.dtype], ["reads", `R^${about.ambient}`],
  ];
  for (const [name, text] of facts) byId("facts").append(element("div", {}, element("dt", { text: name }), element("dd", { text: String(text) })));
}

function askFor(view) {
  const names = PLACES.coordinates.slice(0, MOST_COORDINATES).join(", ") + (PLACES.coordinates.length > MOST_COORDINATES ? `, … ${PLACES.coordinates.length} in all` : "");
  byId("ask-label").textContent = `A point by its coordinates ${names}:`;
  const input = byId("coordinates"), ask = () => {
    const values = input.value.split(/[\s,;]+/).filter(Boolean).map(Number);
    if (values.length !== PLACES.coordinates.length || !values.every(Number.isFinite)) {
      byId("point").replaceChildren(element("p", { class: "bad", text: `Give ${PLACES.coordinates.length} numbers, like ${baseOf(0).map((v) => shown(v, 3)).slice(0, 4).join(", ")}` }));
      return;
    }
    view.chosen = null;
    view.draw();
    showPoint(null, values);
  };
  byId("ask").addEventListener("click", ask);
  input.addEventListener("keydown", (event) => event.key === "Enter" && ask());
}

showHead();
showTarget(byId("formulas"));
const view = new View(byId("view"), (n) => {
  byId("coordinates").value = baseOf(n).map((v) => String(v)).join(", ");
  showPoint(n, baseOf(n));
});
askFor(view);
blueprintKey(byId("key"));
const blueprints = [...(DATA.certificate.blueprint ? [DATA.certificate.blueprint] : []), ...DATA.blueprints].map((tree) => {
  const home = element("div");
  byId("trees").append(home);
  return new Blueprint(tree, home);
});
showClaim(blueprints[0].nodes[0]);
showLoads(byId("loads"));
showFindings(byId("findings"));
showCertificate(byId("leaves"));
showVersions(byId("hashes"));
view.choose(array(PLACES.error ?? PLACES.routes).indexOf(PLACES.error ? array(PLACES.error).reduce((a, b) => Math.max(a, Number.isNaN(b) ? a : b), 0) : array(PLACES.routes)[0]));
let waiting = null;
addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => (view.draw(), blueprints.forEach((one) => one.draw())), 60);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => view.draw());
document.documentElement.dataset.ready = "true";
