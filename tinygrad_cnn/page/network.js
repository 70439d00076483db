// A whole network: every layer's maps, the backward pass layer by layer, training steps, and edited weights.

const MOVEMENTS = ["reshape", "astype", "transpose", "broadcast_to", "getitem", "pad", "concatenate"];
const TITLES = { correlate2d: "Convolution", convolve2d_full: "Transposed convolution", linear: "Fully connected",
  matmul: "Matrix product", maxpool: "Max pooling", avgpool: "Mean pooling", relu: "ReLU", gelu: "GELU", leaky_relu: "Leaky ReLU" };
const BACK_MILLISECONDS = 650, MAX_BARS = 12;
const seen = { net: null, first: null, image: null, run: null, label: null, gradients: null, reached: 0, chosen: null,
  weight: 0, moved: null, timer: 0, rules: {} };

const resultOf = (k) => (k < 0 ? seen.net.input : seen.net.ops[k].result);
const symbolOf = (k) => (k < 0 ? "a" : seen.net.ops[k].formula.match(/^(\w+) = /)?.[1] ?? "y");
const stackOfValue = (values, k) => stackOf(mapsShape(values.get(resultOf(k)).shape), values.get(resultOf(k)).data);
const shownOps = () => seen.net.ops.map((_, k) => k).filter((k) => seen.net.varying.includes(seen.net.ops[k].result));
const isMovement = (k) => k >= 0 && MOVEMENTS.includes(seen.net.ops[k].name);

/** The words for an op: of batch normalisation in evaluation the two steps that depend on the image. */
function titleOf(k) {
  const { net } = seen, op = net.ops[k], [x, w] = op.inputs.map((name) => seen.run.values.get(name).shape);
  const fromStatistics = (name) => name.endsWith("running_var") ||
    (net.ops.find(({ result }) => result === name)?.inputs ?? []).some((input) => !net.varying.includes(input) && fromStatistics(input));
  if (["multiply", "add"].includes(op.name) && op.inputs.some((name) => !net.varying.includes(name) && fromStatistics(name))) {
    return `Batch norm, ${op.name === "multiply" ? "scaled" : "shifted"}`;
  }
  const overlay = /^co/.test(op.name) && w?.length === 4 ? w.slice(2) : op.params.shape;
  const word = TITLES[op.name] ?? op.name[0].toUpperCase() + op.name.slice(1).replaceAll("_", " ");
  return overlay && x ? `${word} ${overlay.join("×")}` : word;
}

function sizeText(k) {
  const [count, rows, wide] = mapsShape(seen.run.values.get(resultOf(k)).shape);
  return rows * wide === 1 ? counted(count, "neuron") : `${counted(count, "map")} of ${rows}×${wide}`;
}

/** Show another network, or this one anew: its layers' panels, its labels. */
function useNetwork(net) {
  if (seen.net && seen.net.image_shape.join() !== net.image_shape.join() && pen.picture) pen.picture = null;
  Object.assign(seen, { net, label: null, gradients: null, chosen: null, moved: null, run: null });
  net.firstState ??= Object.fromEntries(net.parameters.map((name) => [name, net.state[name].data.slice()]));
  const option = [...find("which").options].find(({ text }) => text === net.title);
  if (!option) find("which").append(element("option", {}, net.title));
  (option ?? find("which").lastElementChild).network = net;
  find("which").value = net.title;
  find("which-line").hidden = find("which").options.length < 2;
  find("label").replaceChildren(...net.class_names.map((name, k) => element("option", { value: k }, name)));
  seen.image = imageOnPaper(net.image_shape);
  seen.run = net.run(seen.image);
  buildLayers();
  choose(null);
  look();
}

function buildLayers() {
  let number = 0;
  find("layers").replaceChildren(panelOf(-1, "The image"), ...shownOps().map((k) =>
    (isMovement(k) ? element("p", { class: "movement quiet" }, `${seen.net.ops[k].name}: ${seen.net.ops[k].formula}, `
      + seen.net.ops[k].shape.slice(1).join("×")) : panelOf(k, `${++number} ${titleOf(k)}`))));
}

