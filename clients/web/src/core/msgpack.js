/**
 * The subset of MessagePack that `atrium.1` uses: nil, booleans, integers, floats, strings,
 * binary, arrays, and maps whose keys are strings.
 *
 * A peer's bytes either give a value or throw `WireError`: extensions, integers beyond 2**53,
 * arrays and maps nested deeper than DEPTH_MAX, lengths beyond the message's end, text that is not
 * UTF-8, a key that comes twice, and bytes left over are all refused. An array is only allocated
 * after its length was found to fit the bytes that are left, so a short message cannot ask for a
 * large one. Binary values are views into the message, not copies. A map becomes a `Map`, so that
 * no key can be one of those that objects have by themselves.
 */

/** A number in a position, in a transform, in a state, in a list, in a message. */
const DEPTH_MAX = 5;

/** What a peer sent is not what the protocol allows. */
export class WireError extends Error {
  name = "WireError";
}

/**
 * @typedef {null | boolean | number | string | Uint8Array | unknown[] | Map<string, unknown>} Value
 */

const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const utf8Encoder = new TextEncoder();

/**
 * The one value that `bytes` hold.
 * @param {Uint8Array} bytes
 * @returns {Value}
 */
export function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (reader.at !== bytes.length) throw new WireError("bytes are left after the message");
  return value;
}

class Reader {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }

  /**
   * Moves past `length` bytes and returns where they start.
   * @param {number} length
   */
  take(length) {
    const start = this.at;
    if (length > this.bytes.length - start) throw new WireError("a message ends too early");
    this.at = start + length;
    return start;
  }

  /**
   * @param {number} depth how many arrays and maps are around this value
   * @returns {Value}
   */
  value(depth) {
    const code = this.bytes[this.take(1)];
    if (code < 0x80) return code;
    if (code >= 0xe0) return code - 256;
    if (code >= 0xa0 && code < 0xc0) return this.text(code & 31);
    if (code >= 0x90 && code < 0xa0) return this.array(code & 15, depth);
    if (code < 0x90) return this.map(code & 15, depth);
    const { view } = this;
    switch (code) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.binary(view.getUint8(this.take(1)));
      case 0xc5: return this.binary(view.getUint16(this.take(2)));
      case 0xc6: return this.binary(view.getUint32(this.take(4)));
      case 0xca: return view.getFloat32(this.take(4));
      case 0xcb: return view.getFloat64(this.take(8));
      case 0xcc: return view.getUint8(this.take(1));
      case 0xcd: return view.getUint16(this.take(2));
      case 0xce: return view.getUint32(this.take(4));
      case 0xcf: return safe(view.getBigUint64(this.take(8)));
      case 0xd0: return view.getInt8(this.take(1));
      case 0xd1: return view.getInt16(this.take(2));
      case 0xd2: return view.getInt32(this.take(4));
      case 0xd3: return safe(view.getBigInt64(this.take(8)));
      case 0xd9: return this.text(view.getUint8(this.take(1)));
      case 0xda: return this.text(view.getUint16(this.take(2)));
      case 0xdb: return this.text(view.getUint32(this.take(4)));
      case 0xdc: return this.array(view.getUint16(this.take(2)), depth);
      case 0xde: return this.map(view.getUint16(this.take(2)), depth);
      default: throw new WireError(`type 0x${code.toString(16)} does not belong to the protocol`);
    }
  }

  /** @param {number} length */
  binary(length) {
    const start = this.take(length);
    return this.bytes.subarray(start, start + length);
  }

  /** @param {number} length */
  text(length) {
    const raw = this.binary(length);
    try {
      return utf8Decoder.decode(raw);
    } catch {
      throw new WireError("a text is not UTF-8");
    }
  }

  /**
   * @param {number} length
   * @param {number} depth
   */
  array(length, depth) {
    if (depth >= DEPTH_MAX) throw new WireError("arrays are nested too deeply");
    if (length > this.bytes.length - this.at) throw new WireError("a message ends too early");
    /** @type {unknown[]} */
    const items = new Array(length);
    for (let i = 0; i < length; i++) items[i] = this.value(depth + 1);
    return items;
  }

  /**
   * @param {number} length
   * @param {number} depth
   */
  map(length, depth) {
    if (depth >= DEPTH_MAX) throw new WireError("maps are nested too deeply");
    if (2 * length > this.bytes.length - this.at) throw new WireError("a message ends too early");
    /** @type {Map<string, unknown>} */
    const entries = new Map();
    for (let i = 0; i < length; i++) {
      const key = this.value(depth + 1);
      if (typeof key !== "string") throw new WireError("a key of a map is not a string");
      if (entries.has(key)) throw new WireError(`the key ${key} comes twice`);
      entries.set(key, this.value(depth + 1));
    }
    return entries;
  }
}

