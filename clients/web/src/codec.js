/**
 * Bytes to messages and back.
 *
 * A message is an object with `op` and the fields of the wire under the wire's own names; the
 * field tables and types are generated from the server's definitions. `decodeServer` either gives
 * a message whose fields have the right number, types and ranges, or throws WireError.
 * Poses are written with explicit types, so that all poses of one layout have the same length and
 * a server can read thousands of them as one matrix.
 */

import { ENUM_VALUES, FIELDS, Limits, NESTED, Op } from "./protocol.generated.js";
import { decode, WireError, Writer } from "./msgpack.js";

/** @typedef {import("./protocol.generated.js").ClientMessage} ClientMessage */
/** @typedef {import("./protocol.generated.js").ServerMessage} ServerMessage */
/** @typedef {readonly (readonly [string, string])[]} Fields */

const OP_SERVER_MIN = 64;
const SERVER_MESSAGE_BYTES_MAX = 1 << 20;
const UNSIGNED_MAX = new Map([["u8", 0xff], ["u16", 0xffff], ["u32", 0xffffffff]]);

const writer = new Writer(Limits.MESSAGE_BYTES_MAX);

/**
 * @param {ClientMessage} message
 */
export function encode(message) {
  if (message.op === Op.Pose) {
    return encodePose(message.seq, message.client_ms, message.ack_tick, message.body);
  }
  const fields = FIELDS[message.op];
  writer.at = 0;
  writer.array(fields.length + 1);
  writer.uint(message.op);
  writeFields(fields, /** @type {Record<string, any>} */ (message));
  return writer.finish();
}

/**
 * @param {number} seq
 * @param {number} clientMs
 * @param {number} ackTick
 * @param {Uint8Array} body
 */
export function encodePose(seq, clientMs, ackTick, body) {
  writer.at = 0;
  writer.array(5);
  writer.uint(Op.Pose);
  writer.u32(seq);
  writer.u32(clientMs);
  writer.u32(ackTick);
  writer.binary(body);
  return writer.finish();
}

/**
 * @param {Fields} fields
 * @param {Record<string, any>} values
 */
function writeFields(fields, values) {
  for (const [name, kind] of fields) writeField(kind, values[name]);
}

/**
 * @param {string} kind
 * @param {any} value
 */
function writeField(kind, value) {
  if (kind.startsWith("[")) {
    writer.array(value.length);
    for (const item of value) writeField(kind.slice(1, -1), item);
  } else if (UNSIGNED_MAX.has(kind) || ENUM_VALUES[kind]) writer.uint(value);
  else if (kind === "float") writer.float(value);
  else if (kind === "str") writer.text(value);
  else if (kind === "bytes") writer.binary(value);
  else if (kind === "bool") writer.bool(value);
  else {
    writer.array(NESTED[kind].length);
    writeFields(NESTED[kind], value);
  }
}

/**
 * What the server said.
 * @param {Uint8Array} bytes
 * @returns {ServerMessage}
 */
export function decodeServer(bytes) {
  if (bytes.length > SERVER_MESSAGE_BYTES_MAX) throw new WireError("a message is too large");
  const items = decode(bytes);
  if (!Array.isArray(items) || typeof items[0] !== "number") {
    throw new WireError("a message is an array that starts with its op");
  }
  const op = items[0];
  if (op < OP_SERVER_MIN || !Object.hasOwn(FIELDS, op)) {
    throw new WireError(`op ${op} is not a server's message`);
  }
  /** @type {Record<string, unknown>} */
  const message = { op };
  readFields(FIELDS[op], items, 1, message);
  return /** @type {ServerMessage} */ (/** @type {unknown} */ (message));
}

/**
 * @param {Fields} fields
 * @param {unknown[]} items
 * @param {number} first index of the first field
 * @param {Record<string, unknown>} into
 */
function readFields(fields, items, first, into) {
  if (items.length !== fields.length + first) {
    throw new WireError("a message has the wrong number of fields");
  }
  for (let i = 0; i < fields.length; i++) {
    const [name, kind] = fields[i];
    into[name] = readField(kind, items[first + i], name);
  }
}

/**
 * @param {string} kind
 * @param {unknown} value
 * @param {string} name
 * @returns {unknown}
 */
function readField(kind, value, name) {
  const most = UNSIGNED_MAX.get(kind);
  if (most !== undefined) {
    if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most) {
      return value;
    }
  } else if (ENUM_VALUES[kind]) {
    if (typeof value === "number" && ENUM_VALUES[kind].includes(value)) return value;
  } else if (kind === "str" || kind === "bool") {
    if (typeof value === (kind === "str" ? "string" : "boolean")) return value;
  } else if (kind === "bytes") {
    if (value instanceof Uint8Array) return value;
  } else if (Array.isArray(value)) {
    if (kind.startsWith("[")) return value.map((item) => readField(kind.slice(1, -1), item, name));
    /** @type {Record<string, unknown>} */
    const nested = {};
    readFields(NESTED[kind], value, 0, nested);
    return nested;
  }
  throw new WireError(`the field ${name} has the wrong type or is out of range`);
}
