// The calls of the service, one function each; a refusal is thrown as a Problem.

import { session } from "./session.js";

const RECOGNITION = ["/verify", "/identify"];

/** Timeout in milliseconds; longer than the service's own. */
const PATIENCE = 90_000;

/** A problem that the service returned (RFC 9457), or a failure to reach it. */
export class Problem extends Error {
  /** `retryAfter` is in seconds; 0 for at once. */
  constructor({ status, code, detail, reasons = [], request_id = "" }, path, retryAfter = 0) {
    super(detail);
    Object.assign(this, { status, code, detail, reasons, requestId: request_id, path, retryAfter });
  }

  /** The roles whose keys may make the call. */
  get rolesNeeded() {
    return RECOGNITION.includes(this.path) ? "terminal, enroller or admin" : "enroller or admin";
  }
}

async function call(method, path, body) {
  const key = session.key;
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  let response, text;
  try {
    // Relative to the page, since a proxy may add a path prefix.
    if (body && !(body instanceof FormData)) {
      headers["content-type"] = "application/json";
      body = JSON.stringify(body);
    }
    response = await fetch(`.${path}`, { method, body, headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    text = await response.text();
  } catch {
    throw new Problem({ status: 0, code: "unreachable", detail: "The service does not respond." }, path);
  }
  const answer = parsed(text);
  if (response.ok && answer) return answer;
  const problem = new Problem(answer?.code ? answer : foreign(response), path, Number(response.headers.get("retry-after")));
  // Several calls may be refused; the first refusal ends the session.
  if (problem.code === "no_key" && key === session.key) {
    session.end(key ? "This key is not valid or was revoked." : "");
  }
  throw problem;
}

/** Returns nothing if the text is not JSON, and so not a response of the service. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function foreign({ status }) {
  const about = status === 413 ? ": the photo exceeds its size limit" : "";
  const detail = `A proxy or network device answered instead of the service, with status ${status}${about}.`;
  return { status, code: "foreign_answer", detail };
}

function form(fields) {
  const made = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) made.append(name, value);
  }
  return made;
}

const employee = (id) => `/employees/${encodeURIComponent(id)}`;

export const check = (photo) => call("POST", "/check", form({ photo }));
export const enroll = (fields) => call("POST", "/enroll", form(fields));
export const verify = (employee_id, photo) => call("POST", "/verify", form({ employee_id, photo }));
export const identify = (photo) => call("POST", "/identify", form({ photo, top: 1, faces: "all" }));
/** Opens a session in which the person is asked to turn the head. */
export const openSession = (employee_id) => call("POST", "/presentation/sessions", { employee_id });
export function judgeSession(session, frames) {
  const fields = new FormData();
  for (const { at_ms, blob } of frames) {
    fields.append("frame", blob);
    fields.append("at_ms", at_ms);
  }
  return call("POST", `/presentation/sessions/${session}/frames`, fields);
}
export const verifySession = (employee_id, presentation_session) => call("POST", "/verify", form({ employee_id, presentation_session }));
export const identifySession = (presentation_session) => call("POST", "/identify", form({ presentation_session, top: 1 }));
export const erase = (id) => call("DELETE", employee(id));
/** Requests the receipt of an erasure again, by its identifier. */
export const receiptAgain = (id, receipt) => call("DELETE", `${employee(id)}?${new URLSearchParams({ receipt })}`);
export const ready = () => call("GET", "/readyz");

export function list(limit, after) {
  const query = new URLSearchParams({ limit, ...(after && { after }) });
  return call("GET", `/employees?${query}`);
}
