"use strict";
// The picture of one run: what is where on the canvas, how it is drawn, and which node is under the pointer.
// Places come from Python and never change; moving and zooming change the view alone.

// Cividis (Nuñez, Anderton & Renslow, 2018): even in lightness, and the same to colour-blind eyes. What is large is
// dark, as in the pictures of matplotlib; on a dark ground it is light.
const RAMP = ["#fee838", "#e1cc55", "#c3b369", "#a59c74", "#8a8678", "#707173", "#575d6d", "#3b496c", "#123570", "#00224e"];
const onDark = matchMedia("(prefers-color-scheme: dark)");
const BINS = 40;
const NEAR = 12;  // pixels from the pointer to a node that counts as under it

function ramp(share) {
  const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1), k = Math.min(Math.floor(at), RAMP.length - 2);
  const [a, b] = [RAMP[k], RAMP[k + 1]].map(c => [1, 3, 5].map(i => parseInt(c.slice(i, i + 2), 16)));
  return `rgb(${a.map((v, i) => Math.round(v + (b[i] - v) * (at - k))).join(" ")})`;
}
const COLOURS = Array.from({length: BINS}, (_, i) => ramp(i / (BINS - 1)));

class Picture {
  constructor(canvas, run) {
    Object.assign(this, {canvas, run, context: canvas.getContext("2d")});
    this.into = Array.from({length: run.nodes}, () => []);
    this.out = Array.from({length: run.nodes}, () => []);
    run.source.forEach((u, e) => { this.out[u].push(e); this.into[run.target[e]].push(e); });
    // Where a step has both an edge and its reverse, one line stands for both.
    const known = new Set(run.source.map((u, e) => u * run.nodes + run.target[e]));
    this.twoWay = run.source.map((u, e) => u !== run.target[e] && known.has(run.target[e] * run.nodes + u));
    this.lines = new Path2D();
    this.joined = new Path2D();  // the edges within segments
    run.source.forEach((u, e) => {
      if (this.twoWay[e] && u > run.target[e]) return;
      this.trace(this.lines, e);
      if (run.segment && run.segment[u] === run.segment[run.target[e]]) this.trace(this.joined, e);
    });
    // Where an edge leaves or enters a node from below, its text stands beside it.
    this.beside = run.x.map((x, v) => [...this.into[v].map(e => run.source[e]), ...this.out[v].map(e => run.target[e])]
      .some(u => run.y[u] - run.y[v] > 0.2 && Math.abs(run.x[u] - x) < 3 * (run.y[u] - run.y[v])));
    this.cells = new Map();  // squares of side 1 with the nodes in them
    run.x.forEach((x, v) => {
      const key = this.cell(x, run.y[v]);
      this.cells.has(key) ? this.cells.get(key).push(v) : this.cells.set(key, [v]);
    });
    this.fit();
  }

  cell(x, y) { return Math.floor(x) + "," + Math.floor(y); }

  points(e) {
    const {x, y, source, target, bends} = this.run, u = source[e], v = target[e];
    return [x[u], y[u], ...(bends[e] || []), x[v], y[v]];
  }

  trace(path, e) {
    const at = this.points(e);
    if (this.run.source[e] === this.run.target[e]) {  // a loop
      path.moveTo(at[0] + 0.45, at[1] - 0.3);
      path.arc(at[0] + 0.25, at[1] - 0.3, 0.2, 0, 7);
      return;
    }
    path.moveTo(at[0], at[1]);
    for (let i = 2; i < at.length; i += 2) path.lineTo(at[i], at[i + 1]);
  }

  fit() {
    const box = this.canvas.getBoundingClientRect(), {x, y} = this.run;
    const reach = values => values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
    const [left, right] = x.length ? reach(x) : [0, 0], [top, bottom] = y.length ? reach(y) : [0, 0];
    this.scale = Math.min((box.width - 70) / (right - left + 1), (box.height - 60) / (bottom - top + 1), 70);
    this.moved = false;
    this.left = box.width / 2 - this.scale * (left + right) / 2;
    this.top = box.height / 2 - this.scale * (top + bottom) / 2;
  }

