// Points in space and how they are looked at: axes that can be chosen, a turn and a size.
const PLACES = DATA.places;
const COUNT = PLACES.count;

function column(place, width, k) {
  const all = array(place);
  return Float64Array.from({ length: COUNT }, (_, n) => all[n * width + k]);
}

// Everything that an axis may show, by name.
function quantities() {
  const found = new Map();
  PLACES.coordinates.forEach((name, k) => found.set(name, { values: () => column(PLACES.base, PLACES.coordinates.length, k), space: true }));
  PLACES.locals.forEach((name, k) => found.set(`${name} in its chart`, { values: () => column(PLACES.intrinsic, PLACES.locals.length, k) }));
  PLACES.outputs.forEach((name, k) => found.set(`Ψ: ${name}`, { values: () => column(PLACES.output, PLACES.outputs.length, k) }));
  if (PLACES.error !== null) found.set("|f − Ψ|", { values: () => Float64Array.from(array(PLACES.error)) });
  found.set("nothing", { values: () => new Float64Array(COUNT) });
  return found;
}

// Three axes to begin with: the first three coordinates; of fewer, the first output and its error as heights.
function firstAxes() {
  const names = [...PLACES.coordinates.slice(0, 3)];
  for (const more of [`Ψ: ${PLACES.outputs[0]}`, "nothing"]) if (names.length < 3) names.push(more);
  return names;
}

class Scene {
  constructor() {
    this.quantities = quantities();
    this.axes = firstAxes();
    this.front();
    this.place();
  }

  front() {
    this.azimuth = -0.9;
    this.elevation = this.axes[2] === "nothing" ? Math.PI / 2 : 0.42;
    if (this.axes[2] === "nothing") this.azimuth = -Math.PI / 2;
    this.zoom = 1;
  }

  // Coordinates of the space are drawn to one scale; with anything else among them each axis has its own.
  place() {
    const chosen = this.axes.map((name) => this.quantities.get(name)), values = chosen.map((one) => one.values());
    const spans = values.map((all) => {
      const good = all.filter(Number.isFinite);
      const low = good.reduce((a, b) => Math.min(a, b), Infinity), high = good.reduce((a, b) => Math.max(a, b), -Infinity);
      return low <= high ? [low, high] : [0, 0];
    });
    const widths = spans.map(([low, high]) => high - low), most = Math.max(...widths, 1e-300);
    this.equal = chosen.every((one, k) => one.space || this.axes[k] === "nothing");
    const high = (k) => (this.axes[k] === "nothing" ? 1 : 0.62);
    this.points = values.map((all, k) => {
      const middle = (spans[k][0] + spans[k][1]) / 2, half = (this.equal ? most : widths[k] || 1) / 2;
      const factor = this.equal ? 1 : chosen[k].space ? 1 : high(k);
      return all.map((value) => (Number.isFinite(value) ? ((value - middle) / half) * factor : NaN));
    });
    this.spans = spans;
    let reach = 0;
    for (let n = 0; n < COUNT; n++) reach = Math.max(reach, Math.hypot(...this.points.map((all) => all[n] || 0)));
    this.reach = reach || 1;
  }

  directions() {
    const [ca, sa, ce, se] = [Math.cos(this.azimuth), Math.sin(this.azimuth), Math.cos(this.elevation), Math.sin(this.elevation)];
    return { right: [-sa, ca, 0], up: [-se * ca, -se * sa, ce], toward: [ce * ca, ce * sa, se] };
  }

  // Where every point is on a picture of that size: x, y, and how near.
  project(width, height) {
    const { right, up, toward } = this.directions(), size = (0.46 * Math.min(width, height) * this.zoom) / this.reach, [X, Y, Z] = this.points;
    const x = new Float64Array(COUNT), y = new Float64Array(COUNT), near = new Float64Array(COUNT);
    for (let n = 0; n < COUNT; n++) {
      x[n] = width / 2 + size * (X[n] * right[0] + Y[n] * right[1] + Z[n] * right[2]);
      y[n] = height / 2 - size * (X[n] * up[0] + Y[n] * up[1] + Z[n] * up[2]);
      near[n] = X[n] * toward[0] + Y[n] * toward[1] + Z[n] * toward[2];
    }
    return { x, y, near, size };
  }
}

// Colours. Few pieces have colours that colour-blind readers can tell apart (Okabe and Ito); more have hues that jump from one to the next.
const FEW = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999"];
const SCALE = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const HEAT = [[10, 8, 40], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]];

function pieceColor(k, count) {
  if (count <= FEW.length) return FEW[k].match(/\w\w/g).map((part) => parseInt(part, 16));
  const hue = ((k * (Math.sqrt(5) - 1)) / 2) % 1, light = [0.58, 0.46, 0.36][k % 3], much = [0.6, 0.75, 0.65][k % 3];
  const part = (n) => {
    const place = (n + hue * 12) % 12;
    return 255 * (light - much * Math.min(light, 1 - light) * Math.max(-1, Math.min(place - 3, 9 - place, 1)));
  };
  return [part(0), part(8), part(4)];
}

function onScale(scale, share) {
  const place = Math.min(1, Math.max(0, share)) * (scale.length - 1), k = Math.min(scale.length - 2, Math.floor(place)), t = place - k;
  return scale[k].map((value, i) => value + t * (scale[k + 1][i] - value));
}

function css(rgb, shade = 1) {
  return `rgb(${rgb.map((value) => Math.round(value * shade)).join(" ")})`;
}