function panelOf(k, title) {
  const op = seen.net.ops[k], symbol = symbolOf(k), heading = element("h3", {}, title, " ", element("span", { class: "quiet" }, sizeText(k)));
  const canvas = element("canvas", { id: `made-${k}`, tabindex: 0, role: "application",
    "aria-label": `${title}, ${sizeText(k)}; arrow keys choose a neuron` });
  choosable(canvas, () => (seen.chosen?.k === k ? placeOf(canvas.sheet.stack.shape, seen.chosen.at) : null),
    (place, pressed) => choose({ k, at: indexOf(canvas.sheet.stack.shape, place) }, pressed));
  const picture = (name, caption, label) => element("figure", { id: `${name}-${k}-figure` },
    element("figcaption", { id: `${name}-${k}-text` }, ...formulaOf(caption)), element("canvas", { id: `${name}-${k}`, role: "img", "aria-label": label }));
  const forward = element("div", { class: "pictures" }, element("figure", { class: "wide" }, element("figcaption", {}, symbol), canvas));
  const back = element("div", { class: "back", id: `back-${k}`, hidden: "" },
    element("div", { class: "pictures" }, element("figure", { class: "wide" }, element("figcaption", {}, ...formulaOf(`dC/d${symbol}`)),
      element("canvas", { id: `gradient-${k}`, role: "img", "aria-label": `Gradient of ${title}` }))));
  if (weightsOf(k)) {
    forward.append(picture("filter", "w", `Weights of ${title}`));
    back.firstChild.append(picture("dw", "dC/dw", `Weight gradient of ${title}`));
    back.firstChild.append(picture("moved", "w moved by", `Last change of the weights of ${title}`));
  }
  if (op?.name === "maxpool") {
    forward.append(element("figure", { class: "wide" }, element("figcaption", {}, "In full colour: the neurons that pass their activation on"),
      element("canvas", { id: `kept-${k}`, role: "img", "aria-label": "What max pooling passes on" })));
  }
  const rules = (op?.sentences ?? []).flatMap((sentence, i) => (sentence && seen.run.values.has(op.inputs[i])
    && !seen.net.constants.includes(op.inputs[i]) ? [ruleOf(sentence)] : []));
  back.append(...rules);
  return element("article", { class: "card layer", id: `layer-${k}` }, heading,
    ...(op ? [element("p", { class: "formula" }, ...formulaOf(op.formula))] : []), forward, back);
}

/** The name of an op's weights, if it has any that can be pictured. */
function weightsOf(k) {
  const op = seen.net.ops[k];
  return op && ["correlate2d", "linear"].includes(op.name) && seen.net.parameters.includes(op.inputs[1]) ? op.inputs[1] : null;
}

/** Weights, or what has their shape, as maps: all filters where one map comes in, else those of one map or neuron. */
function weightStack(k, data) {
  const op = seen.net.ops[k], { shape } = seen.net.state[op.inputs[1]];
  if (op.name === "correlate2d" && shape[1] === 1) return [stackOf([shape[0], ...shape.slice(2)], data), ""];
  const result = seen.run.values.get(op.result), at = seen.chosen?.k === k ? seen.chosen.at : indexOfLargest(result.data);
  const [f] = placeOf(mapsShape(result.shape), at);
  const size = sizeOf(shape.slice(1)), part = data.subarray(f * size, (f + 1) * size);
  const layout = op.name === "linear" ? layoutOf(seen.net, seen.run, op.inputs[0]) : shape.slice(1);
  return [stackOf(layout, part), ` of ${op.name === "linear" ? "neuron" : "map"} ${f + 1}`];
}

/** Run the network on what is on the paper, and show everything anew. */
function look() {
  const { net } = seen;
  seen.image = imageOnPaper(net.image_shape);
  seen.run = net.run(seen.image);
  if (seen.gradients) computeGradients();
  showAnswer();
  showLayers();
  showNeuron();
}

const labelNow = () => seen.label ?? indexOfLargest(seen.run.output.data);

/** The gradients of every array, from the cost or from the score of the label. */
function computeGradients() {
  const { net, run } = seen, label = labelNow(), rule = COSTS[net.cost](run.output, [label])[1];
  seen.gradients = find("seed").value === "cost" ? net.backward(run, rule()) : scoreGradients(label);
}

/** d(score)/d(every array), by name. */
function scoreGradients(label) {
  const { net, run } = seen, g = zeros(run.output.shape);
  g[label] = 1;
  return net.backward(run, tensor(run.output.shape, g));
}

