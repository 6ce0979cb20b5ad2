// A question that must be answered before anything goes on.

const dialog = document.querySelector("dialog");
const [title, text] = [dialog.querySelector("h2"), dialog.querySelector("p")];
const [no, yes] = [dialog.querySelector(".no"), dialog.querySelector(".yes")];

/** Answers the question that is asked. */
let answer = () => {};

/** Whether the user says yes; Escape is a no, and the focus starts there. */
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
// Told some time after: the next question may be open already, and is not answered by it.
dialog.addEventListener("close", () => dialog.open || answer(false));
