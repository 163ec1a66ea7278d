/**
 * Requests that wait for their one first answer.
 *
 * Each is a promise that always settles: by the server's Result, or by NO_ANSWER when the link was
 * lost or nothing came for ANSWER_S_MAX. Ids grow and are never used twice, as the server demands
 * of edits, which take theirs from here as well. Pure: `expire` is told the time.
 */

/** @typedef {{code: number, reason: string, retry_ms: number}} Answer */

/** The code of an answer that never came. */
export const NO_ANSWER = -1;
const ANSWER_MS_MAX = 8_000;

export class Requests {
  /** @type {Map<number, {settle: (answer: Answer) => void, untilMs: number}>} */
  #waiting = new Map();
  #next;
  #nowMs = 0;

  /** @param {number} first the first id; above all that this session has used before */
  constructor(first) {
    this.#next = first;
  }

  newId() {
    return this.#next++;
  }

  /**
   * @param {(requestId: number) => void} ask sends the request of this id
   * @returns {Promise<Answer>}
   */
  ask(ask) {
    const id = this.newId();
    return new Promise((settle) => {
      this.#waiting.set(id, { settle, untilMs: this.#nowMs + ANSWER_MS_MAX });
      ask(id);
    });
  }

  /**
   * Whether the answer was to something that waits here.
   * @param {number} requestId
   * @param {Answer} answer
   */
  answer(requestId, answer) {
    const waiting = this.#waiting.get(requestId);
    this.#waiting.delete(requestId);
    waiting?.settle(answer);
    return waiting !== undefined;
  }

  /** Gives up what has waited too long. @param {number} nowMs */
  expire(nowMs) {
    this.#nowMs = nowMs;
    for (const [id, { untilMs }] of this.#waiting) {
      if (nowMs > untilMs) this.answer(id, { code: NO_ANSWER, reason: "", retry_ms: 0 });
    }
  }

  /** The link is gone, and with it the answers. */
  giveUp() {
    for (const id of [...this.#waiting.keys()]) {
      this.answer(id, { code: NO_ANSWER, reason: "", retry_ms: 0 });
    }
  }
}
