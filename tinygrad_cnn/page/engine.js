// A network's arithmetic: each op with its backward rules beside it, under the names of the article and the library.
//
// A tensor is { shape, data }, its numbers in row-major order. An op takes its inputs and parameters, and returns its
// result with one rule for each input: from g = dC/dy to dC/d(input). Sums are made in double precision.
"use strict";

const sizeOf = (shape) => shape.reduce((product, n) => product * n, 1);
const tensor = (shape, data) => ({ shape, data: data instanceof Float32Array ? data : new Float32Array(data) });
const zeros = (shape) => new Float64Array(sizeOf(shape));

/** How far apart neighbours along each axis lie. */
function stridesOf(shape) {
  const strides = new Array(shape.length);
  for (let axis = shape.length - 1, step = 1; axis >= 0; step *= shape[axis--]) strides[axis] = step;
  return strides;
}

/** Where each element of a strided view lies, in row-major order: `offset + the sum of index * stride`. */
function positions(shape, strides, offset = 0) {
  let at = Int32Array.of(offset);
  shape.forEach((n, axis) => {
    const next = new Int32Array(at.length * n);
    for (let k = 0, to = 0; k < at.length; k++) for (let i = 0; i < n; i++) next[to++] = at[k] + i * strides[axis];
    at = next;
  });
  return at;
}

/** The strides that stretch a shape over a larger one: 0 along every axis that is repeated. */
function stretched(from, to) {
  const strides = stridesOf(from), lead = to.length - from.length;
  return to.map((n, axis) => (axis < lead || from[axis - lead] === 1 ? 0 : strides[axis - lead]));
}

function broadcastShape(a, b) {
  const axes = Math.max(a.length, b.length), at = (shape, k) => shape[k - axes + shape.length] ?? 1;
  return Array.from({ length: axes }, (_, k) => (at(a, k) === 1 ? at(b, k) : at(a, k)));
}

/** y[k] = x[at[k]]. */
function gather(x, at, shape) {
  const y = new Float32Array(at.length);
  for (let k = 0; k < at.length; k++) y[k] = x.data[at[k]];
  return tensor(shape, y);
}

/** y[at[k]] += g[k]: the transpose of `gather`. */
function scatter(g, at, shape) {
  const y = zeros(shape);
  for (let k = 0; k < at.length; k++) y[at[k]] += g.data[k];
  return tensor(shape, y);
}

/** An op whose result has the numbers of x at the places `at`. */
const view = (x, at, shape) => [gather(x, at, shape), [(g) => scatter(g, at, x.shape)]];

const map = (x, f) => tensor(x.shape, x.data.map(f));

/** An elementwise op: its value, and its slope dy/dx, from x and y. */
function unary(x, f, slope) {
  const y = map(x, f);
  return [y, [(g) => map(g, (v, k) => v * slope(x.data[k], y.data[k]))]];
}

/** An elementwise op of two inputs that broadcast; the gradient of what was repeated is summed. */
function binary([u, v], f, slopeU, slopeV) {
  const shape = broadcastShape(u.shape, v.shape);
  const atU = positions(shape, stretched(u.shape, shape)), atV = positions(shape, stretched(v.shape, shape));
  const y = tensor(shape, zeros(shape).map((_, k) => f(u.data[atU[k]], v.data[atV[k]])));
  const rule = (slope, at, x) => (g) =>
    scatter(map(g, (n, k) => n * slope(u.data[atU[k]], v.data[atV[k]], y.data[k])), at, x.shape);
  return [y, [rule(slopeU, atU, u), rule(slopeV, atV, v)]];
}

const dilated = (n, d) => (n - 1) * d + 1;
const mapSize = (n, k, axis, { stride, padding, dilation }) =>
  Math.floor((n + 2 * padding[axis] - dilated(k, dilation[axis])) / stride[axis]) + 1;

/** y[m, n] += the sum over k of a[m, k] b[k, n], of matrices in row-major order; a's steps may be exchanged. */
function addProduct(y, yAt, a, aAt, b, bAt, [M, K, N], [am, ak] = [K, 1]) {
  for (let m = 0; m < M; m++) {
    for (let k = 0, row = yAt + m * N; k < K; k++) {
      const v = a[aAt + m * am + k * ak];
      if (v !== 0) for (let at = bAt + k * N, to = row; to < row + N; to++, at++) y[to] += v * b[at];
    }
  }
}

