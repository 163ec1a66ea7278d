/** What the server's answer to a request means, as a sentence that says what to do. */

import { ErrorCode } from "../core/protocol.generated.js";
import { words } from "./words.js";

/** @typedef {import("./ports.js").Answer} Answer */

/** @type {ReadonlyMap<number, import("./words.js").WordKey>} */
const WORDS_OF = new Map(Object.entries({
  [-1]: "answer.none", [ErrorCode.NOT_ALLOWED]: "answer.notAllowed",
  [ErrorCode.RATE_LIMITED]: "answer.rate", [ErrorCode.OUT_OF_RANGE]: "answer.range",
  [ErrorCode.BLOCKED]: "answer.blocked", [ErrorCode.COOLDOWN]: "answer.cooldown",
  [ErrorCode.TAKEN]: "answer.taken", [ErrorCode.NOT_FOUND]: "answer.notFound",
  [ErrorCode.TEXT_REJECTED]: "answer.text", [ErrorCode.WORLD_FULL]: "answer.full",
  [ErrorCode.RESERVED]: "answer.reserved",
}).map(([code, key]) => [Number(code), /** @type {import("./words.js").WordKey} */ (key)]));

/**
 * The server's own sentence where it gives one and the page speaks English, else ours for the code.
 * @param {Answer} answer
 * @param {string} language
 */
export function sentenceOf({ code, reason, retry_ms }, language) {
  const key = WORDS_OF.get(code);
  const own = key ? words(key) : words("answer.failed", { code });
  const sentence = reason && (language === "en" || !key) ? reason : own;
  if (retry_ms <= 0) return sentence;
  return `${sentence} ${words("answer.wait", { count: Math.ceil(retry_ms / 1000) })}`;
}
