// Pictures of numbers: orange above zero, blue below, the page's colour at zero. And small helpers of the page.

const GAP = 2, colours = {};
const find = (id) => document.getElementById(id);
const squareSide = (count) => Math.ceil(Math.sqrt(count));
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

/** A new element with attributes (a function is a listener) and children, which may be texts. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children.flat());
  return made;
}

/** A formula as the library writes it, with raised superscripts. */
function formulaOf(text) {
  return text.split(/(\^\{[^}]*\}|\^T)/).map((part) =>
    part.startsWith("^") ? element("sup", {}, part.replace(/[\^{}]/g, "").replace("-", "−")) : part.replaceAll(" * ", " · "));
}

/** A rule as `formula: sentence` in an element. */
function ruleOf(text) {
  const [formula, ...sentence] = text.split(": ");
  const said = sentence.join(": ");
  return element("p", { class: "rule" }, element("span", { class: "formula" }, ...formulaOf(formula)),
    ...(said ? [" ", element("span", {}, ...formulaOf((/^[a-z]+\b(?!\/)/.test(said) ? said[0].toUpperCase() + said.slice(1) : said) + "."))] : []));
}

/** A number in a sentence: three digits, and a power of ten for the very small and the very large. */
function written(n) {
  if (!Number.isFinite(n)) return String(n).replace("Infinity", "∞").replace("-", "−");
  if (n === 0) return "0";
  const size = Math.abs(n);
  if (size >= 0.001 && size < 100_000) {
    const digits = Math.max(0, Math.min(4, 2 - Math.floor(Math.log10(size))));
    return String(Number(n.toFixed(digits))).replace("-", "−");
  }
  const [digits, power] = n.toExponential(1).split("e");
  const raised = [...power.replace("+", "")].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("");
  return `${digits.replace("-", "−")}·10${raised}`;
}

const plusWritten = (n) => (n < 0 ? `− ${written(-n)}` : `+ ${written(n)}`);
const inBrackets = (n) => (n < 0 ? `(${written(n)})` : written(n));
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** At most four characters: .25, −.25, 1.2, −12. */
function short(n) {
  const text = Math.abs(n) < 0.005 ? "0" : n.toFixed(Math.abs(n) < 9.95 ? 2 : 0);
  return text.replace(/^(-?)0\./, "$1.").replace("-", "−");
}

/** Maps to draw, (count, rows, columns): numbers, and the largest magnitude among them. */
function stackOf(shape, numbers) {
  let peak = 0;
  for (const n of numbers) if (Math.abs(n) > peak && Number.isFinite(n)) peak = Math.abs(n);
  return { shape, numbers, peak };
}

/** One map of a stack, in the colours of the whole. */
function mapOf({ shape: [, rows, wide], numbers, peak }, k) {
  return { shape: [1, rows, wide], numbers: numbers.slice(k * rows * wide, (k + 1) * rows * wide), peak };
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["zero", "plus", "minus", "ink", "mark", "line"]) {
    const code = style.getPropertyValue("--" + name).trim();
    colours[name] = [1, 3, 5].map((k) => parseInt(code.slice(k, k + 2), 16));
  }
}

const css = (name) => `rgb(${colours[name].join(" ")})`;

function colourOf(part) {
  const end = part > 0 ? colours.plus : colours.minus, amount = Math.min(1, Math.abs(part)) || 0;
  return colours.zero.map((c, k) => Math.round(c + amount * (end[k] - c)));
}

const isLight = ([r, g, b]) => 0.3 * r + 0.59 * g + 0.11 * b > 120;

/** A context to draw on in CSS pixels, sharp on any screen. */
function freshContext(canvas, width, height) {
  const dots = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * dots);
  canvas.height = Math.round(height * dots);
  canvas.style.width = width + "px";
  canvas.style.height = height + "px";
  const context = canvas.getContext("2d");
  context.scale(dots, dots);
  return context;
}

/** Draw maps side by side. `sheet` stays on the canvas: where each number is. */
function mosaic(canvas, stack, { columns = 1, cell = 0, most = 40, faded = null } = {}) {
  const [count, rows, wide] = stack.shape, gap = count > 1 ? GAP : 0;
  const room = Math.max(1, canvas.parentElement.clientWidth - 2);
  cell = Math.min(cell || most, (room - gap * (columns - 1)) / (columns * wide));
  if (cell > 3) cell = Math.floor(cell);
  const context = freshContext(canvas, columns * (wide * cell + gap) - gap,
    Math.ceil(count / columns) * (rows * cell + gap) - gap);
  const tile = new OffscreenCanvas(wide, rows), tileContext = tile.getContext("2d");
  const pixels = tileContext.createImageData(wide, rows), { data } = pixels;
  context.imageSmoothingEnabled = false;
  const sheet = { columns, cell, gap, stack }, scale = stack.peak ? 1 / stack.peak : 0;
  for (let k = 0; k < count; k++) {
    for (let i = 0, place = k * rows * wide; i < rows * wide; i++, place++) {
      const part = stack.numbers[place] * scale * (faded && !faded[place] ? 0.2 : 1);
      const end = part > 0 ? colours.plus : colours.minus, amount = Math.min(1, Math.abs(part)) || 0;
      for (let c = 0; c < 3; c++) data[4 * i + c] = colours.zero[c] + amount * (end[c] - colours.zero[c]);
      data[4 * i + 3] = 255;
    }
    tileContext.putImageData(pixels, 0, 0);
    const [x, y] = cornerOf(sheet, k, 0, 0);
    context.fillStyle = css("line");
    context.fillRect(x - gap, y - gap, wide * cell + 2 * gap, rows * cell + 2 * gap);
    context.drawImage(tile, x, y, wide * cell, rows * cell);
  }
  canvas.sheet = sheet;
  if (count * rows * wide <= 400 && cell >= 26) writeNumbers(context, sheet);
  return context;
}

