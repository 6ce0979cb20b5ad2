// What POST /check says of a photo or a frame, for whoever stands before the camera.

import { check } from "./api.js";
import { session } from "./session.js";
import { problemInWords, reasonInWords, waitAfter } from "./words.js";

/** Of the height of a frame: who stands before a camera can come as near, though less would do. */
const NEAR = 0.2;

export async function guidance({ canvas, blob }, live) {
  // A terminal's key may not ask.
  if (!session.mayEnrol) return { face: null, words: "", good: false };
  try {
    const { face, reasons } = await check(blob);
    if (reasons.length) return { face, words: reasons.map(reasonInWords).join(" "), good: false };
    const far = live && face.box.height < NEAR * canvas.height;
    if (far) return { face, words: "Face found. Come closer.", good: false };
    return { face, words: live ? "Good. Take the photo." : "Face found. The photo is good.", good: true };
  } catch (problem) {
    return { face: null, words: problemInWords(problem), good: false, wait: waitAfter(problem) };
  }
}
