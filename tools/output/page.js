"use strict";

// What the page was given: class and state colours, and one packed record a picture.
const legend = JSON.parse(document.getElementById("legend").textContent);
const VOID = 255;
const packs = new Map();
for (const element of document.querySelectorAll("script[data-pack]")) packs.set(element.dataset.pack, element);
const records = new Map();

const tools = document.querySelector(".tools");
const inspector = document.getElementById("inspector");
const dialog = document.getElementById("picture");
const pictures = [...document.querySelectorAll("figure.picture")];
const views = [...tools.elements.view].map((input) => [input.value, input.parentElement.textContent.trim()]);

let view = "photograph";
let opened = null;

// ---- records

function record(folder) {
  if (!records.has(folder)) records.set(folder, unpack(packs.get(folder).textContent));
  return records.get(folder);
}

async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const table = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const [height, width] = table.map_hw;
  const cells = height * width;
  let start = 4 + length;
  const take = (count) => bytes.subarray(start, (start += count));
  const requested = take(cells), delivered = take(cells), state = take(cells), pairs = take(2 * cells);
  const owner = new Uint16Array(cells);
  for (let cell = 0; cell < cells; cell++) owner[cell] = pairs[2 * cell] | (pairs[2 * cell + 1] << 8);
  const byNumber = new Map(table.placed.map((item) => [item.n, item]));
  const names = [...new Set(table.placed.map((item) => item.source))].sort();
  const colorOfSource = new Map(names.map((name) => [name, hue(hash(name))]));
  return { ...table, height, width, requested, delivered, state, owner, byNumber, colorOfSource };
}

function hash(text) {
  let value = 2166136261;
  for (let place = 0; place < text.length; place++) value = Math.imul(value ^ text.charCodeAt(place), 16777619);
  return value >>> 0;
}

// Neighbouring numbers get far-away hues: steps of the golden angle, in three lightnesses.
function hue(number) {
  const angle = (number * 137.508) % 360, light = 0.45 + 0.12 * (number % 3), chroma = 0.62 * (1 - Math.abs(2 * light - 1));
  const channel = (shift) => {
    const place = (angle / 60 + shift) % 6;
    return Math.round(255 * (light - chroma / 2 + chroma * Math.max(0, Math.min(1, Math.min(place, 4 - place)))));
  };
  return [channel(2), channel(0), channel(4)];
}

function classColor(classId) { return classId === VOID ? [0, 0, 0] : legend.classes[classId][1]; }
function className(classId) { return classId === VOID ? "void" : legend.classes[classId][0].replaceAll("_", " "); }

// ---- drawing

function colorOf(picture, cell) {
  const number = picture.owner[cell];
  switch (view) {
    case "requested": return classColor(picture.requested[cell]);
    case "delivered": return classColor(picture.delivered[cell]);
    case "difference": {
      const asked = picture.requested[cell], got = picture.delivered[cell];
      if (asked === got || asked === VOID) return null;
      return got === VOID ? [40, 40, 46] : [230, 40, 70];
    }
    case "sources": return number ? picture.colorOfSource.get(picture.byNumber.get(number).source) : [0, 0, 0];
    case "segments": return number ? hue(number) : [0, 0, 0];
    case "states": return legend.states[picture.state[cell]][1];
    default: return null;
  }
}

function draw(canvas, picture, lit) {
  const { width, height, owner } = picture;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (view === "photograph" && !lit) return;
  const image = context.createImageData(width, height);
  const strength = Math.round(2.55 * Number(tools.elements.strength.value));
  for (let cell = 0; cell < owner.length; cell++) {
    let color = colorOf(picture, cell);
    let alpha = color ? strength : 0;
    if (view === "difference" && !color) { color = [128, 128, 128]; alpha = strength >> 1; }
    if (lit) {
      if (owner[cell] !== lit) {
        color = color ? color.map((value) => value * 0.45) : [10, 12, 16];
        alpha = Math.max(alpha, 125);
      } else if (onBorder(picture, cell, lit)) { color = [255, 212, 0]; alpha = 255; }
    }
    if (!alpha) continue;
    image.data.set([color[0], color[1], color[2], alpha], 4 * cell);
  }
  context.putImageData(image, 0, 0);
}

