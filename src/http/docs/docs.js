// Shows /openapi.json: operations in the order of its tags, then the schemas.

import { element, fold, json, listing, paragraphs, prose, table } from "./element.js";
import { trial } from "./trial.js";

const METHODS = ["get", "post", "delete"];

/** The description. */
let api;

const nameOf = (reference) => reference.split("/").pop();

/** Resolves the reference of a schema; its own properties take precedence. */
function whole(schema) {
  return schema.$ref ? { ...api.components.schemas[nameOf(schema.$ref)], ...schema } : schema;
}

/** Summarizes a schema, with links to named schemas. */
function kind(schema) {
  if (!schema || Object.keys(schema).length === 0) return ["any JSON"];
  if (schema.$ref) {
    const name = nameOf(schema.$ref);
    return [element("a", { href: `#${name}` }, name)];
  }
  if (schema.oneOf) return schema.oneOf.flatMap((one, at) => (at ? [" or ", ...kind(one)] : kind(one)));
  if (schema.enum) return schema.enum.flatMap((word, at) => [at ? ", " : "", element("code", {}, word)]);
  if (schema.items) return ["list of ", ...kind(schema.items)];
  const types = [schema.type].flat().join(" or ");
  return [schema.format ? `${types} (${schema.format})` : types];
}

function range(least, most, unit = "") {
  if (least === undefined && most === undefined) return "";
  if (least === most) return `${least}${unit}`;
  if (most === undefined) return `${least}${unit} or more`;
  return (least === undefined ? `up to ${most}` : `${least} to ${most}`) + unit;
}

/** Describes the constraints of a value. */
function bounds({ minimum, maximum, minLength, maxLength, minItems, maxItems, pattern, default: without }) {
  const told = [range(minimum, maximum), range(minLength, maxLength, " characters"), range(minItems, maxItems, " items")];
  return [...told, pattern && `matching ${pattern}`, without !== undefined && `default ${without}`].filter(Boolean).join(", ");
}

function field(name, schema, required) {
  const known = whole(schema);
  const isValue = !known.properties && !known.allOf;
  const about = known.description ?? known.oneOf?.find((one) => one.description)?.description;
  const more = [required ? "" : "optional", isValue ? bounds(known) : ""].filter(Boolean).join("; ");
  return element("tr", {},
    element("th", { scope: "row" }, element("code", {}, name)),
    element("td", {}, ...kind(schema), more && element("p", { class: "soft" }, more)),
    element("td", {}, ...paragraphs(about)));
}

/** Returns the properties of a schema in order, required ones first. */
function properties({ properties = {}, required = [] }) {
  // The schema of an optional form field also allows the empty text.
  const names = new Set([...required, ...Object.keys(properties)]);
  return [...names].map((name) => [name, properties[name].anyOf?.[0] ?? properties[name], required.includes(name)]);
}

function fields(schema) {
  return properties(schema).map(([name, one, required]) => field(name, one, required));
}

/** Returns the schema of a call's form. */
function formOf(operation) {
  const content = operation.requestBody?.content["multipart/form-data"];
  return content && whole(content.schema);
}

/** Returns a shell command that makes the call. */
function curl(path, method, operation) {
  const words = ["curl"];
  if (method === "delete") words.push("-X DELETE");
  if (operation.security) words.push('-H "Authorization: Bearer $KEY"');
  for (const name of formOf(operation)?.required ?? []) {
    words.push(`-F ${name}=${name === "employee_id" ? "e-17" : `@${name}.jpg`}`);
  }
  words.push(new URL(`.${path.replace("{employee_id}", "e-17")}`, document.baseURI).href);
  return words.join(" ");
}

function parameters(operation) {
  if (!operation.parameters) return [];
  const rows = operation.parameters.map(({ name, schema, description, required, in: place }) =>
    field(place === "path" ? `{${name}}` : `?${name}=`, { ...schema, ...(description && { description }) }, required));
  return [element("h4", {}, "Parameters"), table("Parameters", rows)];
}

function body(operation) {
  const content = operation.requestBody?.content;
  if (!content) return [];
  const either = Object.entries(content).flatMap(([type, { schema }], at) =>
    [at ? " or " : "", element("code", {}, type), " (", ...kind(schema), ")"]);
  return [element("h4", {}, "Body"), element("p", { class: "soft" }, ...either), table("Form fields", fields(formOf(operation)))];
}