/** @param {bigint} wide */
function safe(wide) {
  const value = Number(wide);
  if (!Number.isSafeInteger(value)) throw new WireError("an integer is beyond 2**53");
  return value;
}

/** Writes one message after another into a buffer of its own. */
export class Writer {
  /** @param {number} bytesMax largest message; more throws RangeError, as it is our own fault */
  constructor(bytesMax) {
    this.bytes = new Uint8Array(bytesMax);
    this.view = new DataView(this.bytes.buffer);
    this.at = 0;
  }

  /** A copy of what was written; the next message starts afresh. */
  finish() {
    const message = this.bytes.slice(0, this.at);
    this.at = 0;
    return message;
  }

  /**
   * @param {number} code
   * @param {number} length of what follows the code
   * @returns {number} where it goes
   */
  put(code, length) {
    const start = this.at + 1;
    if (start + length > this.bytes.length) throw new RangeError("a message is too large to send");
    this.bytes[this.at] = code;
    this.at = start + length;
    return start;
  }

  /** @param {boolean} value */
  bool(value) {
    this.put(value ? 0xc3 : 0xc2, 0);
  }

  /** @param {number} value an unsigned integer of 32 bits, written in its shortest form */
  uint(value) {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32) {
      throw new RangeError(`${value} is not an unsigned integer of 32 bits`);
    }
    if (value < 0x80) this.put(value, 0);
    else if (value < 0x100) this.view.setUint8(this.put(0xcc, 1), value);
    else if (value < 0x10000) this.view.setUint16(this.put(0xcd, 2), value);
    else this.u32(value);
  }

  /** @param {number} value always as five bytes, however small */
  u32(value) {
    this.view.setUint32(this.put(0xce, 4), value);
  }

  /** @param {number} value written with 64 bits */
  float(value) {
    this.view.setFloat64(this.put(0xcb, 8), value);
  }

  /** @param {string} text */
  text(text) {
    const raw = utf8Encoder.encode(text);
    if (raw.length < 32) this.bytes.set(raw, this.put(0xa0 | raw.length, raw.length));
    else this.long([0xd9, 0xda], raw);
  }

  /** @param {Uint8Array} raw */
  binary(raw) {
    this.long([0xc4, 0xc5], raw);
  }

  /**
   * @param {[number, number]} codes with a length of one byte, of two bytes
   * @param {Uint8Array} raw
   */
  long(codes, raw) {
    const wide = raw.length > 0xff;
    const start = this.put(codes[wide ? 1 : 0], (wide ? 2 : 1) + raw.length);
    if (wide) this.view.setUint16(start, raw.length);
    else this.view.setUint8(start, raw.length);
    this.bytes.set(raw, start + (wide ? 2 : 1));
  }

  /** @param {number} length of an array whose items are written next */
  array(length) {
    if (length < 16) this.put(0x90 | length, 0);
    else this.view.setUint16(this.put(0xdc, 2), length);
  }

  /** @param {number} length of a map whose keys and values are written next, in turns */
  map(length) {
    if (length < 16) this.put(0x80 | length, 0);
    else this.view.setUint16(this.put(0xde, 2), length);
  }
}
