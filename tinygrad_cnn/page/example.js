// The article's example, step by step: a 3x3 input, a 2x2 overlay, one feature map, forward and backward.

const EXAMPLE_TARGET = [1, 0, 0, 1], EXAMPLE_STEP_SIZE = 1;
const CORNERS = [[0, 0], [0, 1], [1, 0], [1, 1]];
const example = { at: 0, numbers: null, cell: null, timer: 0 };

const GRIDS = {  // in the order of the page: [label, rows, columns, spoken name]
  input: ["a^{L-1}", 3, 3, "input"], w: ["w", 2, 2, "overlay of weights"], b: ["b", 1, 1, "bias"],
  z: ["z", 2, 2, "raw activation"], a: ["a", 2, 2, "activation"], y: ["y", 2, 2, "target"], C: ["C", 1, 1, "cost"],
  da: ["dC/da", 2, 2, "gradient of the activation"], dz: ["dC/dz", 2, 2, "gradient of the raw activation"],
  db: ["dC/db", 1, 1, "bias gradient"], dw: ["dC/dw", 2, 2, "weight gradient"],
  dinput: ["dC/da^{L-1}", 3, 3, "gradient for the previous layer"],
};

/** All numbers of the example, by the engine. */
function computeExample(network) {
  const run = network.run(network.exampleInput), get = (k) => run.values.get(network.ops[k].result).data;
  const a = get(1), error = a.map((v, k) => v - EXAMPLE_TARGET[k]);
  const gradients = network.backward(run, tensor(run.output.shape, error)), [w, b] = network.ops[0].inputs.slice(1);
  return {
    input: network.exampleInput, w: network.state[w].data, b: network.state[b].data, z: get(0), a,
    y: Float32Array.from(EXAMPLE_TARGET), C: [error.reduce((sum, e) => sum + e * e, 0) / 2], da: error,
    dz: gradients.get(network.ops[0].result).data, db: gradients.get(b).data, dw: gradients.get(w).data,
    dinput: gradients.get(network.input).data,
  };
}

/** How one number came about: a line of arithmetic, and the cells of other grids that it was made from. */
function exampleOrigin(grid, k, painted = 4) {
  const n = example.numbers, row = Math.floor(k / 2), column = k % 2;
  const sumOf = (pairs) => pairs.map(([u, v]) => `${inBrackets(u)}·${inBrackets(v)}`).join(" + ");
  const under = CORNERS.map(([i, j]) => (row + i) * 3 + column + j);
  switch (grid) {
    case "z": return [`z = ${sumOf(under.map((u, t) => [n.input[u], n.w[t]]))} ${plusWritten(n.b[0])} = ${written(n.z[k])}`,
      { input: under, w: [0, 1, 2, 3], b: [0] }];
    case "a": return [`a = sigmoid(${written(n.z[k])}) = 1 / (1 + e^−z) = ${written(n.a[k])}`, { z: [k] }];
    case "C": return [`C = ½ (${[...n.a].map((v, t) => `(${written(v)} − ${n.y[t]})²`).join(" + ")}) = ${written(n.C[0])}`,
      { a: [0, 1, 2, 3], y: [0, 1, 2, 3] }];
    case "da": return [`dC/da = a − y = ${written(n.a[k])} − ${n.y[k]} = ${written(n.da[k])}`, { a: [k], y: [k] }];
    case "dz": return [`dC/dz = ${inBrackets(n.da[k])}·${written(n.a[k])}·(1 − ${written(n.a[k])}) = ${written(n.dz[k])}`,
      { da: [k], a: [k] }];
    case "db": return [`dC/db = ${[...n.dz].map(inBrackets).join(" + ")} = ${written(n.db[0])}`, { dz: [0, 1, 2, 3] }];
    case "dw": return [`dC/dw = ${sumOf(under.map((u, t) => [n.input[u], n.dz[t]]))} = ${written(n.dw[k])}`,
      { input: under, dz: [0, 1, 2, 3] }];
    case "dinput": {
      const [y, x] = [Math.floor(k / 3), k % 3];
      const pairs = [0, 1, 2, 3].slice(0, painted).map((t) => [t, y - (t >> 1), x - (t % 2)])
        .filter(([, i, j]) => i >= 0 && i < 2 && j >= 0 && j < 2).map(([t, i, j]) => [t, 2 * i + j]);
      const sum = pairs.reduce((total, [t, u]) => total + n.dz[t] * n.w[u], 0);
      return [`dC/da = ${sumOf(pairs.map(([t, u]) => [n.dz[t], n.w[u]])) || "0"} = ${written(sum)}`,
        { dz: pairs.map(([t]) => t), w: pairs.map(([, u]) => u) }];
    }
    default: return [`${GRIDS[grid][3]}: ${written(n[grid][k])}`, {}];
  }
}

