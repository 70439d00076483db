// From strokes and pictures to images of the size, place and thickness that the network's training images have.

const FINE = 8;  // steps a pixel, for smooth edges
const LARGEST_SIDE_PIXELS = 320;  // pictures are reduced to it first
const DOT = 0.02;  // drawings smaller than this part of the paper are a dot

/** The box that holds the ink, the pen's thickness and the centre of mass, in pixels: as MNIST has them, or, on small
 *  images, as the 8x8 digits of the UCI repository. */
function framing([, H, W]) {
  const side = Math.min(H, W);
  return side < 20 ? { box: side, pen: 0.15 * side, centre: [H / 2, W / 2] }
    : { box: side * 20 / 28, pen: side * 2.5 / 28, centre: [H / 2 + side / 56, W / 2 + side / 56] };
}

/** The image (C, H, W), light ink on black, of strokes: each a list of [x, y], x to the right and y downwards. */
function imageOfStrokes(strokes, shape) {
  const [C, H, W] = shape, { box, pen } = framing(shape), points = strokes.flat();
  if (!points.length) return new Float32Array(C * H * W);
  const low = [0, 1].map((k) => Math.min(...points.map((p) => p[k])));
  const high = [0, 1].map((k) => Math.max(...points.map((p) => p[k])));
  const size = Math.max(high[0] - low[0], high[1] - low[1]), scale = size > DOT ? (box - pen) / size : 0;
  const rows = H * FINE, columns = W * FINE, fine = new Uint8Array(rows * columns), radius = pen / 2 * FINE;
  const middle = [0, 1].map((k) => (low[k] + high[k]) / 2);
  const place = ([x, y]) => [((x - middle[0]) * scale + W / 2) * FINE, ((y - middle[1]) * scale + H / 2) * FINE];
  for (const stroke of strokes) {
    stroke.forEach((p, k) => {
      const [x, y] = place(p), [fromX, fromY] = place(stroke[Math.max(0, k - 1)]);
      const steps = Math.ceil(Math.hypot(x - fromX, y - fromY)) + 1;
      for (let s = 1; s <= steps; s++) {
        stamp(fine, rows, columns, fromY + (y - fromY) * s / steps, fromX + (x - fromX) * s / steps, radius);
      }
    });
  }
  return repeated(reducedInk(centred(fine, rows, columns, shape), shape), C);
}

function stamp(fine, rows, columns, y, x, radius) {
  for (let r = Math.max(0, Math.ceil(y - radius)); r <= Math.min(rows - 1, y + radius); r++) {
    const half = Math.sqrt(Math.max(0, radius * radius - (r - y) * (r - y)));
    const first = Math.max(0, Math.ceil(x - half)), last = Math.min(columns - 1, Math.floor(x + half));
    if (first <= last) fine.fill(1, r * columns + first, r * columns + last + 1);
  }
}

/** The ink moved so that its centre of mass is the image's, but never over the edge. */
function centred(fine, rows, columns, shape) {
  const { centre } = framing(shape), sums = [0, 0], low = [rows, columns], high = [0, 0];
  let total = 0;
  fine.forEach((v, k) => {
    if (!v) return;
    [Math.floor(k / columns), k % columns].forEach((at, axis) => {
      sums[axis] += v * at;
      low[axis] = Math.min(low[axis], at);
      high[axis] = Math.max(high[axis], at);
    });
    total += v;
  });
  const moved = new fine.constructor(fine.length);
  if (!total) return moved;
  const [down, right] = [rows, columns].map((length, axis) =>
    Math.max(-low[axis], Math.min(length - 1 - high[axis], Math.round(centre[axis] * FINE - 0.5 - sums[axis] / total))));
  fine.forEach((v, k) => { if (v) moved[k + down * columns + right] = v; });
  return moved;
}

/** The mean of each block of fine steps: one pixel. */
function reducedInk(fine, [, H, W]) {
  const image = new Float32Array(H * W);
  fine.forEach((v, k) => {
    if (v) image[Math.floor(k / (W * FINE * FINE)) * W + Math.floor(k % (W * FINE) / FINE)] += v / FINE ** 2;
  });
  return image.map((v) => Math.round(255 * v) / 255);
}

/** The same map for every channel. */
function repeated(image, channels) {
  const all = new Float32Array(image.length * channels);
  for (let c = 0; c < channels; c++) all.set(image, c * image.length);
  return all;
}

/** The image (C, H, W) of a picture: in colour scaled and cropped; in grey the sign on it, framed as MNIST's are. */
async function imageOfFile(file, shape) {
  const bitmap = await createImageBitmap(file), [C, H, W] = shape;
  if (C === 1 && !(bitmap.width === W && bitmap.height === H)) {
    const scale = Math.min(1, LARGEST_SIDE_PIXELS / Math.max(bitmap.width, bitmap.height));
    const wide = Math.max(1, Math.round(bitmap.width * scale)), high = Math.max(1, Math.round(bitmap.height * scale));
    return signOn(greyOf(pixelsOf(bitmap, 0, 0, bitmap.width, bitmap.height, wide, high)), high, wide, shape);
  }
  const scale = Math.min(bitmap.width / W, bitmap.height / H), [w, h] = [W * scale, H * scale];
  const data = pixelsOf(bitmap, (bitmap.width - w) / 2, (bitmap.height - h) / 2, w, h, W, H);
  if (C !== 3) {
    const grey = greyOf(data);
    return repeated(edgeMean(grey, H, W) > 0.5 ? grey.map((v) => 1 - v) : grey, C);
  }
  return new Float32Array(3 * H * W).map((_, k) => data[4 * (k % (H * W)) + Math.floor(k / (H * W))] / 255);
}

