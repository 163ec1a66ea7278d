/** The link's decisions, with a socket and a storage of the test's own. */

import assert from "node:assert/strict";
import { afterEach, test, vi } from "vitest";

import { encode } from "../../clients/web/src/core/codec.js";
import { Link } from "../../clients/web/src/net/link.js";
import { decode } from "../../clients/web/src/core/msgpack.js";
import { ErrorCode, Op } from "../../clients/web/src/core/protocol.generated.js";
import { unplain, VECTORS } from "./golden.js";

const WELCOME = message("welcome");
const LINE = message("chat_published");
/** Places of the fields of a Hello in its array. */
const AUTH_TOKEN = 7;
const RESUME_TOKEN = 8;
const LAST_CHAT_SEQ = 9;

function message(name) {
  const entry = VECTORS.server_messages.find((each) => each.name === name);
  return { op: entry.op, ...unplain(entry.fields) };
}

class FakeSocket extends EventTarget {
  static OPEN = 1;
  readyState = 1;
  bufferedAmount = 0;
  sent = [];

  constructor() {
    super();
    FakeSocket.opened.push(this);
  }

  send(bytes) {
    this.sent.push(decode(bytes));
  }

  close() {
    this.readyState = 3;
  }

  /** The server accepts the connection. */
  accept() {
    this.dispatchEvent(new Event("open"));
    return this.sent.find(([op]) => op === Op.Hello);
  }

  hear(said) {
    const bytes = encode(said);
    const data = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
    this.dispatchEvent(Object.assign(new Event("message"), { data }));
  }

  lose(code) {
    this.dispatchEvent(Object.assign(new Event("close"), { code }));
  }
}

/** A link that has dialled once, on timers that only the test moves. */
function dialled(world = "") {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const kept = new Map();
  FakeSocket.opened = [];
  globalThis.WebSocket = FakeSocket;
  globalThis.sessionStorage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
    removeItem: (key) => kept.delete(key),
  };
  const told = [];
  const state = (name, sentence) => told.push([name, sentence]);
  const link = new Link(new URL("ws://atrium.test/ws"), { message: () => {}, state });
  link.open("Ada", world);
  return { link, told };
}

afterEach(() => vi.useRealTimers());

function newest() {
  return FakeSocket.opened.at(-1);
}

test("a resume asks for the lines that were missed", () => {
  const { link } = dialled();
  newest().accept();
  newest().hear({ ...WELCOME, resumed: false });
  newest().hear({ ...LINE, chat_seq: 40 });
  newest().lose(1006);
  vi.advanceTimersToNextTimer();
  const hello = newest().accept();
  assert.deepEqual([hello[RESUME_TOKEN], hello[LAST_CHAT_SEQ]], [WELCOME.resume_token, 40]);
  newest().hear({ ...WELCOME, resumed: true });
  assert.equal(link.lastChatSeq, 40);
});

test("a welcome acknowledges nothing", () => {
  const { link } = dialled();
  newest().accept();
  newest().hear({ ...WELCOME, resumed: false });
  assert.equal(link.ackTick, 0);
  link.acknowledge(WELCOME.tick + 1);
  newest().lose(1006);
  vi.advanceTimersToNextTimer();
  newest().accept();
  newest().hear({ ...WELCOME, resumed: true });
  assert.equal(link.ackTick, 0);
});

test("another world counts its lines anew", () => {
  const { link } = dialled();
  newest().accept();
  newest().hear({ ...WELCOME, resumed: false });
  newest().hear({ ...LINE, chat_seq: 40 });
  newest().lose(1006);
  vi.advanceTimersToNextTimer();
  newest().accept();
  newest().hear({ ...WELCOME, world: "tower", resumed: true });
  assert.equal(link.lastChatSeq, 0);
});