/** The steps: what each shows, the last grid that is known by then, and the cells that are framed. */
function exampleSteps(rules, ops) {
  const [conv, activation] = ops, steps = [{
    title: "An input and an overlay", upTo: "b",
    text: ["The input has 3×3 neurons. The overlay, also called filter, has 2×2 weights; with the bias it is all that this layer learns."],
  }];
  CORNERS.forEach((_, k) => steps.push({
    title: `Lay the overlay on place ${k + 1} of 4`, upTo: "z", count: k + 1, cell: ["z", k], rule: conv.formula,
    text: ["Each weight times the number under it; the products are added, with the bias: one neuron of the feature map."],
  }));
  steps.push({ title: "The activation", upTo: "a", cell: ["a", 0], rule: activation.formula,
    text: ["The sigmoid brings every raw activation between 0 and 1."] });
  steps.push({ title: "The cost", upTo: "C", cell: ["C", 0], rule: rules.quadratic_cost.formula,
    text: ["The cost measures how far the activations are from the target y. Now all numbers are known; the way back begins."] });
  steps.push({ title: "Backward: the activation's gradient", upTo: "da", cell: ["da", 0], rule: rules.quadratic_cost.sentence });
  steps.push({ title: "Through the sigmoid", upTo: "dz", cell: ["dz", 0], rule: activation.sentences[0] });
  steps.push({ title: "The bias gradient", upTo: "db", cell: ["db", 0], rule: conv.sentences[2] });
  CORNERS.forEach((_, k) => steps.push({
    title: `The weight gradient, weight ${k + 1} of 4`, upTo: "dw", count: k + 1, cell: ["dw", k], rule: conv.sentences[1],
  }));
  CORNERS.forEach((_, k) => steps.push({
    title: `The gradient for the previous layer, neuron ${k + 1} of 4`, upTo: "dinput", painted: k + 1, stood: k, rule: conv.sentences[0],
  }));
  steps.push({ title: "A step against the gradient", upTo: "dinput", last: true, rule: "w -= dC/dw * step_size",
    text: ["Every weight moves a little against its gradient, and the bias too."] });
  return steps;
}

function buildExample(network, rules) {
  network.exampleInput = Float32Array.from({ length: 9 }, (_, k) => (k + 1) / 10);
  example.network = network;
  example.numbers = computeExample(network);
  example.steps = exampleSteps(rules, network.ops);
  example.tables = {};
  for (const [name, [label, rows, columns, spoken]] of Object.entries(GRIDS)) {
    const table = element("table", { class: "grid", "aria-label": spoken });
    for (let r = 0; r < rows; r++) {
      table.append(element("tr", {}, Array.from({ length: columns }, (_, c) => element("td", { "data-grid": name,
        "data-at": r * columns + c, tabindex: -1 }))));
    }
    example.tables[name] = table;
    const back = ["da", "dz", "db", "dw", "dinput"].includes(name);
    find(back ? "example-back" : "example-forward").append(
      element("figure", { id: `grid-${name}` }, element("figcaption", {}, ...formulaOf(label)), table));
  }
  find("example-range").max = example.steps.length - 1;
  listenToExample();
  goToStep(0);
}

function listenToExample() {
  find("example-next").addEventListener("click", () => goToStep(example.at + 1));
  find("example-previous").addEventListener("click", () => goToStep(example.at - 1));
  find("example-range").addEventListener("input", ({ target }) => goToStep(Number(target.value)));
  find("example-play").addEventListener("click", () => (example.timer ? stopExample() : playExample()));
  const area = find("example-grids"), cellOf = (event) => event.target.closest?.("td:not(.empty)");
  const point = (event) => { const cell = cellOf(event); if (cell) explainCell(cell); };
  area.addEventListener("pointerover", point);
  area.addEventListener("click", point);
  area.addEventListener("focusin", point);
  area.addEventListener("pointerleave", () => showStep());
  area.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key], cell = arrow && cellOf(event);
    if (!cell) return;
    event.preventDefault();
    const [, rows, columns] = GRIDS[cell.dataset.grid], at = Number(cell.dataset.at);
    const row = Math.floor(at / columns) + arrow[1], column = at % columns + arrow[0];
    const next = row >= 0 && row < rows && column >= 0 && column < columns && cellsOf(cell.dataset.grid)[row * columns + column];
    if (next && !next.classList.contains("empty")) next.focus();
  });
}

function playExample() {
  if (example.at === example.steps.length - 1) goToStep(0);
  example.timer = setInterval(() => (example.at < example.steps.length - 1 ? goToStep(example.at + 1, true) : stopExample()), 1600);
  find("example-play").textContent = "Pause";
}

function stopExample() {
  clearInterval(example.timer);
  example.timer = 0;
  find("example-play").textContent = "Play";
}

