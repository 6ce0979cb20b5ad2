// Enrollment: the employee, the photo, and the questions of the service.

import * as api from "./api.js";
import { endOf, moment, today } from "./dates.js";
import { element } from "./element.js";
import { guidance } from "./guidance.js";
import { Picker } from "./picker.js";
import { ask } from "./question.js";
import { submitted } from "./submission.js";
import { problemInWords, reasonInWords, sentence } from "./words.js";

const root = document.querySelector('[data-section="enroll"]');
const [form, outcome] = [root.querySelector("form"), root.querySelector(".outcome")];
const [id, end] = [root.querySelector("#enroll-id"), root.querySelector("#enroll-end")];
const picker = new Picker(root.querySelector(".picker"), { look: guidance, changed: () => outcome.replaceChildren() });

/** The codes that ask for a confirmation, with the field that confirms. */
const QUESTIONS = {
  already_enrolled: (employee) => ({
    field: "replace",
    title: `${employee} is already enrolled`,
    text: "Replace the existing enrollment with this photo?",
    yes: "Replace",
    no: "Keep existing",
  }),
  looks_like_another: (employee, problem) => ({
    field: "confirm_lookalike",
    title: "Two different people?",
    text: `${sentence(problem.detail.split(";")[0])} If ${employee} is a different person, you can enroll them anyway, but the two may be confused with each other.`,
    yes: "Yes, different people",
    no: "No, or not sure",
  }),
};

submitted(form, () => {
  const missing = whatIsMissing();
  if (missing) return say(missing);
  say("Enrolling…");
  return enrollAsking({ employee_id: id.value.trim(), photo: picker.shot.blob, expires_at: endOf(end.value) });
});

function whatIsMissing() {
  if (!id.value.trim()) return id.focus(), "Enter an employee ID.";
  end.min = today();
  if (!end.validity.valid) return end.focus(), "The last day must be a complete date, today or later.";
  if (!picker.shot) return "Take or choose a photo.";
  return "";
}

async function enrollAsking(fields) {
  try {
    welcome(await api.enroll(fields), fields.photo);
  } catch (problem) {
    const question = QUESTIONS[problem.code]?.(fields.employee_id, problem);
    if (!question) return refuse(problem);
    if (await ask(question)) return enrollAsking({ ...fields, [question.field]: true });
    say("Nothing was changed.");
  }
}

function welcome({ employee_id, expires_at }, photo) {
  const until = expires_at ? [" Expires ", moment(expires_at), "."] : [];
  // Unless the next enrollment has begun.
  const begun = picker.shot?.blob !== photo;
  if (!begun) picker.clear();
  outcome.replaceChildren(
    element("p", { class: "done" }, element("span", { class: "sign", "aria-hidden": "true" }, "✓"), `${employee_id} is enrolled.`),
    element("p", { class: "hint" }, "The photo was not stored.", ...until),
  );
  if (!begun) id.value = end.value = "";
  if (!begun) id.focus();
  document.dispatchEvent(new Event("gallery-changed"));
}

/** Explains a refusal, with texts that only an enrollment needs. */
function refusalInWords(problem) {
  if (problem.code === "unreachable") {
    return "No response. Check the list of employees to see whether the enrollment succeeded, or try again.";
  }
  if (problem.detail.startsWith("expires_at")) {
    return "The last day is in the past by the clock of the service. Check the clock of this computer.";
  }
  return problemInWords(problem);
}

function refuse(problem) {
  if (problem.code !== "poor_photo") return say(refusalInWords(problem));
  outcome.replaceChildren(
    element("p", { class: "refused" }, "Not enrolled: this photo is not suitable as a reference."),
    element("ul", {}, ...problem.reasons.map((reason) => element("li", {}, reasonInWords(reason)))),
  );
}

const say = (words) => outcome.replaceChildren(element("p", {}, words));

export const enroll = { root, leave: () => picker.rest(), needsEnroller: true };