function answer([status, { description, content, headers }]) {
  const [[, media] = []] = Object.entries(content ?? {});
  const names = Object.keys(headers ?? {}).filter((name) => name !== "X-Request-Id");
  return element("tr", Number(status) >= 400 ? { class: "failure" } : {},
    element("th", { scope: "row" }, status),
    element("td", {},
      ...description.split("; ").map((line) => element("p", {}, ...prose(line))),
      names.length > 0 && element("p", { class: "soft" }, `with ${names.join(", ")}`),
      media?.example && fold("Example", listing(json(media.example)))),
    element("td", {}, ...(media ? kind(media.schema) : [])));
}

function answers(operation) {
  const all = Object.entries(operation.responses);
  const [good, failed] = [all.filter(([status]) => status < 400), all.filter(([status]) => status >= 400)];
  return [
    element("h4", {}, "Responses"), table("Responses", good.map(answer)),
    fold(`Errors: ${failed.map(([status]) => status).join(", ")}`, table("Errors", failed.map(answer))),
  ];
}

function callers(operation) {
  const roles = (operation.security ?? []).flatMap((one) => Object.values(one).flat());
  return roles.length ? `Requires an API key with the role ${roles.join(" or ")}.` : "Requires no API key.";
}

function trialOf({ path, method, operation }) {
  const form = formOf(operation);
  const inputs = properties(form ?? {}).map(([name, one, required]) => [name, whole(one), required]);
  const asked = (operation.parameters ?? []).map((one) => ({ ...one, schema: whole(one.schema) }));
  return trial(path, method, asked, inputs);
}

function shown(call) {
  const { path, method, operation } = call;
  return element("article", { id: operation.operationId },
    element("h3", {}, `${method.toUpperCase()} ${path}`),
    ...paragraphs(operation.summary), ...paragraphs(operation.description),
    element("p", { class: "soft" }, callers(operation)),
    listing(curl(path, method, operation)),
    ...parameters(operation), ...body(operation), ...answers(operation),
    trialOf(call));
}

function schemaShown([name, schema]) {
  const parts = schema.allOf ?? [schema];
  const rows = parts.flatMap((part) => (part.$ref ? [] : fields(part)));
  const base = parts.filter((part) => part.$ref).flatMap((part) => ["All of ", ...kind(part), ", and:"]);
  const plain = rows.length === 0 && base.length === 0;
  return element("article", { id: name },
    element("h3", {}, name), ...paragraphs(schema.description),
    element("p", { class: "soft" }, ...base, ...(plain ? [...kind(schema), " ", bounds(schema)] : [])),
    rows.length > 0 && table(`Fields of ${name}`, rows),
    ...(schema.examples ?? []).filter(() => rows.length > 0).map((example) => fold("Example", listing(json(example)))));
}

function links(entries) {
  return element("ul", {}, entries.map(([id, text]) => element("li", {}, element("a", { href: `#${id}` }, text))));
}

function show() {
  const calls = Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({ path, method, operation: item[method] })));
  const groups = api.tags.map((tag) => [tag, calls.filter(({ operation }) => operation.tags.includes(tag.name))]);
  const schemas = Object.entries(api.components.schemas);
  document.getElementById("contents").replaceChildren(
    ...groups.flatMap(([tag, some]) => [element("h2", {}, tag.name),
      links(some.map(({ path, method, operation }) => [operation.operationId, `${method.toUpperCase()} ${path}`]))]),
    fold("Schemas", links(schemas.map(([name]) => [name, name]))));
  document.querySelector("main").replaceChildren(
    element("h1", {}, `${api.info.title} ${api.info.version}`), ...paragraphs(api.info.description),
    element("p", {}, element("a", { href: "openapi.json" }, "openapi.json"), ", the machine-readable document"),
    ...groups.map(([tag, some]) => element("section", {},
      element("h2", {}, tag.name), ...paragraphs(tag.description), ...some.map(shown))),
    element("section", {}, element("h2", {}, "Schemas"), ...schemas.map(schemaShown)));
  // The element that the address names exists only now.
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

try {
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`status ${response.status}`);
  api = await response.json();
  show();
} catch (error) {
  document.querySelector("main").replaceChildren(element("p", { role: "alert" }, `The API description could not be loaded: ${error.message}`));
}