const costNow = () => COSTS[seen.net.cost](seen.run.output, [labelNow()])[0];

function probabilitiesOf({ data, shape }) {
  if (seen.net.cost === "cross_entropy") return logSoftmax(tensor(shape, data), 1).map(Math.exp);
  const sum = data.reduce((total, a) => total + a, 0);
  return data.map((a) => (sum > 0 ? a / sum : 1 / data.length));
}

function showAnswer() {
  const { net, run, image } = seen, probabilities = probabilitiesOf(run.output), label = labelNow(), best = indexOfLargest(probabilities);
  const empty = paperIsEmpty(), verdict = find("verdict");
  verdict.textContent = empty ? "Nothing is drawn yet." : `It reads ${net.class_names[best]}, with ${(100 * probabilities[best]).toFixed(1)}\u00a0%.`;
  if (empty) verdict.removeAttribute("data-class");
  else verdict.dataset.class = best;
  const order = [...net.class_names.keys()];
  const classes = order.length <= MAX_BARS ? order : order.sort((i, j) => probabilities[j] - probabilities[i]).slice(0, MAX_BARS);
  const bars = find("bars");
  if (bars.children.length !== classes.length) bars.replaceChildren(...classes.map(() => element("button", { type: "button",
    click: ({ currentTarget }) => setLabel(Number(currentTarget.dataset.class)) }, element("span", { class: "name" }), element("span", { class: "bar" }), element("span", { class: "share" }))));
  classes.forEach((k, i) => {
    const button = bars.children[i], [name, bar, share] = button.children;
    button.dataset.class = k;
    button.setAttribute("aria-pressed", String(k === seen.label));
    name.textContent = net.class_names[k];
    bar.style.setProperty("--part", probabilities[k]);
    bar.classList.toggle("best", k === best && !empty);
    share.textContent = `${(100 * probabilities[k]).toFixed(1)} %`;
  });
  find("label").value = label;
  const stack = stackOf(net.image_shape, image), room = { columns: squareSide(net.image_shape[0]) };
  mosaic(find("seen"), stack, room);
  find("seen-text").textContent = `Seen: ${net.image_shape.slice(1).join("×")}`;
  const context = mosaic(find("pull"), stackOf(net.image_shape, scoreGradients(label).get(net.input).data), room);
  if (net.image_shape[0] === 1) outline(context, find("pull").sheet, stack);
  find("pull-text").textContent = `Pulls ${net.class_names[label]} up or down`;
}

function setLabel(k) {
  seen.label = seen.label === k ? null : k;
  if (seen.gradients) computeGradients();
  showAnswer();
  showLayers();
  showNeuron();
}

function showLayers() {
  for (const k of [-1, ...shownOps()]) if (!isMovement(k)) showLayer(k);
  find("restore").disabled = !seen.net.parameters.some((name) => seen.net.state[name].data.some((v, k) => v !== seen.net.firstState[name][k]));
  const backwardShown = seen.gradients !== null;
  find("forward").disabled = !backwardShown;
  find("one-back").disabled = backwardShown && seen.reached < 0;
}

function showLayer(k) {
  const { run, gradients, chosen, reached, moved, net } = seen, values = run.values;
  const mark = (context, canvas) => {
    if (chosen?.k !== k) return;
    const [map, row, column] = placeOf(canvas.sheet.stack.shape, chosen.at);
    frame(context, canvas.sheet, map, { row, column });
  };
  const made = find(`made-${k}`);
  mark(showStack(made, stackOfValue(values, k)), made);
  const overlay = chosen && chosen.k !== k && originOf(net, run, chosen.k, chosen.at)?.frame;
  if (overlay && net.ops[chosen.k].inputs[0] === resultOf(k)) {
    for (let map = overlay.map; map < overlay.map + overlay.maps; map++) frame(made.getContext("2d"), made.sheet, map, overlay, 0);
  }
  const weights = weightsOf(k), shown = gradients !== null && k >= reached;
  if (weights) {
    const [stack, of] = weightStack(k, net.state[weights].data);
    showStack(find(`filter-${k}`), stack);
    find(`filter-${k}-text`).textContent = `w${of}`;
  }
  const pool = net.ops[k]?.name === "maxpool" ? net.ops[k] : null;
  if (pool) {
    const x = values.get(pool.inputs[0]), winners = new Uint8Array(x.data.length);
    for (const at of run.extras[k]) winners[at] = 1;
    showStack(find(`kept-${k}`), stackOf(mapsShape(x.shape), x.data), winners);
  }
  find(`back-${k}`).hidden = !shown;
  find(`layer-${k}`).classList.toggle("reached", shown);
  if (!shown) return;
  const canvas = find(`gradient-${k}`);
  mark(showStack(canvas, stackOfValue(gradients, k)), canvas);
  if (!weights) return;
  showStack(find(`dw-${k}`), weightStack(k, gradients.get(weights).data)[0]);
  find(`moved-${k}-figure`).hidden = !moved;
  if (moved) showStack(find(`moved-${k}`), weightStack(k, moved[weights])[0]);
}

