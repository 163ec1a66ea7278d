/**
 * The connection to one peer: perfect negotiation, and its sound in space.
 *
 * The one who is not polite makes the first offer. Failed connections restart ICE by a new offer.
 * Chromium gives the sound of a remote stream to Web Audio only while an element plays the
 * stream too, so a muted one does, as long as the connection lives.
 */

import { SignalKind } from "../core/protocol.generated.js";
import { takesOffer } from "../core/voice_peers.js";
import { rms, VoiceGate } from "../core/voice_gate.js";

/** @typedef {import("../core/protocol.generated.js").RtcPeer} RtcPeer */
/**
 * @typedef {object} ConnectionOptions
 * @property {AudioContext} audio
 * @property {RTCConfiguration} rtc
 * @property {(target: number, kind: number, data: Uint8Array<ArrayBuffer>) => void} signal
 * @property {number} volume
 */

const REF_DISTANCE_M = 1;
/** Some 40 ms: more than lies between two pictures. */
const SAMPLES = 2048;
/** Only what a remote peer may send; an offer of more is none of ours. */
const EARLY_CANDIDATES_MAX = 64;

export class PeerConnection {
  entityId;
  isSpeaking = false;
  #options;
  #peer;
  #rtc;
  #panner;
  #gain;
  #analyser;
  #samples = new Float32Array(SAMPLES);
  #gate = new VoiceGate(0.008);
  /** @type {HTMLAudioElement | null} */
  #element = null;
  /** @type {MediaStreamAudioSourceNode | null} */
  #source = null;
  /** @type {RTCRtpTransceiver | null} */
  #transceiver = null;
  /** @type {MediaStreamTrack | null} */
  #track = null;
  /** @type {RTCIceCandidateInit[]} */
  #early = [];
  #isMaking = false;
  #ignores = false;
  #volume;
  /** Signals are taken one after the other. @type {Promise<void>} */
  #turn = Promise.resolve();