/** y[m, n] += the sum over k of a[m, k] b[n, k]: the product with b^T. */
function addDots(y, yAt, a, aAt, b, bAt, [M, K, N]) {
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) {
      let sum = 0;
      for (let from = aAt + m * K, at = bAt + n * K; from < aAt + (m + 1) * K; from++, at++) sum += a[from] * b[at];
      y[yAt + m * N + n] += sum;
    }
  }
}

/** The overlays of one group's maps as columns: for each tap of a filter and each place the pixel's index, or -1. */
function underlays([, , H, W], [, depth, KH, KW], [, , OH, OW], { stride, padding, dilation }) {
  const at = new Int32Array(depth * KH * KW * OH * OW);
  for (let tap = 0, to = 0; tap < depth * KH * KW; tap++) {
    const i = Math.floor(tap / KW) % KH * dilation[0] - padding[0], j = tap % KW * dilation[1] - padding[1];
    for (let r = 0; r < OH; r++) {
      for (let c = 0; c < OW; c++) {
        const y = r * stride[0] + i, x = c * stride[1] + j;
        at[to++] = y >= 0 && y < H && x >= 0 && x < W ? (Math.floor(tap / (KH * KW)) * H + y) * W + x : -1;
      }
    }
  }
  return at;
}

/** Visit each group of each image: where its pixels, its maps' numbers and its weights begin. */
function eachGroup([N, C, H, W], w, [, F, OH, OW], { groups }, visit) {
  const taps = sizeOf(w.slice(1)), maps = F / groups;
  for (let k = 0; k < N * groups; k++) visit(k * C / groups * H * W, k * maps * OH * OW, k % groups * maps * taps);
}

/** Slide each filter over each image, unturned, and sum the products: z = correlate2d(a, w) + b. */
function correlate2d(x, w, b, p) {
  const [N, , H, W] = x.shape, [F, , KH, KW] = w.shape;
  const shape = [N, F, mapSize(H, KH, 0, p), mapSize(W, KW, 1, p)], plane = shape[2] * shape[3], z = zeros(shape);
  if (b) for (let map = 0; map < N * F; map++) z.fill(b.data[map % F], map * plane, (map + 1) * plane);
  const under = underlays(x.shape, w.shape, shape, p), size = [F / p.groups, under.length / plane, plane];
  const columns = new Float32Array(under.length);
  eachGroup(x.shape, w.shape, shape, p, (image, maps, weights) => {
    for (let k = 0; k < under.length; k++) columns[k] = under[k] < 0 ? 0 : x.data[image + under[k]];
    addProduct(z, maps, w.data, weights, columns, 0, size);
  });
  return tensor(shape, z);
}

/** Let every number of a map paint its weighted filter where the filter stood: dC/da = convolve2d(dC/dz, w, full). */
function convolve2d_full(g, w, p, shape) {
  const y = zeros(shape), under = underlays(shape, w.shape, g.shape, p), plane = g.shape[2] * g.shape[3];
  const taps = under.length / plane, columns = new Float64Array(under.length);
  eachGroup(shape, w.shape, g.shape, p, (image, maps, weights) => {
    columns.fill(0);
    addProduct(columns, 0, w.data, weights, g.data, maps, [taps, g.shape[1] / p.groups, plane], [1, taps]);
    for (let k = 0; k < under.length; k++) if (under[k] >= 0) y[image + under[k]] += columns[k];
  });
  return tensor(shape, y);
}

/** Slide dC/dz over the images as a filter: dC/dw = correlate2d(a, dC/dz, valid). */
function correlate2d_weight(x, g, p, shape) {
  const dw = zeros(shape), under = underlays(x.shape, shape, g.shape, p), plane = g.shape[2] * g.shape[3];
  const size = [shape[0] / p.groups, plane, under.length / plane], columns = new Float32Array(under.length);
  eachGroup(x.shape, shape, g.shape, p, (image, maps, weights) => {
    for (let k = 0; k < under.length; k++) columns[k] = under[k] < 0 ? 0 : x.data[image + under[k]];
    addDots(dw, weights, g.data, maps, columns, 0, size);
  });
  return tensor(shape, dw);
}

/** The neurons of a map share one bias: dC/db = the sum of dC/dz. */
function bias_gradient(g) {
  const [, F, rows, columns] = g.shape, db = zeros([F]);
  g.data.forEach((v, k) => { db[Math.floor(k / (rows * columns)) % F] += v; });
  return tensor([F], db);
}