/** Let the gradient come back: all the way, a layer at a time, or by one layer. */
function goBack(all) {
  stopBack();
  const order = [...shownOps().filter((k) => !isMovement(k)).reverse(), -1];
  if (!seen.gradients || (all && seen.reached < 0)) {
    performance.mark("back");
    computeGradients();
    performance.measure("backward", "back");
    seen.reached = Infinity;
  }
  const next = () => {
    seen.reached = order.find((k) => k < seen.reached) ?? -1;
    showLayers();
    showNeuron();
    tellBack();
    if (!calm.matches) find(`layer-${seen.reached}`).scrollIntoView({ behavior: "smooth", block: "nearest" });
    if (all && seen.reached >= 0) seen.timer = setTimeout(next, BACK_MILLISECONDS);
  };
  if (all && calm.matches) seen.reached = 0;
  next();
}

function stopBack() {
  clearTimeout(seen.timer);
}

function tellBack() {
  const { net, rules, reached } = seen, label = net.class_names[labelNow()], rule = rules[net.cost];
  const start = find("seed").value === "cost" ? `C = ${written(costNow())} if this is ${label}` : `C is the score of ${label}`;
  const where = reached < 0 ? "The gradient has reached the image." : `The gradient has reached ${titleOf(reached)}.`;
  find("commands-text").replaceChildren(`${start}. ${where} `, ...(find("seed").value === "cost" ? [ruleOf(rule.sentence)] : []));
}

function forwardOnly() {
  stopBack();
  seen.gradients = seen.moved = null;
  find("commands-text").textContent = "";
  showLayers();
  showNeuron();
}

/** One step of gradient descent on what is on the paper. */
function takeStep() {
  stopBack();
  const { net } = seen, label = labelNow(), before = Object.fromEntries(net.parameters.map((name) => [name, net.state[name].data.slice()]));
  seen.label ??= label;
  const cost = net.step(seen.image, [label], Number(find("step-size").value) || 0);
  seen.moved = Object.fromEntries(net.parameters.map((name) => [name, net.state[name].data.map((v, k) => v - before[name][k])]));
  find("seed").value = "cost";
  seen.run = net.run(seen.image);
  computeGradients();
  seen.reached = -1;
  look();
  const largest = Math.max(...Object.values(seen.moved).map((data) => data.reduce((most, v) => Math.max(most, Math.abs(v)), 0)));
  find("commands-text").textContent = `w -= dC/dw · ${find("step-size").value}: the cost of ${net.class_names[label]} went from ${written(cost)} to `
    + `${written(costNow())}; the largest change of a weight is ${written(largest)}.`;
}

function restoreWeights() {
  for (const name of seen.net.parameters) seen.net.state[name].data.set(seen.net.firstState[name]);
  seen.moved = null;
  find("commands-text").textContent = "All weights are as they were.";
  look();
}

function listenToNetwork() {
  find("backward").addEventListener("click", () => goBack(true));
  find("one-back").addEventListener("click", () => goBack(false));
  find("forward").addEventListener("click", forwardOnly);
  find("step").addEventListener("click", takeStep);
  find("restore").addEventListener("click", restoreWeights);
  find("label").addEventListener("change", ({ target }) => { seen.label = null; setLabel(Number(target.value)); });
  find("seed").addEventListener("change", () => { if (seen.gradients) { look(); tellBack(); } });
  find("which").addEventListener("change", ({ target }) => useNetwork(target.selectedOptions[0].network));
}