  /** @param {RtcPeer} peer @param {ConnectionOptions} options */
  constructor(peer, options) {
    this.entityId = peer.entity_id;
    this.#peer = peer;
    this.#options = options;
    this.#volume = options.volume;
    const { audio } = options;
    this.#panner = new PannerNode(audio, {
      panningModel: "HRTF", distanceModel: "inverse", refDistance: REF_DISTANCE_M,
      rolloffFactor: 1,
    });
    this.#gain = new GainNode(audio, { gain: 0 });
    this.#analyser = new AnalyserNode(audio, { fftSize: SAMPLES });
    this.#gain.connect(this.#panner).connect(audio.destination);
    this.#rtc = new RTCPeerConnection(options.rtc);
    this.#rtc.addEventListener("track", (event) => this.#onTrack(event));
    this.#rtc.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate) this.#signal(SignalKind.CANDIDATE, JSON.stringify(candidate));
    });
    this.#rtc.addEventListener("negotiationneeded", () => this.#offer());
    this.#rtc.addEventListener("connectionstatechange", () => {
      if (this.#rtc.connectionState === "failed" && !peer.is_polite) this.#rtc.restartIce();
    });
    if (!peer.is_polite) this.#transceiver = this.#rtc.addTransceiver("audio");
    this.regard(peer);
  }

  get state() {
    return this.#rtc.connectionState;
  }

  /** Where its sound comes out, for tests and meters. */
  get output() {
    return this.#panner;
  }

  /** What may flow has changed. @param {RtcPeer} peer */
  regard(peer) {
    this.#peer = peer;
    this.#gain.gain.value = peer.sends ? this.#volume : 0;
    this.#applyTrack();
  }

  /** @param {number} volume */
  set volume(volume) {
    this.#volume = volume;
    this.#gain.gain.value = this.#peer.sends ? volume : 0;
  }

  /** What is said; null for nothing. @param {MediaStreamTrack | null} track */
  say(track) {
    this.#track = track;
    this.#applyTrack();
  }

  #applyTrack() {
    const track = this.#peer.hears ? this.#track : null;
    const sender = this.#transceiver?.sender;
    if (sender && sender.track !== track) sender.replaceTrack(track).catch(() => {});
  }

  /** @param {number} x @param {number} y @param {number} z */
  place(x, y, z) {
    this.#panner.positionX.value = x;
    this.#panner.positionY.value = y;
    this.#panner.positionZ.value = z;
  }

  /** Look whether it speaks. @param {number} nowMs */
  listen(nowMs) {
    if (!this.#source || !this.#peer.sends) {
      this.isSpeaking = false;
      return;
    }
    this.#analyser.getFloatTimeDomainData(this.#samples);
    this.isSpeaking = this.#gate.take(rms(this.#samples), nowMs);
  }

  async #offer() {
    if (this.#peer.is_polite && !this.#rtc.remoteDescription) return;
    this.#isMaking = true;
    try {
      await this.#rtc.setLocalDescription();
      this.#describe();
    } catch {
      // The connection was closed, or an offer of the other one came first.
    } finally {
      this.#isMaking = false;
    }
  }

  #describe() {
    const said = this.#rtc.localDescription;
    if (!said) return;
    this.#signal(said.type === "offer" ? SignalKind.OFFER : SignalKind.ANSWER, said.sdp);
  }

  /** @param {number} kind @param {Uint8Array} data */
  receive(kind, data) {
    const text = new TextDecoder().decode(data);
    this.#turn = this.#turn.then(() => this.#take(kind, text)).catch(() => {
      // What a peer says wrongly hurts its own connection alone.
    });
  }

  /** @param {number} kind @param {string} text */
  async #take(kind, text) {
    if (this.state === "closed") return;
    if (kind === SignalKind.CANDIDATE) {
      await this.#candidate(JSON.parse(text || "null"));
      return;
    }
    const isOffer = kind === SignalKind.OFFER;
    const isBusy = this.#isMaking || this.#rtc.signalingState !== "stable";
    this.#ignores = isOffer && !takesOffer(this.#peer.is_polite, isBusy);
    if (this.#ignores) return;
    await this.#rtc.setRemoteDescription({ type: isOffer ? "offer" : "answer", sdp: text });
    for (const candidate of this.#early.splice(0)) await this.#candidate(candidate);
    if (!isOffer) return;
    if (!this.#transceiver) {
      this.#transceiver = this.#rtc.getTransceivers()[0] ?? null;
      if (this.#transceiver) this.#transceiver.direction = "sendrecv";
      this.#applyTrack();
    }
    await this.#rtc.setLocalDescription();
    this.#describe();
  }

  /** @param {RTCIceCandidateInit | null} candidate */
  async #candidate(candidate) {
    if (!candidate) return;
    if (!this.#rtc.remoteDescription) {
      if (this.#early.length < EARLY_CANDIDATES_MAX) this.#early.push(candidate);
      return;
    }
    try {
      await this.#rtc.addIceCandidate(candidate);
    } catch (error) {
      if (!this.#ignores) throw error;
    }
  }

  /** @param {number} kind @param {string} text */
  #signal(kind, text) {
    const bytes = new TextEncoder().encode(text);
    this.#options.signal(this.entityId, kind, bytes);
  }

  /** @param {RTCTrackEvent} event */
  #onTrack(event) {
    const stream = event.streams[0] ?? new MediaStream([event.track]);
    this.#source?.disconnect();
    this.#element = new Audio();
    this.#element.muted = true;
    this.#element.srcObject = stream;
    this.#element.play().catch(() => {});
    this.#source = this.#options.audio.createMediaStreamSource(stream);
    this.#source.connect(this.#gain);
    this.#source.connect(this.#analyser);
  }

  /** For a debug panel. */
  async stats() {
    const found = { rttMs: 0, jitterMs: 0, lost: 0, received: 0 };
    for (const one of (await this.#rtc.getStats()).values()) {
      if (one.type === "inbound-rtp") {
        found.jitterMs = one.jitter * 1000;
        found.lost = one.packetsLost;
        found.received = one.packetsReceived;
      } else if (one.type === "candidate-pair" && one.nominated) {
        found.rttMs = (one.currentRoundTripTime ?? 0) * 1000;
      }
    }
    return found;
  }

  close() {
    this.#rtc.close();
    this.#source?.disconnect();
    this.#gain.disconnect();
    this.#panner.disconnect();
    this.#analyser.disconnect();
    if (this.#element) this.#element.srcObject = null;
    this.isSpeaking = false;
  }
}