/** The places of a pooling overlay: for each neuron of the result the indices that it covers, -1 in the border. */
function overlays([N, C, H, W], { shape: [KH, KW], stride, padding, dilation }) {
  const p = { stride, padding, dilation }, OH = mapSize(H, KH, 0, p), OW = mapSize(W, KW, 1, p);
  const covered = new Int32Array(N * C * OH * OW * KH * KW);
  let to = 0;
  for (let map = 0; map < N * C; map++) {
    for (let r = 0; r < OH; r++) {
      for (let c = 0; c < OW; c++) {
        for (let i = 0; i < KH; i++) {
          const y = r * stride[0] + i * dilation[0] - padding[0];
          for (let j = 0; j < KW; j++) {
            const x = c * stride[1] + j * dilation[1] - padding[1];
            covered[to++] = y >= 0 && y < H && x >= 0 && x < W ? (map * H + y) * W + x : -1;
          }
        }
      }
    }
  }
  return [[N, C, OH, OW], covered];
}

/** Pass the largest number under each overlay on; a tie goes to the first, a NaN is largest. */
function maxpool(x, p) {
  const [shape, covered] = overlays(x.shape, p), taps = p.shape[0] * p.shape[1];
  const winners = new Int32Array(sizeOf(shape)).map((_, k) => {
    let best = -1;
    for (let t = k * taps; t < (k + 1) * taps; t++) {
      const at = covered[t], v = x.data[at];
      if (at >= 0 && (best < 0 || v > x.data[best] || (v !== v && x.data[best] === x.data[best]))) best = at;
    }
    return best;
  });
  return [gather(x, winners, shape), [(g) => scatter(g, winners, x.shape)], winners];
}

/** The mean under each overlay, the border counted in; backward, an equal part for every neuron under it. */
function avgpool(x, p) {
  const [shape, covered] = overlays(x.shape, { ...p, dilation: [1, 1] }), taps = p.shape[0] * p.shape[1];
  const y = zeros(shape);
  covered.forEach((at, t) => { if (at >= 0) y[Math.floor(t / taps)] += x.data[at] / taps; });
  return [tensor(shape, y), [(g) => {
    const gx = zeros(x.shape);
    covered.forEach((at, t) => { if (at >= 0) gx[at] += g.data[Math.floor(t / taps)] / taps; });
    return tensor(x.shape, gx);
  }]];
}

/** The matrix product y = a b; leading axes are batches that broadcast. */
function matmul([a, b]) {
  const [M, K] = a.shape.slice(-2), N = b.shape.at(-1), lead = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const places = (x) => positions(lead, stretched(x.shape.slice(0, -2), lead)).map((k) => k * sizeOf(x.shape.slice(-2)));
  const atA = places(a), atB = places(b), shape = [...lead, M, N], y = zeros(shape);
  atA.forEach((_, k) => addProduct(y, k * M * N, a.data, atA[k], b.data, atB[k], [M, K, N]));
  return [tensor(shape, y), [
    (g) => {  // dC/da = dC/dy b^T
      const ga = zeros(a.shape);
      atA.forEach((_, k) => addDots(ga, atA[k], g.data, k * M * N, b.data, atB[k], [M, N, K]));
      return tensor(a.shape, ga);
    },
    (g) => {  // dC/db = a^T dC/dy
      const gb = zeros(b.shape);
      atA.forEach((_, k) => addProduct(gb, atB[k], a.data, atA[k], g.data, k * M * N, [K, M, N], [1, K]));
      return tensor(b.shape, gb);
    },
  ]];
}

/** The raw activation of a fully connected layer: z = x w^T + b, the article's w a + b for a batch of rows. */
function linear([x, w, b]) {
  const [M, K] = w.shape, rows = x.data.length / K, shape = [...x.shape.slice(0, -1), M], z = zeros(shape);
  if (b) for (let n = 0; n < rows; n++) z.set(b.data, n * M);
  addDots(z, 0, x.data, 0, w.data, 0, [rows, K, M]);
  return [tensor(shape, z), [
    (g) => {  // dC/da^{L-1} = w^T dC/dz
      const gx = zeros(x.shape);
      addProduct(gx, 0, g.data, 0, w.data, 0, [rows, M, K]);
      return tensor(x.shape, gx);
    },
    (g) => {  // dC/dw = dC/dz (a^{L-1})^T
      const gw = zeros(w.shape);
      addProduct(gw, 0, g.data, 0, x.data, 0, [M, rows, K], [1, M]);
      return tensor(w.shape, gw);
    },
    (g) => {  // dC/db = dC/dz, summed over the batch
      const gb = zeros([M]);
      g.data.forEach((v, k) => { gb[k % M] += v; });
      return tensor([M], gb);
    },
  ]];
}