function onBorder({ owner, width, height }, cell, number) {
  const column = cell % width, row = (cell - column) / width;
  return (column > 0 && owner[cell - 1] !== number) || (column < width - 1 && owner[cell + 1] !== number)
    || (row > 0 && owner[cell - width] !== number) || (row < height - 1 && owner[cell + width] !== number);
}

// ---- what a cell is

function cellAt(frame, picture, event) {
  const box = frame.getBoundingClientRect();
  const column = Math.floor(((event.clientX - box.left) / box.width) * picture.width);
  const row = Math.floor(((event.clientY - box.top) / box.height) * picture.height);
  return { column: clamp(column, picture.width), row: clamp(row, picture.height) };
}

function clamp(place, length) { return Math.min(length - 1, Math.max(0, place)); }

// A cell shows the pixel under its centre, so the pixel that is named is the one that was read.
function describe(picture, { column, row }) {
  const cell = row * picture.width + column;
  const [height, width] = picture.size_hw;
  const x = Math.floor(((column + 0.5) * width) / picture.width);
  const y = Math.floor(((row + 0.5) * height) / picture.height);
  const asked = picture.requested[cell], got = picture.delivered[cell];
  const classes = asked === got ? className(got) : `${className(got)}, where ${className(asked)} was asked for`;
  const here = `pixel (${x}, ${y}) of the picture · ${classes} · ${legend.states[picture.state[cell]][0]}`;
  const item = picture.byNumber.get(picture.owner[cell]);
  if (!item) return { number: 0, lines: [text("p", "who", "No photograph: this pixel is in no segment"), text("p", "what", here)] };
  const [a, b, c, d, e, f] = item.m;
  const sx = Math.floor(a * (x + 0.5) + b * (y + 0.5) + c), sy = Math.floor(d * (x + 0.5) + e * (y + 0.5) + f);
  return { number: item.n, lines: lines(item, ` at (${sx}, ${sy})`, here) };
}

function lines(item, place, here) {
  const who = text("p", "who", "");
  who.append(swatch(hue(item.n)), text("b", "", item.class.replaceAll("_", " ")), " from photograph ", text("code", "", item.source), place);
  const known = [["split", item.split], ["sequence", item.sequence], ["licence", item.licence]];
  const origin = known.filter(([, value]) => value).map(([name, value]) => `${name} ${value}`);
  if (!item.licence) origin.push("licence not known");
  if (item.address) origin.push(item.address);
  const parts = [`mask ${item.mask.toFixed(2)}`, `surroundings ${item.context.toFixed(2)}`];
  if (item.shape) parts.push(`shape ${item.shape.toFixed(2)}`);
  const score = `score ${item.score.toFixed(2)} (${parts.join(", ")}), candidate ${item.rank + 1}`;
  const result = [who, text("p", "what", origin.join(" · ")), text("p", "what", `${score} · segment ${item.segment} · ${item.px} pixels here`)];
  if (here) result.push(text("p", "what", here));
  return result;
}

function text(tag, kind, content) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.textContent = content;
  return element;
}

function swatch([red, green, blue]) {
  const element = text("i", "swatch", "");
  element.style.background = `rgb(${red} ${green} ${blue})`;
  return element;
}

// ---- the gallery

const visible = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) { visible.add(target); paint(target); } else visible.delete(target);
  }
}, { rootMargin: "200px" });

async function paint(figure, lit = 0) {
  const canvas = figure.querySelector("canvas");
  if (view === "photograph" && !lit) { canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height); return; }
  draw(canvas, await record(figure.dataset.folder), lit);
}