function pixelsOf(bitmap, x, y, w, h, wide, high) {
  const context = new OffscreenCanvas(wide, high).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, wide, high);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, x, y, w, h, 0, 0, wide, high);
  return context.getImageData(0, 0, wide, high).data;
}

const greyOf = (data) => new Float32Array(data.length / 4).map((_, k) =>
  (0.299 * data[4 * k] + 0.587 * data[4 * k + 1] + 0.114 * data[4 * k + 2]) / 255);

function edgeMean(grey, rows, columns) {
  let sum = 0, count = 0;
  grey.forEach((v, k) => {
    const r = Math.floor(k / columns), c = k % columns;
    if (r === 0 || c === 0 || r === rows - 1 || c === columns - 1) { sum += v; count++; }
  });
  return sum / count;
}

/** Find the ink, dark or light, on unevenly lit paper; drop specks; scale the rest into the box and centre it. */
function signOn(grey, rows, columns, shape) {
  const paper = blurred(grey, rows, columns, Math.max(2, Math.round(0.2 * Math.min(rows, columns))));
  const sorted = grey.map((v, k) => v - paper[k]).sort(), at = (part) => sorted[Math.floor(part * (sorted.length - 1))];
  const sign = -at(0.01) > at(0.99) ? -1 : 1;
  const ink = grey.map((v, k) => Math.max(0, sign * (v - paper[k])));
  const threshold = otsu(ink), mask = Uint8Array.from(ink, (v) => (v > threshold ? 1 : 0));
  keepMainParts(mask, rows, columns);
  const inside = [...mask.keys()].filter((k) => mask[k]);
  if (!inside.length || threshold < 0.03) return new Float32Array(sizeOf(shape));
  const range = (numbers) => numbers.reduce(([a, b], n) => [Math.min(a, n), Math.max(b, n)], [Infinity, -Infinity]);
  const [top, bottom] = range(inside.map((k) => Math.floor(k / columns))), [left, right] = range(inside.map((k) => k % columns));
  const [, H, W] = shape, scale = framing(shape).box * FINE / (Math.max(bottom - top, right - left) + 1);
  const fine = new Uint8Array(H * W * FINE * FINE), middle = [(top + bottom + 1) / 2, (left + right + 1) / 2];
  for (let k = 0; k < fine.length; k++) {
    const r = Math.floor((Math.floor(k / (W * FINE)) + 0.5 - H * FINE / 2) / scale + middle[0]);
    const c = Math.floor((k % (W * FINE) + 0.5 - W * FINE / 2) / scale + middle[1]);
    fine[k] = r >= 0 && r < rows && c >= 0 && c < columns ? mask[r * columns + c] : 0;
  }
  return repeated(reducedInk(centred(fine, H * FINE, W * FINE, shape), shape), shape[0]);
}

/** The mean over a square around each pixel. */
function blurred(grey, rows, columns, radius) {
  const sums = new Float64Array((rows + 1) * (columns + 1)), wide = columns + 1;
  for (let r = 0; r < rows; r++) {
    for (let c = 0, row = 0; c < columns; c++) {
      row += grey[r * columns + c];
      sums[(r + 1) * wide + c + 1] = sums[r * wide + c + 1] + row;
    }
  }
  return grey.map((_, k) => {
    const r = Math.floor(k / columns), c = k % columns;
    const [top, bottom] = [Math.max(0, r - radius), Math.min(rows, r + radius + 1)];
    const [left, right] = [Math.max(0, c - radius), Math.min(columns, c + radius + 1)];
    const sum = sums[bottom * wide + right] - sums[top * wide + right] - sums[bottom * wide + left] + sums[top * wide + left];
    return sum / ((bottom - top) * (right - left));
  });
}

/** The threshold that separates two groups best: of the largest variance between them. */
function otsu(values) {
  const bins = new Float64Array(256), peak = values.reduce((a, b) => Math.max(a, b), 0) || 1;
  for (const v of values) bins[Math.min(255, Math.floor(v / peak * 256))]++;
  const all = bins.reduce((sum, n, k) => sum + n * k, 0);
  let best = 0, where = 0, below = 0, sum = 0;
  bins.forEach((n, k) => {
    below += n;
    sum += n * k;
    const above = values.length - below;
    const between = below && above ? below * above * (sum / below - (all - sum) / above) ** 2 : 0;
    if (between > best) { best = between; where = k + 1; }
  });
  return where / 256 * peak;
}

/** Drop specks, and parts at the picture's edge if others are as large. */
function keepMainParts(mask, rows, columns) {
  const parts = [], seen = new Uint8Array(mask.length);
  mask.forEach((v, start) => {
    if (!v || seen[start]) return;
    const part = { places: [start], edge: false };
    seen[start] = 1;
    for (let k = 0; k < part.places.length; k++) {
      const r = Math.floor(part.places[k] / columns), c = part.places[k] % columns;
      part.edge ||= r === 0 || c === 0 || r === rows - 1 || c === columns - 1;
      for (let y = Math.max(0, r - 1); y <= Math.min(rows - 1, r + 1); y++) {
        for (let x = Math.max(0, c - 1); x <= Math.min(columns - 1, c + 1); x++) {
          const next = y * columns + x;
          if (mask[next] && !seen[next]) { seen[next] = 1; part.places.push(next); }
        }
      }
    }
    parts.push(part);
  });
  const largest = (some) => some.reduce((most, { places }) => Math.max(most, places.length), 0);
  const inner = parts.filter(({ edge }) => !edge), onlyInner = largest(inner) > 0.15 * largest(parts);
  const main = largest(onlyInner ? inner : parts);
  for (const { places, edge } of parts) {
    if ((edge && onlyInner) || places.length < 0.04 * main) for (const k of places) mask[k] = 0;
  }
}
