/** The world's model: what it makes of what a server says, and what it asks. */

import { describe, expect, test } from "vitest";

import { ChatLog, mentions } from "../../clients/web/src/core/chat_log.js";
import { ServerClock } from "../../clients/web/src/core/clock.js";
import { LinkQuality } from "../../clients/web/src/core/link_quality.js";
import { encodeBody, X, Z } from "../../clients/web/src/core/pose.js";
import {
  ChatChannel, ChatState, COLUMNS, EditState, EntityKind, Flags, MoveReason, Op, Relation,
} from "../../clients/web/src/core/protocol.generated.js";
import { NO_ANSWER } from "../../clients/web/src/core/requests.js";
import { WorldModel } from "../../clients/web/src/core/world_model.js";

function body(x = 0, z = 0) {
  const row = new Int32Array(COLUMNS);
  row[X] = x * 1000;
  row[Z] = z * 1000;
  return encodeBody(row, 0);
}

function welcome(fields = {}) {
  return { op: Op.Welcome, session_id: 1, resume_token: "t", entity_id: 7, world: "plaza",
    tick: 100, tick_rate_hz: 20, server_ms: 5000, cap: 64, bytes_per_s: 1_000_000, parts: 3,
    y_unit_mm: 1, resumed: false, resume_s: 30, scene_url: "/scene@1", body: body(1, 2),
    request_id: 0, author: "guest:1", rights: 1, ...fields };
}

/** A model that is in the plaza, what it has sent, and what it acknowledged. */
function joined() {
  const sent = [];
  const acknowledged = [];
  let ids = 0;
  const model = new WorldModel({
    send: (message) => sent.push(message),
    newId: () => new Uint8Array(16).fill(++ids),
    firstRequestId: 10,
    acknowledge: (tick) => acknowledged.push(tick),
  });
  model.name = "Ada";
  model.linkChanged("connecting", "", 0);
  model.linkChanged("joining", "", 0);
  model.linkChanged("live", "", 0);
  model.receive(welcome(), 1000);
  return { model, sent, acknowledged };
}

const ENTRY = { index: 3, entity_id: 9, kind: EntityKind.AVATAR, name: "Bob", avatar: "a1" };

