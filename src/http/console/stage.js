// Displays a photo or the webcam, and marks the faces that were used.

import { element } from "./element.js";

const SVG = "http://www.w3.org/2000/svg";

function drawn(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function outline({ box: { x, y, width, height }, landmarks }) {
  const frame = drawn("rect", { x, y, width, height, rx: Math.min(width, height) / 12 });
  const dots = landmarks.map(([cx, cy]) => drawn("circle", { cx, cy, r: Math.max(1.5, width / 60) }));
  return [frame, ...dots];
}

export class Stage {
  #video = element("video", { playsinline: true, "aria-label": "Webcam image", hidden: true });
  #overlay = drawn("svg", { class: "overlay", "aria-hidden": "true" });
  #photo = element("div", { class: "still" });

  constructor(empty) {
    // Set as a property: the attribute has an effect only before the first play.
    this.#video.muted = true;
    this.element = element("div", { class: "stage" }, element("p", {}, empty), this.#video, this.#photo);
    this.element.append(this.#overlay);
  }

  get video() {
    return this.#video;
  }

  async showLive(stream) {
    this.clear();
    this.#video.srcObject = stream;
    this.#video.hidden = false;
    this.element.dataset.shows = "live";
    await this.#video.play();
  }

  showPhoto(canvas) {
    this.clear();
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "The chosen photo");
    this.#photo.replaceChildren(canvas);
    this.element.dataset.shows = "photo";
  }

  clear() {
    this.#video.srcObject = null;
    this.#video.hidden = true;
    this.#photo.replaceChildren();
    this.#overlay.replaceChildren();
    delete this.element.dataset.shows;
  }

  /** Draws the box and landmarks of each face, in pixels of the sent canvas. */
  mark(faces, canvas) {
    this.#overlay.setAttribute("viewBox", `0 0 ${canvas.width} ${canvas.height}`);
    this.#overlay.replaceChildren(...faces.flatMap(outline));
  }
}
