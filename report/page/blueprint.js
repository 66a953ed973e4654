// Ledgers as graphs: border = a budget is stated, fill = how the bound is known, dark = so is all that it follows from.
const KNOWN = {
  exact: "exact: an identity of the weights",
  formula: "formula: a bound in closed form",
  proved: "proved: enclosed at every point",
  sampled: "sampled: seen, on so many points",
  refuted: "refuted: a witness violates it",
  unknown: "unknown",
};
const ROW = 34, BOX = 26, LEVEL = 30, WIDEST = 440;

function blueprintKey(home) {
  for (const [known, text] of Object.entries(KNOWN)) {
    home.append(element("span", {}, element("span", { class: `swatch ${known}${["exact", "formula", "proved"].includes(known) ? " dark" : ""}` }), text));
  }
  home.append(element("span", { class: "quiet", text: "Pale: known, but something that it follows from is not known for every point. Solid border: "
    + "a budget is stated; dashed: none. Thick red border: the budget is missed. What a claim follows from is on its right, or indented below it." }));
}

class Blueprint {
  constructor(tree, home) {
    this.tree = tree;
    this.nodes = tree.nodes.map((node, k) => ({ ...node, number: k, children: [] }));
    for (const node of this.nodes) if (node.parent !== null) this.nodes[node.parent].children.push(node);
    this.picture = drawn("svg", { class: "tree", role: "tree", "aria-label": tree.title });
    const left = tree.left ? `; ${thousands(tree.left)} with more slack are left out` : "";
    home.append(element("h3", { text: `${tree.title}: ${thousands(tree.claims)} claim${tree.claims === 1 ? "" : "s"}${left}` }), this.picture);
    this.picture.addEventListener("keydown", (event) => this.key(event));
    this.active = this.nodes[0];
    this.draw();
  }

  // As deep columns where there is room, else as an indented list.
  places(width) {
    const depth = (node) => (node.parent === null ? 0 : 1 + depth(this.nodes[node.parent]));
    const deepest = Math.max(...this.nodes.map(depth)), column = Math.min(WIDEST, (width - 2) / (deepest + 1));
    const wide = column >= 190;
    let row = 0;
    const visit = (node) => {
      node.depth = depth(node);
      node.x = wide ? node.depth * column + 2 : node.depth * 16 + 2;
      if (!wide) node.y = row++ * ROW;
      node.children.forEach(visit);
      if (wide) node.y = node.children.length ? node.children[0].y : row++ * ROW;
      node.width = wide ? column - LEVEL : width - node.x - 3;
    };
    visit(this.nodes[0]);
    return { wide, height: row * ROW };
  }

  draw() {
    const width = Math.max(200, this.picture.parentElement.clientWidth), { wide, height } = this.places(width);
    this.picture.replaceChildren();
    for (const [name, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) this.picture.setAttribute(name, value);
    for (const node of this.nodes) if (node.parent !== null) this.picture.append(this.edge(node, this.nodes[node.parent], wide));
    for (const node of this.nodes) this.picture.append(this.box(node));
  }

  edge(node, parent, wide) {
    const y = node.y + BOX / 2 + 2;
    if (!wide) return drawn("path", { d: `M${parent.x + 7} ${parent.y + BOX + 2}V${y}H${node.x}` });
    const end = parent.x + parent.width, middle = end + LEVEL / 2;
    return drawn("path", { d: `M${end} ${parent.y + BOX / 2 + 2}H${middle}V${y}H${node.x}` });
  }

  box(node) {
    const room = Math.floor((node.width - 14) / 7.2), text = node.more ? `… ${thousands(node.more)} more with more slack` : this.label(node, room);
    const classes = node.more ? "more" : [node.known, node.dark && "dark", !Number.isFinite(number(node.budget)) && "free", !node.holds && "failed"];
    const group = drawn("g", { class: [classes].flat().filter(Boolean).join(" "), transform: `translate(${node.x} ${node.y + 2})` },
      drawn("rect", { width: node.width, height: BOX, rx: 5 }), drawn("text", { x: 8, y: 17.5, text: cutText(text, room) }));
    node.group = group;
    if (node.more) return group;
    for (const [name, value] of Object.entries({ role: "treeitem", tabindex: node === this.active ? 0 : -1, "aria-level": node.depth + 1 })) {
      group.setAttribute(name, value);
    }
    group.setAttribute("aria-label", `${node.name}: ${inequality(node)}, ${node.known}${node.holds ? "" : ", missed"}`);
    group.append(drawn("title", { text: `${node.name}: ${inequality(node)}` }));
    group.addEventListener("click", () => this.choose(node));
    return group;
  }

  label(node, room) {
    let above = node.parent;  // what stands in the name of a claim further up is not said again
    while (above !== null && !node.name.startsWith(`${this.nodes[above].name}.`)) above = this.nodes[above].parent;
    const name = above === null ? node.name : `…${node.name.slice(this.nodes[above].name.length + 1)}`;
    const long = `${name}  ${inequality(node)}`;
    return long.length <= room ? long : name;
  }

  key(event) {
    const real = this.nodes.filter((node) => !node.more), at = real.indexOf(this.active), parent = this.active.parent;
    const siblings = (step) => real[Math.min(real.length - 1, Math.max(0, at + step))];
    const targets = {
      ArrowDown: () => siblings(1), ArrowUp: () => siblings(-1), Home: () => real[0], End: () => real[real.length - 1],
      ArrowLeft: () => (parent === null ? this.active : this.nodes[parent]),
      ArrowRight: () => this.active.children.find((child) => !child.more) ?? this.active,
    };
    if (event.key === "Enter" || event.key === " ") this.choose(this.active);
    else if (event.key in targets) this.focus(targets[event.key]());
    else return;
    event.preventDefault();
  }

  focus(node) {
    this.active.group.setAttribute("tabindex", -1);
    this.active = node;
    node.group.setAttribute("tabindex", 0);
    node.group.focus();
  }

  choose(node) {
    this.focus(node);
    document.querySelectorAll(".tree .chosen").forEach((group) => group.classList.remove("chosen"));
    node.group.classList.add("chosen");
    showClaim(node);
  }
}

function cutText(text, room) {
  return text.length <= room ? text : `${text.slice(0, Math.max(1, room - 1))}…`;
}

function inequality(node) {
  return `${shown(number(node.bound), 4)} ${{ "<=": "≤", ">=": "≥", ">": ">" }[node.sense]} ${shown(number(node.budget), 4)}`;
}

function showClaim(node) {
  const size = (name) => {
    const value = number(node[name]);
    return element("span", { "data-value": String(value), text: shown(value, 8) });
  };
  const pairs = [["statement", node.statement], ["known", KNOWN[node.known]], ["bound", size("bound")], ["budget", size("budget")], ["source", node.source]];
  if (node.samples !== null) pairs.push(["points", thousands(node.samples)]);
  if (node.witness !== null) pairs.push(["witness", element("code", { text: node.witness.map((v) => shown(number(v), 10)).join(", ") })]);
  if (node.note) pairs.push(["note", node.note]);
  const verdict = element("p", { class: node.holds ? "good" : "bad", text: node.holds ? "The budget is met." : "The budget is missed." });
  byId("claim").replaceChildren(element("h3", { text: node.name }), verdict, definitions(pairs));
}