/** Visit each row along an axis: its first element, the step to the next one, and how many there are. */
function eachRow(shape, axis, visit) {
  const step = stridesOf(shape)[axis], count = shape[axis];
  for (let k = 0; k < sizeOf(shape); k++) if (Math.floor(k / step) % count === 0) visit(k, step, count);
}

/** log softmax(z) along an axis, the largest z subtracted first, in double precision. */
function logSoftmax(z, axis) {
  const y = zeros(z.shape);
  eachRow(z.shape, axis, (first, step, count) => {
    let most = -Infinity, sum = 0;
    for (let i = 0; i < count; i++) most = Math.max(most, z.data[first + i * step]);
    for (let i = 0; i < count; i++) sum += Math.exp(z.data[first + i * step] - most);
    for (let i = 0; i < count; i++) y[first + i * step] = z.data[first + i * step] - most - Math.log(sum);
  });
  return y;
}

/** The rule of softmax or log_softmax: each row's g, less what its weighted sum takes away. */
function alongRows(shape, axis, weight, rule) {
  return [(g) => {
    const gz = zeros(shape);
    eachRow(shape, axis, (first, step, count) => {
      let sum = 0;
      for (let i = 0, k = first; i < count; i++, k += step) sum += g.data[k] * weight(k);
      for (let i = 0, k = first; i < count; i++, k += step) gz[k] = rule(g.data[k], k, sum);
    });
    return tensor(shape, gz);
  }];
}

const sigmoid = (z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));
const relu = (z) => (z > 0 || z !== z ? z : 0);

/** The error function: its power series near 0, a continued fraction further out. */
function erf(x) {
  const t = Math.abs(x);
  if (!(t < 6)) return x !== x ? x : Math.sign(x);
  if (t < 3) {
    let sum = t, term = t;
    for (let n = 1; Math.abs(term) > 1e-17 * t; n++) { term *= -t * t / n; sum += term / (2 * n + 1); }
    return Math.sign(x) * 2 / Math.sqrt(Math.PI) * sum;
  }
  let fraction = 0;
  for (let k = 60; k > 0; k--) fraction = k / 2 / (t + fraction);
  return Math.sign(x) * (1 - Math.exp(-t * t) / Math.sqrt(Math.PI) / (t + fraction));
}

const CUBIC = 0.044715, TANH_SCALE = Math.sqrt(2 / Math.PI);  // of gelu's approximation by tanh
const geluCurve = (z) => Math.tanh(TANH_SCALE * (z + CUBIC * z ** 3));

function gelu(z, { approximate }) {
  if (approximate === "none") {
    const below = (v) => (1 + erf(v / Math.SQRT2)) / 2;
    return unary(z, (v) => v * below(v), (v) => below(v) + v * Math.exp(-v * v / 2) / Math.sqrt(2 * Math.PI));
  }
  return unary(z, (v) => v * (1 + geluCurve(v)) / 2, (v) => {
    const t = geluCurve(v);
    return (1 + t + v * (1 - t * t) * TANH_SCALE * (1 + 3 * CUBIC * v * v)) / 2;
  });
}

function concatenate(parts, { axis }, shape) {
  const y = zeros(shape), strides = stridesOf(shape);
  let start = 0;
  const places = parts.map((x) => {
    const at = positions(x.shape, strides, start * strides[axis]);
    start += x.shape[axis];
    at.forEach((to, k) => { y[to] = x.data[k]; });
    return at;
  });
  return [tensor(shape, y), parts.map((x, k) => (g) => gather(g, places[k], x.shape))];
}

function pad(x, { widths, value }, shape) {
  const strides = stridesOf(shape), first = widths.reduce((sum, [before], axis) => sum + before * strides[axis], 0);
  const y = new Float32Array(sizeOf(shape)).fill(Number(value)), at = positions(x.shape, strides, first);
  at.forEach((to, k) => { y[to] = x.data[k]; });
  return [tensor(shape, y), [(g) => gather(g, at, x.shape)]];
}

