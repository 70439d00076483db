// The neuron that is pointed at: the sum that made it, and the sum that its gradient was made of.

/** Explain another neuron, { k, at }: number `at` of the result of op k; null for none. */
function choose(chosen) {
  const before = seen.chosen;
  if (before && chosen && before.k === chosen.k && before.at === chosen.at) return;
  seen.chosen = chosen;
  seen.weight = 0;
  if (before || chosen) {
    const near = (k) => [k, seen.net.ops.findIndex(({ result }) => result === seen.net.ops[k]?.inputs[0])];
    const touched = new Set([before, chosen].filter(Boolean).flatMap(({ k }) => near(k)));
    for (const k of touched) if (k >= -1 && find(`made-${k}`)) showLayer(k);
  }
  showNeuron();
}

function showNeuron() {
  const { chosen, net, run, gradients } = seen;
  find("neuron").classList.toggle("empty", !chosen);
  find("view-network").classList.toggle("explained", chosen !== null);
  if (!chosen) return;
  const { k, at } = chosen, op = net.ops[k], value = run.values.get(resultOf(k)).data[at];
  find("neuron-title").textContent = `${k < 0 ? "Pixel" : titleOf(k)}: ${placeText(k, at)}`;
  find("neuron-formula").replaceChildren(...formulaOf(op?.formula ?? ""));
  const origin = op ? originOf(net, run, k, at) : null;
  showOrigin(origin, op, k, at, value);
  const back = find("neuron-back");
  if (gradients && k >= seen.reached) back.replaceChildren(...backOf(origin, op, k, at));
  else back.replaceChildren(element("p", { class: "quiet" }, gradients ? "The gradient has not come back to it yet." : "Press Backward to see its gradient."));
  for (const canvas of back.querySelectorAll("canvas")) canvas.draw();
}

function placeText(k, at) {
  const shape = mapsShape(seen.run.values.get(resultOf(k)).shape), [map, row, column] = placeOf(shape, at);
  if (shape[1] * shape[2] > 1) return `${shape[0] > 1 ? `map ${map + 1}, ` : ""}row ${row + 1}, column ${column + 1}`;
  return resultOf(k) === seen.net.output ? `the neuron of ${seen.net.class_names[map]}` : `neuron ${map + 1}`;
}

function showOrigin(origin, op, k, at, value) {
  find("neuron-pictures").hidden = !origin;
  find("edit").hidden = !origin?.weights || !seen.net.parameters.includes(op.inputs[1]);
  find("neuron-sum").textContent = originText(origin, op, k, at, value);
  if (!origin) return;
  const columns = squareSide(origin.shape[0]), single = !origin.weights;
  find("neuron-pictures").classList.toggle("single", single);
  const context = mosaic(find("under"), stackOf(origin.shape, origin.under), { columns });
  if (origin.winner >= 0) {
    const [map, row, column] = placeOf(origin.shape, origin.winner);
    frame(context, find("under").sheet, map, { row, column }, -2);
  }
  if (single) return;
  const weights = mosaic(find("weights"), stackOf(origin.shape, origin.weights), { columns });
  mosaic(find("products"), stackOf(origin.shape, origin.products), { columns });
  seen.weight = Math.min(seen.weight, origin.weights.length - 1);
  const [map, row, column] = placeOf(origin.shape, seen.weight);
  frame(weights, find("weights").sheet, map, { row, column }, -1);
  const place = origin.shape[1] * origin.shape[2] === 1 ? [map] : origin.shape[0] === 1 ? [row, column] : [map, row, column];
  find("weight-name").textContent = `w[${place.map((n) => n + 1).join(", ")}]`;
  showNumber(find("weight"), origin.weights[seen.weight]);
  find("bias-line").hidden = origin.bias === null;
  if (origin.bias !== null) showNumber(find("bias"), origin.bias);
}

/** A number in a field, but not while it is typed into. */
function showNumber(field, value) {
  if (document.activeElement !== field) field.value = Number(value.toPrecision(5));
}

function originText(origin, op, k, at, value) {
  const symbol = symbolOf(k);
  if (!op) return `${written(value)}: 0 is paper, 1 is ink.`;
  if (origin?.weights) {
    const bias = origin.bias === null ? "" : ` ${plusWritten(origin.bias)}`;
    return `${symbol} = ${worked(origin.under, origin.weights)}${bias} = ${written(value)}`;
  }
  if (origin) return `${symbol} = the ${op.name === "maxpool" ? "largest" : "mean"} of ${counted(origin.under.length, "number")}: ${written(value)}`;
  const inputs = op.inputs.map((name) => seen.run.values.get(name).data);
  const from = inputs.filter((data) => data.length === seen.run.values.get(op.result).data.length).map((data) => written(data[at]));
  return `${symbol} = ${written(value)}${from.length ? `, from ${from.join(" and ")}` : ""}`;
}