for (const figure of pictures) {
  const frame = figure.querySelector(".frame");
  let lit = 0, inside = false;
  frame.addEventListener("pointermove", async (event) => {
    inside = true;
    const picture = await record(figure.dataset.folder);
    if (!inside) return;
    const { number, lines: content } = describe(picture, cellAt(frame, picture, event));
    inspector.replaceChildren(...content);
    inspector.hidden = false;
    if (number !== lit) { lit = number; draw(frame.querySelector("canvas"), picture, lit); }
  });
  frame.addEventListener("pointerleave", () => { inside = false; lit = 0; inspector.hidden = true; paint(figure); });
  frame.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(figure);
  });
  watcher.observe(figure);
}

function show(name) {
  view = name;
  for (const input of tools.elements.view) input.checked = input.value === name;
  dialog.querySelector("select").value = name;
  const entries = name === "states" ? legend.states
    : name === "difference" ? [["another class than requested", [230, 40, 70]], ["open", [40, 40, 46]], ["as requested", [128, 128, 128]]]
    : name === "sources" ? [["no photograph; every other colour is one photograph", [0, 0, 0]]]
    : name === "segments" ? [["no segment; every other colour is one segment", [0, 0, 0]]]
    : [...legend.classes.filter((_, classId) => legend.asked_for[classId]), ["void", [0, 0, 0]]];
  tools.querySelector(".legend").replaceChildren(...entries.map(([label, color]) => {
    const item = document.createElement("li");
    item.append(swatch(color), label.replaceAll("_", " "));
    return item;
  }));
  visible.forEach((figure) => paint(figure));
  if (opened) paintOpened();
}

function filter() {
  const name = tools.elements.layout.value.trim().toLowerCase(), source = tools.elements.source.value.trim().toLowerCase();
  const sections = [...document.querySelectorAll("section.layout")];
  let shown = 0;
  for (const section of sections) {
    const fits = section.dataset.name.toLowerCase().includes(name)
      && (!source || JSON.parse(section.dataset.sources).some((entry) => entry.toLowerCase().includes(source)));
    section.hidden = !fits;
    shown += fits;
  }
  tools.querySelector(".shown").textContent = `${shown} of ${sections.length} ${sections.length === 1 ? "layout" : "layouts"}`;
  document.querySelector(".nothing").hidden = shown > 0;
}

tools.addEventListener("submit", (event) => event.preventDefault());
tools.addEventListener("input", ({ target }) => {
  if (target.name === "view") show(target.value);
  else if (target.name === "strength") show(view);
  else filter();
});

// ---- one picture

const stage = dialog.querySelector(".stage .frame");
const cross = dialog.querySelector(".cross");
const FILES = ["image.png", "label.png", "requested.png", "instances.png", "ownership.png", "state.png", "provenance.json", "attribution.csv", "recipe.json"];

async function open(figure) {
  const folder = figure.dataset.folder, picture = await record(folder);
  opened = { figure, picture, lit: 0, at: null };
  const [height, width] = picture.size_hw, path = folder.split("/").map(encodeURIComponent).join("/");
  dialog.querySelector("h2").textContent = folder.replace(/\/(\d+)$/, ", variant $1");
  stage.style.aspectRatio = `${width}/${height}`;
  stage.style.maxWidth = `${Math.round((72 * width) / height)}vh`;
  const image = stage.querySelector("img");
  image.src = `${path}/image.png`;
  image.alt = figure.querySelector("img").alt;
  cross.hidden = true;
  dialog.querySelector(".about").replaceChildren(text("p", "what", "Point at the picture, or choose a segment, to see where it comes from. Click to keep the crosshair in place."));
  dialog.querySelector(".files").replaceChildren("Files: ", ...FILES.map((name) => {
    const link = text("a", "", name);
    link.href = `${path}/${name}`;
    return link;
  }));
  const items = [...picture.placed].sort((one, other) => other.px - one.px);
  dialog.querySelector("h3").textContent = `${items.length} segments of ${picture.colorOfSource.size} photographs`;
  dialog.querySelector(".segments").replaceChildren(...items.map((item) => entryOf(item, height * width)));
  location.replace(`#${path}`);
  if (!dialog.open) dialog.showModal();
  paintOpened();
}

