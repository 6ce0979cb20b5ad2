// The score and the decision threshold on a scale of log-odds.

import { element } from "./element.js";
import { scoreInWords, similarityInWords } from "./words.js";

/** The range of the scale; wider if a score or threshold is outside. */
const SCALE = [-10, 20];

function at(share, made) {
  // The label is shifted left by the same share of its width, to stay within the scale.
  made.style.left = `${share}%`;
  made.firstElementChild?.style.setProperty("transform", `translateX(-${share}%)`);
  return made;
}

/** Draws a gauge; `claim` states the decision in a sentence, `rate` the error rate of the threshold. */
export function gauge({ score, similarity, threshold, claim, rate }) {
  const least = Math.min(SCALE[0], Math.floor(score), Math.floor(threshold));
  const most = Math.max(SCALE[1], Math.ceil(score), Math.ceil(threshold));
  const share = (value) => (100 * (value - least)) / (most - least);
  const above = score >= threshold;
  const verdict = above ? "Above the threshold" : "Below the threshold";
  const label = `Score ${scoreInWords(score)}, threshold ${scoreInWords(threshold)}, on a scale from ${scoreInWords(least)} to ${scoreInWords(most)}`;

  const beyond = element("div", { class: "beyond" });
  beyond.style.left = `${share(threshold)}%`;
  const ticks = [];
  for (let tick = Math.ceil(least / 5) * 5; tick <= most; tick += 5) {
    ticks.push(at(share(tick), element("li", {}, element("span", {}, String(tick).replace("-", "−")))));
  }
  const scale = element(
    "div",
    { class: "scale", role: "img", "aria-label": label },
    element("div", { class: "track" }, beyond),
    at(share(threshold), element("div", { class: "line" }, element("span", {}, `threshold ${scoreInWords(threshold)}`))),
    at(share(score), element("div", { class: "mark" }, element("span", {}, `score ${scoreInWords(score)}`))),
    element("ol", { class: "ticks" }, ...ticks),
  );
  return element(
    "div",
    { class: `gauge ${above ? "above" : "below"}` },
    element("p", { class: "verdict" }, element("span", { class: "sign", "aria-hidden": "true" }, above ? "✓" : "✕"), verdict),
    element("p", { class: "claim" }, claim),
    scale,
    element("p", { class: "hint" }, `Similarity: ${similarityInWords(similarity)}. ${rate}`),
  );
}
