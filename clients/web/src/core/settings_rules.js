/**
 * What can be set, within which bounds, and what holds when nothing was set.
 *
 * What was kept may be of an older page or written by anything: each value is checked by itself,
 * and one that does not fit is the default, so that a broken entry never costs the others. Pure.
 */

/**
 * @typedef {{kind: "choice", choices: readonly string[], initial: string}
 *   | {kind: "switch", initial: boolean}
 *   | {kind: "number", min: number, max: number, step: number, initial: number}} Rule
 */

/**
 * @template {string} const T
 * @param {readonly T[]} choices
 * @param {NoInfer<T>} initial
 */
function choice(choices, initial) {
  return Object.freeze({ kind: /** @type {"choice"} */ ("choice"), choices, initial });
}

/** @param {boolean} initial */
function either(initial) {
  return Object.freeze({ kind: /** @type {"switch"} */ ("switch"), initial });
}

/** @param {number} min @param {number} max @param {number} step @param {number} initial */
function number(min, max, step, initial) {
  return Object.freeze({ kind: /** @type {"number"} */ ("number"), min, max, step, initial });
}

export const RULES = Object.freeze({
  language: choice(["auto", "en", "zh"], "auto"),
  quality: choice(["auto", "low", "medium", "high"], "auto"),
  view: choice(["third", "first"], "third"),
  invertY: either(false),
  mouseSpeed: number(0.2, 3, 0.1, 1),
  fov: number(50, 100, 1, 70),
  captions: either(false),
  reducedMotion: choice(["auto", "on", "off"], "auto"),
  textSize: number(0.8, 1.6, 0.1, 1),
  contrast: choice(["auto", "more"], "auto"),
  tags: choice(["all", "near", "none"], "all"),
  turn: choice(["snap", "smooth"], "snap"),
  turnDegrees: number(15, 90, 15, 45),
  move: choice(["smooth", "teleport"], "teleport"),
  vignette: number(0, 1, 0.1, 0.5),
  seated: either(false),
  dominantHand: choice(["left", "right"], "right"),
  handMenu: either(true),
  boundary: either(true),
  links: choice(["off", "ask"], "off"),
  chatFrom: choice(["everyone", "nearby", "nobody"], "everyone"),
  portals: choice(["ask", "directly"], "ask"),
  minimap: either(true),
  minimapTurns: either(false),
  voice: choice(["off", "listen", "talk"], "off"),
  pushToTalk: either(false),
  voiceVolume: number(0, 1, 0.05, 1),
  worldVolume: number(0, 1, 0.05, 0.8),
});

/** @typedef {keyof typeof RULES} SettingName */
/**
 * @template R
 * @typedef {R extends {kind: "choice", choices: readonly (infer T)[]} ? T
 *   : R extends {kind: "switch"} ? boolean : number} ValueOf
 */
/** @typedef {{[N in SettingName]: ValueOf<typeof RULES[N]>}} SettingValues */

export const NAMES = /** @type {readonly SettingName[]} */ (Object.freeze(Object.keys(RULES)));

/**
 * The value if it keeps the rule, brought to its steps; else what holds initially.
 * @template {SettingName} N
 * @param {N} name
 * @param {unknown} value
 * @returns {SettingValues[N]}
 */
export function checked(name, value) {
  /** @type {Rule} */
  const rule = RULES[name];
  return /** @type {SettingValues[N]} */ (fits(rule, value) ?? rule.initial);
}

/** @param {Rule} rule @param {unknown} value */
function fits(rule, value) {
  switch (rule.kind) {
    case "choice":
      return typeof value === "string" && rule.choices.includes(value) ? value : undefined;
    case "switch":
      return typeof value === "boolean" ? value : undefined;
    case "number": {
      if (typeof value !== "number" || !Number.isFinite(value)) return undefined;
      const stepped = rule.min + Math.round((value - rule.min) / rule.step) * rule.step;
      return Number(Math.min(Math.max(stepped, rule.min), rule.max).toFixed(4));
    }
  }
}

/**
 * All values from what was kept: JSON of a record, or anything else.
 * @param {string | null} kept
 * @returns {SettingValues}
 */
export function readSettings(kept) {
  const found = parsed(kept);
  const values = NAMES.map((name) => [name,
    checked(name, Object.hasOwn(found, name) ? found[name] : undefined)]);
  return /** @type {SettingValues} */ (Object.fromEntries(values));
}

/** @param {string | null} kept @returns {Record<string, unknown>} */
function parsed(kept) {
  try {
    const found = JSON.parse(kept ?? "{}");
    return found !== null && typeof found === "object" && !Array.isArray(found) ? found : {};
  } catch {
    return {};
  }
}

/** Only what differs from the defaults is kept, so that a better default reaches who never chose.
 * @param {SettingValues} values
 */
export function writeSettings(values) {
  const changed = NAMES.filter((name) => values[name] !== RULES[name].initial);
  return JSON.stringify(Object.fromEntries(changed.map((name) => [name, values[name]])));
}
