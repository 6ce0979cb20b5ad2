// Formats times for users, and converts dates for the service.

import { element } from "./element.js";

const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** Formats a time in the user's time zone. */
export function moment(text) {
  return element("time", { datetime: text }, MOMENT.format(new Date(text)));
}

/** Returns the end of a date (2030-12-31) in the user's time zone, or nothing if it is empty. */
export function endOf(day) {
  return day ? new Date(`${day}T23:59:59`).toISOString() : undefined;
}

/** Returns today's date in the user's time zone. */
export function today() {
  const now = new Date();
  const two = (number) => String(number).padStart(2, "0");
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}