const cellsOf = (grid) => [...example.tables[grid].querySelectorAll("td")];

function goToStep(k, playing = false) {
  if (!playing) stopExample();
  example.at = Math.max(0, Math.min(example.steps.length - 1, k));
  showStep();
}

/** The example one gradient step later: the cost then. */
function costAfterStep() {
  const { network, numbers } = example, state = network.state, [w, b] = network.ops[0].inputs.slice(1);
  const moved = { [w]: tensor(state[w].shape, state[w].data.map((v, k) => v - EXAMPLE_STEP_SIZE * numbers.dw[k])),
    [b]: tensor(state[b].shape, state[b].data.map((v, k) => v - EXAMPLE_STEP_SIZE * numbers.db[k])) };
  const other = new Network(network, { ...state, ...moved });
  other.exampleInput = network.exampleInput;
  return { w: moved[w].data, b: moved[b].data, C: computeExample(other).C[0] };
}

function showStep() {
  const step = example.steps[example.at], order = Object.keys(GRIDS), last = order.indexOf(step.upTo);
  order.forEach((name, k) => {
    const part = k < last || (k === last && !step.count) ? Infinity : k === last ? step.count : 0;
    const figure = find(`grid-${name}`), numbers = example.numbers[name], peak = Math.max(...numbers.map(Math.abs));
    figure.classList.toggle("unknown", part === 0);
    cellsOf(name).forEach((cell, at) => {
      const value = name === "dinput" && step.painted ? paintedSum(at, step.painted) : numbers[at];
      const known = at < part, colour = colourOf(known ? value / peak : 0);
      cell.className = known ? "" : "empty";
      cell.textContent = known ? (["input", "w", "b", "y"].includes(name) ? written(value) : value.toFixed(3).replace("-", "−")) : "";
      cell.style.backgroundColor = known ? `rgb(${colour.join(" ")})` : "";
      cell.style.color = known ? (isLight(colour) ? "#000" : "#fff") : "";
      cell.tabIndex = known && at === 0 ? 0 : -1;
    });
  });
  find("example-title").textContent = `${example.at + 1}. ${step.title}`;
  find("example-rule").replaceChildren(...(step.rule ? [ruleOf(step.rule)] : []));
  find("example-text").textContent = step.text?.[0] ?? "";
  find("example-range").value = example.at;
  find("example-range").setAttribute("aria-valuetext", find("example-title").textContent);
  find("example-previous").disabled = example.at === 0;
  find("example-next").disabled = example.at === example.steps.length - 1;
  if (step.last) return showLastStep();
  if (step.cell) return explainCell(cellsOf(step.cell[0])[step.cell[1]]);
  find("example-sum").textContent = step.painted ? `Neuron ${step.stood + 1} paints ${written(example.numbers.dz[step.stood])} · w where its overlay stood; what was painted before is added to.`
    : "Point at a number, or go to it with the tab and arrow keys, to see how it is made.";
  if (step.painted) {
    const [row, column] = CORNERS[step.stood];
    highlight({ dz: [step.stood], w: [0, 1, 2, 3], dinput: CORNERS.map(([i, j]) => (row + i) * 3 + column + j) });
  }
}

function showLastStep() {
  const after = costAfterStep(), { w, dw, C } = example.numbers;
  find("example-sum").textContent = `With a step size of ${EXAMPLE_STEP_SIZE} the first weight becomes ${written(w[0])} − ${inBrackets(dw[0])}·${EXAMPLE_STEP_SIZE} = `
    + `${written(after.w[0])}, and with all of them moved the cost falls from ${C[0].toFixed(4)} to ${after.C.toFixed(4)}.`;
  highlight({ w: [0, 1, 2, 3], dw: [0, 1, 2, 3], b: [0], db: [0] });
}

function paintedSum(at, painted) {
  const { dz, w } = example.numbers, y = Math.floor(at / 3), x = at % 3;
  return CORNERS.slice(0, painted).reduce((sum, [r, c], t) =>
    (y - r >= 0 && y - r < 2 && x - c >= 0 && x - c < 2 ? sum + dz[t] * w[2 * (y - r) + x - c] : sum), 0);
}

function explainCell(cell) {
  const { grid, at } = cell.dataset, [text, from] = exampleOrigin(grid, Number(at), example.steps[example.at].painted);
  find("example-sum").textContent = text;
  highlight(from);
  cell.classList.add("made");
}

function highlight(from) {
  for (const cell of find("example-grids").querySelectorAll(".source, .made")) cell.classList.remove("source", "made");
  for (const [grid, places] of Object.entries(from)) {
    const cells = cellsOf(grid);
    for (const k of places) if (!cells[k].classList.contains("empty")) cells[k].classList.add("source");
  }
}
