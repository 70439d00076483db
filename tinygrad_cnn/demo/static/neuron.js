// One neuron: which weights times which numbers make it.

import { ask, find, latest, state } from "./requests.js";
import { arrows } from "./pen.js";
import { frame, mosaic, neuronAt, showStack, stackOfNumbers } from "./pictures.js";

const { at } = state;
const square = (count) => Math.ceil(Math.sqrt(count));
const made = () => state.seen.stacks[at.layer + 1];
const isRow = () => made().shape[1] * made().shape[2] === 1;  // a fully connected layer: maps of one neuron

/** Explain another neuron; places outside are moved to the nearest one. Another layer alone: the middle of a map. */
function moveTo(place) {
  Object.assign(at, place);
  const [count, rows, columns] = made().shape;
  if (!("map" in place || "row" in place)) Object.assign(at, { map: 0, row: rows >> 1, column: columns >> 1 });
  const within = (n, end) => Math.max(0, Math.min(end - 1, Math.round(n) || 0));
  Object.assign(at, { map: within(at.map, count), row: within(at.row, rows), column: within(at.column, columns) });
  explain();
}

export const explain = latest(showNeuron);

export async function showNeuron() {
  const { seen } = state, place = { ...at };
  const neuron = await ask("neuron", { image: seen.image, ...place });
  if (Object.keys(place).some((key) => place[key] !== at[key])) return;  // the next answer is on its way
  showControls();
  showUnder(neuron);
  showResult();
  showProducts(neuron, seen.layers[at.layer].kept);
  find("sum").textContent = sentence(neuron, seen.layers[at.layer].kept);
}

function showControls() {
  const [count, rows, columns] = made().shape;
  find("layer").value = at.layer;
  find("map").max = count;
  find("map").value = at.map + 1;
  find("map").parentElement.hidden = isRow();
  find("place").max = (isRow() ? count : rows * columns) - 1;
  find("place").value = isRow() ? at.map : at.row * columns + at.column;
  find("place").setAttribute("aria-valuetext", where());
}

function where() {
  if (!isRow()) return `row ${at.row + 1}, column ${at.column + 1}`;
  return at.layer === state.seen.layers.length - 1 ? `the neuron of ${at.map}` : `neuron ${at.map + 1}`;
}

/** What comes in, with the overlay's place on it. Pooling looks at one map alone. */
function showUnder(neuron) {
  const all = state.seen.stacks[at.layer], [count, rows, columns] = all.shape;
  const under = neuron.filter ? all : only(all, at.map), shown = under.shape[0];
  const context = mosaic(find("under"), under, { columns: square(shown) });
  const overlay = { rows: neuron.underlay[0].length, columns: neuron.underlay[0][0].length };
  if (overlay.rows < rows || overlay.columns < columns) {
    for (let map = 0; map < shown; map++) {
      frame(context, find("under").sheet, map, { row: neuron.top, column: neuron.left, ...overlay });
    }
  }
  const which = count === 1 ? "" : shown === 1 ? `map ${at.map + 1} of ` : `all ${count} maps of `;
  find("under-text").textContent = `In: ${which}${at.layer ? `layer ${at.layer}` : "the image"}`;
}

function only({ shape: [, rows, columns], shares }, map) {
  return { shape: [1, rows, columns], shares: shares.subarray(map * rows * columns, (map + 1) * rows * columns) };
}

function showResult() {
  const stack = made(), count = stack.shape[0], canvas = find("result");
  const context = isRow() ? mosaic(canvas, stack, { columns: square(count) }) : mosaic(canvas, only(stack, at.map));
  frame(context, canvas.sheet, isRow() ? at.map : 0, at);
  find("result-text").textContent = isRow() ? `Out: ${count} neurons` : `Out: map ${at.map + 1} of ${count}`;
  state.seen.layers.forEach((_, k) => mark(find(`made-${k}`), k));
}

/** Frame the neuron among its layer's maps, and in no other layer. */
function mark(canvas, layer) {
  if (layer !== at.layer && !canvas.marked) return;
  const context = showStack(canvas, state.seen.stacks[layer + 1]);
  canvas.marked = layer === at.layer;
  if (canvas.marked) frame(context, canvas.sheet, at.map, at);
}

function showProducts(neuron, largestCounts) {
  find("underlay").closest(".product").classList.toggle("single", !neuron.filter);
  const columns = square(neuron.underlay.length);
  for (const part of ["underlay", "filter", "products"]) {
    if (!neuron[part]) continue;
    const stack = stackOfNumbers(neuron[part]), context = mosaic(find(part), stack, { columns });
    if (largestCounts) {
      const best = stack.numbers.indexOf(Math.max(...stack.numbers)), wide = stack.shape[2];
      frame(context, find(part).sheet, 0, { row: Math.floor(best / wide), column: best % wide }, -2);
    }
  }
}

const number = (n) => (Math.abs(n) < 0.0005 ? "0.000" : n.toFixed(3).replace("-", "−"));

function sentence(neuron, largestCounts) {
  const count = neuron.underlay.flat(2).length, value = number(neuron.value);
  if (!neuron.filter) return `The ${largestCounts ? "largest" : "mean"} of ${count} numbers goes on: ${value}, to ${where()}.`;
  const bias = (neuron.bias < 0 ? "− " : "+ ") + number(Math.abs(neuron.bias));
  return `${count} products add up to ${number(neuron.sum)}; with the bias: ${number(neuron.sum)} ${bias} = ${value}, ${where()}.`;
}

/** Let pointer and arrow keys choose neurons on a mosaic of a layer's maps. */
export function choosable(canvas, layer, toPlace) {
  const point = (event) => {
    const found = state.seen && neuronAt(canvas, event);
    if (found) moveTo({ layer: layer(), ...toPlace(found) });
  };
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("pointermove", (event) => {
    const moved = event.movementX || event.movementY;  // else the page moved under a pointer at rest
    if (moved && event.pointerType !== "touch") point(event);
  });
  canvas.addEventListener("keydown", (event) => {
    const arrow = arrows[event.key];
    if (!arrow || !state.seen) return;
    event.preventDefault();
    if (at.layer !== layer()) moveTo({ layer: layer() });
    else moveTo(isRow() ? { map: at.map + arrow[0] + arrow[1] * canvas.sheet.columns } : walked(canvas.sheet, arrow));
  });
}

/** The neuron one step on; from a map's edge into the next map, where several lie side by side. */
function walked({ columns, stack: { shape: [count, rows, wide] } }, [right, down]) {
  const row = at.row + down, column = at.column + right;
  const next = at.map + Math.floor(column / wide) + columns * Math.floor(row / rows);
  if (next === at.map || count === 1 || next < 0 || next >= count) return { row, column };
  return { map: next, row: (row + rows) % rows, column: (column + wide) % wide };
}

export function listenForNeurons() {
  find("layer").addEventListener("change", ({ target }) => moveTo({ layer: Number(target.value) }));
  find("map").addEventListener("change", ({ target }) => moveTo({ map: target.value - 1 }));
  find("place").addEventListener("input", ({ target: { value } }) => {
    const columns = made().shape[2];
    moveTo(isRow() ? { map: value } : { row: Math.floor(value / columns), column: value % columns });
  });
  choosable(find("result"), () => at.layer, ({ map, row, column }) => (isRow() ? { map } : { row, column }));
}
