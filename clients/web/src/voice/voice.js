/**
 * Voice: whom one hears and who hears one, as the server pairs people.
 *
 * Messages come in by `receive`, and go out by the `send` that was given. `update` is called once a
 * frame: it moves the listener and the voices, and looks who speaks. Nothing is asked of the
 * microphone before `setMode(TALK)`, and it is let go when that ends. Call `setMode` in a
 * click or a key, for browsers give out sound only then; and tell the person before that people who
 * are connected learn each other's network addresses, unless `relayOnly` is set.
 *
 * After each Welcome voice is off at the server: `receive` asks for it again.
 */

import { Op, VoiceMode } from "../core/protocol.generated.js";
import { comparePeers } from "../core/voice_peers.js";
import { PeerConnection } from "./connection.js";
import { Microphone } from "./microphone.js";

/** @typedef {import("../core/protocol.generated.js").ServerMessage} ServerMessage */
/** @typedef {import("../core/protocol.generated.js").ClientMessage} ClientMessage */
/** @typedef {import("../core/protocol.generated.js").RtcPeers} RtcPeers */
/**
 * @typedef {object} VoiceOptions
 * @property {(message: ClientMessage) => void} send
 * @property {(mode: number) => void} ask tells the server what is wanted, of VoiceMode
 * @property {(entityId: number) => ArrayLike<number> | null} positionOf the mouth: x, y, z in m
 * @property {boolean} [relayOnly] connect by TURN servers alone, so that nobody learns addresses
 * @property {(entityId: number, stream: AudioNode) => void} [onVoice] for captions and meters
 */
/**
 * @typedef {object} ListenerPose
 * @property {ArrayLike<number>} position x, y, z in m
 * @property {ArrayLike<number>} forward
 * @property {ArrayLike<number>} up
 */

export class Voice {
  /** @type {number} of VoiceMode */
  mode = VoiceMode.OFF;
  /** Whether the person is heard just now: for the flag SPEAKING. */
  isSpeaking = false;
  #options;
  /** @type {AudioContext | null} */
  #audio = null;
  /** @type {Microphone | null} */
  #microphone = null;
  /** @type {"push" | "open"} */
  #manner = "open";
  #isMuted = false;
  #deviceId = "";
  /** Counts changes of mode, so that an answer of the browser that comes late is void. */
  #change = 0;
  /** @type {RTCIceServer[]} */
  #servers = [];
  /** @type {Map<number, PeerConnection>} */
  #peers = new Map();
  /** @type {Map<number, number>} */
  #volumes = new Map();
  #loudness = 1;

