// Identification; with the webcam repeatedly, one call at a time.

import * as api from "./api.js";
import { element } from "./element.js";
import { gauge } from "./gauge.js";
import { Picker } from "./picker.js";
import { oneIn, problemInWords, reasonInWords, waitAfter } from "./words.js";

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

async function look({ blob }) {
  try {
    const answer = await api.identify(blob);
    const words = answer.reasons.map(reasonInWords).join(" ") || "Face found.";
    const good = answer.reasons.length === 0;
    return { face: answer.face, words, good, wait: BETWEEN_DECISIONS, answer: drawn(answer) };
  } catch (problem) {
    return { face: null, words: problemInWords(problem), good: false, wait: waitAfter(problem), answer: NOTHING };
  }
}

function drawn({ match, candidates, threshold, gallery_size }) {
  if (gallery_size === 0) return { who: "nobody", parts: [element("p", {}, "No employees are enrolled yet.")] };
  const best = match ?? candidates[0];
  // A terminal's key sees no candidate below the threshold.
  if (!best) return { who: "nobody", parts: [element("p", { class: "who" }, "No match")] };
  const line = best.threshold ?? threshold;
  const claim = match ? "Identified as this employee." : `The best candidate, ${best.employee_id}, is below the threshold.`;
  const rate = `At this threshold, about ${oneIn(line.target)} strangers match one of ${gallery_size.toLocaleString("en")} enrolled employees.`;
  const who = element("p", { class: "who" }, match ? match.employee_id : "No match");
  const measured = gauge({ score: best.score, similarity: best.similarity, threshold: line.score, claim, rate });
  return { who: match ? match.employee_id : "nobody", parts: [who, measured] };
}

/** A screen reader announces a changed result, not each score. */
function show({ who, parts }) {
  outcome.setAttribute("aria-live", outcome.dataset.who === who ? "off" : "polite");
  outcome.dataset.who = who;
  outcome.replaceChildren(...parts);
}

export const identify = { root, leave: () => picker.rest() };
