// What the page does: which run, step, colour and node are shown, and what is said beside the picture.

const {title, runs} = JSON.parse(document.getElementById("data").textContent);
const by = id => document.getElementById(id);
const view = {run: 0, step: 0, colour: "", chosen: null, hits: [], at: -1, playing: null};
const pictures = runs.map(() => null);
let asked = false;

function make(tag, text, parts = []) {
  const made = document.createElement(tag);
  if (text !== null) made.textContent = text;
  made.append(...parts);
  return made;
}
function number(value) {
  return value === null || value === undefined ? "not finite" : Number(value.toPrecision(3)).toString();
}
function count(n, what) { return `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`; }
const run = () => runs[view.run];
const picture = () => pictures[view.run] ??= new Picture(by("picture"), run());
const name = v => { const text = run().texts[v]; return text === null ? `node ${v}` : `${v}: ${text}`; };

// Which nodes have a state, and what it is, after so many steps.
const inRounds = () => run().mode === "sync";
const done = v => inRounds() || run().step[v] < view.step;
const updatedNow = v => view.step > 0 && (inRounds() || run().step[v] === view.step - 1);
const frame = field => { const all = run().states[field]; return all[inRounds() ? view.step : 0]; };
function edgesNow() {
  if (view.step === 0 || inRounds()) return [];  // (a round uses every edge)
  return run().target.flatMap((v, e) => run().step[v] === view.step - 1 ? [e] : []);
}

function colourings() {
  const fields = Object.keys(run().states).map(field => ["state " + field, `norm of ${field}`]);
  const more = typeof run().gradients === "object" ? [["gradient", "gradient (log)"], ["hops", "hops to the target"]] : [];
  if (run().kind) more.push(["kind", "kind"]);
  return [...fields, ...more, ["step", inRounds() ? "node" : "step"]];
}

// The values behind a colouring, one for each node, and their ends; by norm the ends are those of all rounds.
function values() {
  const [what, field] = view.colour.split(" "), r = run();
  let shown, all;
  if (what === "state") [shown, all] = [frame(field), r.states[field].flat()];
  else if (what === "gradient") shown = r.gradients.norm.map(g => g === null || g <= 0 ? null : Math.log10(g));
  else if (what === "hops") shown = r.gradients.hops;
  else if (what === "kind") { const kinds = [...new Set(r.kind)].sort(); shown = r.kind.map(k => kinds.indexOf(k)); }
  else shown = inRounds() ? r.x.map((_, v) => v) : r.step;
  all = (all || shown).filter(v => v !== null);
  const low = all.reduce((a, b) => Math.min(a, b), Infinity), high = all.reduce((a, b) => Math.max(a, b), -Infinity);
  return {shown, low, high};
}

function paint() {
  asked = false;
  const {shown, low, high} = values();
  picture().draw({
    shade: v => shown[v] === null ? null : high > low ? (shown[v] - low) / (high - low) : 0.5,
    done: view.colour.startsWith("state") ? done : () => true,
    now: v => !inRounds() && updatedNow(v), carries: edgesNow(),
    chosen: view.chosen, hits: view.hits, segments: by("segments").checked,
  });
}
function redraw() {  // with the next frame, however often it is asked for until then
  if (!asked) requestAnimationFrame(paint);
  asked = true;
}

function sayNow() {
  const r = run(), k = view.step, unit = inRounds() ? "round" : "step";
  let text = `${unit} ${k} of ${r.steps}`;
  if (k === 0) text += inRounds() ? ": the initial state" : ": nothing yet";
  else if (inRounds()) text += `: ${count(r.nodes, "node")}, ${count(r.source.length, "edge")}`;
  else text += `: ${count(r.step.filter(s => s === k - 1).length, "node")}, ${count(edgesNow().length, "edge")}`
    + (r.iterated.includes(k - 1) ? ", iterated" : "");
  by("now").textContent = text;
  by("picture").setAttribute("aria-label", `${r.cell}, ${text}`);
  by("step").setAttribute("aria-valuetext", text);
}

