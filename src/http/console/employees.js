// Lists enrolled employees, page by page or by the prefix of an id.

import { list } from "./api.js";
import { moment } from "./dates.js";
import { element } from "./element.js";
import { eraseAsking, keepReceipt } from "./erasure.js";
import { problemInWords } from "./words.js";

const A_PAGE = 50;

/** The characters of ids, in the order of the list, and the maximum length. */
const CHARACTERS = "-.0123456789@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
const LONGEST = 64;

const REENROLL = "The reference shows no recognizable face, so it matches nobody. Enroll this employee again.";

const root = document.querySelector('[data-section="employees"]');
const [table, rows] = [root.querySelector("table"), root.querySelector("tbody")];
const found = root.querySelector(".found");
const [form, search] = [root.querySelector("form"), root.querySelector("#search")];
const [former, next] = [root.querySelector("#former-page"), root.querySelector("#next-page")];

/** The `after` of each page up to the current one. */
let pages = [undefined];
let following = null;

former.addEventListener("click", async () => {
  await turn(pages.slice(0, -1));
  if (former.disabled) next.focus();
});
next.addEventListener("click", async () => {
  await turn([...pages, following]);
  if (next.disabled) former.focus();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  turn([undefined]);
});

function turn(to) {
  pages = to;
  return show();
}

async function show() {
  try {
    const beginning = search.value.trim();
    const { employees, next: after } = beginning
      ? await beginningWith(beginning, pages.at(-1))
      : await list(A_PAGE, pages.at(-1));
    following = after;
    rows.replaceChildren(...employees.map(row));
    table.hidden = employees.length === 0;
    found.textContent = counted(employees.length, beginning);
  } catch (problem) {
    table.hidden = true;
    following = null;
    found.textContent = problemInWords(problem);
  }
  former.disabled = pages.length < 2;
  next.disabled = !following;
  former.parentElement.hidden = former.disabled && next.disabled;
}

/** Ids are listed in order, so those with the same prefix are adjacent. */
async function beginningWith(beginning, after = lastBefore(beginning)) {
  const isOne = beginning.length <= LONGEST && [...beginning].every((one) => CHARACTERS.includes(one));
  if (!isOne) return { employees: [], next: null };
  const page = await list(A_PAGE, after);
  const employees = page.employees.filter(({ employee_id }) => employee_id.startsWith(beginning));
  const more = page.next?.startsWith(beginning) ? page.next : null;
  return { employees, next: more };
}

/** Returns the last possible id before those with this prefix, or nothing if there is none. */
function lastBefore(beginning) {
  const [rest, last] = [beginning.slice(0, -1), CHARACTERS.indexOf(beginning.at(-1))];
  return last > 0 ? (rest + CHARACTERS[last - 1]).padEnd(LONGEST, "z") : rest || undefined;
}

function counted(count, beginning) {
  const such = beginning ? ` with an ID starting with ${beginning}` : "";
  const place = pages.length > 1 || following ? ` on page ${pages.length}` : "";
  if (count === 0) return beginning ? `No employees${such}.` : "No employees are enrolled yet.";
  return `${count} ${count === 1 ? "employee" : "employees"}${such}${place}.`;
}

function row({ employee_id, enrolled_at, expires_at, model, reenroll }) {
  const erasing = element("button", { type: "button", class: "quiet grave", onclick: () => erase(employee_id) }, "Erase");
  erasing.setAttribute("aria-label", `Erase ${employee_id}`);
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, employee_id, ...(reenroll ? [" ", element("strong", { title: REENROLL }, "Re-enroll")] : [])),
    element("td", { "data-label": "Enrolled" }, moment(enrolled_at)),
    element("td", { "data-label": "Expires" }, expires_at ? moment(expires_at) : "–"),
    element("td", { "data-label": "Encoder", title: model.digest }, model.name),
    element("td", {}, erasing),
  );
}

async function erase(id) {
  try {
    const receipt = await eraseAsking(id);
    if (!receipt) return;
    // Before the list is loaded again, which may fail.
    keepReceipt(receipt);
  } catch (problem) {
    const lost = problem.code === "unreachable";
    found.textContent = lost ? `No answer came: search again, and the list says whether ${id} is erased.` : problemInWords(problem);
    return;
  }
  document.dispatchEvent(new Event("gallery-changed"));
  await show();
}

export const employees = {
  root,
  enter: () => turn([undefined]),
  leave: () => {},
  needsEnroller: true,
};
