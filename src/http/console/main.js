// The page: sign-in, and the open section.

import { ready } from "./api.js";
import { calibration } from "./calibration.js";
import { employees } from "./employees.js";
import { enroll } from "./enroll.js";
import { identify } from "./identify.js";
import { session } from "./session.js";
import { admitted, refuse, signIn } from "./signin.js";
import { turning } from "./turning.js";
import { verify } from "./verify.js";
import { presentationModeInWords, problemInWords } from "./words.js";

const SECTIONS = { enroll, verify, identify, turning, employees, calibration };
const NOT_YET = 1000;

const [nav, out] = [document.querySelector("nav"), document.querySelector("#sign-out")];
const narrow = document.querySelector("#narrow");
const [starting, about] = [document.querySelector("#starting"), document.querySelector("#about")];
const attacks = document.querySelector("#presentation");
let open = null;
let signingIn = false;

async function start() {
  session.takeFromAddress();
  try {
    if (!(await admitted())) return;
  } catch (problem) {
    starting.textContent = problemInWords(problem);
    if (["not_ready", "busy", "unreachable"].includes(problem.code)) setTimeout(start, NOT_YET);
    return;
  }
  begin();
}

function begin(moved = false) {
  starting.textContent = "";
  nav.hidden = false;
  out.hidden = !session.key;
  narrow.hidden = session.mayEnroll;
  for (const name of Object.keys(SECTIONS)) {
    nav.querySelector(`[href="#${name}"]`).parentElement.hidden = !may(name) || name === "turning";
  }
  tellAbout();
  go();
  if (moved) headingOf(open).focus();
}

function go() {
  if (nav.hidden) return;
  const asked = location.hash.slice(1);
  const known = Object.hasOwn(SECTIONS, asked) && may(asked);
  const name = known ? asked : session.mayEnroll ? "enroll" : "identify";
  const moved = open !== null && open !== name;
  leave();
  open = name;
  const section = SECTIONS[name];
  section.root.hidden = false;
  for (const link of nav.querySelectorAll("a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${headingOf(name).textContent} · likeness`;
  section.enter?.();
  if (moved) headingOf(name).focus();
}

const may = (name) => session.mayEnroll || !SECTIONS[name].needsEnroller;
const headingOf = (name) => SECTIONS[name].root.querySelector("h1");

function leave() {
  for (const { root, leave } of Object.values(SECTIONS)) {
    leave();
    root.hidden = true;
  }
}

async function tellAbout() {
  try {
    const { model, gallery_size, presentation } = await ready();
    attacks.textContent = presentationModeInWords(presentation.mode);
    nav.querySelector('[href="#turning"]').parentElement.hidden = !presentation.sessions;
    about.textContent = `${gallery_size.toLocaleString("en")} enrolled. Encoder: ${model.name}.`;
  } catch {
    about.textContent = "";
  }
}

session.addEventListener("ended", async ({ detail: why }) => {
  if (signingIn) return refuse(why);
  signingIn = true;
  leave();
  nav.hidden = out.hidden = true;
  starting.textContent = "";
  await signIn(why);
  signingIn = false;
  begin(true);
});
out.addEventListener("click", () => {
  session.forget();
  // The next user must not see anything of this session.
  location.reload();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  // The address contains only the section.
  event.preventDefault();
  document.querySelector("#main").focus();
});
document.addEventListener("gallery-changed", tellAbout);
window.addEventListener("hashchange", () => {
  // An address with a key, opened in this tab.
  if (location.hash.startsWith("#key=")) location.reload();
  else go();
});
// A photo dropped elsewhere would replace this page.
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());

start();
