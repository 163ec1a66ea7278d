/**
 * How good the link is, in few words: from the round trip, how late snapshots come, and how many do
 * not come. Pure.
 *
 * `level` is 4 for a link that nobody notices, 3 for a good one, 2 for one that shows, 1 for one
 * that disturbs, and 0 while there is none. The bounds are those at which people begin to notice
 * and to be disturbed in shared spaces: about 100 and 300 ms of delay in all.
 */

const WINDOW = 100;
const NOTICED_MS = 100;
const SHOWS_MS = 180;
const DISTURBS_MS = 300;
const LOST_SHOWS = 0.05;
const LOST_DISTURBS = 0.2;

export class LinkQuality {
  rttMs = NaN;
  jitterMs = 0;
  #gaps = new Uint8Array(WINDOW);
  #count = 0;
  #tick = -1;

  /** A new epoch of ticks. */
  begin() {
    this.#tick = -1;
    this.#count = 0;
    this.#gaps.fill(0);
  }

  /** A snapshot came. @param {number} tick */
  snapshot(tick) {
    if (this.#tick >= 0) {
      this.#gaps[this.#count++ % WINDOW] = Math.min(tick - this.#tick - 1, 255);
    }
    this.#tick = tick;
  }

  /** Share of the recent snapshots that did not come, 0..1. */
  get lost() {
    const known = Math.min(this.#count, WINDOW);
    let missing = 0;
    for (let i = 0; i < known; i++) missing += this.#gaps[i];
    return missing ? missing / (missing + known) : 0;
  }

  /** @param {boolean} isLive @returns {0 | 1 | 2 | 3 | 4} */
  level(isLive) {
    if (!isLive) return 0;
    const delay = (Number.isNaN(this.rttMs) ? 0 : this.rttMs) + this.jitterMs;
    const { lost } = this;
    if (delay > DISTURBS_MS || lost > LOST_DISTURBS) return 1;
    if (delay > SHOWS_MS || lost > LOST_SHOWS) return 2;
    return delay > NOTICED_MS ? 3 : 4;
  }
}
