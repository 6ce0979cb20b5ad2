// Texts for the codes of the service.

const REASONS = {
  too_small: "Come closer: the face is too small.",
  too_blurred: "Hold still: the face is blurred.",
  too_dark: "Too dark: turn toward the light.",
  too_bright: "Too bright: avoid direct light.",
  turned_away: "Look straight into the camera.",
  covered: "Uncover the face: no mask, sunglasses, hat or scarf.",
  cut_off: "Move to the center: the face is cut off.",
  unusual: "Face the camera upright, in natural light, without filters.",
  presentation_attack: "This looks like a photo or a screen, not a person.",
  presentation_uncertain: "It is not clear that this is a person: show the whole face in good light.",
};

const PROBLEMS = {
  busy: "The service is busy. Try again in a moment.",
  no_face: "No face found.",
  no_key: "The key was not accepted, so nothing was changed. Try again.",
  not_enrolled: "No employee is enrolled with this ID.",
  not_ready: "The service is not ready. Try again in a moment.",
  several_faces: "Several equally prominent faces. One person at a time.",
  too_many_pixels: "The photo has too many pixels.",
  unreadable_photo: "The photo is corrupt.",
};

const MODES = {
  off: "No presentation attack detection: a printed photo or a screen is accepted as the person.",
  report: "Presentation attacks (a printed photo, a screen) are reported, but not refused.",
  require: "Only live faces match. Presentation attack detection misses some attacks.",
};

export const presentationModeInWords = (mode) => MODES[mode];

const TURN_REASONS = {
  no_face: "The face was not in the picture all the time.",
  several_faces: "Several people were in the picture.",
  too_few_frames: "The webcam gave too few pictures.",
  not_straight: "Look straight into the camera until you are asked to turn.",
  too_early: "Wait until you are asked to turn.",
  not_turned: "The head was not turned as asked. Turn a little more, and at once.",
  wrong_turn: "The head was turned in another direction.",
  other_person: "The pictures show different people.",
  discontinuous: "Do not move about: the face jumped from one picture to the next.",
  flat: "This moves like a flat picture, not like a head.",
  unreadable: REASONS.presentation_uncertain,
  presentation_attack: REASONS.presentation_attack,
};

export const turnReasonInWords = (reason) => TURN_REASONS[reason] ?? reason;

/** What was judged of a presentation; nothing if it was not judged or is live. */
export function presentationInWords(presentation) {
  if (presentation?.decision === "attack") return REASONS.presentation_attack;
  if (presentation?.decision === "uncertain") return REASONS.presentation_uncertain;
  return "";
}

export const reasonInWords = (reason) => REASONS[reason] ?? reason;

/** A sentence, with another one if it helps. */
export function problemInWords(problem) {
  if (!problem.code) throw problem;
  if (problem.code === "not_allowed" && problem.detail.startsWith("a key with the role")) {
    return `Your key is not allowed to do this. Use a key with the role ${problem.rolesNeeded}.`;
  }
  if (problem.code === "internal") {
    return `The service failed. Its log has the cause, for the request ${problem.requestId}.`;
  }
  return PROBLEMS[problem.code] ?? sentence(problem.detail);
}

/** Milliseconds until the next frame is sent: none after an unsuitable photo, more if the service is unavailable. */
export const waitAfter = ({ status, retryAfter }) => (status === 422 ? 200 : 1000 * Math.max(1, retryAfter));

export function similarityInWords(similarity) {
  const steps = [[0.9999, "near 1"], [0.99, "very high"], [0.9, "high"], [0.5, "medium"], [0.1, "low"]];
  const [, word] = steps.find(([least]) => similarity >= least) ?? [0, "near 0"];
  const number = similarity > 0.9999 ? "over 0.9999" : similarity < 0.0001 ? "under 0.0001" : similarity.toFixed(4);
  return `${word} (${number} of 1)`;
}

/** Formats an error rate: 0.0001 is 1 in 10,000. */
export const oneIn = (rate) => `1 in ${Math.round(1 / rate).toLocaleString("en")}`;

/** Formats a score or threshold, with a typographic minus sign. */
export const scoreInWords = (score) => score.toFixed(1).replace("-", "−");

export function sentence(text) {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}
