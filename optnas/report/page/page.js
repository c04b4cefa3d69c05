"use strict";
// Everything here reads the JSON above; texts go in as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const trials = data.rows.map(([trial, state, values, choices, epochs, why]) => ({
  trial, state: data.states[state], values, choices, epochs, why,
  known: Object.fromEntries(data.columns.map((column, index) => [column.name, values[index]])),
}));
const column = Object.fromEntries(data.columns.map((one) => [one.name, one]));
const byNumber = new Map(trials.map((one) => [one.trial, one]));
const finished = trials.filter((one) => one.state === "front" || one.state === "beaten");

const SVG = "http://www.w3.org/2000/svg";
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") node.textContent = value;
    else if (value !== false && value != null) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}
function draw(tag, attributes = {}, text = "") {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return node;
}

// ---- numbers as a person writes them: three figures, prefixes in powers of 1000
function three(value) {
  const rounded = Number(value.toPrecision(3));
  const decimals = rounded === 0 ? 2 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded)) + 1e-9));
  return rounded.toFixed(Math.min(decimals, 6));
}
function shown(name, value) {
  if (value == null) return "–";
  const { unit, scale } = column[name];
  if (scale === "percent") return `${(100 * value).toFixed(2)}%`;
  if (scale === "plain") return `${Number(value.toPrecision(4))}${unit ? " " + unit : ""}`;
  if (scale === "fraction") return `${three(value)} ${unit}`;
  let power = 0;
  while (power < 4 && Number(value.toPrecision(3)) >= 1000) { value /= 1000; power += 1; }
  return `${power ? three(value) : value.toFixed(0)} ${["", "k", "M", "G", "T"][power]}${unit}`.trim();
}
const NUMBER = "[+-]?(?:\\d+\\.?\\d*|\\.\\d+)(?:e[+-]?\\d+)?";
const UNIT = "\\s*(?:%|[kMGT]?(?:B|ms|mJ)?)";
function parsed(text) {
  const match = new RegExp(`^(${NUMBER})\\s*(%|[kMGT]?)(?:B|ms|mJ)?$`, "i").exec(text.trim());
  if (!match) return NaN;
  return Number(match[1]) * ({ k: 1e3, m: 1e6, g: 1e9, t: 1e12, "%": 0.01 }[match[2].toLowerCase()] ?? 1);
}
// One word of a command that a person copies: names come from the study.
const quoted = (text) => /^[\w<>=.,+-]*$/.test(text) ? `"${text}"` : `'${text.replaceAll("'", `'"'"'`)}'`;
const loss = (name, value) => (column[name].larger ? -value : value);
const choicesOf = (one) => data.choices
  .map((choice, index) => [choice.name, choice.options[one.choices[index]]])
  .filter(([, option]) => option !== undefined);

function drawing(number, small) {
  const text = data.drawings[number];
  if (!text) return null;
  const found = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  if (found.nodeName !== "svg") return null;
  const top = found.getAttribute("data-legend-top");
  if (small && top) {
    // Without its legend, which is read in the larger one below; its own height would leave room for that.
    found.setAttribute("viewBox", `0 0 ${found.viewBox.baseVal.width} ${top}`);
    found.removeAttribute("width");
    found.removeAttribute("height");
  }
  return document.importNode(found, true);
}
function facts(one) {
  const list = make("dl", { class: "known" });
  for (const { name, label } of data.columns) {
    if (one.known[name] == null) continue;
    list.append(make("div", {}, make("dt", { text: label }), make("dd", { text: shown(name, one.known[name]) })));
  }
  return list;
}
// On a phone a drawing in the tooltip could not be read, and a finger that shows it picks the network as well.
const ROOM_FOR_DRAWING = 480;
function describe(one, small = false) {
  const parts = [make("b", { text: `trial ${one.trial}` }), document.createTextNode(` · ${data.meaning[one.state]}`), facts(one)];
  const sure = data.sure[one.trial];
  if (sure != null) parts.push(make("div", { class: "muted", text: `on the true front with a probability of ${Math.round(100 * sure)}%` }));
  if (one.why) parts.push(make("div", { class: "muted", text: one.why }));
  if (small && chart.clientWidth < ROOM_FOR_DRAWING) return parts;
  const picture = drawing(one.trial, small);
  if (picture) parts.push(make("div", { class: "drawing" }, picture));
  if (!picture || !small) {
    parts.push(make("div", { class: "choices", text: choicesOf(one).map(([name, option]) => `${name}=${option}`).join("  ") }));
  }
  return parts;
}

