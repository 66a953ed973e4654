// The domain as a picture that turns: what it is coloured by, and which point of it is meant.
const GREY = [150, 150, 150];
const DECADES = 3;

// What colours may say, by name: a colour for every point, and a legend.
function paints() {
  const found = new Map(), L = NETWORK_BLOCKS.length;
  NETWORK_BLOCKS.forEach((block, k) => found.set(L === 1 ? "route" : `route of ${block.block}`, () => routePaint(block, column(PLACES.routes, L, k))));
  NETWORK_BLOCKS.forEach((block, k) => found.set(L === 1 ? "margin" : `margin of ${block.block}`, () => numberPaint(column(PLACES.margins, L, k), SCALE, false)));
  if (PLACES.error !== null) found.set("error |f − Ψ|", () => numberPaint(Float64Array.from(array(PLACES.error)), HEAT, true));
  PLACES.outputs.forEach((name, k) => found.set(`output ${name}`, () => numberPaint(column(PLACES.output, PLACES.outputs.length, k), SCALE, false)));
  return found;
}

const NETWORK_BLOCKS = DATA.loads.blocks;

function routePaint(block, routes) {
  const E = block.pieces.length, apart = NETWORK_BLOCKS.length === 1 ? PLACES.colors : null;
  const colors = Array.from({ length: E }, (_, k) => (apart === null ? pieceColor(k, E) : apart[k]));
  const said = apart === null ? {} : { said: `${thousands(E)} pieces, neighbours in different colours; a click says which is which` };
  return { colors: Array.from(routes, (k) => colors[k]), shaded: true, swatches: block.pieces.map((name, k) => [name, colors[k]]), ...said };
}

function numberPaint(values, scale, logarithmic) {
  const good = values.filter((v) => Number.isFinite(v) && (!logarithmic || v > 0));
  let low = good.reduce((a, b) => Math.min(a, b), Infinity), high = good.reduce((a, b) => Math.max(a, b), -Infinity);
  if (logarithmic) low = high / 10 ** DECADES;
  const share = logarithmic ? (v) => (v > 0 ? Math.log(v / low) / Math.log(high / low) : 0) : (v) => (high > low ? (v - low) / (high - low) : 0.5);
  return { colors: Array.from(values, (v) => (Number.isFinite(v) ? onScale(scale, share(v)) : GREY)), shaded: false, scale, low, high, logarithmic };
}

