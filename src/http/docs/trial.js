// Makes a call with the user's key, and shows the response.

import { session } from "../console/session.js";

import { element, fold, json, listing } from "./element.js";

/** The response headers to show; the others repeat the body or belong to the transport. */
const SHOWN = ["content-type", "location", "retry-after", "server-timing", "x-request-id"];

const key = document.getElementById("key");
// The key of the console, as long as the tab is open.
key.value = session.key ?? "";

function choice(words, attributes) {
  return element("select", attributes, ...words.map((word) => element("option", {}, word)));
}

/** Creates the input for a value of a schema. */
function input(name, schema, required) {
  const attributes = { name, ...(required && { required: "" }) };
  if (schema.enum) return choice(schema.enum, attributes);
  if (schema.format === "binary") return element("input", { ...attributes, type: "file", accept: "image/jpeg,image/png,image/webp" });
  if (schema.type === "integer" || schema.type?.includes?.("integer")) {
    return element("input", { ...attributes, type: "number", min: schema.minimum, max: schema.maximum, placeholder: schema.default ?? "" });
  }
  const hint = schema.format === "date-time" ? "2030-12-31T18:00:00Z" : (schema.examples?.[0] ?? "");
  return element("input", { ...attributes, type: "text", placeholder: hint, autocomplete: "off", spellcheck: "false" });
}

/** Returns the request of the filled form. */
function request(form, path, method, parameters, hasBody) {
  const values = new FormData(form);
  const query = new URLSearchParams();
  for (const { name, in: place } of parameters) {
    const value = values.get(name);
    values.delete(name);
    if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(value));
    else if (value) query.set(name, value);
  }
  // An empty field is not sent.
  for (const [name, value] of [...values]) if (value === "" || value.size === 0) values.delete(name);
  const headers = key.value ? { Authorization: `Bearer ${key.value}` } : {};
  // Relative to the page, since a proxy may add a path prefix.
  return [`.${path}${query.size ? `?${query}` : ""}`, { method, headers, ...(hasBody && { body: values }) }];
}

async function shown(response, time) {
  const text = await response.text();
  const isJson = /json/.test(response.headers.get("content-type"));
  const headers = SHOWN.filter((name) => response.headers.has(name)).map((name) => `${name}: ${response.headers.get(name)}\n`);
  return [
    element("p", {}, element("strong", {}, `${response.status}`), ` after ${Math.round(time)} ms`),
    listing(`${headers.join("")}\n${isJson ? json(JSON.parse(text)) : text}`),
  ];
}

/** Creates a form for the call; `fields` are the fields of its body: name, schema, and whether it is required. */
export function trial(path, method, parameters, fields) {
  const inputs = [...parameters.map(({ name, schema, required }) => [name, schema, required]), ...fields];
  const send = element("button", {}, `${method.toUpperCase()} ${path}`);
  const outcome = element("div", { role: "status" });
  const form = element("form", {},
    ...inputs.map(([name, schema, required]) =>
      element("label", {}, element("span", {}, name, !required && element("span", { class: "soft" }, " optional")), input(name, schema, required))),
    send);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    const start = performance.now();
    try {
      const response = await fetch(...request(form, path, method.toUpperCase(), parameters, fields.length > 0));
      outcome.replaceChildren(...(await shown(response, performance.now() - start)));
    } catch (error) {
      outcome.replaceChildren(element("p", {}, `No response: ${error.message}`));
    }
    send.disabled = false;
  });
  const warning = method === "get" ? "" : element("p", { class: "soft" }, "This request is real: this service executes it.");
  const folded = fold("Try it", warning, form, outcome);
  folded.className = "trial";
  return folded;
}
