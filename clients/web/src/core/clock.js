/**
 * The server's clock, seen from here.
 *
 * Each ping gives one sample: the server's time at the middle of a round trip. Queues only ever
 * add delay, so of the last SAMPLES the one with the shortest round trip is the most exact, and
 * it alone is believed. `now` moves towards it gently, because a clock that jumps makes everybody
 * on the map jump; only a large error is stepped over at once. Samples that cannot both be true
 * mean that a clock has jumped (this machine slept): then the older ones are forgotten.
 *
 * The wire counts milliseconds modulo 2**32; inside, time is a number that never wraps. No clock
 * is read here: local times come as arguments.
 */

const SAMPLES = 8;
const STEP_MS = 250;
/** At most this part of the time that passes is added or taken away while correcting. */
const SLEW = 0.05;
/** Two honest samples contradict each other by no more: clocks drift, and times are rounded. */
const SLACK_MS = 20;
const WRAP = 2 ** 32;

export class ServerClock {
  /** @type {{rttMs: number, offsetMs: number}[]} */
  #samples = [];
  #offsetMs = 0;
  #targetMs = 0;
  #lastLocalMs = 0;
  #seeded = false;

  /** Shortest round trip of the recent samples, ms; NaN before the first. */
  get rttMs() {
    return this.#samples.length ? this.#best().rttMs : NaN;
  }

  /**
   * A first guess, from a message of the server that has just arrived.
   * @param {number} serverMs
   * @param {number} localMs
   */
  seed(serverMs, localMs) {
    this.#samples = [];
    this.#seeded = true;
    this.#targetMs = this.#offsetMs = serverMs - localMs;
    this.#lastLocalMs = localMs;
  }

  /**
   * @param {number} sentMs local time at which the ping left
   * @param {number} serverMs the server's time in its answer
   * @param {number} receivedMs local time at which the answer came
   */
  add(sentMs, serverMs, receivedMs) {
    if (!this.#seeded) this.seed(serverMs, receivedMs);
    const rttMs = receivedMs - sentMs;
    if (rttMs < 0) return;
    const offsetMs = this.extend(serverMs) - (sentMs + receivedMs) / 2;
    // The true offset is within half a round trip of each sample.
    this.#samples = this.#samples.filter((each) => (
      Math.abs(each.offsetMs - offsetMs) <= (each.rttMs + rttMs) / 2 + SLACK_MS));
    this.#samples.push({ rttMs, offsetMs });
    if (this.#samples.length > SAMPLES) this.#samples.shift();
    this.#targetMs = this.#best().offsetMs;
    if (Math.abs(this.#targetMs - this.#offsetMs) > STEP_MS) this.#offsetMs = this.#targetMs;
  }

  /**
   * The server's time at the local time `localMs`.
   * @param {number} localMs
   */
  now(localMs) {
    const most = Math.max(0, localMs - this.#lastLocalMs) * SLEW;
    const error = this.#targetMs - this.#offsetMs;
    this.#offsetMs += Math.min(Math.max(error, -most), most);
    this.#lastLocalMs = localMs;
    return localMs + this.#offsetMs;
  }

  /**
   * A time of the wire as the number nearest to now that is the same modulo 2**32.
   * @param {number} serverMs
   */
  extend(serverMs) {
    const near = this.#lastLocalMs + this.#offsetMs;
    return serverMs + Math.round((near - serverMs) / WRAP) * WRAP;
  }

  #best() {
    return this.#samples.reduce((best, sample) => (sample.rttMs < best.rttMs ? sample : best));
  }
}
