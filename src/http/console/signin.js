// Asks for a key, and shows which roles are allowed.

import { list } from "./api.js";
import { session } from "./session.js";
import { problemInWords } from "./words.js";

const root = document.querySelector('[data-section="sign-in"]');
const [form, input] = [root.querySelector("form"), root.querySelector("input")];
const refused = root.querySelector("#key-refused");

/**
 * Whether the service is open to this page as it is now signed in or not; throws the problem of a
 * service that answers nobody.
 */
export async function admitted() {
  try {
    await list(1);
    session.mayEnroll = true;
    return true;
  } catch (problem) {
    if (problem.code === "no_key") return false;
    // A key of another role that may verify and identify.
    if (problem.code === "not_allowed" && session.key) return true;
    throw problem;
  }
}

/** Resolves when the service has accepted a key. */
export function signIn(why) {
  root.hidden = false;
  refused.textContent = why;
  input.value = "";
  input.focus();
  return new Promise((signedIn) => {
    form.onsubmit = async (event) => {
      event.preventDefault();
      if (!input.value.trim()) return;
      session.keep(input.value.trim());
      try {
        if (!(await admitted())) return;
      } catch (problem) {
        refused.textContent = problemInWords(problem);
        return;
      }
      input.value = "";
      root.hidden = true;
      signedIn();
    };
  });
}

export const refuse = (why) => {
  refused.textContent = why;
};
