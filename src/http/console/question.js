// A modal question.

const dialog = document.querySelector("dialog");
const [title, text] = [dialog.querySelector("h2"), dialog.querySelector("p")];
const [no, yes] = [dialog.querySelector(".no"), dialog.querySelector(".yes")];

/** Resolves the open question. */
let answer = () => {};

/** Asks a question; returns whether the user confirms. Escape is no, which has the initial focus. */
export function ask(question) {
  answer(false);
  title.textContent = question.title;
  text.textContent = question.text;
  yes.textContent = question.yes;
  no.textContent = question.no;
  yes.className = question.grave ? "yes grave" : "yes primary";
  dialog.showModal();
  return new Promise((answered) => {
    answer = answered;
  });
}

function say(what) {
  dialog.close();
  answer(what);
}

yes.addEventListener("click", () => say(true));
no.addEventListener("click", () => say(false));
// The event comes later: it must not answer the next question, which may be open already.
dialog.addEventListener("close", () => dialog.open || answer(false));
