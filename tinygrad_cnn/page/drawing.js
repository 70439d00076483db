// Drawing with a pointer or with keys, and pictures that are dropped on the paper.

const MAX_POINTS = 4000, SPACING = 0.006, PEN_STEP = 0.025;  // lengths are parts of the paper's side
const pen = { strokes: [], x: 0.5, y: 0.25, down: false, byKeys: false, picture: null, changed: null };
const pressedKeys = new Set();
const rounded = (n) => Math.round(1000 * n) / 1000;

function showPaper() {
  const paper = find("paper"), side = paper.clientWidth;
  if (!side) return;
  const context = freshContext(paper, side, side);
  paper.removeAttribute("style");  // its size is the style sheet's
  if (pen.picture) return showPicture(context, side);
  context.strokeStyle = context.fillStyle = css("ink");
  context.lineWidth = 0.065 * side;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of pen.strokes) {
    context.beginPath();
    stroke.forEach(([x, y], k) => (k ? context.lineTo(x * side, y * side) : context.moveTo(x * side, y * side)));
    if (stroke.length === 1) context.lineTo(stroke[0][0] * side + 0.01, stroke[0][1] * side);
    context.stroke();
  }
  if (!pen.byKeys) return;
  context.strokeStyle = css("mark");
  context.lineWidth = pen.down ? 4 : 2;
  context.beginPath();
  context.arc(pen.x * side, pen.y * side, 0.045 * side, 0, 2 * Math.PI);
  context.stroke();
}

function showPicture(context, side) {
  const { width, height } = pen.picture.bitmap, scale = side / Math.max(width, height);
  const [w, h] = [width * scale, height * scale];
  context.drawImage(pen.picture.bitmap, (side - w) / 2, (side - h) / 2, w, h);
}

/** What lies on the paper as an image (C, H, W), and whether there is anything. */
function imageOnPaper(shape) {
  if (pen.picture) return pen.picture.image;
  return imageOfStrokes(pen.strokes, shape);
}

const paperIsEmpty = () => !pen.picture && !pen.strokes.length;

function redrawPaper() {
  showPaper();
  pen.changed();
}

function beginStroke(x, y) {
  pen.picture = null;
  pen.strokes.push([[rounded(x), rounded(y)]]);
  redrawPaper();
}

function extendStroke(x, y) {
  if (!pen.strokes.length) return beginStroke(x, y);  // cleared while the pen was down
  const stroke = pen.strokes.at(-1), [lastX, lastY] = stroke.at(-1);
  if (Math.hypot(x - lastX, y - lastY) < SPACING) return;
  if (pen.strokes.flat().length >= MAX_POINTS) {
    find("pen").textContent = "The paper is full: clear it to go on.";
    return;
  }
  stroke.push([rounded(x), rounded(y)]);
  redrawPaper();
}

function pointOf(event) {
  const box = find("paper").getBoundingClientRect(), within = (n) => Math.max(0, Math.min(1, n));
  return [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
}

function clearPaper() {
  Object.assign(pen, { strokes: [], picture: null, down: false, x: 0.5, y: 0.25 });
  find("pen").textContent = "";
  redrawPaper();
}

function undoStroke() {
  if (pen.picture) pen.picture = null;
  else pen.strokes.pop();
  pen.down = false;
  redrawPaper();
}

function penKey(event) {
  const known = event.key in ARROWS || [" ", "Delete", "Backspace"].includes(event.key);
  if (!known || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  pen.byKeys = true;
  if (event.key === "Delete") return clearPaper();
  if (event.key === "Backspace") return undoStroke();
  if (event.key === " ") {
    if (event.repeat) return;
    pen.down = !pen.down;
    find("pen").textContent = pen.down ? "Pen down." : "Pen up.";
    return pen.down ? beginStroke(pen.x, pen.y) : showPaper();
  }
  pressedKeys.add(event.key);
  const step = (axis) => [...pressedKeys].reduce((sum, key) => sum + PEN_STEP * ARROWS[key][axis], 0);
  pen.x = rounded(Math.max(0, Math.min(1, pen.x + step(0))));
  pen.y = rounded(Math.max(0, Math.min(1, pen.y + step(1))));
  if (pen.down) extendStroke(pen.x, pen.y);
  showPaper();
}

async function takePicture(file, shape) {
  try {
    const image = await imageOfFile(file, shape);
    pen.picture = { bitmap: await createImageBitmap(file), image, file };
    pen.strokes = [];
    find("pen").textContent = "";
    redrawPaper();
  } catch {
    find("pen").textContent = `${file.name}: this browser reads no picture from it.`;
  }
}

/** Start drawing; `changed` is called after every change, `shape` returns the image shape. */
function listenToPen(changed, shape) {
  const paper = find("paper"), area = find("view-network");
  pen.changed = changed;
  let drawing = null;  // the pointer that draws
  paper.addEventListener("pointerdown", (event) => {
    if (drawing !== null || event.button !== 0) return;
    drawing = event.pointerId;
    paper.setPointerCapture(drawing);
    Object.assign(pen, { down: false, byKeys: false });
    beginStroke(...pointOf(event));
  });
  paper.addEventListener("pointermove", (event) => {
    if (event.pointerId === drawing) event.getCoalescedEvents().concat(event).forEach((e) => extendStroke(...pointOf(e)));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    paper.addEventListener(end, (event) => { if (event.pointerId === drawing) drawing = null; });
  }
  paper.addEventListener("keydown", penKey);
  paper.addEventListener("keyup", (event) => pressedKeys.delete(event.key));
  paper.addEventListener("blur", () => pressedKeys.clear());
  find("clear").addEventListener("click", clearPaper);
  find("undo").addEventListener("click", undoStroke);
  find("picture").addEventListener("change", ({ target }) => {
    if (target.files.length) takePicture(target.files[0], shape());
    target.value = "";
  });
  for (const kind of ["dragover", "drop"]) {
    area.addEventListener(kind, (event) => {
      event.preventDefault();
      paper.classList.toggle("dropping", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) takePicture(event.dataTransfer.files[0], shape());
    });
  }
  area.addEventListener("dragleave", () => paper.classList.remove("dropping"));
}
