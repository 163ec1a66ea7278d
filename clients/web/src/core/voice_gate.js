/**
 * Whether somebody speaks, by the level of sound. PURE.
 *
 * A voice gate opens above one level and closes below a lower one, and only after a while: else
 * it would flutter between syllables. Levels are RMS of samples from -1 to 1.
 */

export class VoiceGate {
  isOpen = false;
  /** Above it the gate opens. */
  level;
  #quietSince = 0;
  #holdMs;

  /** @param {number} [level] @param {number} [holdMs] */
  constructor(level = 0.015, holdMs = 350) {
    this.level = level;
    this.#holdMs = holdMs;
  }

  /**
   * @param {number} rms
   * @param {number} nowMs
   */
  take(rms, nowMs) {
    if (rms >= (this.isOpen ? this.level / 2 : this.level)) {
      this.isOpen = true;
      this.#quietSince = nowMs;
    } else if (nowMs - this.#quietSince > this.#holdMs) {
      this.isOpen = false;
    }
    return this.isOpen;
  }

  close() {
    this.isOpen = false;
  }
}

/**
 * @param {Float32Array} samples
 * @returns {number} their root mean square
 */
export function rms(samples) {
  let sum = 0;
  for (let k = 0; k < samples.length; k++) sum += samples[k] * samples[k];
  return Math.sqrt(sum / Math.max(1, samples.length));
}
