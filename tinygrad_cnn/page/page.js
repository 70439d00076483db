// The page's three views, and its beginning.

const VIEWS = ["example", "network", "training"];
const content = JSON.parse(find("content").textContent);
const FIRST_DRAWING = [[[0.28, 0.22], [0.38, 0.12], [0.52, 0.1], [0.64, 0.17], [0.67, 0.3], [0.6, 0.42], [0.45, 0.48], [0.6, 0.53],
  [0.71, 0.64], [0.7, 0.78], [0.58, 0.89], [0.42, 0.9], [0.28, 0.81]]];

const networkOf = (program) => new Network(program, arraysOf(program.shapes, program.weights));
window.network = networkOf(content.network);

function openView(name, focus = true) {
  for (const view of VIEWS) {
    const tab = find(`tab-${view}`), open = view === name;
    find(`view-${view}`).hidden = !open;
    tab.setAttribute("aria-selected", String(open));
    tab.tabIndex = open ? 0 : -1;
    if (open && focus) tab.focus();
  }
  stopExample();
  stopBack();
  redrawView();
}

/** Draw the pictures of the view that is open anew: after it was opened, resized, or the colours changed. */
function redrawView() {
  readColours();
  if (!find("view-example").hidden) showStep();
  if (!find("view-training").hidden) showTraining();
  if (find("view-network").hidden) return;
  showPaper();
  showAnswer();
  showLayers();
  showNeuron();
}

function listenToTabs() {
  for (const view of VIEWS) {
    find(`tab-${view}`).addEventListener("click", () => openView(view));
  }
  find("tabs").addEventListener("keydown", ({ key }) => {
    const at = VIEWS.findIndex((view) => find(`tab-${view}`).tabIndex === 0);
    const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: VIEWS.length - 1 }[key];
    if (next !== undefined) openView(VIEWS[(next + VIEWS.length) % VIEWS.length]);
  });
}

function waitForFrame(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; work(); });
  };
}

readColours();
seen.rules = content.rules;
pen.strokes = FIRST_DRAWING;
find("tab-network").textContent = content.network.title.length <= 10 ? `Network ${content.network.title}` : "Whole network";
find("train-about").textContent = `A network of ${counted(content.small.parameters.reduce((sum, name) => sum + sizeOf(content.small.shapes[name]), 0), "number")} `
  + "learns to read 8×8 digits here, from 1,437 that come with the page. Its weights begin at random; every batch is one step, w -= dC/dw · step_size.";
listenToTabs();
listenToPen(waitForFrame(look), () => seen.net.image_shape);
listenToNetwork();
listenToNeuron();
buildExample(networkOf(content.example), content.rules);
buildTraining(content);
useNetwork(window.network);
openView(VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "example", false);
window.addEventListener("resize", waitForFrame(redrawView));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawView);
