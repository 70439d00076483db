// A small network that is trained in the page, on the digits that come with it.

const WORK_MILLISECONDS = 30;  // of training between two pictures
const TEST_EVERY_STEPS = 36, SAMPLE_COUNT = 40;
const lesson = { network: null, running: false, costs: [], accuracies: [], steps: 0, seconds: 0, order: [], next: 0 };

/** The digits as images in [0, 1]: { images, labels, count } for training and test. */
function digitsOf({ pixels, labels, train_count: count, full_scale: full }, size) {
  const bytes = bytesOf(pixels), classes = bytesOf(labels);
  const part = (from, to) => ({ images: Float32Array.from(bytes.subarray(from * size, to * size), (v) => v / full),
    labels: classes.slice(from, to), count: to - from });
  return { train: part(0, count), test: part(count, classes.length) };
}

/** New parameters, uniform in ±√(3/fan_in): so the numbers neither grow nor shrink from layer to layer. */
function initialised({ shapes, ops, parameters }) {
  const fanIn = {};
  for (const op of ops) {
    const [w, b] = op.inputs.slice(1);
    if (parameters.includes(w)) fanIn[w] = sizeOf(shapes[w].slice(1));
    if (parameters.includes(b)) fanIn[b] = fanIn[w];
  }
  return Object.fromEntries(parameters.map((name) => {
    const bound = Math.sqrt(3 / fanIn[name]);
    return [name, tensor(shapes[name], zeros(shapes[name]).map(() => bound * (2 * Math.random() - 1)))];
  }));
}

function buildTraining({ small, digits }) {
  lesson.program = small;
  lesson.data = digitsOf(digits, sizeOf(small.image_shape));
  resetTraining();
  find("train-start").addEventListener("click", () => (lesson.running ? pauseTraining() : startTraining()));
  find("train-reset").addEventListener("click", () => { pauseTraining(); resetTraining(); showTraining(); });
  find("train-use").addEventListener("click", () => {
    pauseTraining();
    useNetwork(lesson.network);
    openView("network");
  });
}

function resetTraining() {
  lesson.network = new Network(lesson.program, initialised(lesson.program));
  Object.assign(lesson, { costs: [], steps: 0, seconds: 0, order: [], next: 0, reached: null });
  lesson.accuracies = [[0, testAccuracy()]];
}

function startTraining() {
  lesson.running = true;
  find("train-start").textContent = "Pause";
  setTimeout(trainForAWhile);
}

function pauseTraining() {
  lesson.running = false;
  find("train-start").textContent = lesson.steps ? "Go on" : "Train";
}

function trainForAWhile() {
  if (!lesson.running) return;
  const begin = performance.now();
  while (performance.now() - begin < WORK_MILLISECONDS) trainStep();
  lesson.seconds += (performance.now() - begin) / 1000;
  if (!find("view-training").hidden) showTraining();
  setTimeout(trainForAWhile);
}

function trainStep() {
  const size = sizeOf(lesson.program.image_shape), { train } = lesson.data, batch = Number(find("train-batch").value);
  const images = new Float32Array(batch * size), labels = new Uint8Array(batch);
  for (let k = 0; k < batch; k++) {
    if (lesson.next === lesson.order.length) {
      lesson.order = shuffled(train.count);
      lesson.next = 0;
    }
    const at = lesson.order[lesson.next++];
    images.set(train.images.subarray(at * size, (at + 1) * size), k * size);
    labels[k] = train.labels[at];
  }
  const cost = lesson.network.step(images, labels, Number(find("train-rate").value) || 0), last = lesson.costs.at(-1) ?? cost;
  lesson.costs.push(0.9 * last + 0.1 * cost);
  if (++lesson.steps % TEST_EVERY_STEPS) return;
  lesson.accuracies.push([lesson.steps, testAccuracy()]);
  if (lesson.accuracies.at(-1)[1] >= 0.95) lesson.reached ??= lesson.seconds;
}

function shuffled(count) {
  const order = Uint16Array.from({ length: count }, (_, k) => k);
  for (let k = count - 1; k > 0; k--) {
    const other = Math.floor(Math.random() * (k + 1));
    [order[k], order[other]] = [order[other], order[k]];
  }
  return order;
}

/** The part of the test images that is read rightly; the answers are stored for the pictures. */
function testAccuracy() {
  const { test } = lesson.data, { data, shape: [, K] } = lesson.network.run(test.images, test.count).output;
  lesson.answers = test.labels.map((_, n) => indexOfLargest(data.subarray(n * K, (n + 1) * K)));
  return lesson.answers.reduce((right, answer, n) => right + (answer === test.labels[n]), 0) / test.count;
}