function entryOf(item, pixels) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.number = item.n;
  button.append(swatch(hue(item.n)), text("b", "", item.class.replaceAll("_", " ")), text("span", "", `${((100 * item.px) / pixels).toFixed(1)} %`), text("small", "", item.source));
  const choose = () => {
    cross.hidden = true;
    dialog.querySelector(".about").replaceChildren(...lines(item, "", ""));
    light(item.n, false);
  };
  button.addEventListener("focus", choose);
  button.addEventListener("pointerenter", choose);
  const entry = document.createElement("li");
  entry.append(button);
  return entry;
}

function light(number, scroll) {
  if (opened.lit === number) return;
  opened.lit = number;
  for (const button of dialog.querySelectorAll(".segments button")) {
    const on = Number(button.dataset.number) === number;
    button.classList.toggle("on", on);
    if (on && scroll) {
      const list = button.closest("ol"), top = button.offsetTop - list.offsetTop;
      if (top < list.scrollTop || top + button.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 2;
    }
  }
  paintOpened();
}

function paintOpened() { draw(stage.querySelector("canvas"), opened.picture, opened.lit); }

function look(at) {
  const { number, lines: content } = describe(opened.picture, at);
  dialog.querySelector(".about").replaceChildren(...content);
  light(number, true);
}

function pin(at) {
  opened.at = at;
  cross.hidden = false;
  cross.style.left = `${(100 * (at.column + 0.5)) / opened.picture.width}%`;
  cross.style.top = `${(100 * (at.row + 0.5)) / opened.picture.height}%`;
  look(at);
}

stage.addEventListener("pointermove", (event) => look(cellAt(stage, opened.picture, event)));
stage.addEventListener("pointerleave", () => { if (opened && !cross.hidden) look(opened.at); else if (opened) light(0, false); });
stage.addEventListener("click", (event) => pin(cellAt(stage, opened.picture, event)));

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
stage.addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  if (!step) return;
  event.preventDefault();
  const { width, height } = opened.picture, reach = event.shiftKey ? 16 : 2;
  const from = opened.at ?? { column: width >> 1, row: height >> 1 };
  pin({ column: clamp(from.column + reach * step[0], width), row: clamp(from.row + reach * step[1], height) });
});

function go(step) {
  const shown = pictures.filter((figure) => !figure.closest("section").hidden);
  const place = shown.indexOf(opened.figure) + step;
  open(shown[(place + shown.length) % shown.length]);
}

dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
  const step = event.target.dataset?.go;
  if (step === "0") dialog.close();
  else if (step) go(Number(step));
});
dialog.addEventListener("keydown", (event) => {
  if (event.key === "[") go(-1);
  else if (event.key === "]") go(1);
});
dialog.addEventListener("close", () => {
  const { figure } = opened;
  opened = null;
  history.replaceState(null, "", location.pathname + location.search);
  paint(figure);
  figure.querySelector(".frame").focus({ preventScroll: true });
});
dialog.querySelector("select").append(...views.map(([value, label]) => new Option(label, value)));
dialog.querySelector("select").addEventListener("change", ({ target }) => show(target.value));

if (!("DecompressionStream" in window)) {
  const note = document.querySelector(".nothing");
  note.textContent = "This browser is too old to unpack the sources of the pixels (it has no DecompressionStream); they are in provenance.json beside each picture.";
  note.hidden = false;
} else {
  filter();
  show("photograph");
  const named = decodeURIComponent(location.hash.slice(1));
  const figure = pictures.find((entry) => entry.dataset.folder === named);
  if (figure) open(figure);
}
