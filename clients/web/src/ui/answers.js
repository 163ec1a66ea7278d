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
  [ErrorCode.RESERVED]: "answer.reserved", [ErrorCode.BAD_EDIT]: "answer.badEdit",
  [ErrorCode.DRAINING]: "join.draining", [ErrorCode.CONFLICT]: "answer.conflict",
  [ErrorCode.NOT_SAVED]: "answer.notSaved",
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

/** @type {ReadonlyMap<string, import("./words.js").WordKey>} */
const WORDS_OF_ACCOUNTS = new Map(Object.entries(/** @type {const} */ ({
  not_signed_in: "account.wrong", taken: "account.taken", too_many: "account.tooMany",
  unavailable: "account.away", not_allowed: "answer.notAllowed",
})));

/**
 * Why signing in did not work: the server's own sentence in English, else ours where there is one.
 * @param {unknown} error of net/account.js
 * @param {string} language
 */
export function accountSentence(error, language) {
  const { code, message } = /** @type {{code?: string, message?: string}} */ (error ?? {});
  const key = WORDS_OF_ACCOUNTS.get(code ?? "");
  return language === "en" || !key ? String(message ?? error) : words(key);
}
