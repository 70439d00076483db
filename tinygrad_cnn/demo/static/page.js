// The answer, the layers, and how everything begins.

import { ask, find, latest, state } from "./requests.js";
import { choosable, explain, listenForNeurons, showNeuron } from "./neuron.js";
import { listenToPen, showPaper } from "./pen.js";
import { mosaic, outline, readColours, showStack, stackOf } from "./pictures.js";

const SIDE = 28;

const look = latest(async () => {
  const answer = await ask("look", { strokes: state.strokes });
  const image = stackOf({ shape: [1, SIDE, SIDE], bytes: answer.image }, 255);
  answer.stacks = [image, ...answer.layers.map((layer) => stackOf(layer, 127))];  // what comes in, then each layer's
  if (!state.seen) build(answer);
  state.seen = answer;
  showAnswer();
  showLayers();
  await showPull();
  await showNeuron();
});
const pull = latest(showPull);

const percent = (share) => (100 * share).toFixed(1) + " %";

function showAnswer() {
  const { seen } = state, drawn = state.strokes.length > 0;
  const order = seen.shares.map((share, k) => [share, k]).sort((a, b) => b[0] - a[0]);
  const [first, second] = order.map(([share, digit]) => `${digit === 8 ? "an" : "a"} ${digit} (${percent(share)})`);
  const doubt = order[1][0] > 0.05 ? `, or ${second}` : "";
  find("verdict").textContent = drawn ? `It reads ${first}${doubt}.` : "Nothing drawn yet.";
  find("verdict").dataset.digit = drawn ? order[0][1] : "";
  [...find("bars").children].forEach((button, k) => {
    button.querySelector(".bar").style.width = drawn ? 100 * seen.shares[k] + "%" : "0";
    button.querySelector(".share").textContent = drawn ? percent(seen.shares[k]) : "–";
  });
  mosaic(find("seen"), seen.stacks[0]);
}

async function showPull() {
  const { seen, chosen } = state, text = find("pull-text"), drawn = state.strokes.length > 0;
  if (chosen === null || !drawn) {
    mosaic(find("pull"), { shape: [1, SIDE, SIDE], shares: new Float32Array(SIDE * SIDE) });
    text.textContent = drawn ? "Press a class: which pixels pull it up or down?"
      : "Draw, then press a class: which pixels pull it up or down?";
    return;
  }
  const gradient = stackOf(await ask("pull", { image: seen.image, class: chosen }), 127);
  if (chosen !== state.chosen) return;  // the next answer is on its way
  outline(mosaic(find("pull"), gradient), find("pull").sheet, seen.stacks[0]);
  text.textContent = `More ink on orange would raise the score of ${chosen}, on blue lower it. The line is your drawing.`;
}

function build(answer) {
  answer.shares.forEach((_, digit) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.innerHTML = `<span>${digit}</span><span class="track"><span class="bar"></span></span><span class="share"></span>`;
    button.addEventListener("click", () => choose(state.chosen === digit ? null : digit));
    find("bars").append(button);
  });
  answer.layers.forEach((layer, k) => {
    const title = document.createElement("h3");
    title.textContent = `${k + 1}. ${layer.title}`;
    find("stack").append(title);
    if (layer.kept) addMosaic(k, "kept", `What layer ${k + 1} kept of the maps before it`);
    addMosaic(k, "made", `Layer ${k + 1}, ${layer.title}`);
    if (!layer.overlay) return;
    find("layer").add(new Option(title.textContent, k));
    find(`made-${k}`).className = "live";
    find(`made-${k}`).tabIndex = 0;
    find(`made-${k}`).setAttribute("role", "application");
    choosable(find(`made-${k}`), () => k, (place) => place);
  });
  const layer = answer.layers.findIndex((layer) => layer.overlay);
  const [, rows, columns] = answer.layers[layer].shape;
  Object.assign(state.at, { layer, row: rows >> 1, column: columns >> 1 });
}

function addMosaic(layer, part, label) {
  const figure = document.createElement("figure"), canvas = document.createElement("canvas");
  canvas.id = `${part}-${layer}`;
  canvas.setAttribute("aria-label", label);
  canvas.setAttribute("role", "img");
  figure.append(canvas);
  if (part === "kept") {
    const caption = document.createElement("figcaption");
    caption.textContent = "Kept (full colour) of what came in, and below it what goes on:";
    figure.append(caption);
  }
  find("stack").append(figure);
}

function showLayers() {
  const { seen } = state;
  seen.layers.forEach((layer, k) => {
    showStack(find(`made-${k}`), seen.stacks[k + 1]);
    if (layer.kept) showStack(find(`kept-${k}`), seen.stacks[k], seen.stacks[k + 1].kept);
  });
}

function choose(digit) {
  state.chosen = digit;
  [...find("bars").children].forEach((button, k) => button.setAttribute("aria-pressed", String(k === digit)));
  pull();
}

function restyle() {
  readColours();
  showPaper();
  if (!state.seen) return;
  showAnswer();
  showLayers();
  pull();
  explain();
}

readColours();
showPaper();
look();
listenToPen(look);
listenForNeurons();
window.addEventListener("resize", restyle);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle);
