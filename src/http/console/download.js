// Saves a text as a file on the user's computer.

import { element } from "./element.js";

export function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: url, download: name }).click();
  // By then the download has read it.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