// ---- budgets: one slider a cost, each step the next larger value among the trained networks
const limits = {};
const steps = Object.fromEntries(data.axes.map((name) => {
  const values = [...new Set(finished.map((one) => one.known[name]).filter((value) => value != null))];
  return [name, values.sort((a, b) => loss(name, a) - loss(name, b))];
}));
const within = (one) => Object.entries(limits).every(([name, limit]) =>
  one.known[name] != null && loss(name, one.known[name]) <= loss(name, limit));
function pickBest() {
  const better = (a, b) => loss(data.y, a.known[data.y]) - loss(data.y, b.known[data.y]) ||
    data.axes.reduce((known, name) => known || (loss(name, a.known[name] ?? 0) - loss(name, b.known[name] ?? 0)), 0);
  return finished.filter((one) => one.known[data.y] != null && within(one)).sort(better)[0];
}
function just(name, value) {
  // A limit that a person can read and that the value meets.
  if (Number.isInteger(value) || column[name].larger) return String(value);
  const step = 10 ** (Math.floor(Math.log10(Math.abs(value))) - 2);
  return String(Number((Math.ceil(value / step - 1e-9) * step).toPrecision(3)));
}
function sliders() {
  const box = document.getElementById("sliders");
  for (const name of data.axes) {
    if (steps[name].length < 2) continue;
    const last = steps[name].length;
    const input = make("input", { type: "range", min: 0, max: last, value: last, step: 1, id: `limit-${name}`,
      "aria-label": `budget of ${column[name].label}` });
    const output = make("output", { for: `limit-${name}`, text: "no limit" });
    input.addEventListener("input", () => {
      const place = Number(input.value);
      if (place === last) delete limits[name]; else limits[name] = steps[name][place];
      output.textContent = place === last ? "no limit" : `${column[name].larger ? "≥" : "≤"} ${shown(name, limits[name])}`;
      input.setAttribute("aria-valuetext", output.textContent);
      update();
    });
    box.append(make("div", { class: "slider" }, make("label", { for: `limit-${name}`, text: column[name].label }), input, output));
  }
}
function showBest(one) {
  const box = document.getElementById("best");
  box.replaceChildren();
  const asked = Object.entries(limits).map(([name, limit]) => `${name}${column[name].larger ? ">=" : "<="}${just(name, limit)}`);
  const within = Object.entries(limits).map(([name, limit]) =>
    `${column[name].label} ${column[name].larger ? "at least" : "at most"} ${shown(name, limit)}`).join(" and ");
  if (!one) {
    box.append(make("h3", { text: `No network has ${within}.` }));
    return;
  }
  box.append(make("h3", { text: within ? `The best with ${within}` : `The best of all in ${column[data.y].label}` }),
    ...describe(one), ...commands(one, asked));
}
function commands(one, asked = []) {
  // What the notes in optuna-dashboard say of a network that was trained to the end.
  if (!data.flags || !["front", "beaten", "infeasible"].includes(one.state)) return [];
  const lines = [
    "# train it properly, several seeds", `optnas retrain ${data.flags} --trial ${one.trial}`,
    "# files for phones, checked", `optnas export ${data.flags} --trial ${one.trial} --out deploy`,
  ];
  if (asked.length) lines.unshift("# all of the front within this budget", `optnas front ${data.flags} --budget ${quoted(asked.join(","))}`);
  return [make("pre", { text: lines.join("\n") })];
}

