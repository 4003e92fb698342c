"""The page on which `mode_animation` shows modes: style and program, without anything from outside.

The program reads the molecule from the JSON in the element `molecule` and puts every text in place
as text, never as markup. The policy in the head forbids the page to load anything.
"""

from __future__ import annotations

STYLE = """
* { box-sizing: border-box; }
body { margin: 0; height: 100vh; display: flex; flex-direction: column; color: #333;
  font: 15px/1.4 system-ui, sans-serif; background: #fff; }
header { padding: 10px 16px; border-bottom: 1px solid #ddd; display: flex; flex-wrap: wrap;
  gap: 8px 24px; align-items: center; }
h1 { font-size: 18px; margin: 0; }
main { flex: 1; display: flex; min-height: 0; }
nav { overflow-y: auto; border-right: 1px solid #ddd; }
nav:focus { outline: 2px solid #0072b2; outline-offset: -2px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 12px; text-align: right; white-space: nowrap; }
th { position: sticky; top: 0; background: #f4f4f4; font-weight: 600; }
tbody tr { cursor: pointer; }
tbody tr:hover { background: #eef5fa; }
tbody tr[aria-selected="true"] { background: #0072b2; color: #fff; }
canvas { flex: 1; min-width: 0; cursor: grab; touch-action: none; }
button { font: inherit; width: 5em; }
label { display: flex; gap: 8px; align-items: center; }
small { color: #777; }
"""

PROGRAM = r"""
"use strict";
const molecule = JSON.parse(document.getElementById("molecule").textContent);
const canvas = document.getElementById("view"), context = canvas.getContext("2d");
const rows = document.getElementById("rows"), list = document.getElementById("list");
const play = document.getElementById("play"), amplitude = document.getElementById("amplitude");
const extent = Math.max(1, ...molecule.positions.map((r) => Math.hypot(...r)));
const PERIOD_MS = 1500, LIGHT = 0.45;
let rotation = [[1, 0, 0], [0, 1, 0], [0, 0, 1]], zoom = 1, selected = 0, phase = 0, before = null;
let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;

const times = (a, b) => a.map((row) => [0, 1, 2].map((j) =>
  row[0] * b[0][j] + row[1] * b[1][j] + row[2] * b[2][j]));
const applied = (a, r) => a.map((row) => row[0] * r[0] + row[1] * r[1] + row[2] * r[2]);

function turn(right, down) {
  const c = Math.cos(right), s = Math.sin(right), d = Math.cos(down), t = Math.sin(down);
  const aboutY = [[c, 0, s], [0, 1, 0], [-s, 0, c]], aboutX = [[1, 0, 0], [0, d, t], [0, -t, d]];
  rotation = times(times(aboutX, aboutY), rotation);
}

function shade(color, share) {
  const parts = [1, 3, 5].map((k) => parseInt(color.slice(k, k + 2), 16));
  return "rgb(" + parts.map((p) => Math.round(share > 0 ? p + (255 - p) * share : p * (1 + share)))
    .join(",") + ")";
}

function drawAtom(x, y, radius, color) {
  const gradient = context.createRadialGradient(
    x - 0.35 * radius, y - 0.35 * radius, 0.1 * radius, x, y, radius);
  gradient.addColorStop(0, shade(color, LIGHT));
  gradient.addColorStop(1, shade(color, -0.35));
  context.fillStyle = gradient;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

function drawBond(from, to, width) {
  context.strokeStyle = "#8a8a8a";
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(from[0], from[1]);
  context.lineTo(to[0], to[1]);
  context.stroke();
}

function draw() {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const scale = zoom * 0.4 * Math.min(width, height) / extent;
  const shift = Number(amplitude.value) * Math.sin(phase);
  const mode = molecule.modes[selected];
  const places = molecule.positions.map((r, i) => {
    const moved = mode ? r.map((x, k) => x + shift * mode.displacements[i][k]) : r;
    const [x, y, z] = applied(rotation, moved);
    return [width / 2 + scale * x, height / 2 - scale * y, z];
  });
  const parts = molecule.bonds.map(([i, j]) => ({  // below both spheres: equal depths keep order
    depth: Math.min(places[i][2], places[j][2]),
    draw: () => drawBond(places[i], places[j], 0.14 * scale) }));
  places.forEach(([x, y, z], i) => parts.push({
    depth: z, draw: () => drawAtom(x, y, scale * molecule.radii[i], molecule.colors[i]) }));
  parts.sort((a, b) => a.depth - b.depth).forEach((part) => part.draw());
}

function animate(now) {
  if (playing && before !== null) phase += 2 * Math.PI * (now - before) / PERIOD_MS;
  before = now;
  draw();
  requestAnimationFrame(animate);
}

function select(index) {
  selected = Math.min(Math.max(index, 0), molecule.modes.length - 1);
  [...rows.children].forEach((row, k) => row.setAttribute("aria-selected", String(k === selected)));
  if (rows.children[selected]) rows.children[selected].scrollIntoView({ block: "nearest" });
}

function setPlaying(on) {
  playing = on;
  play.textContent = on ? "Pause" : "Play";
}

function addCells(row, kind, texts) {
  for (const text of texts) {
    const cell = document.createElement(kind);
    cell.textContent = text;
    row.appendChild(cell);
  }
}

addCells(document.getElementById("headings"), "th", molecule.headings);
molecule.modes.forEach((mode, k) => {
  const row = document.createElement("tr");
  addCells(row, "td", mode.cells);
  row.addEventListener("click", () => select(k));
  rows.appendChild(row);
});
play.addEventListener("click", () => setPlaying(!playing));
list.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) { select(selected + step); event.preventDefault(); }
});
canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
canvas.addEventListener("pointermove", (event) => {
  if (event.buttons) turn(event.movementX / 120, event.movementY / 120);
});
canvas.addEventListener("wheel", (event) => {
  zoom = Math.min(Math.max(zoom * Math.exp(-event.deltaY / 800), 0.2), 8);
  event.preventDefault();
}, { passive: false });
setPlaying(playing);
select(0);
turn(0.5, 0.3);
requestAnimationFrame(animate);
"""

HEADER = """<header>
<h1>{title}</h1>
<button id="play" type="button">Pause</button>
<label>amplitude (Å) <input id="amplitude" type="range" min="0" max="1" step="0.01" value="0.3">
</label>
<small>drag to turn, wheel to zoom, arrow keys to change the mode</small>
</header>"""

BODY = """<main>
<nav id="list" tabindex="0" aria-label="modes">
<table><thead><tr id="headings"></tr></thead><tbody id="rows"></tbody></table>
</nav>
<canvas id="view" aria-label="moving molecule"></canvas>
</main>
<script type="application/json" id="molecule">{molecule}</script>
<script>{program}</script>"""
