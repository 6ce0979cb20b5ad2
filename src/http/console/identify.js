// Identification; with the webcam repeatedly, one call at a time.

import * as api from "./api.js";
import { element } from "./element.js";
import { gauge } from "./gauge.js";
import { Picker } from "./picker.js";
import { oneIn, presentationInWords, problemInWords, reasonInWords, waitAfter } from "./words.js";

const root = document.querySelector('[data-section="identify"]');
const outcome = root.querySelector(".outcome");

/** Interval in milliseconds. Each decision is an event in the audit trail, so no more than a door needs. */
const BETWEEN_DECISIONS = 1000;

const NOTHING = { who: "", parts: [] };

const picker = new Picker(root.querySelector(".picker"), {
  look,
  seen: ({ answer }) => show(answer),
  takes: false,
  changed: () => show(NOTHING),
});

async function look({ blob }, live) {
  try {
    const answer = await api.identify(blob);
    const faces = answer.faces.map(({ face }) => face);
    const reasons = [...new Set(answer.faces.flatMap((one) => one.reasons))];
    const found = faces.length > 1 ? `${faces.length} faces found.` : "Face found.";
    const words = reasons.map(reasonInWords).join(" ") || found;
    return { faces, words, good: reasons.length === 0, wait: BETWEEN_DECISIONS, answer: drawn(answer, live) };
  } catch (problem) {
    return { faces: [], words: problemInWords(problem), good: false, wait: waitAfter(problem), answer: NOTHING };
  }
}

function drawn({ faces, threshold, gallery_size }, live) {
  if (gallery_size === 0) return { who: "nobody", parts: [element("p", {}, "No employees are enrolled yet.")] };
  // The webcam is shown mirrored.
  const side = live ? -1 : 1;
  const ordered = [...faces].sort((a, b) => side * (a.face.box.x - b.face.box.x));
  const strangers = faces.length > 1 ? `photos of ${faces.length} strangers` : "strangers";
  const rate = ({ target }) => `At this threshold, about ${oneIn(target)} ${strangers} match one of ${gallery_size.toLocaleString("en")} enrolled employees.`;
  const parts = ordered.flatMap((one) => identified(one, threshold, rate));
  if (faces.length > 1) parts.unshift(element("p", { class: "hint" }, "From left to right:"));
  return { who: ordered.map(named).join(", "), parts };
}

const named = ({ match }) => (match ? match.employee_id : "nobody");

function identified({ match, candidates, presentation }, threshold, rate) {
  const words = presentationInWords(presentation);
  const doubt = words ? [element("p", { class: "doubt" }, words)] : [];
  const best = match ?? candidates[0];
  // A terminal's key sees no candidate below the threshold.
  if (!best) return [element("p", { class: "who" }, "No match"), ...doubt];
  const line = best.threshold ?? threshold;
  const above = best.score >= line.score;
  const no = above ? `${best.employee_id} would match, but the face is not live.` : `The best candidate, ${best.employee_id}, is below the threshold.`;
  const claim = match ? "Identified as this employee." : no;
  const who = element("p", { class: "who" }, match ? match.employee_id : "No match");
  return [who, ...doubt, gauge({ score: best.score, similarity: best.similarity, threshold: line.score, claim, rate: rate(line) })];
}

/** A screen reader announces a changed result, not each score. */
function show({ who, parts }) {
  outcome.setAttribute("aria-live", outcome.dataset.who === who ? "off" : "polite");
  outcome.dataset.who = who;
  outcome.replaceChildren(...parts);
}

export const identify = { root, leave: () => picker.rest() };
