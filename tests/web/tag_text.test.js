/** The text of strangers on tags and in bubbles: what is taken out and where it ends. */

import { expect, test } from "vitest";

import { cleanText, clipText, isolated, wrapText }
  from "../../clients/web/src/render/avatars/text.js";

/** Each UTF-16 unit is ten wide. */
const widthOf = (text) => text.length * 10;

test("controls, zero-width characters and changes of direction are taken out", () => {
  expect(cleanText("a\u0000b\u0007c\u200bd\u202ee\u2066f\ufeffg\u00adh", 32)).toBe("abcdefgh");
  expect(cleanText(" two \n\t lines ", 32)).toBe("two lines");
  expect(cleanText("\u3164\u2800x".replace("\u2800", ""), 32)).toBe("x");
  expect(cleanText("\u202e\u200b", 32)).toBe("");
});

test("what people really are called stays", () => {
  for (const name of ["Zoë", "李小龙", "שלום", "Søren Å.", "นิด", "👩‍🚀 Ada", "O'Neil-Smith"]) {
    expect(cleanText(name, 32)).toBe(name);
  }
});

test("length is counted in graphemes, and a tower of marks is cut", () => {
  expect(cleanText("👩‍🚀".repeat(5), 4)).toBe(`${"👩‍🚀".repeat(4)}…`);
  const tower = `Z${"\u0301".repeat(40)}`;
  expect(cleanText(tower, 32).length).toBeLessThanOrEqual(5);
  expect(cleanText("x".repeat(100_000), 10)).toBe(`${"x".repeat(10)}…`);
});

test("text is clipped to its room", () => {
  expect(clipText("short", 100, widthOf)).toBe("short");
  expect(clipText("a longer name", 60, widthOf)).toBe("a lon…");
  expect(widthOf(clipText("👩‍🚀👩‍🚀👩‍🚀", 80, widthOf))).toBeLessThanOrEqual(80);
});

test("lines break between words, else within one, and the last is clipped", () => {
  const room = { widest: 100, lines: 3, widthOf };
  expect(wrapText("hello", room)).toEqual(["hello"]);
  expect(wrapText("hello big world", room)).toEqual(["hello big", "world"]);
  expect(wrapText("x".repeat(25), room)).toEqual(["x".repeat(10), "x".repeat(10), "xxxxx"]);
  const many = wrapText("one two three four five six seven eight nine ten", room);
  expect(many.length).toBe(3);
  expect(many[2].endsWith("…")).toBe(true);
  expect(wrapText("", room)).toEqual([]);
});

test("what stands beside a name keeps its direction", () => {
  expect(isolated("שלום")).toBe("\u2068שלום\u2069");
});