test("a new session counts its lines anew", () => {
  const { link } = dialled();
  newest().accept();
  newest().hear({ ...WELCOME, resumed: false });
  newest().hear({ ...LINE, chat_seq: 40 });
  newest().lose(1001);
  vi.advanceTimersToNextTimer();
  // The server has begun again: it does not know the token.
  newest().accept();
  newest().hear({ op: Op.Error, code: ErrorCode.RESUME_INVALID, sentence: "Gone.", retry_ms: 0 });
  newest().lose(4005);
  vi.advanceTimersToNextTimer();
  assert.equal(newest().accept()[RESUME_TOKEN], "");
  newest().hear({ ...WELCOME, resumed: false });
  newest().hear({ ...LINE, chat_seq: 2 });
  assert.equal(link.lastChatSeq, 2);
});

test("a join that a rule forbids ends with the server's sentence", () => {
  const { told } = dialled("typo");
  newest().accept();
  const sentence = "There is no world with that name.";
  newest().hear({ op: Op.Error, code: ErrorCode.NOT_FOUND, sentence, retry_ms: 0 });
  newest().lose(4001);
  assert.deepEqual(told.at(-1), ["ended", sentence]);
  vi.runAllTimers();
  assert.equal(FakeSocket.opened.length, 1);
});

test("a join that may succeed later is tried again", () => {
  const { told } = dialled("plaza");
  newest().accept();
  newest().hear({ op: Op.Error, code: ErrorCode.WORLD_FULL, sentence: "Full.", retry_ms: 5_000 });
  newest().lose(4001);
  assert.equal(told.at(-1)[0], "lost");
  vi.advanceTimersByTime(4_999);
  assert.equal(FakeSocket.opened.length, 1);
  vi.advanceTimersByTime(1);
  assert.equal(FakeSocket.opened.length, 2);
});

test("the token of an account goes into every hello, and a guest has none", () => {
  const { link } = dialled();
  assert.equal(FakeSocket.opened[0].accept()[AUTH_TOKEN], "");
  link.open("Ada", "", "atrium_a_secret");
  assert.equal(FakeSocket.opened.at(-1).accept()[AUTH_TOKEN], "atrium_a_secret");
});

test("joining twice leaves one connection, and the first says nothing any more", () => {
  const { link, told } = dialled();
  link.open("Ada", "");
  const [first, second] = FakeSocket.opened;
  assert.equal(first.readyState, 3);
  first.accept();
  assert.deepEqual([told.at(-1)[0], first.sent], ["connecting", []]);
  second.accept();
  assert.equal(told.at(-1)[0], "joining");
});

test("a link that is silent while it is asked is lost at once", () => {
  const { link, told } = dialled();
  newest().accept();
  newest().hear({ ...WELCOME, resumed: false });
  const silent = newest();
  for (let k = 0; k < 6 && link.state === "live"; k++) vi.advanceTimersToNextTimer();
  assert.deepEqual([told.at(-1)[0], silent.readyState], ["lost", 3]);
  vi.advanceTimersToNextTimer();
  assert.equal(newest().accept()[RESUME_TOKEN], WELCOME.resume_token);
  silent.lose(1006);
  assert.equal(link.state, "joining");
});

test("a link on which anything is heard stays", () => {
  const { link } = dialled();
  newest().accept();
  newest().hear({ ...WELCOME, resumed: false });
  for (let k = 0; k < 20; k++) {
    vi.advanceTimersToNextTimer();
    newest().hear({ ...LINE, chat_seq: k + 1 });
  }
  assert.equal(link.state, "live");
});

test("poses do not queue behind poses", () => {
  const { link } = dialled();
  newest().accept();
  newest().hear({ ...WELCOME, resumed: false });
  const before = newest().sent.length;
  newest().bufferedAmount = 100_000;
  link.sendPose(1, new Uint8Array(10));
  assert.equal(newest().sent.length, before);
  newest().bufferedAmount = 0;
  link.sendPose(2, new Uint8Array(10));
  assert.equal(newest().sent.length, before + 1);
});
