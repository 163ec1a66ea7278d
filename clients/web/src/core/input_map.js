/**
 * From keys and sticks to what the person wants, as a table. Pure.
 *
 * Keys are named by their place on the keyboard (`KeyboardEvent.code`), so that W A S D works on
 * every layout. What is held moves; what is pressed does something once.
 */

/** @typedef {import("./predict.js").Push} Push */
/** @typedef {"forward" | "back" | "left" | "right" | "turnLeft" | "turnRight" | "run" | "jump"}
 *   Held */

/** @type {ReadonlyMap<string, Held>} */
export const HELD_KEYS = new Map(Object.entries(/** @type {Record<string, Held>} */ ({
  KeyW: "forward", ArrowUp: "forward", KeyS: "back", ArrowDown: "back", KeyA: "left",
  KeyD: "right", ArrowLeft: "turnLeft", ArrowRight: "turnRight", ShiftLeft: "run",
  ShiftRight: "run", Space: "jump",
})));

/**
 * What pressing a key does, by the name of a command of the page.
 * @type {ReadonlyMap<string, string>}
 */
export const PRESSED_KEYS = new Map(Object.entries({
  Enter: "chat", KeyT: "chat", KeyV: "view", KeyB: "build", KeyM: "map", KeyP: "people",
  KeyO: "settings", KeyX: "stand", KeyG: "grab", KeyZ: "safeZone", KeyN: "mute", KeyI: "whereAmI",
  Digit1: "emote1", Digit2: "emote2", Digit3: "emote3", Digit4: "emote4", Digit5: "emote5",
  Digit6: "emote6", Slash: "keys", F1: "keys",
}));

/**
 * The push of keys and a stick, in the axes of the world.
 * @param {ReadonlySet<string>} held names of HELD_KEYS
 * @param {{x: number, y: number}} stick -1..1, right and down
 * @param {number} cameraYaw where forward is
 * @param {Push} into
 * @returns {Push}
 */
export function pushOf(held, stick, cameraYaw, into) {
  let right = Number(held.has("right")) - Number(held.has("left")) + stick.x;
  let ahead = Number(held.has("forward")) - Number(held.has("back")) - stick.y;
  const length = Math.hypot(right, ahead);
  if (length > 1) {
    right /= length;
    ahead /= length;
  }
  const [sin, cos] = [Math.sin(cameraYaw), Math.cos(cameraYaw)];
  into.east = right * cos - ahead * sin;
  into.south = -right * sin - ahead * cos;
  into.run = held.has("run") || Math.hypot(stick.x, stick.y) > 0.95;
  into.jump = held.has("jump");
  into.facing = null;
  return into;
}