  /** @param {VoiceOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /**
   * Switch voice. Throws a MicrophoneError with a sentence, and then it stays as it was.
   * @param {number} mode of VoiceMode
   */
  async setMode(mode) {
    const change = ++this.#change;
    if (mode !== VoiceMode.OFF) {
      this.#audio ??= new AudioContext({ latencyHint: "interactive" });
      await this.#audio.resume();
    }
    if (mode === VoiceMode.TALK && !this.#microphone) {
      const found = await Microphone.open(/** @type {AudioContext} */ (this.#audio),
        this.#deviceId);
      if (change !== this.#change) return found.close();
      this.#adopt(found);
    }
    if (change !== this.#change) return;
    if (mode !== VoiceMode.TALK) this.#dropMicrophone();
    this.mode = mode;
    this.#ask();
    if (mode === VoiceMode.OFF) this.#closeAll();
  }

  #ask() {
    this.#options.ask(this.mode);
  }

  /** @param {Microphone} microphone */
  #adopt(microphone) {
    this.#microphone = microphone;
    microphone.manner = this.#manner;
    microphone.isMuted = this.#isMuted;
    for (const peer of this.#peers.values()) peer.say(microphone.track);
  }

  #dropMicrophone() {
    for (const peer of this.#peers.values()) peer.say(null);
    this.#microphone?.close();
    this.#microphone = null;
    this.isSpeaking = false;
  }

  // --- what the person sets --------------------------------------------------------------

  /** @param {"push" | "open"} manner by a held key, or by the voice gate */
  setManner(manner) {
    this.#manner = manner;
    if (this.#microphone) this.#microphone.manner = manner;
  }

  /** The key to talk. @param {boolean} isPressed */
  press(isPressed) {
    if (this.#microphone) this.#microphone.isPressed = isPressed;
  }

  /** Oneself. @param {boolean} isMuted */
  mute(isMuted) {
    this.#isMuted = isMuted;
    if (this.#microphone) this.#microphone.isMuted = isMuted;
  }

  /** @param {number} entityId @param {number} volume from 0 to 2 */
  setVolume(entityId, volume) {
    this.#volumes.set(entityId, volume);
    const peer = this.#peers.get(entityId);
    if (peer) peer.volume = this.#volumeOf(entityId);
  }

  /** Of all voices. @param {number} loudness from 0 to 2 */
  setLoudness(loudness) {
    this.#loudness = loudness;
    for (const [entityId, peer] of this.#peers) peer.volume = this.#volumeOf(entityId);
  }

  /** @param {number} entityId */
  #volumeOf(entityId) {
    return (this.#volumes.get(entityId) ?? 1) * this.#loudness;
  }

  /** Another microphone. Throws a MicrophoneError. @param {string} deviceId */
  async setDevice(deviceId) {
    this.#deviceId = deviceId;
    if (!this.#microphone || !this.#audio) return;
    const change = this.#change;
    const found = await Microphone.open(this.#audio, deviceId);
    if (change !== this.#change || !this.#microphone) return found.close();
    const old = this.#microphone;
    this.#adopt(found);
    old.close();
  }

  /** The loudness of one's own microphone, from 0 to 1. */
  get level() {
    return this.#microphone?.level ?? 0;
  }

  /** @param {number} entityId */
  isHeard(entityId) {
    return this.#peers.get(entityId)?.isSpeaking ?? false;
  }

  /** The connections, for a debug panel. @returns {ReadonlyMap<number, PeerConnection>} */
  get peers() {
    return this.#peers;
  }

  // --- the server ------------------------------------------------------------------------

  /** @param {ServerMessage} message any; those that are not about voice are left alone */
  receive(message) {
    switch (message.op) {
      case Op.Welcome:
        this.#closeAll();
        this.#volumes.clear();
        if (this.mode !== VoiceMode.OFF) this.#ask();
        break;
      case Op.RtcServers:
        this.#servers = message.servers.map(({ url, username, credential }) =>
          (username ? { urls: url, username, credential } : { urls: url }));
        break;
      case Op.RtcPeers:
        this.#pair(message);
        break;
      case Op.RtcSignalled:
        this.#peers.get(message.sender_id)?.receive(message.kind, message.data);
        break;
    }
  }

  /** @param {RtcPeers} message */
  #pair({ peers }) {
    if (this.mode === VoiceMode.OFF || !this.#audio) return;
    const { open, keep, close } = comparePeers(this.#peers.keys(), peers);
    for (const entityId of close) this.#close(entityId);
    for (const peer of keep) this.#peers.get(peer.entity_id)?.regard(peer);
    for (const peer of open) {
      const connection = new PeerConnection(peer, {
        audio: this.#audio, volume: this.#volumeOf(peer.entity_id),
        rtc: { iceServers: this.#servers,
          iceTransportPolicy: this.#options.relayOnly ? "relay" : "all" },
        signal: (target, kind, data) =>
          this.#options.send({ op: Op.RtcSignal, target, kind, data }),
      });
      this.#peers.set(peer.entity_id, connection);
      connection.say(this.#microphone?.track ?? null);
      this.#options.onVoice?.(peer.entity_id, connection.output);
    }
  }

  /** @param {number} entityId */
  #close(entityId) {
    this.#peers.get(entityId)?.close();
    this.#peers.delete(entityId);
  }

  #closeAll() {
    for (const entityId of [...this.#peers.keys()]) this.#close(entityId);
  }

  // --- each frame ------------------------------------------------------------------------

  /** @param {ListenerPose} pose @param {number} nowMs */
  update(pose, nowMs) {
    if (!this.#audio || this.mode === VoiceMode.OFF) return;
    this.isSpeaking = this.#microphone?.update(nowMs) ?? false;
    this.#moveListener(this.#audio.listener, pose);
    for (const peer of this.#peers.values()) {
      const at = this.#options.positionOf(peer.entityId);
      if (at) peer.place(at[0], at[1], at[2]);
      peer.listen(nowMs);
    }
  }

  /** @param {AudioListener} listener @param {ListenerPose} pose */
  #moveListener(listener, { position, forward, up }) {
    listener.positionX.value = position[0];
    listener.positionY.value = position[1];
    listener.positionZ.value = position[2];
    listener.forwardX.value = forward[0];
    listener.forwardY.value = forward[1];
    listener.forwardZ.value = forward[2];
    listener.upX.value = up[0];
    listener.upY.value = up[1];
    listener.upZ.value = up[2];
  }

  /** The page is left. */
  close() {
    this.#change++;
    this.#dropMicrophone();
    this.#closeAll();
    this.mode = VoiceMode.OFF;
    this.#audio?.close();
    this.#audio = null;
  }
}
