/**
 * How often something may be said aloud: a screen reader reads everything to its end, so that a
 * busy place must be summed up. What comes too early waits, and is told together. Pure.
 */

/** @template T */
export class Pace {
  #pauseMs;
  #most;
  #nextMs = 0;
  /** @type {T[]} */
  #waiting = [];
  #missed = 0;

  /**
   * @param {number} pauseMs least time between two announcements
   * @param {number} most items that wait; more are only counted
   */
  constructor(pauseMs, most) {
    this.#pauseMs = pauseMs;
    this.#most = most;
  }

  /** @param {T} item */
  add(item) {
    if (this.#waiting.length < this.#most) this.#waiting.push(item);
    else this.#missed += 1;
  }

  /**
   * What may be said now, if it is time; the count is that of all since the last time.
   * @param {number} nowMs
   * @returns {{items: T[], count: number} | null}
   */
  take(nowMs) {
    if (nowMs < this.#nextMs || !this.#waiting.length) return null;
    const items = this.#waiting;
    const count = items.length + this.#missed;
    this.#waiting = [];
    this.#missed = 0;
    this.#nextMs = nowMs + this.#pauseMs;
    return { items, count };
  }

  forget() {
    this.#waiting = [];
    this.#missed = 0;
  }
}