/** Integers and slices, each as [axis, start, step]; axes of the result that are new have no part. */
function getitem(x, { parts, offset }, shape) {
  const strides = stridesOf(x.shape), first = offset.reduce((sum, start, axis) => sum + start * strides[axis], 0);
  return view(x, positions(shape, parts.map(([axis, step]) => (axis < 0 ? 0 : strides[axis] * step)), first), shape);
}

function sum(x, { axes }, shape) {
  const kept = x.shape.map((n, axis) => (axes.includes(axis) ? 1 : n));
  const at = positions(x.shape, stretched(kept, x.shape));
  return [scatter(x, at, shape), [(g) => gather(g, at, x.shape)]];
}

const power = (inputs) => binary(inputs, (u, v) => u ** v,
  (u, v) => (v === 0 ? 0 : v * u ** (v - 1)), (u, v, y) => (u === 0 && v > 0 ? 0 : y * Math.log(u)));

/** The ops by name: (inputs, parameters, the result's shape) to [result, a rule for each input]. */
const OPS = {
  correlate2d: ([x, w, b], p) => [correlate2d(x, w, b, p),
    [(g) => convolve2d_full(g, w, p, x.shape), (g) => correlate2d_weight(x, g, p, w.shape), bias_gradient]],
  convolve2d_full: ([x, w], p, shape) => [convolve2d_full(x, w, p, shape),
    [(g) => correlate2d(g, w, null, p), (g) => correlate2d_weight(g, x, p, w.shape)]],
  maxpool: ([x], p) => maxpool(x, p),
  avgpool: ([x], p) => avgpool(x, p),
  linear,
  matmul,
  sigmoid: ([z]) => unary(z, sigmoid, (_, a) => a * (1 - a)),
  tanh: ([z]) => unary(z, Math.tanh, (_, a) => 1 - a * a),
  relu: ([z]) => unary(z, relu, (_, a) => (a > 0 ? 1 : 0)),
  leaky_relu: ([z], { negative_slope: slope }) => unary(z, (v) => (v > 0 ? v : slope * v), (v) => (v > 0 ? 1 : slope)),
  gelu: ([z], p) => gelu(z, p),
  softmax: ([z], { axis }) => {
    const a = tensor(z.shape, logSoftmax(z, axis).map(Math.exp));
    return [a, alongRows(z.shape, axis, (k) => a.data[k], (g, k, total) => a.data[k] * (g - total))];
  },
  log_softmax: ([z], { axis }) => {
    const y = tensor(z.shape, logSoftmax(z, axis));
    return [y, alongRows(z.shape, axis, () => 1, (g, k, total) => g - Math.exp(y.data[k]) * total)];
  },
  add: (inputs) => binary(inputs, (u, v) => u + v, () => 1, () => 1),
  subtract: (inputs) => binary(inputs, (u, v) => u - v, () => 1, () => -1),
  multiply: (inputs) => binary(inputs, (u, v) => u * v, (u, v) => v, (u) => u),
  divide: (inputs) => binary(inputs, (u, v) => u / v, (u, v) => 1 / v, (u, v, y) => -y / v),
  power,
  negative: ([u]) => unary(u, (v) => -v, () => -1),
  abs: ([u]) => unary(u, Math.abs, Math.sign),
  exp: ([u]) => unary(u, Math.exp, (_, y) => y),
  log: ([u]) => unary(u, Math.log, (v) => 1 / v),
  sqrt: ([u]) => unary(u, Math.sqrt, (_, y) => 1 / (2 * y)),
  erf: ([u]) => unary(u, erf, (v) => 2 / Math.sqrt(Math.PI) * Math.exp(-v * v)),
  clip: ([u], { low, high }) => unary(u, (v) => Math.min(Math.max(v, low), high), (v) => (v >= low && v <= high ? 1 : 0)),
  sum: ([x], p, shape) => sum(x, p, shape),
  reshape: ([x], _, shape) => [tensor(shape, x.data), [(g) => tensor(x.shape, g.data)]],
  astype: ([x]) => [x, [(g) => g]],
  transpose: ([x], { axes }, shape) => {
    const strides = stridesOf(x.shape);
    return view(x, positions(shape, axes.map((axis) => strides[axis])), shape);
  },
  broadcast_to: ([x], _, shape) => view(x, positions(shape, stretched(x.shape, shape)), shape),
  getitem: ([x], p, shape) => getitem(x, p, shape),
  pad: ([x], p, shape) => pad(x, p, shape),
  concatenate,
};

