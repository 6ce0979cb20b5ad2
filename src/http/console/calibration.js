// Calibration of presentation attack detection with live people at this camera. The photos are judged and not kept;
// only their scores stay, in this page.

import { check, ready } from "./api.js";
import { download } from "./download.js";
import { element } from "./element.js";
import { Picker } from "./picker.js";
import { problemInWords, reasonInWords, scoreInWords, waitAfter } from "./words.js";

const root = document.querySelector('[data-section="calibration"]');
const outcome = root.querySelector(".outcome");

/** The number of photos that support a threshold at a BPCER of 5 %. */
const ENOUGH = 20;

/** The rates of the thresholds in the file, if there are enough photos. */
const RATES = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2];

/** Interval in milliseconds: people should move between two photos. */
const BETWEEN_PHOTOS = 1500;

const OFF = "Presentations are not judged: start the service with --pad-mode report or require.";
const NO_SCORE = "Only a key with the role admin can calibrate.";

let scores = [];
let models = [];

const picker = new Picker(root.querySelector(".picker"), { look, takes: false });

async function look({ blob }) {
  try {
    const { face, presentation } = await check(blob);
    const missing = presentation ? presentation.score === undefined && NO_SCORE : OFF;
    if (missing) return { faces: [face], words: missing, good: false, wait: BETWEEN_PHOTOS };
    if (presentation.decision === "uncertain") {
      const words = presentation.reasons.map(reasonInWords).join(" ");
      return { faces: [face], words: `Not counted. ${words}`, good: false, wait: BETWEEN_PHOTOS };
    }
    scores.push(presentation.score);
    models = presentation.models;
    show();
    return { faces: [face], words: "Counted. Now move a little.", good: true, wait: BETWEEN_PHOTOS };
  } catch (problem) {
    return { faces: [], words: problemInWords(problem), good: false, wait: waitAfter(problem) };
  }
}

/** The lowest score of a live face for each rate: at most this share of the photos is below it. */
function thresholds() {
  const ascending = [...scores].sort((a, b) => a - b);
  const rows = RATES.map((bpcer) => ({ bpcer, below: Math.floor(bpcer * ascending.length + 1e-9) }));
  return rows.filter(({ below }) => below > 0).map(({ bpcer, below }) => ({ bpcer, score: ascending[below] }));
}

function file() {
  const digests = models.map(({ digest }) => `"${digest}"`).join(", ");
  // TOML distinguishes floats from integers.
  const float = (number) => (Number.isInteger(number) ? number.toFixed(1) : String(number));
  const rows = thresholds().map(({ bpcer, score }) => `\n[[threshold]]\nbpcer = ${bpcer}\nscore = ${float(score)}\n`);
  return `models = [${digests}]\nlive_photos = ${scores.length}\n${rows.join("")}`;
}

function show() {
  const count = element("p", { class: "who" }, `${scores.length} of ${ENOUGH} photos`);
  if (scores.length < ENOUGH) return outcome.replaceChildren(count);
  const row = thresholds().find(({ bpcer }) => bpcer === 0.05);
  const told = `At the threshold ${scoreInWords(row.score)}, this camera rejects about one live photo in 20. More photos make it more exact.`;
  const save = element("button", { type: "button", onclick: () => download("pad-calibration.toml", file(), "application/toml") }, "Save pad-calibration.toml");
  const use = "Put the file into the data directory of the service, or name it with --pad-calibration, and restart the service.";
  outcome.replaceChildren(count, element("p", {}, told), element("p", {}, save), element("p", { class: "hint" }, use));
}

async function enter() {
  try {
    const { presentation } = await ready();
    if (presentation.mode === "off") outcome.replaceChildren(element("p", {}, OFF));
    else if (!scores.length) show();
  } catch (problem) {
    outcome.replaceChildren(element("p", {}, problemInWords(problem)));
  }
}

function leave() {
  picker.rest();
  scores = [];
  outcome.replaceChildren();
}

export const calibration = { root, enter, leave, needsEnroller: true };
