/**
 * The avatar maker: swatches, styles and sliders beside a turning preview, and a file of one's own.
 *
 * It knows no field by name: look_fields describes them. The preview is three.js and is loaded when
 * the panel opens; where it cannot be drawn the panel works without. Nothing is worn before one
 * says so; `Undo` goes back step by step.
 */

import { button, drawn, make } from "./dom.js";
import { lookFields, LookHistory } from "./look_fields.js";
import { shownNumber, words, wordsOf } from "./words.js";

/** @typedef {import("./look_fields.js").Look} Look */
/** @typedef {import("./look_fields.js").LookField} LookField */
/** @typedef {{show(look: Look): void, dispose?(): void}} Preview */
/**
 * @typedef {object} LookPorts
 * @property {import("./look_fields.js").LookSource} source
 * @property {(canvas: HTMLCanvasElement) => Promise<Preview>} preview
 * @property {(file: File) => Promise<string>} [uploadVrm] resolves to the hash of the file
 */
/**
 * @typedef {object} Wears
 * @property {() => string} now the look as text, empty for none
 * @property {(text: string) => void} wear
 * @property {import("./notices.js").Notices} notices
 */

const VRM_MB_MAX = 20;

export class LookPanel {
  #ports;
  #wears;
  #history = new LookHistory();
  /** @type {Look} */
  #look;
  /** @type {Preview | null} */
  #preview = null;
  #opened = 0;
  #randoms = 0;
  #fields = make("div");
  #undo = button("", () => this.#back());

  /** @param {LookPorts} ports @param {Wears} wears */
  constructor(ports, wears) {
    this.#ports = ports;
    this.#wears = wears;
    this.#look = ports.source.parse(wears.now(), "");
  }

  /** @returns {import("./panel.js").Content} */
  panel() {
    return { title: "look.heading", fill: (body) => this.#fill(body),
      closed: () => this.#closed() };
  }

  /** @param {HTMLElement} body */
  #fill(body) {
    this.#closed();
    const canvas = make("canvas", { attributes: { id: "look-preview", role: "img",
      "aria-label": words("look.preview"), width: "640", height: "480" } });
    const random = button(words("look.random"), () => this.#random());
    const wear = button(words("look.save"), () => (
      this.#wears.wear(this.#ports.source.format(this.#look))), "do main");
    this.#undo.textContent = words("look.undo");
    body.append(canvas, make("p", { class: "row" }, wear, random, this.#undo), this.#fields,
      ...this.#vrm());
    this.#show();
    void this.#startPreview(canvas);
  }

  #closed() {
    this.#opened += 1;
    this.#preview?.dispose?.();
    this.#preview = null;
  }

  /** @param {HTMLCanvasElement} canvas */
  async #startPreview(canvas) {
    const opened = this.#opened;
    try {
      const preview = await this.#ports.preview(canvas);
      if (opened !== this.#opened) return void preview.dispose?.();
      this.#preview = preview;
      preview.show(this.#look);
    } catch {
      canvas.replaceWith(make("p", { class: "hint", text: words("look.noPreview") }));
    }
  }

  /** The controls as the look is now. */
  #show() {
    const focused = document.activeElement?.id ?? "";
    this.#fields.replaceChildren(...lookFields(this.#ports.source).map((field) => (
      this.#field(field))));
    if (focused.startsWith("look-")) document.getElementById(focused)?.focus();
    this.#undo.disabled = this.#history.isEmpty;
    this.#preview?.show(this.#look);
  }

  /** @param {string} name @param {number | string} value */
  #set(name, value) {
    this.#history.keep(this.#ports.source.format(this.#look));
    this.#look = { ...this.#look, [name]: value };
    this.#undo.disabled = false;
    this.#preview?.show(this.#look);
  }

  #back() {
    const before = this.#history.back();
    if (before === undefined) return;
    this.#look = this.#ports.source.parse(before, "");
    this.#show();
  }

  #random() {
    this.#history.keep(this.#ports.source.format(this.#look));
    const { vrm } = this.#look;
    const seed = `${Date.now()}.${this.#randoms++}`;
    this.#look = { ...this.#ports.source.random(seed), vrm };
    this.#show();
  }

  /** @param {LookField} field */
  #field(field) {
    const title = wordsOf(`look.${field.name}`) || field.name;
    if (field.kind === "step") return this.#slider(field, title);
    if (field.kind === "colour") return this.#swatches(field, title);
    return this.#choice(field, title);
  }

  /** @param {LookField} field @param {string} title */
  #slider({ name, count }, title) {
    const id = `look-${name}`;
    const slider = make("input", { attributes: { id, type: "range", min: "0",
      max: String(count - 1), step: "1" } });
    slider.value = String(this.#look[name]);
    slider.addEventListener("input", () => this.#set(name, Number(slider.value)));
    return make("div", { class: "row field" },
      make("label", { text: title, attributes: { for: id } }), slider);
  }

  /** @param {Extract<LookField, {kind: "style"}>} field @param {string} title */
  #choice({ name, styles }, title) {
    const id = `look-${name}`;
    const select = make("select", { attributes: { id } });
    styles.forEach((style, at) => {
      const text = wordsOf(`style.${style}`) || words("look.choice", { value: style });
      select.append(make("option", { text, attributes: { value: String(at) } }));
    });
    select.value = String(this.#look[name]);
    select.addEventListener("change", () => this.#set(name, Number(select.value)));
    return make("div", { class: "row field" },
      make("label", { text: title, attributes: { for: id } }), select);
  }

  /** @param {Extract<LookField, {kind: "colour"}>} field @param {string} title */
  #swatches({ name, colours }, title) {
    const swatches = colours.map((colour, at) => {
      const radio = make("input", { attributes: { id: `look-${name}-${at}`, type: "radio",
        name: `look-${name}`, value: String(at),
        "aria-label": words("look.colour", { value: shownNumber(at + 1) }) } });
      radio.checked = this.#look[name] === at;
      radio.addEventListener("change", () => this.#set(name, at));
      return make("label", {}, radio, drawn("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" },
        drawn("circle", { cx: "12", cy: "12", r: "9.5", fill: colour })));
    });
    return make("fieldset", {}, make("legend", { text: title }),
      make("div", { class: "swatches" }, ...swatches));
  }

  // --- a model of one's own ----------------------------------------------------------------

  #vrm() {
    const { uploadVrm } = this.#ports;
    if (!uploadVrm) return [];
    const file = make("input", { attributes: { id: "look-vrm", type: "file",
      accept: ".vrm,model/gltf-binary" } });
    const told = make("p", { class: "hint", attributes: { role: "status" } });
    const drop = button(words("look.vrmDrop"), () => this.#set("vrm", ""));
    file.addEventListener("change", () => {
      const [chosen] = file.files ?? [];
      if (chosen) void this.#upload(chosen, told, uploadVrm);
    });
    return [make("h3", { text: words("look.vrm") }),
      make("label", { class: "unseen", text: words("look.vrm"), attributes: { for: "look-vrm" } }),
      file, told, make("p", { class: "row" }, drop)];
  }

  /**
   * @param {File} file
   * @param {HTMLElement} told
   * @param {(file: File) => Promise<string>} upload
   */
  async #upload(file, told, upload) {
    if (file.size > VRM_MB_MAX * 1e6) {
      told.textContent = words("look.vrmLarge", { most: VRM_MB_MAX });
      return;
    }
    told.textContent = words("look.vrmWaiting");
    try {
      this.#set("vrm", await upload(file));
      told.textContent = words("look.vrmDone");
    } catch (error) {
      told.textContent = error instanceof Error ? error.message : String(error);
    }
  }
}