function cornerOf({ columns, cell, gap, stack }, k, row, column) {
  const [, rows, wide] = stack.shape;
  return [(k % columns) * (wide * cell + gap) + column * cell,
    Math.floor(k / columns) * (rows * cell + gap) + row * cell];
}

function writeNumbers(context, sheet) {
  const [, rows, wide] = sheet.stack.shape, { cell, stack } = sheet;
  context.font = `${Math.min(14, cell * 0.38)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  stack.numbers.forEach((n, at) => {
    const k = Math.floor(at / (rows * wide)), [x, y] = cornerOf(sheet, k, Math.floor(at / wide) % rows, at % wide);
    context.fillStyle = isLight(colourOf(n / (stack.peak || 1))) ? "#000" : "#fff";
    context.fillText(short(n), x + cell / 2, y + cell / 2);
  });
}

/** Frame numbers of a map, from outside, or with a negative margin from inside. */
function frame(context, sheet, k, { row, column, rows = 1, columns = 1 }, margin = 1) {
  const [x, y] = cornerOf(sheet, k, row, column);
  context.strokeStyle = css("mark");
  context.lineWidth = margin < 0 ? 3 : 2;
  context.strokeRect(x - margin, y - margin, columns * sheet.cell + 2 * margin, rows * sheet.cell + 2 * margin);
}

/** The place under a point of a mosaic, [map, row, column], or null between maps. */
function placeAt(canvas, event) {
  const { columns, cell, gap, stack } = canvas.sheet, [count, rows, wide] = stack.shape;
  const pitch = [wide * cell + gap, rows * cell + gap];
  const tile = [Math.floor(event.offsetX / pitch[0]), Math.floor(event.offsetY / pitch[1])];
  const k = tile[1] * columns + tile[0];
  const column = Math.floor((event.offsetX - tile[0] * pitch[0]) / cell);
  const row = Math.floor((event.offsetY - tile[1] * pitch[1]) / cell);
  const inside = tile[0] < columns && k < count && row >= 0 && row < rows && column >= 0 && column < wide;
  return inside ? [k, row, column] : null;
}

/** The place one step on; from a map's edge into the next map, where several lie side by side. */
function placeAfter({ columns, stack: { shape: [count, rows, wide] } }, [k, row, column], [right, down]) {
  const [r, c] = [row + down, column + right];
  const next = k + Math.floor(c / wide) + columns * Math.floor(r / rows);
  if (next < 0 || next >= count) return [k, row, column];
  return [next, (r + rows) % rows, (c + wide) % wide];
}

/** Maps side by side, as many as there is room for, in a size that shows them. */
function showStack(canvas, stack, faded = null) {
  const [count, rows, wide] = stack.shape, room = canvas.parentElement.clientWidth - 2;
  const single = rows * wide === 1, target = count === 1 ? 168 : room > 560 ? 72 : 58;
  const cell = single ? (count <= 12 ? 26 : 15) : Math.max(1, Math.min(18, Math.round(target / wide)));
  const columns = Math.max(1, Math.min(count, Math.floor((room + GAP) / (wide * cell + GAP))));
  return mosaic(canvas, stack, { columns, cell, faded });
}

/** Let pointer and arrow keys choose places on a mosaic; `current` is the chosen one, or null. */
function choosable(canvas, current, choose) {
  const point = (event) => {
    const place = canvas.sheet && placeAt(canvas, event);
    if (place) choose(place, event.type === "pointerdown");
  };
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("pointermove", (event) => {
    const moved = event.movementX || event.movementY;  // else the page moved under a pointer at rest
    if (moved && event.pointerType !== "touch") point(event);
  });
  canvas.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (!canvas.sheet || !(arrow || event.key === "Enter")) return;
    event.preventDefault();
    const [, rows, wide] = canvas.sheet.stack.shape, place = current() ?? [0, rows >> 1, wide >> 1];
    choose(arrow && current() ? placeAfter(canvas.sheet, place, arrow) : place, true);
  });
}

/** A line around the ink. */
function outline(context, { cell }, { shape: [, rows, wide], numbers }) {
  const dark = (row, column) => numbers[wide * row + column] > 0.5;
  context.strokeStyle = css("ink");
  context.lineWidth = 1;
  context.beginPath();
  for (let row = 1; row < rows; row++) {
    for (let column = 1; column < wide; column++) {
      const [x, y] = [column * cell, row * cell];
      if (dark(row, column) !== dark(row - 1, column)) { context.moveTo(x, y); context.lineTo(x + cell, y); }
      if (dark(row, column) !== dark(row, column - 1)) { context.moveTo(x, y); context.lineTo(x, y + cell); }
    }
  }
  context.stroke();
}
