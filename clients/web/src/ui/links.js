/**
 * Addresses in what others wrote, found with more care than comfort.
 *
 * Only `http://` and `https://` written out in full count; what carries a name and password before
 * the host (a trick to show another host), has control characters or marks of writing direction in
 * it, or is longer than ADDRESS_CHARS_MAX stays text. What is shown and opened is the address as
 * the browser itself reads it, so that a host in look-alike letters is seen as its `xn--` name.
 * Pure.
 */

/** @typedef {{text: string, address: string}} Part `address` is empty for plain text */

const ADDRESS_CHARS_MAX = 400;
const LINKS_MAX = 8;
/** Not the tail of another scheme; up to a blank, a quote or a mark of Chinese sentences. */
const FOUND = /(?<![\p{L}\p{N}:+.-])https?:\/\/[^\s<>"'`{}|\\^，。；：！？、（）【】「」『』《》]+/giu;
/** Marks at the end that belong to the sentence. */
const TRAILING = /[.,;:!?…\])*_~]+$/u;
/** Controls and marks that turn or hide letters. */
const HIDDEN = /[\p{Cc}\p{Cf}]/u;

/**
 * A text in its parts; put together they are the text again.
 * @param {string} text
 * @returns {Part[]}
 */
export function findLinks(text) {
  /** @type {Part[]} */
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(FOUND)) {
    const written = trimmed(match[0]);
    const address = safeAddress(written);
    if (!address || parts.length >= 2 * LINKS_MAX) continue;
    if (match.index > from) parts.push({ text: text.slice(from, match.index), address: "" });
    parts.push({ text: written, address });
    from = match.index + written.length;
  }
  if (from < text.length || !parts.length) parts.push({ text: text.slice(from), address: "" });
  return parts;
}

/**
 * Without what ends the sentence; a closing bracket stays that was opened.
 * @param {string} found
 */
function trimmed(found) {
  let kept = found.replace(TRAILING, "");
  if (found[kept.length] === ")" && kept.lastIndexOf("(") > kept.lastIndexOf(")")) kept += ")";
  return kept;
}

/**
 * The address as the browser reads it, or nothing if it is not one to open.
 * @param {string} written
 */
export function safeAddress(written) {
  if (written.length > ADDRESS_CHARS_MAX || HIDDEN.test(written)) return "";
  if (!URL.canParse(written)) return "";
  const url = new URL(written);
  const isWeb = url.protocol === "http:" || url.protocol === "https:";
  if (!isWeb || url.username || url.password || !url.hostname) return "";
  return url.href;
}
