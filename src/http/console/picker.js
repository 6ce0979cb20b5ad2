// The source of a photo: the webcam, with guidance for each frame, or a file.

import { closeCamera, openCamera, whyNoCamera } from "./camera.js";
import { element } from "./element.js";
import { shotOfFile, shotOfVideo } from "./photo.js";
import { Stage } from "./stage.js";

const UNREADABLE = "This file can't be decoded as a photo. Use JPEG, PNG or WebP.";

export class Picker {
  #stage = new Stage("A photo or the webcam appears here.");
  #words = element("p", { class: "guidance", role: "status" });
  #start = element("button", { type: "button", onclick: (event) => this.#startUnlessDoubled(event) }, "Start camera");
  #take = element("button", { type: "button", class: "primary", onclick: () => this.#takePhoto(), hidden: true }, "Take photo");
  #stop = element("button", { type: "button", onclick: () => this.#stopCamera(), hidden: true }, "Stop camera");
  #file = element("input", { type: "file", accept: "image/jpeg,image/png,image/webp" });
  #stream = null;
  #options;
  /** Changes with the photo, so that late responses about an earlier photo are ignored. */
  #turn = 0;
  #asked = Promise.resolve();

  /** The photo to send, as { canvas, blob }. */
  shot = null;

  /**
   * `look` is asked about each photo and each of the webcam's frames, one at a time; it answers
   * `{ faces, words, good, wait }`, the last in milliseconds before the next frame. `seen` is told its
   * answer where that still is about what is shown. `takes`: whether a frame can be kept. `changed` is
   * told of another photo, or of none.
   */
  constructor(host, { look, seen = () => {}, takes = true, changed = () => {} }) {
    this.#options = { look, seen, takes, changed };
    const choose = element("label", { class: "button" }, "Choose a photo", this.#file);
    const buttons = element("div", { class: "buttons" }, this.#take, this.#start, this.#stop, choose);
    host.append(this.#stage.element, this.#words, buttons);
    const missing = whyNoCamera();
    if (missing) host.append(element("p", { class: "hint" }, missing));
    this.#start.disabled = Boolean(missing);
    this.#file.addEventListener("change", () => this.#useFile(this.#file.files[0]));
    this.#acceptDrops();
  }

  /** Releases the webcam and the photo. */
  clear() {
    this.#leaveCamera();
    this.#stage.clear();
    this.#say();
    this.#keep(null);
  }

  /** Stops the webcam if it runs; keeps a photo. */
  rest() {
    if (this.#stream) this.clear();
  }

  /** Marks the faces of a response on the photo. */
  mark(faces) {
    if (this.shot) this.#stage.mark(faces, this.shot.canvas);
  }

  #say(words = "", good = false) {
    // A screen reader announces each change; the same text is not a change.
    if (this.#words.textContent !== words) this.#words.textContent = words;
    this.#words.classList.toggle("good", good);
  }

  #keep(shot) {
    this.shot = shot;
    this.#options.changed(shot);
  }

  /** Ignores the second half of a double click on the previous button at this place. */
  #startUnlessDoubled({ detail: clicks }) {
    if (clicks < 2) this.#startCamera();
  }

  async #startCamera() {
    this.clear();
    const turn = this.#turn;
    this.#say("Waiting for the webcam…");
    try {
      const stream = await openCamera();
      if (turn !== this.#turn) return closeCamera(stream);
      this.#stream = stream;
      stream.getVideoTracks()[0].addEventListener("ended", () => this.#loseCamera(stream));
      await this.#stage.showLive(stream);
    } catch (error) {
      if (turn === this.#turn) this.#say(error.message);
      return;
    }
    this.#showButtons(true);
    (this.#options.takes ? this.#take : this.#stop).focus();
    await this.#watch();
  }

  async #watch() {
    const turn = this.#turn;
    while (turn === this.#turn) {
      let wait = 200;
      if (!document.hidden && this.#stage.video.videoWidth) {
        const frame = await shotOfVideo(this.#stage.video);
        if (turn !== this.#turn) return;
        const seen = await this.#look(frame, true);
        if (turn !== this.#turn) return;
        this.#tell(seen, frame);
        wait = seen.wait ?? wait;
      }
      await new Promise((done) => setTimeout(done, wait));
    }
  }

  #look(shot, live) {
    this.#asked = this.#asked.catch(() => {}).then(() => this.#options.look(shot, live));
    return this.#asked;
  }

  #tell(seen, { canvas }) {
    this.#stage.mark(seen.faces, canvas);
    this.#say(seen.words, seen.good);
    this.#options.seen(seen);
  }

  #stopCamera() {
    this.clear();
    this.#start.focus();
  }

  async #takePhoto() {
    const shot = await shotOfVideo(this.#stage.video);
    this.#leaveCamera();
    this.#start.focus();
    await this.#use(shot);
  }

  async #useFile(file) {
    if (!file) return;
    this.clear();
    // Reset, so that the same file can be chosen again.
    this.#file.value = "";
    const turn = this.#turn;
    this.#say("Reading the photo…");
    const shot = await shotOfFile(file).catch(() => null);
    if (turn !== this.#turn) return;
    if (shot) await this.#use(shot);
    else this.#say(UNREADABLE);
  }

  async #use(shot) {
    const turn = this.#turn;
    this.#stage.showPhoto(shot.canvas);
    this.#say("Checking the photo…");
    this.#keep(shot);
    const seen = await this.#look(shot, false);
    if (turn === this.#turn) this.#tell(seen, shot);
  }

  /** Clears a disconnected webcam; otherwise its last frame would stay. */
  #loseCamera(stream) {
    if (stream !== this.#stream) return;
    this.clear();
    this.#say("The webcam was disconnected. Reconnect it, or choose a photo.");
  }

  #leaveCamera() {
    this.#turn += 1;
    if (this.#stream) closeCamera(this.#stream);
    this.#stream = null;
    this.#showButtons(false);
  }

  #showButtons(live) {
    this.#take.hidden = !(live && this.#options.takes);
    this.#stop.hidden = !live;
    this.#start.hidden = live;
  }

  #acceptDrops() {
    const over = (event) => {
      event.preventDefault();
      this.#stage.element.classList.toggle("over", event.type === "dragover");
    };
    for (const kind of ["dragover", "dragleave", "drop"]) this.#stage.element.addEventListener(kind, over);
    this.#stage.element.addEventListener("drop", (event) => this.#useFile(event.dataTransfer.files[0]));
  }
}
