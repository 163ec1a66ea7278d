/**
 * Something that happens, and who wants to know.
 *
 * Each owner of state has one of these for each kind of change; listeners are called in the order
 * in which they came. One that throws is a bug and is not caught. Pure.
 */

/** @template T */
export class Signal {
  /** @type {((value: T) => void)[]} */
  #listeners = [];

  /**
   * @param {(value: T) => void} listener
   * @returns {() => void} takes the listener away again
   */
  add(listener) {
    this.#listeners.push(listener);
    return () => {
      this.#listeners = this.#listeners.filter((each) => each !== listener);
    };
  }

  /** @param {T} value */
  fire(value) {
    for (const listener of this.#listeners) listener(value);
  }
}
