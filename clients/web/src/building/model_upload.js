/**
 * Models of one's own: chosen in the panel or dropped on the world, uploaded, and put up.
 *
 * One at a time. The bar says how much was sent; then the server checks the file, which may take a
 * moment. What it refuses is told in its own words. Who may not upload is told before choosing a
 * file: the server is asked what the account may, when the panel is opened.
 */

import { mayUpload, upload, UploadError } from "../net/upload.js";
import { button, make, setText } from "../ui/dom.js";
import { words } from "../ui/words.js";

/**
 * @typedef {object} UploadPorts
 * @property {() => string} token
 * @property {(sentence: string) => void} say
 * @property {(hash: string, title: string) => void} putUp
 */

const TITLE_CHARS_MAX = 64;
const WHY_NOT = Object.freeze({ tooLarge: "build.fileTooLarge", wrongType: "build.fileWrong",
  away: "build.fileAway", cancelled: "build.fileCancelled", refused: "build.fileRefused" });

export class ModelUpload {
  /** @type {AbortController | null} */
  #running = null;
  #bar = make("progress", { attributes: { max: "1", value: "0" } });
  #box = make("div", { class: "upload" });
  #why = make("p", { class: "hint" });
  /** @type {HTMLInputElement | null} */
  #input = null;
  /** Of which token it is known, and what. */
  #asked = { token: "", may: /** @type {"yes" | "guest" | "denied"} */ ("guest") };
  #ports;

  /** @param {UploadPorts} ports */
  constructor(ports) {
    this.#ports = ports;
  }

  /** Its part of the panel, in the language of now. */
  panel() {
    const input = make("input", { attributes: { type: "file", accept: ".glb",
      id: "build-file", "aria-describedby": "build-file-why" } });
    this.#input = input;
    this.#why.id = "build-file-why";
    input.addEventListener("change", () => {
      const [file] = input.files ?? [];
      if (file) void this.take(file);
      input.value = "";
    });
    const cancel = button(words("dialog.cancel"), () => this.#running?.abort());
    this.#bar.setAttribute("aria-label", words("build.file"));
    this.#box.replaceChildren(make("label", {}, words("build.file"), input), this.#why, this.#bar,
      cancel);
    this.#show();
    void this.#ask();
    return this.#box;
  }

  /** Asks what the account may, once for each. */
  async #ask() {
    const token = this.#ports.token();
    if (token && token !== this.#asked.token) {
      this.#asked = { token, may: await mayUpload(token) };
    } else if (!token) this.#asked = { token, may: "guest" };
    this.#show();
  }

  #show() {
    const { may } = this.#asked;
    if (this.#input) this.#input.disabled = may !== "yes";
    setText(this.#why, may === "yes" ? words("build.fileHow")
      : words(may === "guest" ? "build.fileGuest" : "build.fileDenied"));
    this.#bar.hidden = this.#running === null;
    const cancel = this.#box.querySelector("button");
    if (cancel) cancel.hidden = this.#running === null;
  }

  /** @param {File} file */
  async take(file) {
    const { token, say, putUp } = this.#ports;
    if (this.#input?.disabled) return say(this.#why.textContent ?? "");
    if (this.#running) return say(words("build.fileBusy"));
    const running = this.#running = new AbortController();
    this.#bar.value = 0;
    this.#show();
    say(words("build.fileSending"));
    try {
      const hash = await upload(file, { token: token(), signal: running.signal,
        progress: (part) => {
          this.#bar.value = part;
          if (part === 1) say(words("build.fileChecked"));
        } });
      putUp(hash, titleOf(file.name));
      say(words("build.fileDone"));
    } catch (error) {
      if (!(error instanceof UploadError)) throw error;
      const key = /** @type {import("../lang/en.js").WordKey} */ (WHY_NOT[error.reason]);
      say(error.sentence || words(key));
    } finally {
      this.#running = null;
      this.#show();
    }
  }
}

/** @param {string} name of a file */
function titleOf(name) {
  return [...name.replace(/\.[^.]*$/, "")].filter((each) => each >= " ").slice(0, TITLE_CHARS_MAX)
    .join("");
}
