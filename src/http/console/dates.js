// Moments as people read them, and days as the service takes them.

import { element } from "./element.js";

const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** A moment, in the reader's own time zone. */
export function moment(text) {
  return element("time", { datetime: text }, MOMENT.format(new Date(text)));
}

/** When a day of the calendar (2030-12-31) is over here, or nothing for no day. */
export function endOf(day) {
  return day ? new Date(`${day}T23:59:59`).toISOString() : undefined;
}

/** Today's day of the calendar here. */
export function today() {
  const now = new Date();
  const two = (number) => String(number).padStart(2, "0");
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}
