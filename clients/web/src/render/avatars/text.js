/**
 * What strangers call themselves and say, made fit to be drawn on a canvas.
 *
 * Drawing is all that ever happens to it. Control characters, zero-width ones and those that
 * change the direction of what follows are taken out; what is left stands between marks that keep
 * its direction to itself. Length is counted in graphemes, as a reader does, and a grapheme that is
 * a tower of marks is cut, so that no name paints over its neighbours.
 */

// Control, format and private characters, separators of lines, variation selectors and fillers;
// the joiner of emoji (200d) is kept between graphemes' parts.
const UNWANTED = new RegExp(
  "[\\p{Cc}\\p{Co}\\p{Cs}\\p{Zl}\\p{Zp}\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5"
  + "\\u180b-\\u180f\\u200b\\u200c\\u200e\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u3164\\ufeff"
  + "\\uffa0\\ufff0-\\uffff\\u{e0000}-\\u{e0fff}]", "gu");
const BREAKS = /[\t-\r\u0085\u2028\u2029]+/gu;
const SPACES = /\s+/gu;
const GRAPHEME_UNITS_MAX = 16;
const MARKS = /\p{M}/gu;
const MARKS_MAX = 3;
const ISOLATE = "\u2068";
const POP = "\u2069";
const MORE = "…";

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/**
 * @param {string} text
 * @param {number} most graphemes
 */
export function cleanText(text, most) {
  const plain = String(text).slice(0, most * GRAPHEME_UNITS_MAX)
    .replace(BREAKS, " ").replace(UNWANTED, "").replace(SPACES, " ").trim();
  let made = "";
  let count = 0;
  for (const { segment } of graphemes.segment(plain)) {
    if (count === most) return `${made.trimEnd()}${MORE}`;
    made += calm(segment);
    count += 1;
  }
  return made;
}

/** At most a few marks on one letter. @param {string} grapheme */
function calm(grapheme) {
  if (grapheme.length <= 2) return grapheme;
  let marks = 0;
  const kept = grapheme.replace(MARKS, (mark) => (++marks <= MARKS_MAX ? mark : ""));
  return kept.slice(0, GRAPHEME_UNITS_MAX);
}

/**
 * The longest beginning that is not wider than it may be, with an ellipsis if it is not all.
 * @param {string} text clean
 * @param {number} widest
 * @param {(text: string) => number} widthOf
 */
export function clipText(text, widest, widthOf) {
  if (widthOf(text) <= widest) return text;
  const parts = [...graphemes.segment(text)].map(({ segment }) => segment);
  let low = 0, high = parts.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (widthOf(parts.slice(0, middle).join("") + MORE) <= widest) low = middle;
    else high = middle - 1;
  }
  return `${parts.slice(0, low).join("").trimEnd()}${MORE}`;
}

/**
 * Lines of a text that fit a width; the last one is clipped.
 * @param {string} text clean
 * @param {{widest: number, lines: number, widthOf: (text: string) => number}} room
 */
export function wrapText(text, { widest, lines, widthOf }) {
  /** @type {string[]} */
  const made = [];
  let rest = text;
  while (rest && made.length < lines - 1 && widthOf(rest) > widest) {
    const end = breakAt(rest, widest, widthOf);
    made.push(rest.slice(0, end).trim());
    rest = rest.slice(end).trimStart();
  }
  if (rest) made.push(clipText(rest, widest, widthOf));
  return made;
}

/**
 * Where the line ends: after the last word that fits, else after the last grapheme.
 * @param {string} text
 * @param {number} widest
 * @param {(text: string) => number} widthOf
 */
function breakAt(text, widest, widthOf) {
  let end = 0;
  let word = 0;
  for (const { segment, index } of graphemes.segment(text)) {
    const next = index + segment.length;
    if (end && widthOf(text.slice(0, next)) > widest) break;
    end = next;
    if (segment === " ") word = next;
  }
  return word || end;
}

/** Keeps the direction of a text from what stands beside it. @param {string} text */
export function isolated(text) {
  return `${ISOLATE}${text}${POP}`;
}
