// Creates elements; text is inserted as text, never as markup.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.flat().filter((child) => child || child === 0));
  return made;
}

/** Creates text with `code` in backticks. */
export function prose(text = "") {
  return text.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part));
}

export function paragraphs(text = "") {
  return text.trim().split(/\n\n+/).filter(Boolean).map((part) => element("p", {}, ...prose(part)));
}

export function table(label, rows) {
  return element("div", { class: "table" }, element("table", { "aria-label": label }, element("tbody", {}, rows)));
}

/** Creates a section that can be opened. */
export function fold(summary, ...children) {
  return element("details", {}, element("summary", {}, ...[summary].flat()), ...children);
}

/** Creates text that may be wider than the page; keys scroll it too. */
export function listing(text) {
  return element("pre", { tabindex: "0" }, text);
}

/** Formats JSON, with each point on one line. */
export function json(value) {
  return JSON.stringify(value, null, 2).replace(/\[\s+([-\d.]+),\s+([-\d.]+)\s+\]/g, "[$1, $2]");
}
