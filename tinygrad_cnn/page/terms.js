// One neuron: the numbers that made it, and the numbers that its gradient was made of.

/** The shape of an array as maps (count, rows, columns), without the batch. A row of n neurons is n maps of 1x1. */
function mapsShape(shape) {
  const rest = shape.slice(1);
  if (rest.length === 3) return rest;
  return rest.length === 1 ? [rest[0], 1, 1] : rest.length === 2 ? [1, ...rest] : [1, 1, sizeOf(rest)];
}

/** The shape of an op's input as maps; of neurons in a row that of the maps which were flattened. */
function layoutOf(net, run, name) {
  const shape = mapsShape(run.values.get(name).shape), maker = net.ops.find((op) => op.result === name);
  return maker?.name === "reshape" && shape[1] === 1 && shape[2] === 1 ? layoutOf(net, run, maker.inputs[0]) : shape;
}

const placeOf = ([, rows, wide], at) => [Math.floor(at / (rows * wide)), Math.floor(at / wide) % rows, at % wide];
const indexOf = ([, rows, wide], [k, row, column]) => (k * rows + row) * wide + column;

const pickFrom = (x, at) => Float32Array.from(at, (k) => (k < 0 ? 0 : x.data[k]));
const productsOf = (a, b) => a.map((v, k) => v * b[k]);

/** What made number `at` of the result of op k: `under` the overlay, `weights` and `products` where it has weights, the
 *  `bias`, the overlay's `frame` on the input, and the `sum`. Null where the op has no overlay. */
function originOf(net, run, k, at) {
  const op = net.ops[k], [x, w, b] = op.inputs.map((name) => run.values.get(name));
  const shape = mapsShape(run.values.get(op.result).shape), [f, row, column] = placeOf(shape, at);
  if (op.name === "correlate2d") {
    const [F, depth, KH, KW] = w.shape, group = Math.floor(f * op.params.groups / F), weightAt = f * depth * KH * KW;
    const first = [row * op.params.stride[0] - op.params.padding[0], column * op.params.stride[1] - op.params.padding[1]];
    const places = covered(x.shape, group * depth, depth, first, [KH, KW], op.params.dilation);
    return weighted([depth, KH, KW], pickFrom(x, places), w, weightAt, b, f, {
      row: first[0], column: first[1], map: group * depth, maps: depth,
      rows: dilated(KH, op.params.dilation[0]), columns: dilated(KW, op.params.dilation[1]),
    });
  }
  if (op.name === "linear" && x.shape.length === 2) {
    return weighted(layoutOf(net, run, op.inputs[0]), x.data, w, f * w.shape[1], b, f, null);
  }
  if (op.name === "maxpool" || op.name === "avgpool") {
    const [KH, KW] = op.params.shape, dilation = op.params.dilation ?? [1, 1];
    const first = [row * op.params.stride[0] - op.params.padding[0], column * op.params.stride[1] - op.params.padding[1]];
    const places = covered(x.shape, f, 1, first, [KH, KW], dilation);
    return {
      shape: [1, KH, KW], under: pickFrom(x, places), places,
      winner: op.name === "maxpool" ? places.indexOf(run.extras[k][at]) : -1,
      frame: { row: first[0], column: first[1], rows: dilated(KH, dilation[0]), columns: dilated(KW, dilation[1]), map: f, maps: 1 },
    };
  }
  return null;
}

function weighted(shape, under, w, weightAt, b, biasAt, frame) {
  const weights = w.data.subarray(weightAt, weightAt + under.length), products = productsOf(under, weights);
  return { shape, under, weights, weightAt, products, biasAt, frame, bias: b ? b.data[biasAt] : null,
    sum: products.reduce((total, v) => total + v, 0) };
}