function sayLegend() {
  const {low, high} = values(), end = value => !isFinite(value) ? "" :
    view.colour === "gradient" ? (10 ** value).toExponential(1) : number(value);
  const kinds = view.colour === "kind" ? [...new Set(run().kind)].sort() : null;
  by("low").textContent = kinds ? kinds[0] : end(low);
  by("high").textContent = kinds ? kinds[kinds.length - 1] : end(high);
  by("ramp").style.background = `linear-gradient(to right, ${(onDark.matches ? [...RAMP].reverse() : RAMP).join(", ")})`;
  const mark = (border, ground, text) => {
    const dot = make("i", null);
    dot.style.borderColor = `var(--${border})`;
    dot.style.background = `var(--${ground})`;
    return make("li", null, [dot, text]);
  };
  const marks = inRounds() ? [] : [mark("ring", "empty", "not yet updated"), mark("now", "empty", "updated in this step")];
  by("marks").replaceChildren(...marks, mark("into", "into", "what it reads"), mark("out", "out", "who reads it"));
}

function sayNode() {
  const r = run(), v = view.chosen, place = by("node");
  if (v === null) { place.replaceChildren(make("p", "Choose one by a click, by “find”, or with [ and ].")); return; }
  const list = make("dl", null), say = (what, said) => list.append(make("dt", what), make("dd", null, [said]));
  say("node", String(v));
  if (r.texts[v] !== null) say("text", r.texts[v]);
  if (r.kind) say("kind", r.kind[v]);
  if (r.graph) say("graph", String(r.graph[v]));
  if (!inRounds()) say("step", String(r.step[v] + 1) + (r.iterated.includes(r.step[v]) ? ", iterated" : ""));
  if (r.segment) say("segment", String(r.segment[v]));
  for (const field of Object.keys(r.states)) say(`norm of ${field}`, done(v) ? number(frame(field)[v]) : "not yet");
  if (typeof r.gradients === "object" && r.gradients.hops[v] !== null)
    say("gradient", `${number(r.gradients.norm[v])}, ${count(r.gradients.hops[v], "hop")} from the target`);
  for (const [what, style, edges, end] of [["reads", "into", picture().into[v], r.source], ["read by", "out", picture().out[v], r.target]]) {
    const links = edges.slice(0, 30).map(e => {
      const link = make("button", short(name(end[e]), 24) + (r.relation ? ` (${r.relation[e]})` : ""));
      link.className = style;
      link.title = `slot ${r.slot[e]}`;
      link.onclick = () => choose(end[e]);
      return link;
    });
    if (edges.length > 30) links.push(`and ${edges.length - 30} more`);
    list.append(make("dt", `${what} ${edges.length}`), make("dd", null, links));
  }
  place.replaceChildren(list);
}

function sayRun() {
  const r = run(), ran = [make("p", `${r.cell}: ${r.backend}. ${count(r.nodes, "node")}, ${count(r.source.length, "edge")}, `
    + count(r.steps, inRounds() ? "round" : "step") + (r.sweeps > 1 ? `, ${r.sweeps} sweeps (the states are those of the last)` : "") + ".")];
  if (r.segments) ran.push(make("p", `${count(r.segments[0], "segment")} on ${count(r.segments[1], "level")}.`));
  r.reasons.forEach(([names, reason]) => ran.push(make("p", `Not ${names}: ${reason}.`)));
  by("ran").replaceChildren(...ran);
  by("schedule").textContent = r.schedule;
  by("segments").disabled = !r.segment;
  sayFlow();
}

