/**
 * All that `src/core` may use besides the language itself. It is checked against this and not
 * against the browser's globals (jsconfig.core.json), so every other one is an error there: no
 * document, no network, no clock, no storage.
 */

declare class TextEncoder {
  encode(text: string): Uint8Array<ArrayBuffer>;
  encodeInto(text: string, into: Uint8Array): { read: number; written: number };
}

declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(bytes?: ArrayBuffer | ArrayBufferView): string;
}