const indexOfLargest = (numbers) => numbers.reduce((best, v, k) => (v > numbers[best] ? k : best), 0);

function showTraining() {
  const { steps, seconds, data, costs, accuracies, reached, network } = lesson, accuracy = accuracies.at(-1)[1];
  const epoch = steps * Number(find("train-batch").value) / data.train.count;
  find("train-accuracy").textContent = `${(100 * accuracy).toFixed(1)} %`;
  find("train-status").textContent = `of ${data.test.count} test digits are read rightly`
    + (steps ? `, after ${counted(steps, "step")} (${epoch.toFixed(1)} epochs) in ${seconds.toFixed(1)} s.` : ": the weights are random.")
    + (reached ? ` 95 % after ${reached.toFixed(1)} s.` : "");
  find("train-status").dataset.accuracy = accuracy;
  showCurve(find("train-cost"), costs.map((c, k) => [k + 1, c]), [0, Math.max(2.5, ...costs.slice(0, 50))], "plus", (v) => v.toFixed(1));
  showCurve(find("train-curve"), accuracies, [0, 1], "minus", (v) => `${Math.round(100 * v)} %`);
  const convs = network.ops.filter(({ name }) => name === "correlate2d"), [, F] = [0, network.state[convs[0].inputs[1]].shape[0]];
  const [, , KH, KW] = network.state[convs[0].inputs[1]].shape;
  mosaic(find("train-filters"), stackOf([F, KH, KW], network.state[convs[0].inputs[1]].data), { columns: 8, most: 12 });
  const second = network.state[convs[1].inputs[1]];
  mosaic(find("train-filters-2"), stackOf([second.shape[1] * 8, KH, KW], second.data.subarray(0, second.shape[1] * 8 * KH * KW)), { columns: 16, most: 6 });
  showSamples();
}

/** The first test digits; those that are read wrongly are framed, with the answer. */
function showSamples() {
  const { data: { test }, program, answers } = lesson, [, H, W] = program.image_shape, canvas = find("train-samples");
  const columns = canvas.parentElement.clientWidth > 420 ? 10 : 8;
  const context = mosaic(canvas, stackOf([SAMPLE_COUNT, H, W], test.images.subarray(0, SAMPLE_COUNT * H * W)), { columns, most: 5 });
  let wrong = 0;
  for (let n = 0; n < SAMPLE_COUNT; n++) {
    if (answers[n] === test.labels[n]) continue;
    wrong++;
    const [x, y] = cornerOf(canvas.sheet, n, 0, 0), { cell } = canvas.sheet;
    context.strokeStyle = css("mark");
    context.lineWidth = 2;
    context.strokeRect(x + 1, y + 1, W * cell - 2, H * cell - 2);
    context.fillStyle = css("mark");
    context.fillRect(x, y, 14, 15);
    context.fillStyle = css("zero");
    context.font = "bold 13px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(String(answers[n]), x + 7, y + 8);
  }
  find("train-samples-text").textContent = `The first ${SAMPLE_COUNT} test digits; ${wrong ? `${wrong} framed with the wrong answer` : "all are read rightly"}.`;
}

/** A curve of points [step, value] with its axes. */
function showCurve(canvas, points, [low, high], colour, label) {
  const wide = canvas.parentElement.clientWidth - 2, tall = 150, context = freshContext(canvas, wide, tall);
  const [left, bottom] = [46, tall - 22], steps = Math.max(50, points.at(-1)?.[0] ?? 0);
  const place = ([step, value]) => [left + step / steps * (wide - left - 8), bottom - (value - low) / (high - low) * (bottom - 10)];
  const style = getComputedStyle(document.documentElement);
  context.font = "13px system-ui, sans-serif";
  context.fillStyle = style.getPropertyValue("--quiet");
  context.strokeStyle = style.getPropertyValue("--line");
  context.textBaseline = "middle";
  context.textAlign = "right";
  context.lineWidth = 1;
  for (const part of [0, 0.5, 1]) {
    const value = low + part * (high - low), [, y] = place([0, value]);
    context.fillText(label(value), left - 6, y);
    context.beginPath();
    context.moveTo(left, y);
    context.lineTo(wide, y);
    context.stroke();
  }
  context.fillText(`${steps.toLocaleString("en")} steps`, wide - 4, tall - 8);
  context.strokeStyle = css(colour);
  context.lineWidth = 2;
  context.beginPath();
  const skip = Math.max(1, Math.floor(points.length / wide));
  points.forEach((point, k) => { if (k % skip === 0 || k === points.length - 1) context.lineTo(...place(point)); });
  context.stroke();
}
