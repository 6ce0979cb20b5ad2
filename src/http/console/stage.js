// Displays a photo or the webcam, and marks the face that was used.

import { element } from "./element.js";

const SVG = "http://www.w3.org/2000/svg";

function drawn(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
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

  /** Draws the box and landmarks of a face, in pixels of the sent canvas; without a face, clears them. */
  mark(face, canvas) {
    this.#overlay.replaceChildren();
    if (!face) return;
    this.#overlay.setAttribute("viewBox", `0 0 ${canvas.width} ${canvas.height}`);
    const { x, y, width, height } = face.box;
    const round = Math.min(width, height) / 12;
    this.#overlay.append(drawn("rect", { x, y, width, height, rx: round }));
    for (const [cx, cy] of face.landmarks) {
      this.#overlay.append(drawn("circle", { cx, cy, r: Math.max(1.5, width / 60) }));
    }
  }
}
