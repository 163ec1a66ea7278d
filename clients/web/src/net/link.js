/**
 * The connection: handshake, resume, retry, acknowledgement.
 *
 * One Link lives as long as the person wants to be there; sockets come and go inside it. After a
 * lost socket it dials again with growing, jittered pauses and shows the resume token, so that
 * the server gives back the same avatar. The token is kept in sessionStorage: a reload of the tab
 * resumes as well, another tab is another person. Answers that a retry cannot change (the page is
 * too old, the session went on elsewhere, the name is refused, there is no such world) end the
 * link with a sentence.
 *
 * A network that is gone says nothing, for minutes. So a link from which nothing was heard since
 * UNHEARD_PINGS_MAX pings counts as lost; what is throttled or asleep here sends no pings either,
 * and so is not mistaken for that. Poses are not queued behind poses: while more than
 * POSE_QUEUE_BYTES_MAX wait to be sent, the newest waits for its turn.
 *
 * The newest tick that was decoded goes back in each pose; while none is sent (a hidden tab's
 * timers stand still) a small `Ack` is sent per snapshot, because the server sends only as much
 * as is acknowledged.
 */

import {
  ChatChannel, ClientKind, CloseCode, ErrorCode, Limits, Op, Parts, PROTOCOL_HASH, SUBPROTOCOL,
} from "../core/protocol.generated.js";
import { decodeServer, encode, encodePose } from "../core/codec.js";
import { WireError } from "../core/msgpack.js";
import { tabStorage } from "./storage.js";

/** @typedef {import("../core/protocol.generated.js").ServerMessage} ServerMessage */
/** @typedef {import("../core/protocol.generated.js").ClientMessage} ClientMessage */
/**
 * What this client is and can take.
 * @typedef {object} Client
 * @property {number} kind of ClientKind
 * @property {number} parts of others that it wants
 * @property {string[]} features names of messages that it understands beyond the first ones
 */
/** @typedef {"connecting" | "joining" | "live" | "lost" | "ended"} LinkState */
/**
 * @typedef {object} Events
 * @property {(message: ServerMessage) => void} message
 * @property {(state: LinkState, sentence: string, code: number) => void} state the code is one of
 *   ErrorCode, 0 when there was none
 */

const RETRY_MS_MIN = 400;
const RETRY_MS_MAX = 10_000;
const PING_MS = 2_500;
const PINGS_QUICK = 4;
const PING_QUICK_MS = 300;
const SILENT_POSE_MS = 250;
const UNHEARD_PINGS_MAX = 4;
const POSE_QUEUE_BYTES_MAX = 8_192;
const JOIN_MS_MAX = 12_000;
const TOKEN_KEY = "atrium.resume";
/** Below it a code refuses what was asked for; from it on the session itself has failed. */
const SESSION_CODE_MIN = 100;
/** Errors after which the same hello would meet the same answer. */
const FINAL = new Set([ErrorCode.VERSION, ErrorCode.BAD_NAME, ErrorCode.REPLACED,
  ErrorCode.NOT_ALLOWED, ErrorCode.UNEXPECTED, ErrorCode.MALFORMED, ErrorCode.TOO_LARGE]
  .map(Number));

export class Link {
  /** @type {LinkState} */
  state = "ended";
  ackTick = 0;
  bytesIn = 0;
  bytesOut = 0;
  lastChatSeq = 0;
  /** How the person looks: for the next hello. */
  avatar = "";
  /** When the next attempt will be made, by performance.now(); 0 while none is planned. */
  retryAtMs = 0;
  /** @type {WebSocket | null} */
  #socket = null;
  #name = "";
  #authToken = "";
  #world = "";
  /** The world whose lines `lastChatSeq` counts. */
  #counted = "";
  #attempt = 0;
  #retryMs = 0;
  #pings = 0;
  /** Pings since anything was heard. */
  #unheard = 0;
  #poseAt = 0;
  #wanted = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** Grows over reloads too: a resumed session remembers what it has answered, by this id. */
  #requestId = Date.now() % 2 ** 31;
  #url;
  #events;
  #client;