describe("the model", () => {
  test("a Welcome says who and where one is, and asks for the scene", () => {
    const wanted = [];
    const { model } = joined();
    model.sceneWanted.add((url) => wanted.push(url));
    model.receive(welcome({ world: "garden", scene_url: "/scene@2", entity_id: 8 }), 2000);
    expect([model.entityId, model.world, model.author, model.rights])
      .toEqual([8, "garden", "guest:1", 1]);
    expect([model.own.x, model.own.z]).toEqual([1, 2]);
    expect(wanted).toEqual(["/scene@2"]);
  });

  test("the scene of a world that was left is not taken", () => {
    const { model } = joined();
    model.receive(welcome({ world: "garden", scene_url: "/scene@2" }), 2000);
    model.takeScene("/scene@1", { title: "Plaza", props: [], revision: 0 });
    expect(model.place.name).toBe("");
    model.takeScene("/scene@2", { title: "Garden", props: [], revision: 0 });
    expect(model.place.name).toBe("Garden");
  });

  test("people come and go by index, and a new epoch forgets them", () => {
    const { model } = joined();
    model.receive({ op: Op.Enter, entries: [ENTRY] }, 0);
    expect(model.people.get(9)?.name).toBe("Bob");
    model.receive({ op: Op.Appearance, entity_id: 9, avatar: "a2" }, 0);
    expect(model.people.get(9)?.avatar).toBe("a2");
    model.receive({ op: Op.Leave, indexes: new Uint8Array([3]) }, 0);
    expect(model.people.size).toBe(0);
    model.receive({ op: Op.Enter, entries: [ENTRY] }, 0);
    model.receive(welcome({ resumed: true }), 3000);
    expect(model.people.size).toBe(0);
  });

  test("somebody who enters anew under another index is not lost with the old one", () => {
    const { model } = joined();
    model.receive({ op: Op.Enter, entries: [ENTRY] }, 0);
    model.receive({ op: Op.Enter, entries: [{ ...ENTRY, index: 4 }] }, 0);
    model.receive({ op: Op.Leave, indexes: new Uint8Array([3]) }, 0);
    expect(model.people.get(9)?.index).toBe(4);
  });

  test("snapshots are acknowledged, and missing ones are counted", () => {
    const { model, acknowledged } = joined();
    for (const tick of [101, 102, 105]) {
      model.receive({ op: Op.Snapshot, tick, server_ms: 5000 + 50 * (tick - 100), ack_seq: 0,
        body: new Uint8Array() }, 1000 + 50 * (tick - 100));
    }
    expect(acknowledged).toEqual([101, 102, 105]);
    expect(model.quality.lost).toBeCloseTo(0.5, 9);
  });

  test("the flag EPOCH toggles with each further Welcome of a connection, and starts at 0", () => {
    const { model } = joined();
    const epoch = () => model.own.nextBody()[1] & Flags.EPOCH;
    expect(epoch()).toBe(0);
    model.receive(welcome({ world: "garden", request_id: 10 }), 2000);
    expect(epoch()).toBe(Flags.EPOCH);
    model.linkChanged("lost", "", 0);
    model.linkChanged("joining", "", 0);
    model.receive(welcome({ world: "garden", resumed: true }), 3000);
    expect(epoch()).toBe(0);
  });

  test("requests are answered once, by Result or by the Welcome of a travel", async () => {
    const { model, sent } = joined();
    const sits = model.sitOn(3);
    expect(sent.at(-1)).toMatchObject({ op: Op.Teleport, request_id: 10, target: 3 });
    model.receive({ op: Op.Result, request_id: 10, code: 6, reason: "Taken.", retry_ms: 0 }, 0);
    expect(await sits).toEqual({ code: 6, reason: "Taken.", retry_ms: 0 });
    const travels = model.travel("garden");
    model.receive(welcome({ world: "garden", request_id: 11 }), 2000);
    expect((await travels).code).toBe(0);
  });

  test("what nobody answers is given up, at a lost link at once", async () => {
    const { model } = joined();
    model.pump(1000);
    const asked = model.relate(9, Relation.MUTE);
    model.pump(60_000);
    expect((await asked).code).toBe(NO_ANSWER);
    const other = model.setSafeZone(true);
    model.linkChanged("lost", "", 0);
    expect((await other).code).toBe(NO_ANSWER);
    expect(model.safeZone).toBe(false);
  });

  test("a refusal that nobody waits for is told to the person", () => {
    const { model } = joined();
    const told = [];
    model.told.add((sentence) => told.push(sentence));
    model.refused.add(({ reason }) => told.push(reason));
    model.receive({ op: Op.Result, request_id: 0, code: 2, reason: "Not so fast.", retry_ms: 9 },
      0);
    model.receive({ op: Op.Notice, code: 111, sentence: "The server restarts." }, 0);
    expect(told).toEqual(["Not so fast.", "The server restarts."]);
  });

  test("edits outlive a lost link by a resume, and not without one", async () => {
    const { model, sent } = joined();
    const ticket = model.edits.submit({ op: 8 });
    expect(sent.at(-1)).toMatchObject({ op: Op.EditSubmit, request_id: 10 });
    model.linkChanged("lost", "", 0);
    model.linkChanged("joining", "", 0);
    model.linkChanged("live", "", 0);
    const before = sent.length;
    model.receive(welcome({ resumed: true }), 3000);
    model.pump(4000);
    expect(sent.slice(before)).toMatchObject([{ op: Op.EditSubmit, request_id: 10 }]);
    model.receive({ op: Op.EditStatus, request_id: 10, state: EditState.DURABLE, code: 0,
      reason: "", retry_ms: 0 }, 0);
    expect((await ticket.settled).state).toBe("durable");
    const other = model.edits.submit({ op: 8 });
    model.receive(welcome({ resumed: false }), 5000);
    expect(other.state).toBe("lost");
  });

  test("a correction moves the avatar, a teleport puts it", () => {
    const { model } = joined();
    model.own.nextBody();
    model.receive({ op: Op.Correction, seq: model.own.seq, tick: 101, reasons: MoveReason.TELEPORT,
      body: body(-4, 6) }, 0);
    expect([model.own.x, model.own.z]).toEqual([-4, 6]);
  });
});

