/**
 * Says of pairs of modules whether both are the same program on the same lines, for the tests of
 * what the server takes out of a module (`server/atrium_server/http/lean.py`).
 *
 *     node same_program.mjs < PAIRS      PAIRS: JSON, a list of [before, after]
 *
 * For each pair it writes into a JSON list "same", "no program" where the one before cannot be
 * parsed, or what first differs. Two are the same when a parser makes the same tree of both: every
 * name, every literal as it is written, and the line on which each part begins.
 */

import { text } from "node:stream/consumers";
import { parseAst } from "vitest/node";

/** @param {string} source @returns {(at: number) => number} the line of a place in the text */
function linesOf(source) {
  const starts = [...source.matchAll(/\n/g)].map(({ index }) => index);
  return (at) => {
    let [low, high] = [0, starts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (starts[middle] < at) low = middle + 1;
      else high = middle;
    }
    return low + 1;
  };
}

/**
 * The tree as text: one line for each part of it.
 * @param {string} source
 * @returns {string[]}
 */
function treeOf(source) {
  const lineOf = linesOf(source);
  /** @type {string[]} */
  const told = [];
  /** @param {string} name @param {any} part */
  const tell = (name, part) => {
    if (part === null || typeof part !== "object" || part instanceof RegExp) {
      return void told.push(`${name}: ${String(part)}`);
    }
    if (typeof part.type === "string") told.push(`${part.type} on line ${lineOf(part.start)}`);
    for (const [key, value] of Object.entries(part)) {
      if (key !== "start" && key !== "end") tell(key, value);
    }
  };
  tell("", parseAst(source, { lang: "js" }));
  return told;
}

/** @param {[string, string]} pair */
function compare([before, after]) {
  let wanted;
  try {
    wanted = treeOf(before);
  } catch {
    return "no program";
  }
  try {
    const found = treeOf(after);
    const at = wanted.findIndex((each, index) => each !== found[index]);
    if (at < 0 && wanted.length === found.length) return "same";
    return `${wanted[at]} became ${found[at]}`;
  } catch (error) {
    return `it became no program: ${error}`;
  }
}

const pairs = JSON.parse(await text(process.stdin));
process.stdout.write(JSON.stringify(pairs.map(compare)));
