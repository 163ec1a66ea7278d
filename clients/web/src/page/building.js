/**
 * Build mode, made known to the page: its key, its clicks and its frames. It is fetched when
 * somebody first wants to build.
 */

import { words } from "../ui/words.js";

/** @typedef {import("./world_page.js").WorldPage} WorldPage */
/** @typedef {import("../building/build_mode.js").BuildMode} BuildMode */

export class Building {
  /** @type {BuildMode | null} */
  mode = null;
  #page;
  #isLoading = false;

  /** @param {WorldPage} page */
  constructor(page) {
    this.#page = page;
  }

  /** Opens or closes it. */
  async toggle() {
    if (this.#isLoading) return;
    this.#isLoading = true;
    try {
      this.mode ??= await this.#load();
      this.mode.toggle();
    } catch (error) {
      console.debug("build mode could not be loaded", error);
      this.#page.model.told.fire(words("build.notLoaded"));
    } finally {
      this.#isLoading = false;
    }
  }

  async #load() {
    const { BuildMode } = await import("../building/build_mode.js");
    const { stage, canvas, model, propScene } = this.#page;
    const mode = new BuildMode({ stage, canvas, model, propScene,
      token: () => this.#page.account.token,
      holdView: (isHeld) => { this.#page.isViewHeld = isHeld; } });
    this.#page.takesClick = (x, y, event) => mode.click(x, y, event);
    this.#page.parts.push(() => mode.update());
    return mode;
  }
}