describe("the chat", () => {
  const said = { channel: ChatChannel.WORLD, target: 0, text: "hi", senderId: 7,
    senderName: "Ada" };
  const published = (seq, text = "hi", ms = 1) => ({ op: Op.ChatPublished, chat_seq: seq,
    channel: ChatChannel.WORLD, sender_id: 7, sender_name: "Ada", text, server_ms: ms });
  const status = (id, state, seq = 0, reason = "") => ({ op: Op.ChatStatus, request_id: id, state,
    chat_seq: seq, reason });

  test("an own line is one line, whichever answer comes first", () => {
    for (const swap of [false, true]) {
      const log = new ChatLog();
      log.say(1, said);
      const answers = [() => log.status(status(1, ChatState.PUBLISHED, 5)),
        () => log.published(published(5, "h*"), true)];
      for (const answer of swap ? answers.reverse() : answers) answer();
      expect(log.lines).toMatchObject([{ seq: 5, text: "h*", state: "published", isOwn: true }]);
    }
  });

  test("lines that come again after a resume are known", () => {
    const log = new ChatLog();
    log.published(published(5), false);
    log.published(published(5), false);
    expect(log.lines).toHaveLength(1);
  });

  test("a rejected line says why; a retracted one has no text any more", () => {
    const log = new ChatLog();
    log.say(1, said);
    log.status(status(1, ChatState.REJECTED, 0, "Too fast."));
    expect(log.lines[0]).toMatchObject({ state: "rejected", reason: "Too fast." });
    log.published(published(6, "bad"), false);
    log.retract(6);
    expect(log.lines[1]).toMatchObject({ state: "retracted", text: "" });
  });

  test("old lines go when there are too many", () => {
    const log = new ChatLog();
    for (let seq = 1; seq <= 700; seq++) log.published(published(seq), false);
    expect(log.lines).toHaveLength(500);
    expect(log.lines[0].seq).toBe(201);
  });

  test("a mention is the whole name, in any script", () => {
    expect(mentions("hello @ada!", "Ada")).toBe(true);
    expect(mentions("@Ada", "Ada")).toBe(true);
    expect(mentions("hello @adam", "Ada")).toBe(false);
    expect(mentions("mail me@ada", "Ada")).toBe(false);
    expect(mentions("你好 @小明，来", "小明")).toBe(true);
    expect(mentions("@adam @ada", "Ada")).toBe(true);
    expect(mentions("@", "")).toBe(false);
  });
});

test("the quality of a link falls with delay and loss", () => {
  const quality = new LinkQuality();
  expect(quality.level(false)).toBe(0);
  Object.assign(quality, { rttMs: 20, jitterMs: 15 });
  expect(quality.level(true)).toBe(4);
  quality.rttMs = 120;
  expect(quality.level(true)).toBe(3);
  quality.rttMs = 200;
  expect(quality.level(true)).toBe(2);
  quality.rttMs = 400;
  expect(quality.level(true)).toBe(1);
  quality.rttMs = 20;
  for (let tick = 0; tick < 40; tick += 2) quality.snapshot(tick);
  expect(quality.level(true)).toBe(1);
});

describe("what a broken link leaves behind", () => {
  const line = (seq, text) => ({ op: Op.ChatPublished, chat_seq: seq, channel: ChatChannel.WORLD,
    sender_id: 7, sender_name: "Ada", text, server_ms: seq, flags: 0 });
  const broken = (model) => {
    model.linkChanged("lost", "", 0);
    model.linkChanged("joining", "", 0);
    model.linkChanged("live", "", 0);
    model.receive(welcome({ resumed: true }), 5000);
  };
  const said = (model) => model.chat.lines.map(({ text, state }) => [text, state]);

  test("a line that nobody heard does not take the place of the next one", () => {
    const { model } = joined();
    model.say("first");
    broken(model);
    model.say("second");
    model.receive(line(5, "second"), 5100);
    expect(said(model)).toEqual([["first", "pending"], ["second", "published"]]);
    model.pump(14_000);
    model.pump(16_000);
    expect(said(model)[0]).toEqual(["first", "rejected"]);
  });

  test("a line that was heard is published once", () => {
    const { model } = joined();
    model.say("first");
    broken(model);
    model.receive(line(5, "first"), 5100);
    model.pump(60_000);
    expect(said(model)).toEqual([["first", "published"]]);
  });

  test("a scene that comes twice does not undo what has changed since", () => {
    const { model } = joined();
    const scene = { props: [], revision: 1 };
    broken(model); // while the first is on its way, and so it is asked for again
    model.takeScene("/scene@1", scene);
    model.receive({ op: Op.PropsChanged, revision: 2, gone: [], moves: [], states: [{
      prop_id: new Uint8Array(16).fill(1), group: new Uint8Array(), owner: "", is_locked: false,
      transform: { position_m: [0, 0, 0], rotation: [0, 0, 0, 1], scale: [1, 1, 1] },
      properties: { kind: "group", title: "" } }] }, 5200);
    model.takeScene("/scene@1", scene);
    expect(model.props.props.size).toBe(1);
  });

  test("an index that is somebody else's leaves nobody behind", () => {
    const { model } = joined();
    for (let id = 100; id < 110; id++) {
      model.receive({ op: Op.Enter, entries: [{ ...ENTRY, entity_id: id }] }, 1100);
    }
    expect([...model.people.keys()]).toEqual([109]);
  });
});

test("a clock that has jumped is believed at once, and a slow answer is not", () => {
  const clock = new ServerClock();
  clock.seed(10_000, 0);
  for (let k = 0; k < 8; k++) clock.add(k * 100, 10_010 + k * 100, k * 100 + 20);
  clock.add(900, 10_905, 1300);
  expect(clock.now(1400)).toBeCloseTo(11_400, 0);
  // The machine slept for an hour; the answer takes longer than each of before.
  clock.add(2000, 3_612_030, 2060);
  expect(clock.now(2060)).toBeCloseTo(3_612_060, 0);
});