function sayFlow() {
  const g = run().gradients;
  if (typeof g === "string") { by("flow").replaceChildren(make("p", `Not shown: ${g}.`)); return; }
  const [wide, tall, left, under] = [290, 130, 44, 18], drawn = g.distances.map((_, i) => i).filter(i => g.median[i] > 0);
  const parts = [make("p", g.words)];
  if (drawn.length > 1) {
    const log = value => Math.log10(Math.max(value ?? 0, 1e-38));
    const floor = Math.min(...drawn.map(i => log(g.median[i]))) - 1;
    const lows = drawn.map(i => Math.max(log(g.low[i]), floor)), highs = drawn.map(i => log(g.high[i] ?? g.median[i]));
    const least = lows.reduce((a, b) => Math.min(a, b)), most = Math.max(highs.reduce((a, b) => Math.max(a, b)), least + 0.5);
    const last = g.distances[drawn[drawn.length - 1]], x = i => left + (wide - left - 6) * g.distances[i] / last;
    const y = value => 6 + (tall - under - 12) * (most - value) / (most - least);
    const svg = (tag, attributes, text) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      if (text !== undefined) made.textContent = text;
      return made;
    };
    const chart = svg("svg", {viewBox: `0 0 ${wide} ${tall}`, role: "img", "aria-label": `${g.measured} over hops`});
    const line = drawn.map(i => `${x(i)},${y(log(g.median[i]))}`).join(" ");
    const band = [...drawn.map((i, k) => `${x(i)},${y(highs[k])}`), ...drawn.map((i, k) => `${x(i)},${y(lows[k])}`).reverse()].join(" ");
    chart.append(svg("polygon", {points: band, fill: "var(--segment)"}),
      svg("polyline", {points: line, fill: "none", stroke: "var(--into)", "stroke-width": 2}),
      svg("text", {x: left - 4, y: y(most) + 8, "text-anchor": "end"}, (10 ** most).toExponential(0)),
      svg("text", {x: left - 4, y: y(least), "text-anchor": "end"}, (10 ** least).toExponential(0)),
      svg("text", {x: left, y: tall - 4}, "0"), svg("text", {x: wide - 6, y: tall - 4, "text-anchor": "end"}, `${last} hops`));
    parts.push(chart, make("p", `Median, and 10 % to 90 %: ${g.measured}. Targets: ${g.targets.slice(0, 8).join(", ")}${g.targets.length > 8 ? ", …" : ""}.`));
  }
  by("flow").replaceChildren(...parts);
}

function goTo(step) {
  view.step = Math.min(Math.max(step, 0), run().steps);
  by("step").value = view.step;
  sayNow(); sayLegend(); sayNode(); redraw();
}
function choose(v) {
  view.chosen = v;
  if (v !== null && !picture().sees(v, 20)) picture().show(v);
  sayNode(); redraw();
}
function play(on) {
  clearInterval(view.playing);
  view.playing = null;
  if (on && view.step >= run().steps) goTo(0);
  // About ten seconds for all steps, each between a 60th and a second.
  const wait = Math.min(Math.max(10000 / run().steps, 16), 900);
  if (on) view.playing = setInterval(() => { view.step < run().steps ? goTo(view.step + 1) : play(false); }, wait);
  by("play").textContent = on ? "pause" : "play";
}
function pick(index) {
  play(false);
  Object.assign(view, {run: index, chosen: null, hits: [], at: -1});
  by("colour").replaceChildren(...colourings().map(([value, text]) => Object.assign(make("option", text), {value})));
  if (!colourings().some(([value]) => value === view.colour)) view.colour = colourings()[0][0];
  by("colour").value = view.colour;
  by("step").max = run().steps;
  by("found").textContent = "";
  picture().fit();
  sayRun();
  goTo(run().steps);
}
function find(text) {
  const wanted = text.trim().toLowerCase(), r = run();
  view.hits = wanted === "" ? [] : r.texts.flatMap((t, v) => String(v) === wanted || (t ?? "").toLowerCase().includes(wanted) ? [v] : []);
  view.at = -1;
  by("found").textContent = wanted === "" ? "" : `${count(view.hits.length, "node")} found`;
  redraw();
}
function next() {
  if (!view.hits.length) return;
  view.at = (view.at + 1) % view.hits.length;
  by("found").textContent = `${view.at + 1} of ${view.hits.length}: ${short(name(view.hits[view.at]), 60)}`;
  picture().show(view.hits[view.at]);
  choose(view.hits[view.at]);
}
function neighbour(by) {  // the node that is updated before or after the chosen one
  const r = run(), order = r.x.map((_, v) => v);
  if (r.step) order.sort((a, b) => r.step[a] - r.step[b] || a - b);
  if (!order.length) return;
  const at = view.chosen === null ? (by > 0 ? -1 : order.length) : order.indexOf(view.chosen);
  choose(order[Math.min(Math.max(at + by, 0), order.length - 1)]);
}
function zoom(factor, px, py) {
  const box = by("picture").getBoundingClientRect();
  picture().zoom(factor, px ?? box.width / 2, py ?? box.height / 2);
  redraw();
}

