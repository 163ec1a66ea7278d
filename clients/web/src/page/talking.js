/**
 * Voice in the world page: when it is fetched, who is asked what before, and where voices are.
 *
 * The code for voice is fetched when voice is first wanted. Before that the person is told what it
 * means, once: the sound goes from browser to browser, and so do network addresses. Each frame the
 * ears are where the camera is, and each voice is at the head of whose it is.
 */

import { Vector3 } from "../../vendor/three.js";
import { VoiceMode } from "../core/protocol.generated.js";
import { lastingStorage } from "../net/storage.js";
import { ask } from "../ui/dialogs.js";
import { words } from "../ui/words.js";

/** @typedef {import("./world_page.js").WorldPage} WorldPage */
/** @typedef {import("./settings.js").Settings} Settings */
/** @typedef {"off" | "listen" | "talk"} Mode */

/** What is said when there is no microphone. */
const WHY_NOT = Object.freeze({ insecure: "voice.insecure", refused: "voice.refused",
  missing: "voice.missing", busy: "voice.busy" });
const CONSENT_KEY = "atrium.voice.understood";
const MOUTH_M = 1.5;
const MODES = { off: VoiceMode.OFF, listen: VoiceMode.LISTEN, talk: VoiceMode.TALK };

/** @implements {VoicePort} */
export class Talking {
  /** @type {Mode} */
  mode = "off";
  /** @type {import("../voice/voice.js").Voice | null} */
  voice = null;
  #page;
  #settings;
  /** @type {Map<number, number>} */
  #volumes = new Map();
  #head = new Vector3();
  #mouth = new Float64Array(3);
  #ears = { position: new Float64Array(3), forward: new Float64Array(3),
    up: new Float64Array(3) };

  /** @param {WorldPage} page @param {Settings} settings */
  constructor(page, settings) {
    this.#page = page;
    this.#settings = settings;
    page.parts.push(() => this.#update());
    page.speakingOf = (id) => (this.voice?.isHeard(id) ? 1 : 0);
    page.model.rtc.add((message) => this.voice?.receive(message));
    page.model.welcomed.add((welcome) => {
      this.voice?.receive(welcome);
      if (!this.voice) void this.#asBefore();
    });
    settings.changed.add((name) => {
      this.#apply();
      const { voice } = settings.values;
      if (name === "voice" && voice !== this.mode) void this.setMode(voice);
    });
  }

  /** Who used voice the last time listens at once; the microphone waits to be asked for. */
  async #asBefore() {
    if (this.#settings.values.voice === "off" || !lastingStorage.getItem(CONSENT_KEY)) return;
    await this.setMode("listen");
  }

  /** Loudness of the microphone, 0..1. */
  level() {
    return this.voice?.level ?? 0;
  }

  /**
   * @param {Mode} mode
   * @returns {Promise<string>} why not, or nothing
   */
  async setMode(mode) {
    if (mode !== "off" && !await this.#isUnderstood()) return "";
    const loaded = await this.#load();
    if (!loaded) return words("voice.failed");
    try {
      await loaded.setMode(MODES[mode]);
      this.mode = mode;
      return "";
    } catch (error) {
      const reason = /** @type {{reason?: keyof typeof WHY_NOT}} */ (error).reason;
      if (!reason || !Object.hasOwn(WHY_NOT, reason)) throw error;
      return words(/** @type {import("../lang/en.js").WordKey} */ (WHY_NOT[reason]));
    }
  }

  async #isUnderstood() {
    if (lastingStorage.getItem(CONSENT_KEY)) return true;
    const isWanted = await ask({ title: words("voice.title"), yes: words("voice.yes"),
      content: [words("voice.howItWorks"), words("voice.address")] });
    if (isWanted) lastingStorage.setItem(CONSENT_KEY, "1");
    return isWanted;
  }

  async #load() {
    if (this.voice) return this.voice;
    const found = await import("../voice/voice.js").catch(() => null);
    if (!found || this.voice) return this.voice;
    const { model, link } = this.#page;
    this.voice = new found.Voice({
      send: (message) => link.send(message),
      ask: (mode) => void model.setVoice(mode),
      positionOf: (id) => this.#mouthOf(id),
    });
    this.#apply();
    return this.voice;
  }

  #apply() {
    const { voice } = this;
    if (!voice) return;
    const { pushToTalk, voiceVolume } = this.#settings.values;
    voice.setManner(pushToTalk ? "push" : "open");
    voice.setLoudness(voiceVolume);
  }

  /** @param {number} id 0..1 */
  volumeOf(id) {
    return this.#volumes.get(id) ?? 1;
  }

  /** @param {number} id @param {number} volume 0..1 */
  setVolume(id, volume) {
    this.#volumes.set(id, volume);
    this.voice?.setVolume(id, volume);
  }

  /** The key for talking is down, or up. @param {boolean} isHeld */
  hold(isHeld) {
    this.voice?.press(isHeld);
  }

  /** @param {number} id @returns {Float64Array | null} */
  #mouthOf(id) {
    if (this.#page.crowd.headOf?.(id, this.#head)) {
      return /** @type {Float64Array} */ (this.#head.toArray(this.#mouth));
    }
    const pose = this.#page.gathering.byId.get(id)?.figure.pose;
    if (!pose) return null;
    this.#mouth.set([pose[0], pose[1] + MOUTH_M, pose[2]]);
    return this.#mouth;
  }

  #update() {
    const { voice } = this;
    if (!voice) return;
    const { elements } = this.#page.stage.camera.matrixWorld;
    const { position, forward, up } = this.#ears;
    for (let k = 0; k < 3; k++) {
      position[k] = elements[12 + k];
      forward[k] = -elements[8 + k];
      up[k] = elements[4 + k];
    }
    voice.update(this.#ears, performance.now());
    this.#page.model.own.speaking = voice.isSpeaking;
  }
}

/** @typedef {import("../ui/ports.js").VoicePort} VoicePort */
