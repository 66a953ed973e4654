// f: its formulas, long ones shortened until they are opened, and in words what no formula says.
const SHORT = 180, FIRST_GROUPS = 6;

function showTarget(home) {
  const { groups, words, left } = DATA.target, shown = groups.map(groupOfFormulas), rest = shown.splice(FIRST_GROUPS);
  home.append(...shown);
  if (rest.length) {
    const about = groups.slice(FIRST_GROUPS).map((group) => group.title);
    home.append(element("details", {}, element("summary", { text: `${rest.length} more: ${cut(about.join("; "), SHORT)}` }), ...rest));
  }
  if (left) home.append(element("p", { class: "quiet", text: `${thousands(left)} more in task.toml.` }));
  home.append(...words.map((text) => element("p", { text })));
}

function groupOfFormulas(group) {
  const lines = group.formulas.map(formula);
  return element("div", { class: "formulas" }, group.title ? element("h3", { text: group.title }) : null, ...lines);
}

function formula({ name, text, operations, characters }) {
  const whole = `${name} = ${text}`;
  if (whole.length <= SHORT) return element("p", { class: "code", text: whole });
  const said = `${thousands(operations)} operations, ${thousands(characters)} characters`;
  const summary = element("summary", {}, element("code", { text: cut(whole, SHORT) }), ` (${said})`);
  const rest = characters > text.length ? element("p", { class: "quiet", text: `The first ${thousands(text.length)} characters; all of it is in task.toml.` }) : null;
  return element("details", {}, summary, element("p", { class: "code", text: whole }), rest);
}

function cut(text, most) {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