  zoom(factor, px, py) {
    this.moved = true;
    const scale = Math.min(Math.max(this.scale * factor, 0.05), 400), by = scale / this.scale;
    this.left = px - (px - this.left) * by;
    this.top = py - (py - this.top) * by;
    this.scale = scale;
  }

  show(node) {  // moves the view to a node, and close enough to tell it from others
    const box = this.canvas.getBoundingClientRect();
    this.moved = true;
    this.scale = Math.max(this.scale, 24);
    this.left = box.width / 2 - this.scale * this.run.x[node];
    this.top = box.height / 2 - this.scale * this.run.y[node];
  }

  sees(node, margin = 0) {
    const box = this.canvas.getBoundingClientRect();
    const px = this.run.x[node] * this.scale + this.left, py = this.run.y[node] * this.scale + this.top;
    return px >= margin && py >= margin && px <= box.width - margin && py <= box.height - margin;
  }

  under(px, py) {
    const x = (px - this.left) / this.scale, y = (py - this.top) / this.scale;
    const reach = Math.max(NEAR, this.radius() + 3) / this.scale;
    if (reach > 20) return this.nearest(this.run.x.map((_, v) => v), x, y, reach);
    const near = [];
    for (let i = Math.floor(x - reach); i <= x + reach; i++)
      for (let j = Math.floor(y - reach); j <= y + reach; j++) near.push(...(this.cells.get(i + "," + j) || []));
    return this.nearest(near, x, y, reach);
  }

  nearest(nodes, x, y, reach) {
    let found = null, least = reach * reach;
    for (const v of nodes) {
      const d = (this.run.x[v] - x) ** 2 + (this.run.y[v] - y) ** 2;
      if (d < least) [found, least] = [v, d];
    }
    return found;
  }

  radius() { return Math.min(Math.max(this.scale * 0.24, 1.2), 13); }

  // look: {shade(v) → 0..1 or null, done(v), now(v), carries(e), chosen, hits, segments}
  draw(look) {
    const {canvas, context: c, run, scale} = this, box = canvas.getBoundingClientRect();
    const dense = window.devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
    const ink = name => style.getPropertyValue("--" + name);
    if (canvas.width !== Math.round(box.width * dense) || canvas.height !== Math.round(box.height * dense)) {
      canvas.width = Math.round(box.width * dense);
      canvas.height = Math.round(box.height * dense);
    }
    const world = () => c.setTransform(scale * dense, 0, 0, scale * dense, this.left * dense, this.top * dense);
    const screen = () => c.setTransform(dense, 0, 0, dense, 0, 0);
    screen();
    c.fillStyle = ink("ground");
    c.fillRect(0, 0, box.width, box.height);
    c.lineCap = c.lineJoin = "round";
    const radius = this.radius();

    world();
    if (look.segments) {
      c.strokeStyle = ink("segment");
      c.lineWidth = Math.max(radius * 1.7, 3) / scale;
      c.stroke(this.joined);
    }
    c.strokeStyle = ink("edge");
    c.lineWidth = (scale > 12 ? 1.3 : 0.7) / scale;
    c.stroke(this.lines);
    const marked = (edges, colour, width) => {
      const path = new Path2D();
      edges.forEach(e => this.trace(path, e));
      world();
      c.strokeStyle = ink(colour);
      c.lineWidth = width / scale;
      c.stroke(path);
      screen();
      edges.forEach(e => this.head(e, radius, ink(colour)));
    };
    screen();
    if (scale > 12) this.visible(600).forEach(e => this.head(e, radius, ink("edge")));
    marked(look.carries, "now", scale > 12 ? 1.8 : 1);
    if (look.chosen !== null) {
      marked(this.into[look.chosen], "into", 2.6);
      marked(this.out[look.chosen], "out", 2.6);
    }

    this.nodes(look, radius, box, ink);
    if (radius > 4) this.texts(radius, ink);
  }

  visible(most) {  // the edges that end in view, if there are not too many
    const found = [];
    for (let e = 0; e < this.run.source.length && found.length <= most; e++)
      if (this.sees(this.run.target[e], -30)) found.push(e);
    return found.length > most ? [] : found;
  }

