// Drawing with a pointer or with keys.

import { find, state } from "./requests.js";
import { css, fresh } from "./pictures.js";

export const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const MAX_POINTS = 4000, SPACING = 0.006, STEP = 0.025;  // lengths are shares of the page's side
const paper = find("paper");
const pen = { x: 0.5, y: 0.25, down: false, byKeys: false };
const held = new Set();
let changed = null;  // called after every change of the drawing
const rounded = (n) => Math.round(1000 * n) / 1000;

export function showPaper() {
  const side = paper.clientWidth, context = fresh(paper, side, side);
  paper.removeAttribute("style");  // its size is the style sheet's
  context.strokeStyle = context.fillStyle = css("ink");
  context.lineWidth = 0.065 * side;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of state.strokes) {
    context.beginPath();
    stroke.forEach(([x, y], k) => (k ? context.lineTo(x * side, y * side) : context.moveTo(x * side, y * side)));
    if (stroke.length === 1) context.lineTo(stroke[0][0] * side + 0.01, stroke[0][1] * side);
    context.stroke();
  }
  if (!pen.byKeys) return;
  context.strokeStyle = css("mark");
  context.lineWidth = pen.down ? 4 : 2;
  context.beginPath();
  context.arc(pen.x * side, pen.y * side, 0.045 * side, 0, 2 * Math.PI);
  context.stroke();
}

function redraw() {
  showPaper();
  changed();
}

function begin(x, y) {
  state.strokes.push([[rounded(x), rounded(y)]]);
  redraw();
}

function extend(x, y) {
  if (!state.strokes.length) return begin(x, y);  // cleared while the pen was down
  const stroke = state.strokes.at(-1), [lastX, lastY] = stroke.at(-1);
  if (Math.hypot(x - lastX, y - lastY) < SPACING) return;
  if (state.strokes.flat().length >= MAX_POINTS) {
    find("verdict").textContent = "The page is full: clear it to go on.";
    return;
  }
  stroke.push([rounded(x), rounded(y)]);
  redraw();
}

function pointOf(event) {
  const box = paper.getBoundingClientRect();
  const share = (n) => Math.max(0, Math.min(1, n));
  return [share((event.clientX - box.left) / box.width), share((event.clientY - box.top) / box.height)];
}

function clear() {
  state.strokes = [];
  Object.assign(pen, { down: false, x: 0.5, y: 0.25 });
  redraw();
}

function penKey(event) {
  const known = event.key in arrows || [" ", "Delete", "Backspace"].includes(event.key);
  if (!known || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  pen.byKeys = true;
  if (event.key === "Delete") return clear();
  if (event.key === "Backspace") return undo();
  if (event.key === " ") {
    if (event.repeat) return;
    pen.down = !pen.down;
    find("pen").textContent = pen.down ? "Pen down." : "Pen up.";
    return pen.down ? begin(pen.x, pen.y) : showPaper();
  }
  held.add(event.key);
  const step = (axis) => [...held].reduce((sum, key) => sum + STEP * arrows[key][axis], 0);
  pen.x = rounded(Math.max(0, Math.min(1, pen.x + step(0))));
  pen.y = rounded(Math.max(0, Math.min(1, pen.y + step(1))));
  if (pen.down) extend(pen.x, pen.y);
  showPaper();
}

function undo() {
  state.strokes.pop();
  pen.down = false;
  redraw();
}

/** Start drawing; `onChange` is called after every change. */
export function listenToPen(onChange) {
  changed = onChange;
  let drawing = null;  // the pointer that draws
  paper.addEventListener("pointerdown", (event) => {
    if (drawing !== null || event.button !== 0) return;
    drawing = event.pointerId;
    paper.setPointerCapture(drawing);
    Object.assign(pen, { down: false, byKeys: false });
    begin(...pointOf(event));
  });
  paper.addEventListener("pointermove", (event) => {
    if (event.pointerId === drawing) event.getCoalescedEvents().concat(event).forEach((e) => extend(...pointOf(e)));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    paper.addEventListener(end, (event) => { if (event.pointerId === drawing) drawing = null; });
  }
  paper.addEventListener("keydown", penKey);
  paper.addEventListener("keyup", (event) => held.delete(event.key));
  paper.addEventListener("blur", () => held.clear());
  find("clear").addEventListener("click", clear);
  find("undo").addEventListener("click", undo);
}
