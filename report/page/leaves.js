// The boxes of a certificate, coloured by what is proved on each.
const TAGS = { outside: 0, elsewhere: 1, proved: 2, open: 255 };

function showCertificate(home, trees) {
  const found = DATA.certificate;
  if (found.absent) return home.append(element("p", { text: found.absent }));
  const size = shown(number(found.bound), 6), words = { proved: `${DATA.about.measure} ≤ ${size} is proved for every point`, refuted: "refuted", unknown: "not proved: some boxes are open" };
  const assuming = found.assumptions.length && found.status === "proved" ? `, assuming ${found.assumptions.map(([name]) => name).join(", ")}` : "";
  home.append(element("p", { class: found.status === "proved" ? "good" : "bad", text: `${words[found.status]}${assuming}.` }));
  home.append(element("p", { class: "quiet", text: "As certificate.json says, whose hashes fit the files here; atlasmoe check confirms it. " + found.remark }));
  const pairs = [["ε", shown(number(found.epsilon), 6)], ["largest error found", shown(number(found.found), 6)], ["root", element("code", { text: found.root ?? "–" })]];
  home.append(definitions(pairs), ...found.assumptions.map(([name, statement]) => element("p", { class: "quiet", text: `assumed: ${name}: ${statement}` })));
  const panels = element("div", { class: "panels" });
  home.append(panels);
  const bounds = found.panels.filter((one) => one.bounds).flatMap((one) => Array.from(array(one.bounds)).filter(Number.isFinite));
  const least = bounds.reduce((a, b) => Math.min(a, b), Infinity), most = bounds.reduce((a, b) => Math.max(a, b), 0);
  for (const one of found.panels) panels.append(panel(one, least, most));
  if (bounds.length) {
    const bar = element("canvas", { width: 160, height: 12 }), context = bar.getContext("2d");
    for (let k = 0; k < 160; k++) {
      context.fillStyle = css(onScale(HEAT, k / 159));
      context.fillRect(k, 0, 1, 12);
    }
    home.append(element("div", { class: "legend" }, element("span", { class: "scale" }, `proved bound${DATA.about.unit ? " in ε" : ""}: ${shown(least, 3)}`, bar, shown(most, 3)),
      element("span", { class: "quiet", text: "grey: left to other charts, or off the chart; red: open" })));
  }
}

function panel(one, least, most) {
  const canvas = element("canvas", { width: 360, height: one.dimension === 2 ? 360 : 160, role: "img" }), context = canvas.getContext("2d");
  const open = one.open ? `, ${thousands(one.open)} open` : "", text = `${one.name}: ${thousands(one.leaves)} boxes${open}`;
  canvas.setAttribute("aria-label", text);
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (one.histogram) histogram(context, canvas, one.histogram);
  else boxes(context, canvas, one, least, most);
  const said = one.histogram ? `volume of boxes by bound, ${shown(one.histogram.edges[0], 3)} to ${shown(one.histogram.edges[one.histogram.edges.length - 1], 3)}`
    : one.coordinates.map((name, k) => `${name} from ${shown(one.root[0][k], 3)} to ${shown(one.root[1][k], 3)} ${"→↑"[k]}`).join(", ")
      + (one.dimension === 1 ? `, bounds from 0 to ${shown(most, 3)} ↑` : "") + (one.gridded ? "; on a grid, the largest bound of each cell" : "");
  return element("div", {}, element("b", { text }), canvas, element("p", { class: "quiet", text: said }));
}

function boxes(context, canvas, one, least, most) {
  const all = array(one.boxes), values = array(one.bounds), tags = array(one.tags), d = one.dimension, [low, high] = one.root;
  const x = (v) => ((v - low[0]) / (high[0] - low[0])) * canvas.width, y = (v) => canvas.height - ((v - low[1]) / (high[1] - low[1])) * canvas.height;
  for (let n = 0; n < tags.length; n++) {
    const corner = all.slice(n * 2 * d, (n + 1) * 2 * d), left = x(corner[0]), right = x(corner[d]);
    context.fillStyle = tags[n] === TAGS.proved ? css(onScale(HEAT, most > least ? (values[n] - least) / (most - least) : 0.5)) : tags[n] === TAGS.open ? "#c1121f" : "#dddddd";
    const top = d === 2 ? y(corner[3]) : tags[n] === TAGS.proved ? canvas.height * (1 - values[n] / most) : 0, bottom = d === 2 ? y(corner[1]) : canvas.height;
    context.fillRect(left, top, Math.max(right - left, 0.6), Math.max(bottom - top, 0.6));
    if (d === 2 && right - left > 3) {
      context.strokeStyle = "rgb(255 255 255 / 0.35)";
      context.lineWidth = 0.6;
      context.strokeRect(left, top, right - left, bottom - top);
    }
  }
}

function histogram(context, canvas, { shares }) {
  const most = Math.max(...shares, 1e-300), width = canvas.width / shares.length;
  context.fillStyle = "#0a5ea8";
  shares.forEach((share, k) => context.fillRect(k * width, canvas.height * (1 - share / most), width - 1, (canvas.height * share) / most));
}
