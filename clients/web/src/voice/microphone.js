/**
 * The person's own microphone: asked for when they want to talk, and let go when they do not.
 *
 * Its track is switched off (`enabled`) while nothing is to be heard: muted, the key not pressed,
 * or the voice gate closed. The level is taken from a copy of the track that is always on, so
 * that the gate can open again.
 */

import { rms, VoiceGate } from "../core/voice_gate.js";

/** @typedef {"push" | "open"} Manner by a key that is held, or by the voice gate */

const SAMPLES = 1024;

/** A reason why there is no sound; `reason` names the sentence. */
export class MicrophoneError extends Error {
  /** @param {"insecure" | "refused" | "missing" | "busy"} reason */
  constructor(reason) {
    super(`there is no microphone: ${reason}`);
    this.reason = reason;
  }
}

export class Microphone {
  level = 0;
  isMuted = false;
  isPressed = false;
  /** @type {Manner} */
  manner = "open";
  gate = new VoiceGate();
  #stream;
  #probe;
  #source;
  #analyser;
  #samples = new Float32Array(SAMPLES);

  /** @param {MediaStream} stream @param {AudioContext} audio */
  constructor(stream, audio) {
    this.#stream = stream;
    this.#probe = stream.clone();
    this.#analyser = new AnalyserNode(audio, { fftSize: SAMPLES });
    this.#source = audio.createMediaStreamSource(this.#probe);
    this.#source.connect(this.#analyser);
    this.track.enabled = false;
  }

  /**
   * Ask the person for it. Throws a MicrophoneError with a sentence.
   * @param {AudioContext} audio
   * @param {string} [deviceId]
   */
  static async open(audio, deviceId = "") {
    if (!globalThis.isSecureContext || !navigator.mediaDevices) {
      throw new MicrophoneError("insecure");
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: {
        echoCancellation: true, noiseSuppression: true, autoGainControl: true,
        ...(deviceId ? { deviceId: { exact: deviceId } } : {}),
      } });
      return new Microphone(stream, audio);
    } catch (error) {
      throw new MicrophoneError(reasonOf(error));
    }
  }

  get track() {
    return this.#stream.getAudioTracks()[0];
  }

  /** Look at the level; returns whether the person is heard. @param {number} nowMs */
  update(nowMs) {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    this.level = rms(this.#samples);
    const isOpen = this.gate.take(this.level, nowMs);
    this.track.enabled = !this.isMuted && (this.manner === "push" ? this.isPressed : isOpen);
    return this.track.enabled && isOpen;
  }

  close() {
    for (const track of [...this.#stream.getTracks(), ...this.#probe.getTracks()]) track.stop();
    this.#source.disconnect();
  }
}

/** @param {unknown} error @returns {"refused" | "missing" | "busy"} */
function reasonOf(error) {
  const name = error instanceof Error ? error.name : "";
  if (name === "NotAllowedError" || name === "SecurityError") return "refused";
  return name === "NotFoundError" || name === "OverconstrainedError" ? "missing" : "busy";
}
