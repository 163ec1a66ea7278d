/**
 * Names in the text: `@name` while it is typed, and where a line speaks to somebody.
 *
 * Names may have blanks, so that a name is known only by who is there: the longest name of those
 * given that stands after an `@` counts. Case does not matter. Pure.
 */

/** @typedef {{text: string, name: string}} Part `name` is empty for plain text */
/** @typedef {{from: number, names: string[]}} Completion `from` is where the `@` stands */

const CANDIDATES_MAX = 6;
const TYPED_CHARS_MAX = 32;
const LETTER = /[\p{L}\p{N}_]/u;
const MARK = /\p{Mn}/u;

/**
 * What the person may be about to write: names that begin with what stands between `@` and the
 * caret.
 * @param {string} text
 * @param {number} caret
 * @param {readonly string[]} names
 * @returns {Completion | null}
 */
export function completion(text, caret, names) {
  const from = text.slice(0, caret).lastIndexOf("@");
  if (from < 0 || caret - from > TYPED_CHARS_MAX + 1 || isLetter(text, from - 1)) return null;
  const typed = folded(text.slice(from + 1, caret));
  const fitting = [...new Set(names)].filter((name) => name && folded(name).startsWith(typed)
    && folded(name) !== typed);
  fitting.sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  return fitting.length ? { from, names: fitting.slice(0, CANDIDATES_MAX) } : null;
}

/**
 * The text with the name in it, and where the caret is then.
 * @param {string} text
 * @param {number} caret
 * @param {number} from
 * @param {string} name
 */
export function completed(text, caret, from, name) {
  const head = `${text.slice(0, from)}@${name} `;
  return { text: head + text.slice(caret).replace(/^ /, ""), caret: head.length };
}

/**
 * A text in its parts; put together they are the text again.
 * @param {string} text
 * @param {readonly string[]} names
 * @returns {Part[]}
 */
export function findMentions(text, names) {
  const longestFirst = names.filter(Boolean).sort((a, b) => b.length - a.length);
  /** @type {Part[]} */
  const parts = [];
  let from = 0;
  for (let at = text.indexOf("@"); at >= 0; at = text.indexOf("@", at + 1)) {
    if (isLetter(text, at - 1)) continue;
    const name = longestFirst.find((each) => stands(text, at + 1, each));
    if (!name) continue;
    if (at > from) parts.push({ text: text.slice(from, at), name: "" });
    from = at + 1 + name.length;
    parts.push({ text: text.slice(at, from), name });
    at = from - 1;
  }
  if (from < text.length || !parts.length) parts.push({ text: text.slice(from), name: "" });
  return parts;
}

/** @param {string} text @param {number} at @param {string} name */
function stands(text, at, name) {
  const end = at + name.length;
  if (folded(text.slice(at, end)) !== folded(name)) return false;
  const code = text.codePointAt(end);
  return code === undefined || !(isLetter(text, end) || MARK.test(String.fromCodePoint(code)));
}

/** @param {string} text @param {number} at */
function isLetter(text, at) {
  if (at < 0) return false;
  const isSecondHalf = at > 0 && /[\uDC00-\uDFFF]/.test(text[at]);
  const code = text.codePointAt(isSecondHalf ? at - 1 : at);
  return code !== undefined && LETTER.test(String.fromCodePoint(code));
}

/** @param {string} text */
function folded(text) {
  return text.toLowerCase();
}
