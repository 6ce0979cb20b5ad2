// Guidance for the person before the camera, from the results of POST /check.

import { check } from "./api.js";
import { session } from "./session.js";
import { problemInWords, reasonInWords, waitAfter } from "./words.js";

/** Minimum height of the face, as a share of the frame's: easy to reach at a camera, though less suffices. */
const NEAR = 0.2;

export async function guidance({ canvas, blob }, live) {
  // A terminal's key is not allowed to call it.
  if (!session.mayEnroll) return { faces: [], words: "", good: false };
  try {
    const { face, reasons } = await check(blob);
    if (reasons.length) return { faces: [face], words: reasons.map(reasonInWords).join(" "), good: false };
    const far = live && face.box.height < NEAR * canvas.height;
    if (far) return { faces: [face], words: "Face found. Come closer.", good: false };
    return { faces: [face], words: live ? "Good. Take the photo." : "Face found. The photo is good.", good: true };
  } catch (problem) {
    return { faces: [], words: problemInWords(problem), good: false, wait: waitAfter(problem) };
  }
}
