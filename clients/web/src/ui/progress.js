/**
 * How far loading has come, as one part of a whole that never goes back.
 *
 * The three steps weigh what they take on an ordinary link. While the number of models is still
 * growing the bar waits instead of jumping back. Pure.
 */

/** @typedef {"modules" | "scene" | "models"} Step */

const WEIGHTS = Object.freeze({ modules: 0.25, scene: 0.25, models: 0.5 });
const STEPS = /** @type {Step[]} */ (Object.keys(WEIGHTS));

export class Progress {
  /** @type {Record<Step, {done: number, total: number}>} */
  #steps = { modules: { done: 0, total: 1 }, scene: { done: 0, total: 1 },
    models: { done: 0, total: 0 } };
  #shown = 0;

  /** @param {Step} step @param {number} done @param {number} total */
  set(step, done, total) {
    this.#steps[step] = { done: Math.min(Math.max(done, 0), total), total };
  }

  /** 0..1 */
  get part() {
    let part = 0;
    for (const step of STEPS) part += WEIGHTS[step] * this.#partOf(step);
    this.#shown = Math.max(this.#shown, part);
    return this.#shown;
  }

  /** @param {Step} step @returns {number} */
  #partOf(step) {
    const { done, total } = this.#steps[step];
    if (!total) return step === "models" && this.#partOf("scene") === 1 ? 1 : 0;
    return done / total;
  }

  /** The step that is being done, and how much of it is left; null when all is done. */
  get doing() {
    const step = STEPS.find((each) => this.#partOf(each) < 1);
    if (!step) return null;
    const { done, total } = this.#steps[step];
    return { step, left: total - done };
  }

  /** Another world is loaded. */
  again() {
    this.#shown = 0;
    this.set("scene", 0, 1);
    this.set("models", 0, 0);
  }
}
