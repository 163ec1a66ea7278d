/**
 * The keys of build mode: what each is called, and how the panel shows them.
 *
 * They count while build mode is on and nobody types. Those that keep their meaning in the world
 * (walking, talking) are not used here; where one is, build mode takes it first.
 */

/** @typedef {import("../lang/en.js").WordKey} WordKey */

const FINE = 0.1;
/** Without Ctrl. @type {ReadonlyMap<string, string>} */
const KEYS = new Map(Object.entries({
  Delete: "delete", Backspace: "delete", KeyR: "mode", KeyL: "lock", Escape: "escape",
  KeyX: "axes", KeyT: "align", KeyF: "box", End: "drop",
}));
/** With Ctrl or the command key; `+` with Shift. @type {ReadonlyMap<string, string>} */
const COMMANDS = new Map(Object.entries({
  KeyZ: "undo", "KeyZ+": "redo", KeyY: "redo", KeyD: "duplicate", KeyG: "group", "KeyG+": "ungroup",
  KeyA: "all",
}));
/**
 * What moves by steps: right, up and away, a turn to the left, and larger.
 * @typedef {{right: number, up: number, away: number, turn: number, grow: number}} Step
 */
/** @param {Partial<Step>} step @returns {Step} */
function step(step) {
  return { right: 0, up: 0, away: 0, turn: 0, grow: 0, ...step };
}

/** With Alt. @type {ReadonlyMap<string, Step>} */
const STEPS = new Map(Object.entries({
  ArrowRight: step({ right: 1 }), ArrowLeft: step({ right: -1 }), ArrowUp: step({ away: 1 }),
  ArrowDown: step({ away: -1 }), PageUp: step({ up: 1 }), PageDown: step({ up: -1 }),
  Comma: step({ turn: 1 }), Period: step({ turn: -1 }), Equal: step({ grow: 1 }),
  NumpadAdd: step({ grow: 1 }), Minus: step({ grow: -1 }), NumpadSubtract: step({ grow: -1 }),
}));

/**
 * @typedef {object} KeyActs
 * @property {() => boolean} isOn
 * @property {(name: string) => void} act
 * @property {(step: Step, part: number) => void} nudge
 * @property {() => void} settle what was moved by steps stays there
 * @property {(isFree: boolean) => void} free of the grid
 */

/** @param {KeyActs} acts */
export function listenToKeys(acts) {
  // Before the keys of the world: some of them mean something else here.
  window.addEventListener("keydown", (event) => down(event, acts), true);
  window.addEventListener("keyup", (event) => {
    acts.free(event.shiftKey && !event.altKey);
    if (event.key !== "Shift") acts.settle();
  }, true);
  window.addEventListener("blur", () => acts.settle());
}

/** @param {KeyboardEvent} event @param {KeyActs} acts */
function down(event, { isOn, act, nudge, free }) {
  free(event.shiftKey && !event.altKey);
  if (!isOn() || isTyping(event.target)) return;
  const [step, name] = [stepOf(event), nameOf(event)];
  if (!step && !name) return;
  event.preventDefault();
  event.stopPropagation();
  if (step) nudge(step, event.shiftKey ? FINE : 1);
  else if (!event.repeat || name === "undo" || name === "redo") act(name);
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  return target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement
    || target instanceof HTMLSelectElement
    || (target instanceof HTMLElement && target.closest("dialog") !== null);
}

/** What a key does; empty for nothing. @param {KeyboardEvent} event */
export function nameOf(event) {
  if (event.altKey) return "";
  if (event.ctrlKey || event.metaKey) {
    return COMMANDS.get(event.code + (event.shiftKey ? "+" : "")) ?? "";
  }
  return KEYS.get(event.code) ?? "";
}

/** The step of a key, if it is one. @param {KeyboardEvent} event @returns {Step | null} */
export function stepOf(event) {
  return event.altKey && !event.ctrlKey && !event.metaKey ? STEPS.get(event.code) ?? null : null;
}

/**
 * What is pressed, with `|` between keys and a name of a phrase in braces; and what it does.
 * @type {readonly (readonly [string, WordKey])[]}
 */
export const SHOWN = Object.freeze([
  ["{key.click}", "build.keySelect"], ["{key.shift}+{key.click}", "build.keyMore"],
  ["{key.ctrl}+{key.drag}|F", "build.keyBox"], ["{key.ctrl}+A", "build.keyAll"],
  ["R", "build.keyMode"], ["X", "build.keyAxes"], ["{key.alt}+{key.drag}", "build.keyCopy"],
  ["{key.ctrl}+D", "build.keyDuplicate"], ["{key.alt}+{key.arrows}", "build.keyNudge"],
  ["{key.alt}+PgUp|{key.alt}+PgDn", "build.keyLift"], ["{key.alt}+,|{key.alt}+.", "build.keyTurn"],
  ["{key.alt}+−|{key.alt}+=", "build.keyGrow"], ["End", "build.keyDrop"], ["T", "build.keyAlign"],
  ["{key.shift}", "build.keyFree"], ["{key.ctrl}+G", "build.keyGroup"], ["L", "build.keyLock"],
  ["{key.ctrl}+Z|{key.ctrl}+Y", "build.keyUndo"], ["Del", "build.keyDelete"],
  ["Esc", "build.keyEscape"],
]);
