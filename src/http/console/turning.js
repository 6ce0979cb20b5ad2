// Verification or identification of a person who turns the head as asked.

import * as api from "./api.js";
import { closeCamera, openCamera, whyNoCamera } from "./camera.js";
import { element } from "./element.js";
import { gauge } from "./gauge.js";
import { shotOfVideo } from "./photo.js";
import { Stage } from "./stage.js";
import { submitted } from "./submission.js";
import { oneIn, problemInWords, turnReasonInWords } from "./words.js";

const root = document.querySelector('[data-section="turning"]');
const [form, outcome] = [root.querySelector("form"), root.querySelector(".outcome")];
const id = root.querySelector("#turning-id");
const instruction = element("p", { class: "instruction", role: "status" });
const stage = new Stage("The webcam appears here.");
root.querySelector(".picker").append(stage.element, instruction);

const missing = whyNoCamera();
if (missing) root.querySelector(".picker").append(element("p", { class: "hint" }, missing));

/** What the person is asked for; the webcam is shown mirrored, so that the arrows point as the person turns. */
const INSTRUCTIONS = {
  straight: ["●", "Look straight into the camera."],
  left: ["←", "Turn your head to the left."],
  right: ["→", "Turn your head to the right."],
  up: ["↑", "Raise your head."],
};

/** Time in milliseconds between two frames, about. */
const BETWEEN_FRAMES = 500;

/** Time in milliseconds for the person to look up and the webcam to adjust, before the session begins. */
const SETTLING = 1000;

let stream = null;

const wait = (time) => new Promise((done) => setTimeout(done, Math.max(0, time)));
const say = (words) => outcome.replaceChildren(element("p", {}, words));

function instruct(pose) {
  const [arrow, words] = INSTRUCTIONS[pose];
  instruction.replaceChildren(element("span", { class: "arrow", "aria-hidden": "true" }, arrow), words);
}

submitted(form, async () => {
  if (stream) return;
  outcome.replaceChildren();
  try {
    stream = await openCamera();
    await stage.showLive(stream);
    show(await judged(id.value.trim() || undefined));
  } catch (problem) {
    say(problem.code ? problemInWords(problem) : problem.message);
  } finally {
    rest();
  }
});

/** Returns the answer of `verify` or `identify`; throws an Error with a message if the session is not live. */
async function judged(employee) {
  instruct("straight");
  await wait(SETTLING);
  const session = await api.openSession(employee);
  const frames = await taken(session);
  instruction.textContent = "Comparing…";
  const { decision, reasons } = await api.judgeSession(session.session, frames);
  if (decision !== "live") throw new Error(reasons.map(turnReasonInWords).join(" "));
  return employee ? api.verifySession(employee, session.session) : api.identifySession(session.session);
}

/** Takes the frames of a session while the person follows its steps. */
async function taken({ steps, until_ms, min_frames, max_frames }) {
  const start = performance.now();
  const elapsed = () => performance.now() - start;
  const timers = steps.map(({ turn, at_ms }) => setTimeout(() => instruct(turn), at_ms));
  const count = Math.min(max_frames, Math.max(min_frames, Math.floor(until_ms / BETWEEN_FRAMES)));
  const frames = [];
  try {
    for (let number = 0; number < count; number += 1) {
      await wait((number * until_ms) / count - elapsed());
      if (!stream?.active) throw new Error("The webcam was disconnected.");
      const at_ms = Math.round(elapsed());
      frames.push({ at_ms, blob: (await shotOfVideo(stage.video)).blob });
    }
  } finally {
    timers.forEach(clearTimeout);
  }
  return frames;
}

function show({ employee_id, match, score, similarity, threshold, candidates, gallery_size }) {
  // Of an identification.
  if (candidates) {
    const best = match ?? candidates[0];
    const who = element("p", { class: "who" }, match ? match.employee_id : "No match");
    if (!best) return outcome.replaceChildren(who);
    const line = best.threshold ?? threshold;
    const claim = match ? "Live, and identified as this employee." : "Live, and nobody who is enrolled.";
    const rate = `At this threshold, about ${oneIn(line.target)} strangers match one of ${gallery_size.toLocaleString("en")} enrolled employees.`;
    return outcome.replaceChildren(who, gauge({ score: best.score, similarity: best.similarity, threshold: line.score, claim, rate }));
  }
  const claim = match ? `Live, and matches ${employee_id}.` : `Live, and does not match ${employee_id}.`;
  const rate = `At this threshold, about ${oneIn(threshold.target)} pairs of different people match.`;
  outcome.replaceChildren(gauge({ score, similarity, threshold: threshold.score, claim, rate }));
}

function rest() {
  if (stream) closeCamera(stream);
  stream = null;
  stage.clear();
  instruction.replaceChildren();
}

function leave() {
  rest();
  outcome.replaceChildren();
}

export const turning = { root, leave };