class View {
  constructor(canvas, onPoint) {
    Object.assign(this, { canvas, onPoint, scene: new Scene(), paints: paints(), chosen: null });
    this.paint = [...this.paints.values()][0]();
    this.cells = array(PLACES.cells);
    this.controls();
    this.pointer();
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => this.draw());
    canvas.addEventListener("blur", () => this.draw());
    this.legend();
    this.say();
    this.draw();
  }

  controls() {
    const select = (label, names, value, act) => {
      const box = element("select", { "aria-label": label }, ...names.map((name) => element("option", { text: name, value: name })));
      box.value = value;
      box.addEventListener("change", () => {
        act(box.value);
        this.legend();
        this.say();
        this.draw();
      });
      byId("controls").append(element("label", {}, element("span", { text: label }), box));
    };
    select("colours", [...this.paints.keys()], [...this.paints.keys()][0], (name) => (this.paint = this.paints.get(name)()));
    ["to the right", "to the back", "up"].forEach((label, k) =>
      select(`axis ${label}`, [...this.scene.quantities.keys()], this.scene.axes[k], (name) => {
        this.scene.axes[k] = name;
        this.scene.place();
      }));
  }

  say() {
    const { axes, equal, spans } = this.scene, kinds = { surface: "A mesh", curve: "Lines", dots: "Dots" };
    const dimension = DATA.about.dimension, base = PLACES.coordinates.length;
    const shownAxes = axes.map((name, k) => (name === "nothing" ? null : `${name} from ${shown(spans[k][0], 4)} to ${shown(spans[k][1], 4)}`));
    const embedded = DATA.about.ambient === base ? "" : ` before it is embedded in R^${DATA.about.ambient}`;
    const seen = PLACES.kind === "dots" ? `${thousands(COUNT)} points of the domain` : `${thousands(COUNT)} points`;
    byId("projection").textContent = `${kinds[PLACES.kind]} of ${seen}, of dimension ${dimension}, by ${base} coordinate${base === 1 ? "" : "s"}${embedded}. `
      + `Shown are ${shownAxes.filter(Boolean).join(", ")}${equal ? ", to one scale" : ", each to its own scale"}`
      + (base > 3 ? "; the other coordinates are projected away." : ".");
    this.canvas.setAttribute("aria-label", `Picture of the domain: ${byId("projection").textContent}`);
  }

  legend() {
    const home = byId("legend"), paint = this.paint, most = 24;
    home.replaceChildren();
    if (paint.said) return home.append(element("span", { text: paint.said }));
    if (paint.swatches) {
      for (const [name, rgb] of paint.swatches.slice(0, most)) {
        const swatch = element("span", { class: "swatch" });
        swatch.style.backgroundColor = css(rgb);
        home.append(element("span", {}, swatch, name));
      }
      if (paint.swatches.length > most) home.append(element("span", { class: "quiet", text: `and ${thousands(paint.swatches.length - most)} more` }));
      return;
    }
    const bar = element("canvas", { width: 160, height: 12 }), context = bar.getContext("2d");
    for (let k = 0; k < 160; k++) {
      context.fillStyle = css(onScale(paint.scale, k / 159));
      context.fillRect(k, 0, 1, 12);
    }
    const ends = Number.isFinite(paint.low) ? [shown(paint.low, 3), shown(paint.high, 3)] : ["–", "no number: there is nothing to compare"];
    home.append(element("span", { class: "scale" }, ends[0], bar, ends[1]));
    if (paint.logarithmic) home.append(element("span", { text: "logarithmic; what is less is drawn as the least" }));
  }

  draw() {
    const ratio = window.devicePixelRatio || 1, width = this.canvas.clientWidth || 600, height = Math.round(Math.min(width * 0.82, 560));
    this.canvas.style.height = `${height}px`;
    if (this.canvas.width !== Math.round(width * ratio)) this.canvas.width = Math.round(width * ratio);
    if (this.canvas.height !== Math.round(height * ratio)) this.canvas.height = Math.round(height * ratio);
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this.size = { width, height };
    this.seen = this.scene.project(width, height);
    ({ surface: () => this.faces(context), curve: () => this.lines(context), dots: () => this.dots(context) })[PLACES.kind]();
    this.axesNames(context);
    if (this.chosen !== null) this.ring(context, this.chosen);
    if (document.activeElement === this.canvas) this.cross(context);
  }

  // Faces from the back to the front.
  sorted(width) {
    const { near } = this.seen, count = this.cells.length / width, depth = new Float64Array(count);
    for (let f = 0; f < count; f++) for (let c = 0; c < width; c++) depth[f] += near[this.cells[f * width + c]];
    return Uint32Array.from(depth.keys()).sort((a, b) => depth[a] - depth[b]);
  }

  faces(context) {
    const { x, y } = this.seen, { colors, shaded } = this.paint, cells = this.cells;
    this.order = this.sorted(4);
    for (const f of this.order) {
      const at = f * 4, [a, b, c, d] = [cells[at], cells[at + 1], cells[at + 2], cells[at + 3]];
      context.beginPath();
      context.moveTo(x[a], y[a]);
      for (const n of [b, c, d]) context.lineTo(x[n], y[n]);
      context.closePath();
      context.fillStyle = context.strokeStyle = css(colors[a], shaded ? this.shade(a, b, d) : 1);
      context.fill();
      context.stroke();
    }
  }

  shade(a, b, d) {
    const at = (n) => this.scene.points.map((all) => all[n]), p = at(a), u = at(b).map((v, k) => v - p[k]), v = at(d).map((w, k) => w - p[k]);
    const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]], size = Math.hypot(...n) || 1;
    const { toward, up, right } = this.scene.directions();
    const light = toward.map((value, k) => 0.8 * value + 0.5 * up[k] - 0.35 * right[k]);
    return 0.72 + 0.28 * Math.abs((n[0] * light[0] + n[1] * light[1] + n[2] * light[2]) / size);
  }

  lines(context) {
    const { x, y } = this.seen, { colors } = this.paint;
    context.lineWidth = 4;
    context.lineCap = "round";
    for (const e of this.sorted(2)) {
      const [a, b] = [this.cells[2 * e], this.cells[2 * e + 1]];
      context.strokeStyle = css(colors[a]);
      context.beginPath();
      context.moveTo(x[a], y[a]);
      context.lineTo(x[b], y[b]);
      context.stroke();
    }
    context.lineWidth = 1;
  }

  dots(context) {
    const { x, y, near } = this.seen, { colors } = this.paint;
    for (const n of Uint32Array.from(near.keys()).sort((a, b) => near[a] - near[b])) {
      context.fillStyle = css(colors[n]);
      context.beginPath();
      context.arc(x[n], y[n], 2.6, 0, 7);
      context.fill();
    }
  }

  // Which way the axes point, in a corner.
  axesNames(context) {
    const { right, up } = this.scene.directions(), from = [46, this.size.height - 46];
    context.font = "13px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.strokeStyle = context.fillStyle = color("--ink");
    this.scene.axes.forEach((name, k) => {
      const end = [from[0] + 26 * right[k], from[1] - 26 * up[k]], length = Math.hypot(right[k], up[k]);
      if (name === "nothing" || length < 0.12) return;
      context.beginPath();
      context.moveTo(...from);
      context.lineTo(...end);
      context.stroke();
      const short = cutText(name, 14), half = context.measureText(short).width / 2;
      const place = Math.max(half + 3, from[0] + 38 * right[k] + (Math.abs(right[k]) > 0.4 ? Math.sign(right[k]) * (half - 4) : 0));
      context.fillText(short, place, from[1] - 38 * up[k]);
    });
  }

  ring(context, n) {
    const { x, y } = this.seen;
    for (const [radius, name, width] of [[8, "--paper", 5], [8, "--ink", 2]]) {
      context.strokeStyle = color(name);
      context.lineWidth = width;
      context.beginPath();
      context.arc(x[n], y[n], radius, 0, 7);
      context.stroke();
    }
    context.lineWidth = 1;
  }

  cross(context) {
    const [x, y] = [this.size.width / 2, this.size.height / 2];
    for (const [name, width] of [["--paper", 5], ["--ink", 2]]) {
      context.strokeStyle = color(name);
      context.lineWidth = width;
      context.beginPath();
      for (const [dx, dy] of [[9, 0], [0, 9]]) {
        context.moveTo(x - dx, y - dy);
        context.lineTo(x + dx, y + dy);
      }
      context.stroke();
    }
    context.lineWidth = 1;
  }

  pointer() {
    let start = null, moved = false;
    this.canvas.addEventListener("pointerdown", (event) => {
      start = [event.clientX, event.clientY];
      moved = false;
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (start === null) return;
      const [dx, dy] = [event.clientX - start[0], event.clientY - start[1]];
      if (!moved && Math.hypot(dx, dy) < 4) return;
      moved = true;
      start = [event.clientX, event.clientY];
      this.turn(-dx * 0.01, dy * 0.01);
    });
    this.canvas.addEventListener("pointerup", (event) => {
      if (start !== null && !moved) this.pick(event.offsetX, event.offsetY);
      start = null;
    });
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.scale(Math.exp(-event.deltaY * 0.0015));
    }, { passive: false });
  }

  turn(azimuth, elevation) {
    this.scene.azimuth += azimuth;
    this.scene.elevation = Math.max(-Math.PI / 2, Math.min(Math.PI / 2, this.scene.elevation + elevation));
    this.draw();
  }

  scale(factor) {
    this.scene.zoom = Math.max(0.3, Math.min(40, this.scene.zoom * factor));
    this.draw();
  }

  key(event) {
    const step = 0.12, acts = {
      ArrowLeft: () => this.turn(-step, 0), ArrowRight: () => this.turn(step, 0), ArrowUp: () => this.turn(0, step), ArrowDown: () => this.turn(0, -step),
      "+": () => this.scale(1.2), "=": () => this.scale(1.2), "-": () => this.scale(1 / 1.2),
      Home: () => (this.scene.front(), this.draw()), Enter: () => this.pick(this.size.width / 2, this.size.height / 2),
    };
    if (!(event.key in acts)) return;
    acts[event.key]();
    event.preventDefault();
  }

  // The point that is meant: a corner of the foremost face there, else the nearest point of all.
  pick(px, py) {
    const { x, y } = this.seen, far = (n) => Math.hypot(x[n] - px, y[n] - py), nearest = (list) => list.reduce((a, b) => (far(b) < far(a) ? b : a));
    let found = null;
    if (PLACES.kind === "surface") {
      for (let k = this.order.length - 1; k >= 0 && found === null; k--) {
        const corners = Array.from(this.cells.slice(this.order[k] * 4, this.order[k] * 4 + 4));
        if (within(corners.map((n) => [x[n], y[n]]), px, py)) found = nearest(corners);
      }
    }
    this.choose(found ?? nearest(Array.from({ length: COUNT }, (_, n) => n)));
  }

  choose(n) {
    this.chosen = n;
    this.draw();
    this.onPoint(n);
  }
}

function within(corners, px, py) {
  let inside = false;
  corners.forEach(([ax, ay], k) => {
    const [bx, by] = corners[(k + 1) % corners.length];
    if (ay > py !== by > py && px < ((bx - ax) * (py - ay)) / (by - ay) + ax) inside = !inside;
  });
  return inside;
}
