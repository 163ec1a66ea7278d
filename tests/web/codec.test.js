/** Messages: the golden vectors, and bytes that must be refused. */

import assert from "node:assert/strict";
import { test } from "vitest";

import { decodeServer, encode } from "../../clients/web/src/core/codec.js";
import { decode, WireError, Writer } from "../../clients/web/src/core/msgpack.js";
import { Op, PROTOCOL_HASH } from "../../clients/web/src/core/protocol.generated.js";
import { bytesOf, fromHex, plain, seeded, toHex, unplain, VECTORS } from "./golden.js";

test("the page speaks the protocol of the vectors", () => {
  assert.equal(PROTOCOL_HASH, VECTORS.protocol_hash);
});

for (const entry of VECTORS.client_messages) {
  test(`encodes ${entry.name}`, () => {
    const message = { op: entry.op, ...unplain(entry.fields) };
    const expected = bytesOf(entry);
    const actual = encode(message);
    assert.equal(toHex(actual), toHex(expected));
  });
}

for (const entry of VECTORS.server_messages) {
  test(`decodes ${entry.name}`, () => {
    const { op, ...fields } = decodeServer(bytesOf(entry));
    assert.equal(op, entry.op);
    assert.deepEqual(plain(fields), entry.fields);
  });
}

for (const entry of VECTORS.malformed_server) {
  test(`refuses ${entry.name}`, () => {
    assert.throws(() => decodeServer(bytesOf(entry)), WireError);
  });
}

test("refuses every message that was cut short or has a byte too many", () => {
  for (const entry of VECTORS.server_messages) {
    const whole = bytesOf(entry);
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => decodeServer(whole.slice(0, length)), WireError, entry.name);
    }
    assert.throws(() => decodeServer(new Uint8Array([...whole, 0])), WireError, entry.name);
  }
});

test("any bytes give a message or a WireError", () => {
  const seed = 7;
  const random = seeded(seed);
  const whole = VECTORS.server_messages.map(bytesOf);
  let understood = 0;
  for (let round = 0; round < 20_000; round++) {
    const bytes = whole[Math.floor(random() * whole.length)].slice(0, 300);
    const changes = 1 + Math.floor(random() * 3);
    for (let i = 0; i < changes; i++) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    }
    try {
      decodeServer(bytes);
      understood += 1;
    } catch (error) {
      assert.ok(error instanceof WireError, `seed ${seed}, round ${round}: ${error}`);
    }
  }
  assert.ok(understood > 100, "the fuzz never got past the outer form");
});

test("decodes every form that MessagePack has for a value of the subset", () => {
  const cases = [
    ["00", 0], ["7f", 127], ["ff", -1], ["e0", -32], ["cc80", 128], ["cd0100", 256],
    ["ce00010000", 65_536], ["cf0000000100000000", 2 ** 32], ["d080", -128], ["d18000", -32_768],
    ["d280000000", -(2 ** 31)], ["d3ffffffff00000000", -(2 ** 32)], ["ca3fc00000", 1.5],
    ["cb3ff8000000000000", 1.5], ["c0", null], ["c2", false], ["c3", true], ["a0", ""],
    ["a2c3a9", "é"], ["d90161", "a"], ["da000161", "a"], ["db0000000161", "a"], ["90", []],
    ["920102", [1, 2]], ["dc000101", [1]], ["c40109", fromHex("09")],
    ["c5000109", fromHex("09")], ["c60000000109", fromHex("09")], ["80", new Map()],
    ["81a16101", new Map([["a", 1]])], ["de0001a16101", new Map([["a", 1]])],
    ["82a1619101a16280", new Map([["a", [1]], ["b", new Map()]])],
  ];
  for (const [hex, value] of cases) assert.deepEqual(decode(fromHex(hex)), value, hex);
});

test("refuses what is outside of the subset", () => {
  const maps = "81a161".repeat(5);
  const cases = ["", "c1", "8101c0", "81c0c0", "d40100", "c7000100", "dd0000000001", "a1ff",
    "cf0020000000000000", "919191919190", `${maps}80`, "dcffff", "deffff", "df00000000", "0000",
    "c6ffffffff", "dbffffffff", "81a161", "82a16101a16102"];
  assert.deepEqual(decode(fromHex("9191919190")), [[[[[]]]]]);
  for (const hex of cases) assert.throws(() => decode(fromHex(hex)), WireError, hex);
});

test("writes the shortest unsigned form and refuses what is no unsigned integer", () => {
  const writer = new Writer(64);
  const cases = [[0, "00"], [127, "7f"], [128, "cc80"], [255, "ccff"], [256, "cd0100"],
    [65_535, "cdffff"], [65_536, "ce00010000"], [2 ** 32 - 1, "ceffffffff"]];
  for (const [value, hex] of cases) {
    writer.uint(value);
    assert.equal(toHex(writer.finish()), hex);
  }
  for (const value of [-1, 2 ** 32, 0.5, NaN]) {
    assert.throws(() => writer.uint(value), RangeError);
  }
});

test("a message larger than the server takes is refused here", () => {
  const text = "x".repeat(20_000);
  const message = { op: Op.ChatSubmit, request_id: 1, channel: 0, target: 0, text };
  assert.throws(() => encode(message), RangeError);
  assert.equal(toHex(encode({ op: Op.Bye })), "9109", "the next message starts afresh");
});