const keys = {
  " ": () => play(!view.playing), ArrowRight: () => goTo(view.step + 1), ArrowLeft: () => goTo(view.step - 1),
  Home: () => goTo(0), End: () => goTo(run().steps), "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3),
  "0": () => { picture().fit(); redraw(); }, "[": () => neighbour(-1), "]": () => neighbour(1), Escape: () => choose(null),
  "/": () => by("find").focus(),
};
document.addEventListener("keydown", event => {
  const typing = ["INPUT", "SELECT", "BUTTON"].includes(event.target.tagName) && event.target.id !== "segments";
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});

function listen() {
  const canvas = by("picture"), tip = by("tip");
  let held = null;
  const at = event => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  canvas.addEventListener("pointerdown", event => { held = {at: at(event), moved: 0}; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointerup", event => {
    if (held && held.moved < 4) choose(picture().under(...at(event)));
    held = null;
  });
  canvas.addEventListener("pointermove", event => {
    const [px, py] = at(event);
    if (held) {
      const [dx, dy] = [px - held.at[0], py - held.at[1]];
      Object.assign(held, {at: [px, py], moved: held.moved + Math.abs(dx) + Math.abs(dy)});
      picture().moved ||= held.moved > 4;
      picture().left += dx;
      picture().top += dy;
      redraw();
    }
    const v = held ? null : picture().under(px, py);
    tip.hidden = v === null;
    if (v === null) return;
    const field = Object.keys(run().states)[0];
    tip.textContent = `${short(name(v), 200)}\nnorm of ${field}: ${done(v) ? number(frame(field)[v]) : "not yet"}`;
    tip.style.left = Math.min(px + 14, canvas.clientWidth - tip.offsetWidth - 4) + "px";
    tip.style.top = Math.max(py - tip.offsetHeight - 8, 4) + "px";
  });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("wheel", event => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 400), ...at(event)); }, {passive: false});
  by("first").onclick = () => goTo(0);
  by("back").onclick = () => goTo(view.step - 1);
  by("forth").onclick = () => goTo(view.step + 1);
  by("play").onclick = () => play(!view.playing);
  by("fit").onclick = keys["0"];
  by("next").onclick = next;
  by("step").oninput = event => { play(false); goTo(Number(event.target.value)); };
  by("colour").onchange = event => { view.colour = event.target.value; sayLegend(); redraw(); };
  by("segments").onchange = redraw;
  by("find").oninput = event => find(event.target.value);
  by("find").onkeydown = event => { if (event.key === "Enter") next(); if (event.key === "Escape") canvas.focus(); };
  by("run").onchange = event => pick(Number(event.target.value));
  new ResizeObserver(() => { if (!picture().moved) picture().fit(); paint(); }).observe(canvas);
  onDark.addEventListener("change", () => { sayLegend(); redraw(); });
}

by("title").textContent = title;
by("run").replaceChildren(...runs.map((r, i) => Object.assign(make("option", `${i + 1}: ${r.cell}`), {value: i})));
by("run").hidden = runs.length < 2;
pick(0);
listen();
document.documentElement.dataset.nodes = String(run().nodes);
