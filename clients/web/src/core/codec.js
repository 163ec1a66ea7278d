/**
 * Bytes to messages and back.
 *
 * A message is an object with `op` and the fields of the wire under the wire's own names; the
 * field tables and types are generated from the server's definitions. An edit is an object with
 * `op` as well, properties of a prop are one with `kind`; what is left out of them on the wire is
 * what it is by default. `decodeServer` either gives a message whose fields have the right number,
 * types and ranges, or throws WireError. What we send ourselves is for the server to check.
 * Poses are written with explicit types, so that all poses of one layout have the same length and
 * a server can read thousands of them as one matrix.
 */

import {
  ENUM_VALUES, FIELDS, Limits, MAPS, NESTED, Op, UNIONS,
} from "./protocol.generated.js";
import { decode, WireError, Writer } from "./msgpack.js";

/** @typedef {import("./protocol.generated.js").ClientMessage} ClientMessage */
/** @typedef {import("./protocol.generated.js").ServerMessage} ServerMessage */
/** @typedef {import("./protocol.generated.js").Fields} Fields */
/** @typedef {import("./protocol.generated.js").Kind} Kind */

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
 * @param {Kind} kind
 * @param {any} value
 */
function writeField(kind, value) {
  if (typeof kind !== "string") writeBounded(kind, value);
  else if (UNSIGNED_MAX.has(kind)) writer.uint(value);
  else if (kind === "str") writer.text(value);
  else if (kind === "bytes") writer.binary(value);
  else if (kind === "bool") writer.bool(value);
  else if (ENUM_VALUES[kind]) {
    if (typeof value === "string") writer.text(value);
    else writer.uint(value);
  } else if (UNIONS[kind]) writeOneOf(kind, value);
  else {
    writer.array(NESTED[kind].length);
    writeFields(NESTED[kind], value);
  }
}

/**
 * @param {Readonly<Record<string, any>>} kind
 * @param {any} value
 */
function writeBounded(kind, value) {
  const held = kind.list ?? kind.tuple;
  if (held) {
    writer.array(value.length);
    for (const item of value) writeField(held, item);
  } else if (kind.float) writer.float(value);
  else writeField(kind.str ? "str" : "bytes", value);
}

/**
 * @param {string} union
 * @param {any} value an object with `op`, written as an array, or with `kind`, written as a map
 */
function writeOneOf(union, value) {
  const name = UNIONS[union][value.op ?? value.kind];
  if (name === undefined) throw new RangeError(`there are no such ${union}`);
  if (NESTED[name]) {
    writer.array(NESTED[name].length + 1);
    writer.uint(value.op);
    writeFields(NESTED[name], value);
    return;
  }
  const told = MAPS[name].filter(([field, , usual]) => (value[field] ?? usual) !== usual);
  writer.map(told.length + 1);
  writer.text("kind");
  writer.text(value.kind);
  for (const [field, kind] of told) {
    writer.text(field);
    writeField(kind, value[field]);
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
 * @param {Kind} kind
 * @param {unknown} value
 * @param {string} name
 * @returns {unknown}
 */
function readField(kind, value, name) {
  if (typeof kind !== "string") return readBounded(kind, value, name);
  const most = UNSIGNED_MAX.get(kind);
  if (most !== undefined) {
    if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most) {
      return value;
    }
  } else if (ENUM_VALUES[kind]) {
    if (
      (typeof value === "number" || typeof value === "string") && ENUM_VALUES[kind].includes(value)
    ) return value;
  } else if (kind === "str" || kind === "bool") {
    if (typeof value === (kind === "str" ? "string" : "boolean")) return value;
  } else if (kind === "bytes") {
    if (value instanceof Uint8Array) return value;
  } else if (UNIONS[kind]) {
    if (value instanceof Map) return readMap(kind, value);
  } else if (Array.isArray(value)) {
    /** @type {Record<string, unknown>} */
    const nested = {};
    readFields(NESTED[kind], value, 0, nested);
    return nested;
  }
  throw wrong(name);
}

/**
 * Whether a value that did not come by the wire would be one of that kind there.
 * @param {Kind} kind
 * @param {unknown} value
 */
export function fits(kind, value) {
  try {
    readField(kind, value, "");
    return true;
  } catch (error) {
    if (error instanceof WireError) return false;
    throw error;
  }
}

/**
 * @param {Readonly<Record<string, any>>} kind
 * @param {unknown} value
 * @param {string} name
 * @returns {unknown}
 */
function readBounded(kind, value, name) {
  if (kind.float) {
    const [least, most] = kind.float;
    // Not a number is neither.
    if (typeof value === "number" && value >= least && value <= most) return value;
    throw wrong(name);
  }
  if (kind.list || kind.tuple) {
    const { min = kind.items ?? 0, max = kind.items ?? Infinity } = kind;
    if (!Array.isArray(value) || value.length < min || value.length > max) throw wrong(name);
    return value.map((item) => readField(kind.list ?? kind.tuple, item, name));
  }
  const { min = 0, max = Infinity, pattern } = kind.str ?? kind.bytes;
  const read = readField(kind.str ? "str" : "bytes", value, name);
  const length = typeof read === "string" ? charsOf(read, max)
    : /** @type {Uint8Array} */ (read).length;
  if (length < min || length > max) throw wrong(name);
  if (pattern && !patternOf(pattern).test(/** @type {string} */ (read))) throw wrong(name);
  return read;
}

/** @type {Map<string, RegExp>} those of the protocol, made once */
const patterns = new Map();

/** @param {string} pattern */
function patternOf(pattern) {
  const made = patterns.get(pattern) ?? new RegExp(pattern);
  patterns.set(pattern, made);
  return made;
}

/**
 * How many code points, counted only where it matters.
 * @param {string} text
 * @param {number} most
 */
function charsOf(text, most) {
  return text.length > most ? [...text].length : text.length;
}

/**
 * One of a union whose kinds are maps, with what was left out as it is by default.
 * @param {string} union
 * @param {Map<string, unknown>} value
 */
function readMap(union, value) {
  const tag = value.get("kind");
  if (typeof tag !== "string" || !Object.hasOwn(UNIONS[union], tag)) throw wrong("kind");
  /** @type {Record<string, unknown>} */
  const found = { kind: tag };
  let told = 1;
  for (const [name, kind, usual] of MAPS[UNIONS[union][tag]]) {
    if (value.has(name)) told += 1;
    found[name] = value.has(name) ? readField(kind, value.get(name), name) : usual;
  }
  if (told !== value.size) throw new WireError(`a ${tag} has a field that none has`);
  return found;
}

/** @param {string} name */
function wrong(name) {
  return new WireError(`the field ${name} has the wrong type or is out of range`);
}
