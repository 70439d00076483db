// Questions to the server, and what the page knows by now.

export const state = {
  strokes: [],                                        // each a list of [x, y], shares of the page's side
  seen: null,                                         // the last answer about the whole drawing
  chosen: null,                                       // the class whose pull is shown
  at: { layer: 0, map: 0, row: 0, column: 0 },        // the neuron that is explained
};

export const find = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

export async function ask(question, body) {
  let response;
  try {
    response = await fetch("/" + question, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
  } catch {
    throw new Error("The server does not answer: is the program still running?");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error("The server refused: " + answer.error + ".");
  return answer;
}

/** A function that does the work at once, or once more after the work under way; errors go to the verdict. */
export function latest(work) {
  let busy = false, again = false;
  return async () => {
    again = true;
    if (busy) return;
    for (busy = true; again; await sleep(40)) {
      again = false;
      try { await work(); } catch (error) { find("verdict").textContent = error.message; }
    }
    busy = false;
  };
}