// ---- the front
const chart = document.getElementById("chart"), tip = document.getElementById("tip");
let axis = data.axes[0], picked = null;
const HEIGHT = 430, EDGE = { left: 74, right: 16, top: 16, bottom: 46 };
function scaleOf(values, logarithmic, from, to, pad = 0.04) {
  const turn = logarithmic ? Math.log10 : (value) => value;
  let low = turn(Math.min(...values)), high = turn(Math.max(...values));
  if (!(high > low)) { low -= 0.5; high += 0.5; }
  const wide = (high - low) * pad;
  low -= wide; high += wide;
  const place = (value) => from + ((turn(value) - low) / (high - low)) * (to - from);
  place.ticks = logarithmic ? logTicks(low, high) : linearTicks(low, high);
  return place;
}
function linearTicks(low, high, count = 6) {
  const rough = (high - low) / count, unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((one) => one * unit >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + 1e-12; tick += step) ticks.push(Number(tick.toPrecision(10)));
  return ticks;
}
function logTicks(low, high) {
  for (const wanted of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]]) {
    const ticks = [];
    for (let power = Math.floor(low); power <= high; power += 1) {
      for (const one of wanted) {
        const tick = one * 10 ** power;
        if (Math.log10(tick) >= low && Math.log10(tick) <= high) ticks.push(tick);
      }
    }
    if (ticks.length >= 4) return ticks.length > 9 ? ticks.filter((_, index) => index % 2 === 0) : ticks;
  }
  return linearTicks(10 ** low, 10 ** high, 4).filter((tick) => tick > 0);
}
const SHAPES = {
  front: (x, y, r = 6) => `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z`,
  beaten: (x, y, r = 3.6) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`,
  infeasible: (x, y, r = 4.5) => `M${x} ${y - r}L${x + r} ${y + r}L${x - r} ${y + r}Z`,
  pruned: (x, y, r = 3.4) => `M${x - r} ${y - r}L${x + r} ${y + r}M${x - r} ${y + r}L${x + r} ${y - r}`,
  refused: (x, y, r = 5) => `M${x} ${y - r}L${x} ${y + r}`,
};
function worthSeeing(all, ys) {
  // A few useless networks must not press all others into a corner: these lie on the edge instead. The front always
  // shows whole, and of the others those up to twice the way from the best to the middle of the trained ones.
  const turned = (one) => loss(data.y, one.known[data.y]);
  const done = all.filter((one) => one.state === "front" || one.state === "beaten").map(turned).sort((a, b) => a - b);
  if (done.length < 5) return ys;
  const members = all.filter((one) => one.state === "front").map(turned);
  const roof = Math.max(...members, done[0] + 2.5 * (done[Math.floor(done.length * 0.75)] - done[0]));
  const inside = ys.filter((value) => loss(data.y, value) <= roof);
  return inside.length ? inside : ys;
}
function places(width) {
  const usable = trials.filter((one) => one.known[axis] != null && SHAPES[one.state] &&
    (one.state === "refused" || one.known[data.y] != null));
  const all = document.getElementById("rest").checked ? usable : usable.filter((one) => one.state === "front");
  if (!all.length) return null;
  const xs = all.map((one) => one.known[axis]);
  const ys = all.filter((one) => one.state !== "refused").map((one) => one.known[data.y]);
  if (!ys.length) return null;
  const inside = worthSeeing(all, ys);
  const low = Math.min(...xs), high = Math.max(...xs);
  const x = scaleOf(xs, low > 0 && high / low > 4, EDGE.left, width - EDGE.right);
  const y = scaleOf(inside, false, HEIGHT - EDGE.bottom, EDGE.top + 14);
  const clamp = (value) => Math.max(EDGE.top, Math.min(HEIGHT - EDGE.bottom, value));
  return { all, x, y, at: (one) => [x(one.known[axis]), one.state === "refused" ? EDGE.top - 4 : clamp(y(one.known[data.y]))] };
}
function staircase(at) {
  const order = finished.filter((one) => one.known[axis] != null && one.known[data.y] != null && within(one))
    .sort((a, b) => loss(axis, a.known[axis]) - loss(axis, b.known[axis]) || loss(data.y, a.known[data.y]) - loss(data.y, b.known[data.y]));
  let path = "", best = Infinity;
  for (const one of order) {
    const value = loss(data.y, one.known[data.y]);
    if (value >= best) continue;
    best = value;
    const [x, y] = at(one).map((part) => part.toFixed(1));
    path += path ? `H${x}V${y}` : `M${x} ${y}`;
  }
  return path;
}
function render() {
  const width = Math.max(320, chart.clientWidth), plan = places(width);
  chart.querySelector("svg")?.remove();
  const svg = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img",
    "aria-label": `${column[data.y].label} against ${column[axis].label}; the front as a staircase` });
  chart.prepend(svg);
  if (!plan) {
    svg.append(draw("text", { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, `no trained network has a known ${column[axis].label}`));
    return;
  }
  const bottom = HEIGHT - EDGE.bottom;
  for (const tick of plan.y.ticks) {
    svg.append(draw("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: plan.y(tick), y2: plan.y(tick) }));
    const text = column[data.y].scale === "percent" ? `${Number((100 * tick).toFixed(2))}%` : shown(data.y, tick);
    svg.append(draw("text", { x: EDGE.left - 8, y: plan.y(tick) + 4, "text-anchor": "end" }, text));
  }
  let free = -Infinity;
  for (const tick of plan.x.ticks) {
    const x = plan.x(tick);
    svg.append(draw("line", { class: "grid", x1: x, x2: x, y1: EDGE.top, y2: bottom }));
    if (x - free > 52) {
      svg.append(draw("text", { x, y: bottom + 18, "text-anchor": "middle" }, shown(axis, tick)));
      free = x;
    }
  }
  svg.append(draw("text", { x: (EDGE.left + width - EDGE.right) / 2, y: HEIGHT - 8, "text-anchor": "middle" },
    `${column[axis].label}, ${column[axis].larger ? "larger" : "smaller"} is better`));
  svg.append(draw("text", { x: 14, y: (EDGE.top + bottom) / 2, "text-anchor": "middle",
    transform: `rotate(-90 14 ${(EDGE.top + bottom) / 2})` }, `${column[data.y].label}, ${column[data.y].larger ? "larger" : "smaller"} is better`));
  if (limits[axis] != null) {
    const x = Math.min(width - EDGE.right, plan.x(limits[axis]));
    svg.append(draw("rect", { class: "limit", x, y: EDGE.top, width: Math.max(0, width - EDGE.right - x), height: bottom - EDGE.top }));
  }
  svg.append(draw("path", { class: "stairs", d: staircase(plan.at) }));
  const order = ["refused", "pruned", "beaten", "infeasible", "front"];
  for (const one of [...plan.all].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state))) {
    const [x, y] = plan.at(one);
    const node = draw("path", { class: `dot ${one.state}${within(one) || one.state === "refused" ? "" : " out"}`, d: SHAPES[one.state](x, y), "data-trial": one.trial });
    if (one.state === "front") {
      node.setAttribute("tabindex", "0");
      node.setAttribute("role", "button");
      node.setAttribute("aria-label", `trial ${one.trial}: ${shown(data.y, one.known[data.y])} at ${shown(axis, one.known[axis])}`);
    }
    svg.append(node);
  }
  const best = picked ?? pickBest();
  if (best && plan.all.includes(best)) {
    const [x, y] = plan.at(best);
    svg.append(draw("circle", { class: "picked", cx: x, cy: y, r: 11 }));
  }
  chart.plan = plan;
}
function nearest(event) {
  if (!chart.plan) return null;
  const box = chart.querySelector("svg").getBoundingClientRect(), ratio = Math.max(320, chart.clientWidth) / box.width;
  const x = (event.clientX - box.left) * ratio, y = (event.clientY - box.top) * ratio;
  let found = null, least = 18 ** 2;
  for (const one of chart.plan.all) {
    const [px, py] = chart.plan.at(one), far = (px - x) ** 2 + (py - y) ** 2 - (one.state === "front" ? 40 : 0);
    if (far < least) { least = far; found = one; }
  }
  return found;
}
function hover(one) {
  if (!one) { tip.hidden = true; return; }
  if (tip.dataset.trial !== String(one.trial) || tip.hidden) {
    tip.replaceChildren(...describe(one, true));
    tip.dataset.trial = one.trial;
    tip.hidden = false;
  }
  const [x, y] = chart.plan.at(one), width = chart.clientWidth;
  tip.style.left = `${Math.max(0, Math.min(x + 14, width - tip.offsetWidth))}px`;
  // Below the point or above it, where it is seen whole: the bar at the top must not hide it. Else beside it.
  const from = chart.getBoundingClientRect().top, bar = document.querySelector("nav").getBoundingClientRect();
  const high = (bar.top <= 0 ? bar.bottom : 0) - from, low = window.innerHeight - from - tip.offsetHeight;
  const top = y + 16 <= low ? y + 16 : y - tip.offsetHeight - 14 >= high ? y - tip.offsetHeight - 14 : Math.max(high, low);
  tip.style.top = `${top}px`;
}
function update() {
  picked = null;
  const best = pickBest();
  showBest(best);
  render();
}
function legend() {
  const box = document.getElementById("legend"), seen = new Set(trials.map((one) => one.state));
  for (const state of Object.keys(SHAPES)) {
    if (!seen.has(state)) continue;
    const icon = draw("svg", { viewBox: "0 0 14 14" });
    icon.append(draw("path", { class: `dot ${state}`, d: SHAPES[state](7, 7) }));
    const count = trials.filter((one) => one.state === state).length;
    box.append(make("span", { title: data.meaning[state] }, icon, document.createTextNode(`${data.words[state]} (${count})`)));
  }
}
function front() {
  const select = document.getElementById("axis");
  for (const name of data.axes) select.append(make("option", { value: name, text: column[name].label }));
  select.addEventListener("change", () => { axis = select.value; render(); });
  document.getElementById("rest").addEventListener("change", render);
  chart.addEventListener("pointermove", (event) => hover(nearest(event)));
  chart.addEventListener("pointerleave", () => hover(null));
  chart.addEventListener("click", (event) => {
    const one = nearest(event);
    hover(one);
    if (one) { picked = one; showPicked(one); render(); }
  });
  chart.addEventListener("focusin", (event) => hover(byNumber.get(Number(event.target.dataset.trial)) ?? null));
  chart.addEventListener("keydown", (event) => {
    const one = byNumber.get(Number(event.target.dataset.trial));
    if (one && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); picked = one; showPicked(one); render(); }
    if (event.key === "Escape") hover(null);
  });
  new ResizeObserver(render).observe(chart);
  legend();
  sliders();
  update();
}
function showPicked(one) {
  const box = document.getElementById("best");
  box.replaceChildren(make("h3", { text: "Picked by hand" }), ...describe(one), ...commands(one));
}

// ---- the table of trials
const FIRST = 60;
let sorting = { name: "trial", down: false }, all = false;
// What can be compared with a number, by all that it is called in the page, in small letters.
const comparable = new Map([["trial", (one) => one.trial], ["epochs", (one) => one.epochs || null]]);
data.choices.forEach(({ name, options }, index) =>
  comparable.set(name.toLowerCase(), (one) => (one.choices[index] == null ? null : parsed(options[one.choices[index]]))));
for (const { name, label } of data.columns) {
  for (const word of [name, label]) comparable.set(word.toLowerCase(), (one) => one.known[name]);
}
const SIGNS = "<=|>=|≤|≥|<|>|=";
const TESTS = {
  "<=": (value, limit) => value <= limit, ">=": (value, limit) => value >= limit,
  "<": (value, limit) => value < limit, ">": (value, limit) => value > limit,
  // What the table shows is rounded to three figures or hundredths of a per cent.
  "=": (value, limit) => value === limit || Math.abs(value - limit) < 0.005 * Math.abs(limit) && three(value) === three(limit),
};
const asPattern = [...comparable.keys()].sort((a, b) => b.length - a.length)
  .map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/\s+/g, "\\s+")).join("|");
function understood(text) {
  // A filter as comparisons and words, all of which must hold, and what in it cannot be understood.
  const comparisons = [], words = [], complaints = [];
  const comparison = new RegExp(`(?<=^|\\s)(${asPattern})\\s*(${SIGNS})\\s*(${NUMBER}${UNIT})(?=\\s|$)`, "gi");
  const rest = text.replace(comparison, (_, name, sign, number) => {
    const known = comparable.get(name.toLowerCase().replace(/\s+/g, " "));
    const test = TESTS[{ "≤": "<=", "≥": ">=" }[sign] ?? sign], limit = parsed(number);
    comparisons.push((one) => { const value = known(one); return value != null && test(value, limit); });
    return " ";
  });
  for (const word of rest.replace(new RegExp(`\\s*(${SIGNS})\\s*`, "g"), "$1").split(/\s+/).filter(Boolean)) {
    const [, name, sign, value] = new RegExp(`^(.*?)(${SIGNS})(.*)$`).exec(word) ?? [];
    const isOption = sign === "=" && (data.choices.some((choice) => choice.name.toLowerCase() === name.toLowerCase()) ||
      trials.some((one) => one.text.includes(word.toLowerCase())));
    if (sign === undefined || isOption) words.push(word.toLowerCase());
    else if (comparable.has(name.toLowerCase())) complaints.push(`${name}${sign}: expected a number such as 200k or 1.5%, got ${value || "nothing"}`);
    else complaints.push(`no column ${name || "before " + sign}; there are ${["trial", "epochs", ...data.columns.map(({ label }) => label)].join(", ")}`);
  }
  return { holds: (one) => comparisons.every((test) => test(one)) && words.every((word) => one.text.includes(word)), complaints };
}
function key(one) {
  if (sorting.name === "trial") return one.trial;
  if (sorting.name === "state") return data.states.indexOf(one.state);
  if (sorting.name === "epochs") return one.epochs;
  return one.known[sorting.name];
}
function fill() {
  const { holds, complaints } = understood(document.getElementById("filter").value);
  const state = document.getElementById("states").value;
  const found = trials.filter((one) => (!state || one.state === state) && holds(one));
  const turn = sorting.down ? -1 : 1;
  found.sort((a, b) => {
    const left = key(a), right = key(b);
    if (left == null || right == null) return (left == null) - (right == null);
    return turn * (left - right) || a.trial - b.trial;
  });
  const body = document.querySelector("#table tbody");
  body.replaceChildren(...found.slice(0, all ? found.length : FIRST).map(row));
  document.getElementById("count").textContent = found.length === trials.length ? `${trials.length} trials` : `${found.length} of ${trials.length} trials`;
  document.getElementById("wrong").textContent = complaints.join("; ");
  const more = document.getElementById("more");
  more.hidden = all || found.length <= FIRST;
  more.textContent = `show all ${found.length}`;
}
function row(one) {
  const cells = [make("td", { text: one.trial }), make("td", { class: "state", text: data.words[one.state] })];
  for (const { name } of data.columns) cells.push(make("td", { text: shown(name, one.known[name]) }));
  cells.push(make("td", { text: one.epochs || "–" }), make("td", { class: "text", text: one.why }));
  const node = make("tr", { tabindex: 0, class: one.state === "front" ? "on" : null }, ...cells);
  const open = () => {
    if (node.nextSibling?.classList?.contains("more")) { node.nextSibling.remove(); return; }
    const wide = make("td", { class: "text", colspan: cells.length }, ...describe(one));
    node.after(make("tr", { class: "more" }, wide));
  };
  node.addEventListener("click", open);
  node.addEventListener("keydown", (event) => { if (event.key === "Enter") open(); });
  return node;
}
function table() {
  for (const one of trials) {
    one.text = [`trial ${one.trial}`, one.state, data.words[one.state], one.why, ...choicesOf(one).map(([name, option]) => `${name}=${option}`)].join(" ").toLowerCase();
  }
  const heads = [["trial", "trial"], ["state", "state"], ...data.columns.map(({ name, label }) => [name, label]), ["epochs", "epochs"]];
  const line = make("tr");
  for (const [name, label] of heads) {
    const button = make("button", { type: "button", text: label });
    const head = make("th", { scope: "col" }, button);
    button.addEventListener("click", () => {
      sorting = { name, down: sorting.name === name ? !sorting.down : false };
      for (const other of line.children) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
      fill();
    });
    line.append(head);
  }
  line.append(make("th", { scope: "col", class: "text", text: "why" }));
  document.querySelector("#table thead").append(line);
  const states = document.getElementById("states"), seen = new Set(trials.map((one) => one.state));
  states.append(make("option", { value: "", text: "all states" }));
  for (const state of data.states) if (seen.has(state)) states.append(make("option", { value: state, text: data.words[state] }));
  document.getElementById("filter").addEventListener("input", fill);
  states.addEventListener("change", fill);
  document.getElementById("more").addEventListener("click", () => { all = true; fill(); });
  fill();
}

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = root.dataset.theme ?? (dark ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
});
if (document.getElementById("chart")) front();
table();
