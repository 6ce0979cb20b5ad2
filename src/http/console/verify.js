// Verification of a claimed employee id.

import * as api from "./api.js";
import { element } from "./element.js";
import { gauge } from "./gauge.js";
import { guidance } from "./guidance.js";
import { Picker } from "./picker.js";
import { submitted } from "./submission.js";
import { oneIn, presentationInWords, problemInWords, reasonInWords } from "./words.js";

const root = document.querySelector('[data-section="verify"]');
const [form, outcome] = [root.querySelector("form"), root.querySelector(".outcome")];
const id = root.querySelector("#verify-id");

/** Changes with the id and the photo, so that late responses about earlier ones are ignored. */
let turn = 0;

function forget() {
  turn += 1;
  outcome.replaceChildren();
}

const picker = new Picker(root.querySelector(".picker"), { look: guidance, changed: forget });
id.addEventListener("input", forget);

submitted(form, async () => {
  if (!id.value.trim()) return id.focus(), say("Enter the claimed employee ID.");
  if (!picker.shot) return say("Take or choose a photo.");
  say("Comparing…");
  const asked = turn;
  try {
    const answer = await api.verify(id.value.trim(), picker.shot.blob);
    if (asked === turn) show(answer);
  } catch (problem) {
    if (asked === turn) say(problemInWords(problem));
  }
});

function show({ employee_id, match, score, similarity, threshold, faces, reasons, presentation }) {
  picker.mark(faces);
  const above = score >= threshold.score;
  const no = above ? `No match, although the score is above the threshold.` : `The photo does not match ${employee_id}.`;
  const claim = match ? `The photo matches ${employee_id}.` : no;
  const most = faces.length > 1 ? ` The photo shows ${faces.length} people; the best score decides.` : "";
  const rate = `At this threshold, about ${oneIn(threshold.target)} pairs of different people match.`;
  outcome.replaceChildren(gauge({ score, similarity, threshold: threshold.score, claim: claim + most, rate }));
  const doubt = presentationInWords(presentation);
  if (doubt) outcome.append(element("p", { class: "doubt" }, doubt));
  // The presentation is told above.
  const causes = reasons.filter((reason) => !reason.startsWith("presentation_"));
  if (!match && causes.length) {
    const doubts = causes.map((reason) => element("li", {}, reasonInWords(reason)));
    outcome.append(element("p", {}, "Possible cause in the photo:"), element("ul", {}, ...doubts));
  }
}

const say = (words) => outcome.replaceChildren(element("p", {}, words));

export const verify = { root, leave: () => picker.rest() };