  head(e, radius, colour) {
    const at = this.points(e), c = this.context, n = at.length;
    if (this.run.source[e] === this.run.target[e]) return;
    const [x0, y0, x1, y1] = at.slice(n - 4).map((v, i) => v * this.scale + (i % 2 ? this.top : this.left));
    const length = Math.hypot(x1 - x0, y1 - y0), size = Math.min(7, length / 3);
    if (length < radius * 2 + 4) return;
    const [dx, dy] = [(x1 - x0) / length, (y1 - y0) / length], [tx, ty] = [x1 - dx * (radius + 1.5), y1 - dy * (radius + 1.5)];
    c.fillStyle = colour;
    c.beginPath();
    c.moveTo(tx, ty);
    c.lineTo(tx - dx * size - dy * size * 0.45, ty - dy * size + dx * size * 0.45);
    c.lineTo(tx - dx * size + dy * size * 0.45, ty - dy * size - dx * size * 0.45);
    c.fill();
  }

  nodes(look, radius, box, ink) {
    const c = this.context, {run, scale} = this, groups = new Map();
    const near = v => {
      const px = run.x[v] * scale + this.left, py = run.y[v] * scale + this.top;
      return px > -20 && py > -20 && px < box.width + 20 && py < box.height + 20;
    };
    for (let v = 0; v < run.nodes; v++) {
      if (!near(v)) continue;
      const shade = look.done(v) ? look.shade(v) : null;
      const fill = !look.done(v) ? "empty" : shade === null ? "soft" : Math.round(shade * (BINS - 1));
      const key = fill + (look.now(v) ? "!" : "");
      groups.has(key) ? groups.get(key).push(v) : groups.set(key, [v]);
    }
    // Those of the step come last, on top of the others.
    for (const [key, nodes] of [...groups].sort(([a], [b]) => a.endsWith("!") - b.endsWith("!"))) {
      const now = key.endsWith("!"), fill = now ? key.slice(0, -1) : key;
      c.fillStyle = fill === "empty" || fill === "soft" ? ink(fill) : COLOURS[onDark.matches ? BINS - 1 - Number(fill) : Number(fill)];
      c.beginPath();
      for (const v of nodes) this.circle(v, now ? Math.max(radius, 2) : radius);
      c.fill();
      c.strokeStyle = ink(now ? "now" : "ring");
      c.lineWidth = now ? Math.max(radius / 3, 1) : Math.min(1, radius / 3);
      if (radius > 2 || now || fill === "empty") c.stroke();
    }
    for (const [nodes, colour, wider] of [[look.hits, "into", 5], [look.chosen === null ? [] : [look.chosen], "text", 4]]) {
      c.strokeStyle = ink(colour);
      c.lineWidth = 2.2;
      c.beginPath();
      for (const v of nodes) if (near(v)) this.circle(v, radius + wider);
      c.stroke();
    }
  }

  circle(v, radius) {
    const px = this.run.x[v] * this.scale + this.left, py = this.run.y[v] * this.scale + this.top;
    this.context.moveTo(px + radius, py);
    this.context.arc(px, py, radius, 0, 2 * Math.PI);
  }

  texts(radius, ink) {  // as many as there is room for
    const c = this.context, {run, scale} = this, taken = new Set();
    c.font = `${Math.round(Math.min(13, 7 + radius / 2))}px system-ui, sans-serif`;
    c.textBaseline = "middle";
    c.lineWidth = 3;
    c.strokeStyle = ink("ground");
    c.fillStyle = ink("text");
    for (let v = 0, drawn = 0; v < run.nodes && drawn < 400; v++) {
      if (!this.sees(v)) continue;
      const text = short(run.texts[v] ?? String(v), 18), wide = c.measureText(text).width;
      const px = run.x[v] * scale + this.left + (this.beside[v] ? radius + 5 : -wide / 2);
      const py = run.y[v] * scale + this.top + (this.beside[v] ? 0 : radius + 9);
      const squares = [];
      for (let i = Math.floor((px - 4) / 9); i <= (px + wide + 4) / 9; i++) squares.push(i + "," + Math.floor(py / 13));
      if (squares.some(s => taken.has(s))) continue;
      squares.forEach(s => taken.add(s));
      c.strokeText(text, px, py);
      c.fillText(text, px, py);
      drawn++;
    }
  }
}

function short(text, most) { return text.length > most ? text.slice(0, most - 1) + "…" : text; }
