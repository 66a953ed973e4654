// Elements of the page. Texts are always set as texts, never read as HTML.
const SVG = "http://www.w3.org/2000/svg";

function element(tag, settings = {}, ...children) {
  return filled(document.createElement(tag), settings, children);
}

function drawn(tag, settings = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), settings, children);
}

function filled(made, settings, children) {
  for (const [name, value] of Object.entries(settings)) {
    if (name === "text") made.textContent = value;
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

function definitions(pairs) {
  const list = element("dl", { class: "rows" });
  for (const [name, value] of pairs) list.append(element("dt", { text: name }), element("dd", {}, value));
  return list;
}

// A table; a cell is a text, or a number as [value, digits], whose exact value stands beside it as data-value.
function table(heads, rows) {
  const head = element("tr", {}, ...heads.map((text, k) => element("th", { text, scope: "col", class: Array.isArray(rows[0]?.[k]) ? "number" : null })));
  const body = rows.map((cells) => element("tr", {}, ...cells.map(cell)));
  const made = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  return element("div", { class: "scroll" }, made);
}

function cell(value) {
  if (!Array.isArray(value)) return element("td", { text: value });
  return element("td", { class: "number", "data-value": String(value[0]), text: shown(value[0], value[1] ?? 6) });
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
