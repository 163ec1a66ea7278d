/** The colours of world.css: readable over whatever lies behind, by the rule of WCAG 2.2, AA. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const CSS = readFileSync(new URL("../../clients/web/world.css", import.meta.url), "utf8");
const TEXT = 4.5;
const SHAPE = 3;

/** The colours of each palette: light, dark, and both with more contrast. */
function palettes() {
  const found = {};
  const dark = /@media \(prefers-color-scheme: dark\) \{\s*:root(\S*) \{([^}]*)\}/g;
  const light = /^:root(\S*) \{([^}]*)\}/gm;
  for (const [, more, body] of CSS.matchAll(light)) found[`light${more}`] = colours(body);
  for (const [, more, body] of CSS.matchAll(dark)) found[`dark${more}`] = colours(body);
  const more = '[data-contrast="more"]';
  return { light: found.light, dark: { ...found.light, ...found.dark },
    "light, more": { ...found.light, ...found[`light${more}`] },
    "dark, more": { ...found.light, ...found.dark, ...found[`dark${more}`] } };
}

function colours(body) {
  const named = [...body.matchAll(/--([\w-]+):\s*([^;]+);/g)];
  return Object.fromEntries(named.map(([, name, value]) => [name, colour(value)])
    .filter(([, value]) => value));
}

/** Red, green, blue in 0..255 and how much it covers. */
function colour(text) {
  const hex = /^#([0-9a-f]{3,6})$/.exec(text);
  if (hex) {
    const whole = hex[1].length === 3 ? hex[1].replace(/./g, "$&$&") : hex[1];
    return [0, 2, 4].map((at) => parseInt(whole.slice(at, at + 2), 16)).concat(1);
  }
  const rgb = /^rgb\((\d+) (\d+) (\d+) \/ (\d+)%\)$/.exec(text);
  return rgb && [Number(rgb[1]), Number(rgb[2]), Number(rgb[3]), Number(rgb[4]) / 100];
}

const over = ([r, g, b, alpha], below) => [r, g, b].map((value, at) => (
  value * alpha + below[at] * (1 - alpha))).concat(1);

function luminance(rgb) {
  const [r, g, b] = rgb.map((value) => value / 255).map((part) => (
    part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function ratio(a, b) {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

const BEHIND = { white: [255, 255, 255, 1], black: [0, 0, 0, 1], sky: [120, 180, 255, 1] };

test("the measure is that of the standard", () => {
  expect(ratio(BEHIND.white, BEHIND.black)).toBeCloseTo(21);
  expect(ratio([118, 118, 118, 1], BEHIND.white)).toBeCloseTo(4.54, 1);
});

describe.each(Object.entries(palettes()))("%s", (_name, palette) => {
  test("has all its colours", () => {
    for (const name of ["slip", "sheet", "field", "ink", "ink-soft", "teal", "teal-ink", "rust",
      "rust-ink", "good", "fair", "bad", "edge", "line", "wash"]) {
      expect(palette[name], name).toBeTruthy();
    }
  });

  test.each(Object.entries(BEHIND))("text is readable on a slip over %s", (_behind, below) => {
    const slip = over(palette.slip, below);
    for (const name of ["ink", "ink-soft", "teal", "rust", "bad", "good", "fair"]) {
      expect(ratio(palette[name], slip), name).toBeGreaterThanOrEqual(TEXT);
      expect(ratio(palette[name], over(palette.wash, slip)), `${name} on wash`)
        .toBeGreaterThanOrEqual(TEXT);
    }
    expect(ratio(palette.edge, slip), "edge").toBeGreaterThanOrEqual(SHAPE);
  });

  test("text is readable in fields, on sheets and on buttons", () => {
    for (const name of ["ink", "ink-soft", "teal", "rust", "bad"]) {
      expect(ratio(palette[name], palette.field), name).toBeGreaterThanOrEqual(TEXT);
      expect(ratio(palette[name], palette.sheet), name).toBeGreaterThanOrEqual(TEXT);
    }
    expect(ratio(palette["teal-ink"], palette.teal)).toBeGreaterThanOrEqual(TEXT);
    expect(ratio(palette["rust-ink"], palette.rust)).toBeGreaterThanOrEqual(TEXT);
    expect(ratio(palette.edge, palette.field), "edge of a field").toBeGreaterThanOrEqual(SHAPE);
  });
});
