// Pictures of numbers: orange above zero, blue below, the page's colour at zero.

const GAP = 3;
const colours = {};

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** A stack of maps, (count, rows, columns): all numbers in a row, as shares of the largest. Bytes to 127 are signed. */
export function stackOf({ shape, bytes, kept }, full) {
  const raw = bytesOf(bytes);
  const numbers = full === 127 ? new Int8Array(raw.buffer) : raw;
  return { shape, shares: Float32Array.from(numbers, (n) => n / full), kept: kept ? bytesOf(kept) : null };
}

/** The same of nested lists; the numbers themselves are kept. */
export function stackOfNumbers(nested) {
  const numbers = nested.flat(2);
  const peak = Math.max(...numbers.map(Math.abs));
  const shape = [nested.length, nested[0].length, nested[0][0].length];
  return { shape, numbers, shares: numbers.map((n) => (peak ? n / peak : 0)) };
}

export function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["zero", "plus", "minus", "ink", "mark"]) {
    const code = style.getPropertyValue("--" + name).trim();
    colours[name] = [1, 3, 5].map((k) => parseInt(code.slice(k, k + 2), 16));
  }
}

export const css = (name) => `rgb(${colours[name].join(" ")})`;

function colourOf(share) {
  const end = share > 0 ? colours.plus : colours.minus;
  return colours.zero.map((c, k) => Math.round(c + Math.abs(share) * (end[k] - c)));
}

/** A context to draw on in CSS pixels, sharp on any screen. */
export function fresh(canvas, width, height) {
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
export function mosaic(canvas, stack, { columns = 1, cell = 0, faded = null } = {}) {
  const [count, rows, wide] = stack.shape, gap = count > 1 ? GAP : 0;
  cell ||= (canvas.parentElement.clientWidth - 2 - gap * (columns - 1)) / (columns * wide);
  const across = columns * (wide * cell + gap) - gap;
  const context = fresh(canvas, across, Math.ceil(count / columns) * (rows * cell + gap) - gap);
  const tile = new OffscreenCanvas(wide, rows), tileContext = tile.getContext("2d");
  context.imageSmoothingEnabled = false;
  const sheet = { columns, cell, gap, stack };
  for (let map = 0; map < count; map++) {
    const pixels = tileContext.createImageData(wide, rows);
    for (let k = 0; k < rows * wide; k++) {
      const place = map * rows * wide + k;
      const share = stack.shares[place] * (faded && !faded[place] ? 0.2 : 1);
      pixels.data.set([...colourOf(share), 255], 4 * k);
    }
    tileContext.putImageData(pixels, 0, 0);
    const [x, y] = corner(sheet, map, 0, 0);
    context.drawImage(tile, x, y, wide * cell, rows * cell);
  }
  canvas.sheet = sheet;
  if (stack.numbers && count === 1 && cell >= 18) writeNumbers(context, sheet);
  return context;
}

function corner({ columns, cell, gap, stack }, map, row, column) {
  const [, rows, wide] = stack.shape;
  return [(map % columns) * (wide * cell + gap) + column * cell,
          Math.floor(map / columns) * (rows * cell + gap) + row * cell];
}

function writeNumbers(context, { cell, stack }) {
  const wide = stack.shape[2];
  context.font = `${Math.min(13, cell * 0.39)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  stack.numbers.forEach((n, k) => {
    const [r, g, b] = colourOf(stack.shares[k]);
    context.fillStyle = 0.3 * r + 0.59 * g + 0.11 * b > 120 ? "#000" : "#fff";
    context.fillText(short(n), (k % wide + 0.5) * cell, (Math.floor(k / wide) + 0.5) * cell);
  });
}

/** At most four characters: .25, −.25, 1.25, −12. */
function short(n) {
  const text = Math.abs(n) < 0.005 ? "0" : n.toFixed(Math.abs(n) < 9.95 ? 2 : 0);
  return text.replace(/^(-?)0\./, "$1.").replace("-", "−");
}

/** Frame numbers of a map, from outside, or with a negative margin from inside. */
export function frame(context, sheet, map, { row, column, rows = 1, columns = 1 }, margin = 1) {
  const [x, y] = corner(sheet, map, row, column);
  context.strokeStyle = css("mark");
  context.lineWidth = margin < 0 ? 4 : 2;
  context.strokeRect(x - margin, y - margin, columns * sheet.cell + 2 * margin, rows * sheet.cell + 2 * margin);
}

/** The neuron under a point of a mosaic, or null between maps. */
export function neuronAt(canvas, event) {
  const { columns, cell, gap, stack } = canvas.sheet;
  const [count, rows, wide] = stack.shape;
  const pitch = [wide * cell + gap, rows * cell + gap];
  const tile = [Math.floor(event.offsetX / pitch[0]), Math.floor(event.offsetY / pitch[1])];
  const map = tile[1] * columns + tile[0];
  const column = Math.floor((event.offsetX - tile[0] * pitch[0]) / cell);
  const row = Math.floor((event.offsetY - tile[1] * pitch[1]) / cell);
  const inside = tile[0] < columns && map < count && row >= 0 && row < rows && column >= 0 && column < wide;
  return inside ? { map, row, column } : null;
}

/** Maps side by side, as many as there is room for. */
export function showStack(canvas, stack, faded = null) {
  const [count, , wide] = stack.shape, room = canvas.parentElement.clientWidth;
  const cell = wide === 1 ? 14 : Math.max(1, Math.min(10, Math.round((room > 560 ? 66 : 48) / wide)));
  const columns = Math.max(1, Math.min(count, Math.floor((room + GAP) / (wide * cell + GAP))));
  return mosaic(canvas, stack, { columns, cell, faded });
}

/** A line around the ink. */
export function outline(context, { cell }, { shape: [, rows, wide], shares }) {
  const dark = (row, column) => shares[wide * row + column] > 0.5;
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
