// A question that must be answered before anything goes on.

const dialog = document.querySelector("dialog");
const [title, text] = [dialog.querySelector("h2"), dialog.querySelector("p")];
const [no, yes] = [dialog.querySelector(".no"), dialog.querySelector(".yes")];

/** Whether the user says yes; Escape is a no, and the focus starts there. */
export function ask(question) {
  title.textContent = question.title;
  text.textContent = question.text;
  yes.textContent = question.yes;
  no.textContent = question.no;
  yes.className = question.grave ? "yes grave" : "yes primary";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((answered) => {
    dialog.addEventListener("close", () => answered(dialog.returnValue === "yes"), { once: true });
  });
}

yes.addEventListener("click", () => dialog.close("yes"));
no.addEventListener("click", () => dialog.close());