/** The costs of scores (N, K) and labels (N): [C, its rule], both a mean over the batch. */
const COSTS = {
  cross_entropy(scores, labels) {
    const [N, K] = scores.shape, logs = logSoftmax(scores, 1);
    const cost = labels.reduce((total, label, n) => total - logs[n * K + label], 0) / N;
    const rule = () => tensor([N, K], logs.map((v, k) => (Math.exp(v) - (k % K === labels[Math.floor(k / K)])) / N));
    return [cost, rule];
  },
  quadratic_cost(a, labels) {
    const [N, K] = a.shape, error = a.data.map((v, k) => v - (k % K === labels[Math.floor(k / K)]));
    return [error.reduce((total, e) => total + e * e, 0) / 2 / N, () => tensor([N, K], error.map((e) => e / N))];
  },
};

/** A network: its ops in order, and the arrays that they read, under their names. */
class Network {
  constructor(program, arrays) {
    Object.assign(this, program);  // input, output, ops, parameters, constants, cost, image_shape, num_classes ...
    this.state = arrays;
  }

  /** Run on images, (count, ...image_shape) in a row: every array by name, and the rules of every op. */
  run(images, count = 1) {
    const values = new Map(Object.entries(this.state)), rules = [], extras = [];
    values.set(this.input, tensor([count, ...this.image_shape], images));
    for (const op of this.ops) {
      const inputs = op.inputs.map((name) => values.get(name));
      const [y, opRules, extra] = OPS[op.name](inputs, op.params, op.shape.map((n) => (n === "batch" ? count : n)));
      values.set(op.result, y);
      rules.push(opRules);
      extras.push(extra);
    }
    return { values, rules, extras, output: values.get(this.output) };
  }

  /** From dC/d(output) to the gradient of every array by name, from the last op to the first. */
  backward({ rules, values }, g) {
    const gradients = new Map([[this.output, g]]);
    for (let k = this.ops.length - 1; k >= 0; k--) {
      const op = this.ops[k], received = gradients.get(op.result);
      if (!received) continue;
      op.inputs.forEach((name, i) => {
        if (this.constants.includes(name)) return;
        const fresh = rules[k][i](received), before = gradients.get(name);
        gradients.set(name, before ? map(before, (v, at) => v + fresh.data[at]) : fresh);
      });
    }
    for (const name of [this.input, ...this.parameters]) {
      if (!gradients.has(name)) gradients.set(name, tensor(values.get(name).shape, zeros(values.get(name).shape)));
    }
    return gradients;
  }

  /** The scores of an image in C, H, W order. */
  forward(image) {
    return this.run(image).output.data.slice();
  }

  /** d(score k)/d(array) for the image and every parameter, by name. */
  gradients(image, k) {
    const run = this.run(image), g = zeros(run.output.shape);
    g[k] = 1;
    return this.backward(run, tensor(run.output.shape, g));
  }

  /** d(score k)/d(image), in C, H, W order. */
  gradient(image, k) {
    return this.gradients(image, k).get(this.input).data.slice();
  }

  /** One step of gradient descent, w -= dC/dw * stepSize, for images and labels; returns the cost before it. */
  step(images, labels, stepSize) {
    const run = this.run(images, labels.length), [cost, rule] = COSTS[this.cost](run.output, labels);
    const gradients = this.backward(run, rule());
    for (const name of this.parameters) {
      const w = this.state[name].data, dw = gradients.get(name).data;
      for (let k = 0; k < w.length; k++) w[k] -= dw[k] * stepSize;
    }
    return cost;
  }
}

function bytesOf(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let k = 0; k < letters.length; k++) bytes[k] = letters.charCodeAt(k);
  return bytes;
}

/** The arrays of a page: float32 numbers in base 64, one after another, little end first. */
function arraysOf(shapes, text) {
  const all = new DataView(bytesOf(text).buffer);
  let at = 0;
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => {
    const data = new Float32Array(sizeOf(shape));
    for (let k = 0; k < data.length; k++, at += 4) data[k] = all.getFloat32(at, true);
    return [name, tensor(shape, data)];
  }));
}
