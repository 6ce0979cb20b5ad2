// Erasure of an employee: the question before it, and the receipt, which stays until it is saved or closed.

import { erase, receiptAgain } from "./api.js";
import { moment } from "./dates.js";
import { download } from "./download.js";
import { element } from "./element.js";
import { ask } from "./question.js";
import { problemInWords } from "./words.js";

const host = document.querySelector(".receipts");

/** Receipts that are not saved to a file yet. */
const unsaved = new Set();

window.addEventListener("beforeunload", (event) => {
  // Asks whether to leave without them.
  if (unsaved.size) event.preventDefault();
});

/** Returns the receipt, or nothing if the user canceled. */
export async function eraseAsking(id) {
  const sure = await ask({
    title: `Erase ${id}?`,
    text: "The employee is no longer recognized and the face template is erased. This cannot be undone; to restore access, enroll again.",
    yes: `Erase ${id}`,
    no: "Keep",
    grave: true,
  });
  return sure ? erase(id) : null;
}

export function keepReceipt(receipt) {
  const shown = drawn(receipt);
  host.prepend(shown);
  unsaved.add(receipt.receipt);
  shown.focus();
}

function drawn(receipt) {
  const wholly = receipt.status === "erased";
  const done = wholly
    ? `${receipt.employee_id} is erased.`
    : `${receipt.employee_id} is no longer recognized; the remaining bytes are erased once another program releases the database.`;
  const facts = [
    ["Erased", moment(receipt.erased_at)],
    ["Receipt", element("code", {}, receipt.receipt)],
    ["Pseudonym in the audit trail", element("code", {}, receipt.audit_id)],
    ["Head of the audit trail", element("code", {}, receipt.audit.head)],
  ];
  for (const outlasting of receipt.outlasting ?? []) facts.push(["Encrypted copy persists, without its key", outlasting]);
  if (receipt.destroy_key_archives_before) {
    facts.push(["Destroy key archives made before", moment(receipt.destroy_key_archives_before)]);
  }
  const refused = element("p", { class: "refused", role: "alert" });
  const shown = element(
    "article",
    { tabindex: "-1", "aria-label": `Receipt for ${receipt.employee_id}` },
    element("h2", {}, done),
    element("p", {}, "Keep the receipt: only it links this employee to their events in the audit trail."),
    element("dl", {}, ...facts.flatMap(([term, fact]) => [element("dt", {}, term), element("dd", {}, fact)])),
    refused,
  );
  const button = (words, does, look = "") => element("button", { type: "button", class: look, onclick: does }, words);
  const lookAgain = async () => {
    try {
      const now = drawn(await receiptAgain(receipt.employee_id, receipt.receipt));
      shown.replaceWith(now);
      now.focus();
    } catch (problem) {
      refused.textContent = problemInWords(problem);
    }
  };
  const putAway = () => {
    unsaved.delete(receipt.receipt);
    shown.remove();
    document.querySelector("#search").focus();
  };
  const buttons = [button("Save receipt", () => save(receipt), "primary"), button("Dismiss", putAway)];
  if (!wholly) buttons.push(button("Check again", lookAgain));
  shown.append(element("div", { class: "buttons" }, ...buttons));
  return shown;
}

function save(receipt) {
  const text = `${JSON.stringify(receipt, null, 2)}\n`;
  download(`receipt-${receipt.employee_id}.json`, text, "application/json");
  unsaved.delete(receipt.receipt);
}