/** The pictures and sentences of a neuron's gradient: where it came from, and what it gives to the weights. */
function backOf(origin, op, k, at) {
  const { net, run, gradients } = seen, g = gradients.get(resultOf(k))?.data[at] ?? 0, symbol = `dC/d${symbolOf(k)}`;
  const parts = [element("h3", {}, "← Backward: ", ...formulaOf(symbol), ` = ${written(g)}`)];
  if (resultOf(k) === net.output) parts.push(...seedOf(at, g));
  for (const { sentence, shape, factors, received, products, op: next, k: at_ } of influencesOf(net, run, gradients, resultOf(k), at)) {
    parts.push(element("p", { class: "quiet" }, `From ${titleOf(at_)}:`), ...(sentence ? [ruleOf(sentence)] : []));
    if (!shape) continue;
    const total = products.reduce((sum, v) => sum + v, 0);
    if (shape[0] * shape[1] * shape[2] > 1) {
      parts.push(tripleOf([[next.inputs.length > 1 ? "w" : "slope", shape, factors], ["× gradient", shape, received], ["= products", shape, products]]));
    }
    parts.push(element("p", { class: "sum" }, `${worked(factors, received)} = ${written(total)}`));
  }
  if (!origin?.weights) return parts;
  const given = origin.under.map((v) => v * g);
  parts.push(element("p", { class: "quiet" }, "What this neuron adds to the weights' gradient:"), ruleOf(op.sentences[1]),
    tripleOf([["under", origin.shape, origin.under], [`× ${written(g)} =`, origin.shape, given]]),
    element("p", { class: "sum" }, `for the chosen weight ${inBrackets(origin.under[seen.weight])}·${inBrackets(g)} = ${written(given[seen.weight])}; all neurons together: `
      + written(gradients.get(op.inputs[1]).data[origin.weightAt + seen.weight])));
  return parts;
}

/** Where the backward pass began: at the cost, or at a score. */
function seedOf(at, g) {
  const { net, run } = seen, label = labelNow(), own = at === label ? 1 : 0;
  if (find("seed").value === "score") return [element("p", { class: "sum" }, at === label ? "C is this score itself." : "C is another score.")];
  const said = net.cost === "cross_entropy" ? probabilitiesOf(run.output)[at] : run.output.data[at];
  return [ruleOf(seen.rules[net.cost].sentence), element("p", { class: "sum" }, `${written(said)} − ${own} = ${written(g)}`)];
}

/** Pictures side by side; they are drawn once they stand in the page. */
function tripleOf(pictures) {
  return element("div", { class: `triple of-${pictures.length}` }, pictures.map(([caption, shape, numbers]) => {
    const canvas = element("canvas", { role: "img", "aria-label": caption });
    canvas.draw = () => mosaic(canvas, stackOf(shape, numbers), { columns: shape[1] * shape[2] === 1 || shape[0] > 1 ? squareSide(shape[0]) : 1 });
    return element("figure", {}, element("figcaption", {}, caption), canvas);
  }));
}

function editNumber(field, name, at) {
  const value = field.valueAsNumber;
  if (!Number.isFinite(value)) return;
  seen.net.state[name].data[at] = value;
  look();
}

function listenToNeuron() {
  const origin = () => originOf(seen.net, seen.run, seen.chosen.k, seen.chosen.at), op = () => seen.net.ops[seen.chosen.k];
  choosable(find("weights"), () => placeOf(find("weights").sheet.stack.shape, seen.weight), (place, pressed) => {
    if (!pressed) return;
    seen.weight = indexOf(find("weights").sheet.stack.shape, place);
    showNeuron();
  });
  find("weight").addEventListener("input", ({ target }) => editNumber(target, op().inputs[1], origin().weightAt + seen.weight));
  find("bias").addEventListener("input", ({ target }) => editNumber(target, op().inputs[2], origin().biasAt));
  find("neuron-close").addEventListener("click", () => choose(null));
  find("view-network").addEventListener("keydown", (event) => { if (event.key === "Escape" && seen.chosen) choose(null); });
}