/** The indices under an overlay, -1 in the border. */
function covered([, , H, W], map, maps, [top, left], [KH, KW], dilation) {
  return Int32Array.from({ length: maps * KH * KW }, (_, k) => {
    const y = top + Math.floor(k / KW) % KH * dilation[0], x = left + k % KW * dilation[1];
    return y >= 0 && y < H && x >= 0 && x < W ? ((map + Math.floor(k / (KH * KW))) * H + y) * W + x : -1;
  });
}

/** How dC/d(number `at` of an array) was made: for each op that read it the `factors` times the `received` gradients. */
function influencesOf(net, run, gradients, name, at) {
  return net.ops.flatMap((op, k) => op.inputs.flatMap((input, i) => {
    const g = gradients.get(op.result);
    if (input !== name || !g || !net.varying.includes(op.result)) return [];
    if (op.name === "reshape") return influencesOf(net, run, gradients, op.result, at);
    const x = run.values.get(name);
    return [{ k, op, sentence: op.sentences[i], ...factorsOf(op, run, k, i, at, x, g) }];
  }));
}

function factorsOf(op, run, k, i, at, x, g) {
  const inputs = op.inputs.map((name) => run.values.get(name));
  const of = (shape, places, factors) => {
    const received = pickFrom(g, places);
    return { shape, places, factors, received, products: productsOf(factors, received) };
  };
  if (op.name === "correlate2d" && i === 0) {
    const { stride, padding, dilation, groups } = op.params, w = inputs[1], [F, depth, KH, KW] = w.shape;
    const [c, y, column] = placeOf(mapsShape(x.shape), at), [, , OH, OW] = g.shape, maps = F / groups;
    const group = Math.floor(c / depth), places = [], factors = [];
    for (let f = group * maps; f < (group + 1) * maps; f++) {
      for (let t = 0; t < KH * KW; t++) {
        const r = (y + padding[0] - Math.floor(t / KW) * dilation[0]) / stride[0];
        const q = (column + padding[1] - t % KW * dilation[1]) / stride[1];
        const stood = Number.isInteger(r) && Number.isInteger(q) && r >= 0 && r < OH && q >= 0 && q < OW;
        places.push(stood ? (f * OH + r) * OW + q : -1);
        factors.push(w.data[(f * depth + c % depth) * KH * KW + t]);
      }
    }
    return of([maps, KH, KW], places, Float32Array.from(factors));
  }
  if (op.name === "linear" && i === 0) {
    const [M, K] = inputs[1].shape;
    return of([M, 1, 1], Array.from({ length: M }, (_, m) => m), Float32Array.from({ length: M }, (_, m) => inputs[1].data[m * K + at]));
  }
  if (op.name === "maxpool" || op.name === "avgpool") {
    const [, all] = overlays(x.shape, { dilation: [1, 1], ...op.params }), taps = op.params.shape[0] * op.params.shape[1];
    const places = [];
    all.forEach((to, t) => { if (to === at) places.push(Math.floor(t / taps)); });
    const factor = (o) => (op.name === "avgpool" ? 1 / taps : run.extras[k][o] === at ? 1 : 0);
    return of([1, 1, places.length], places, Float32Array.from(places, factor));
  }
  if (g.data.length === x.data.length && !["softmax", "log_softmax", "transpose"].includes(op.name)) {
    const slope = run.rules[k][i](tensor(g.shape, zeros(g.shape).fill(1)));
    return of([1, 1, 1], [at], Float32Array.of(slope.data[at]));
  }
  return { shape: null };
}

/** A sum written out: the largest products first, as many as are named, and how many more there are. */
function worked(a, b, most = 4) {
  const order = [...a.keys()].filter((k) => a[k] * b[k] !== 0).sort((i, j) => Math.abs(a[j] * b[j]) - Math.abs(a[i] * b[i]));
  const named = a.length <= most ? [...a.keys()] : order.slice(0, most);
  const text = named.map((k) => `${inBrackets(a[k])}·${inBrackets(b[k])}`).join(" + ") || "0";
  return a.length > named.length ? `${text} + … (${counted(a.length, "product")})` : text;
}