  /**
   * @param {URL} url
   * @param {Events} events
   * @param {Client} [client]
   */
  constructor(url, events, client) {
    this.#url = url;
    this.#events = events;
    this.#client = client
      ?? { kind: ClientKind.WEB, parts: Parts.HEAD | Parts.HANDS, features: [] };
  }

  /** An id above all that were used before, in this tab and session. */
  get firstRequestId() {
    return this.#requestId + 1;
  }

  /**
   * @param {string} name
   * @param {string} world empty for the server's first
   * @param {string} [authToken] of somebody with an account; without one it is a guest
   */
  open(name, world, authToken = "") {
    this.#name = name;
    this.#authToken = authToken;
    this.#world = world;
    this.#wanted = true;
    this.#attempt = 0;
    this.#dial();
  }

  /** Dials at once where it waits to dial again. */
  retry() {
    if (this.state === "lost") this.#dial();
  }

  /** The same where the server did not say how long to wait: it may go better now. */
  wake() {
    if (!this.#retryMs) this.retry();
  }

  /** Leaves for good: the server need not keep the seat. */
  close() {
    this.send({ op: Op.Bye });
    store("");
    this.#end("");
  }

  /** @param {string} sentence @param {number} [code] */
  #end(sentence, code = 0) {
    this.#wanted = false;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
    this.retryAtMs = 0;
    this.#become("ended", sentence, code);
  }

  /**
   * @param {LinkState} state
   * @param {string} sentence
   * @param {number} [code]
   */
  #become(state, sentence, code = 0) {
    this.state = state;
    this.#events.state(state, sentence, code);
  }

  #dial() {
    const before = this.#socket;
    this.#socket = null;
    before?.close(1000);
    this.#become("connecting", "");
    const socket = new WebSocket(this.#url, SUBPROTOCOL);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#retryMs = this.retryAtMs = 0;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#drop(), JOIN_MS_MAX);
    socket.addEventListener("open", () => {
      if (socket === this.#socket) this.#hello();
    });
    socket.addEventListener("message", (event) => {
      if (socket === this.#socket) this.#receive(event.data);
    });
    socket.addEventListener("close", (event) => {
      if (socket === this.#socket) this.#lost(event.code);
    });
  }

  /** It is dead, or as good as that: its end is not waited for, which may take minutes. */
  #drop() {
    this.#socket?.close();
    this.#lost(0);
  }

  #hello() {
    this.#become("joining", "");
    this.send({
      op: Op.Hello, protocol_hash: PROTOCOL_HASH, kind: this.#client.kind, name: this.#name,
      avatar: this.avatar, world: this.#world,
      capabilities: { avatars_max: Limits.INDEXES_MAX, bytes_per_s: Limits.BYTES_PER_S_DEFAULT,
        parts: this.#client.parts, features: this.#client.features },
      auth_token: this.#authToken, resume_token: stored(), last_chat_seq: this.lastChatSeq,
    });
  }

  /** @param {unknown} data */
  #receive(data) {
    try {
      if (!(data instanceof ArrayBuffer)) throw new WireError("a message is not binary");
      this.bytesIn += data.byteLength;
      this.#unheard = 0;
      const message = decodeServer(new Uint8Array(data));
      this.#note(message);
      this.#events.message(message);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#end(`The server sent something this page does not understand (${error.message}). `
        + "Reload the page.", ErrorCode.MALFORMED);
    }
  }

  /** What the link itself takes from a message. @param {ServerMessage} message */
  #note(message) {
    switch (message.op) {
      case Op.Welcome:
        store(message.resume_token);
        this.ackTick = 0;
        // A new session hears no lines of before, and each world and each run counts from 1.
        if (!message.resumed || message.world !== this.#counted) this.lastChatSeq = 0;
        this.#counted = message.world;
        this.#world = message.world;
        this.#attempt = this.#pings = this.#unheard = 0;
        clearTimeout(this.#timer);
        this.#become("live", "");
        this.#ping();
        break;
      case Op.ChatPublished:
        this.lastChatSeq = Math.max(this.lastChatSeq, message.chat_seq);
        break;
      case Op.Error:
        this.#refused(message.code, message.sentence, message.retry_ms);
        break;
    }
  }

  /**
   * A snapshot was decoded: the next pose tells so, or this does if none was sent lately.
   * @param {number} tick
   */
  acknowledge(tick) {
    this.ackTick = tick;
    if (performance.now() - this.#poseAt > SILENT_POSE_MS) {
      this.send({ op: Op.Ack, ack_tick: this.ackTick });
    }
  }

  /**
   * @param {number} code
   * @param {string} sentence
   * @param {number} retryMs
   */
  #refused(code, sentence, retryMs) {
    this.#retryMs = retryMs;
    if (code === ErrorCode.RESUME_INVALID) store("");
    if (code === ErrorCode.REPLACED) {
      this.#end("This session continues in another tab or window. Join again to be here too.",
        code);
      store("");
    } else if (code === ErrorCode.VERSION) {
      this.#end("This page is from another version of the server. Reload the page.", code);
    } else if (FINAL.has(code) || this.#isDenied(code, retryMs)) this.#end(sentence, code);
    else this.#become(this.state, sentence, code);
  }

  /**
   * Whether a rule forbids the join itself (no such world): the next hello would hear the same.
   * @param {number} code
   * @param {number} retryMs
   */
  #isDenied(code, retryMs) {
    return this.state === "joining" && code < SESSION_CODE_MIN && !retryMs;
  }

  /** @param {number} closeCode told again here for a server that had no time for an Error */
  #lost(closeCode) {
    this.#socket = null;
    if (closeCode === CloseCode.REPLACED) this.#refused(ErrorCode.REPLACED, "", 0);
    if (closeCode === CloseCode.VERSION) this.#refused(ErrorCode.VERSION, "", 0);
    if (!this.#wanted) return;
    const grown = RETRY_MS_MIN * 2 ** Math.min(this.#attempt++, 6);
    const jittered = Math.min(grown, RETRY_MS_MAX) * (0.5 + Math.random() / 2);
    const pause = Math.max(this.#retryMs, jittered);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#dial(), pause);
    this.retryAtMs = performance.now() + pause;
    this.#become("lost", "");
  }

  #ping() {
    if (this.state !== "live") return;
    if (this.#unheard++ >= UNHEARD_PINGS_MAX) return this.#drop();
    this.send({ op: Op.ClockPing, client_ms: Math.floor(performance.now()) >>> 0 });
    clearTimeout(this.#timer);
    const pause = this.#pings++ < PINGS_QUICK ? PING_QUICK_MS : PING_MS;
    this.#timer = setTimeout(() => this.#ping(), pause);
  }

  /**
   * @param {number} seq
   * @param {Uint8Array} body
   */
  sendPose(seq, body) {
    this.#poseAt = performance.now();
    if ((this.#socket?.bufferedAmount ?? 0) > POSE_QUEUE_BYTES_MAX) return;
    this.#write(encodePose(seq, Math.floor(this.#poseAt) >>> 0, this.ackTick, body));
  }

  /**
   * @param {string} text
   * @param {number} channel
   * @returns {number} the request's id, to recognise its answers
   */
  say(text, channel = ChatChannel.WORLD) {
    const request_id = ++this.#requestId;
    this.send({ op: Op.ChatSubmit, request_id, channel, target: 0, text });
    return request_id;
  }

  /**
   * @param {number} kind of TeleportTarget
   * @param {{target?: number, x?: number, y?: number, z?: number, yaw?: number}} where
   */
  teleport(kind, { target = 0, x = 0, y = 0, z = 0, yaw = 0 } = {}) {
    const request_id = ++this.#requestId;
    this.send({ op: Op.Teleport, request_id, kind, target, x, y, z, yaw });
    return request_id;
  }

  /** @param {ClientMessage} message */
  send(message) {
    this.#write(encode(message));
  }

  /** @param {ReturnType<typeof encode>} bytes */
  #write(bytes) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.bytesOut += bytes.length;
    this.#socket.send(bytes);
  }
}

function stored() {
  return tabStorage.getItem(TOKEN_KEY) ?? "";
}

/** Whether this tab was here before and may be given its avatar back. */
export function canResume() {
  return stored() !== "";
}

/** @param {string} token */
function store(token) {
  if (token) tabStorage.setItem(TOKEN_KEY, token);
  else tabStorage.removeItem(TOKEN_KEY);
}
