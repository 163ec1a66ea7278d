/**
 * Whom people look at: somebody near who speaks, else who looks at the world through the camera,
 * else nobody. Each person decides anew about once a second, at a moment of their own.
 */

/** @typedef {import("./actor.js").Actor} Actor */

const SPEAKER_M_MAX = 7;
const CAMERA_M_MAX = 4.5;
const BEHIND = -0.2;

/**
 * @param {readonly Actor[]} actors
 * @param {Float64Array} camera
 * @param {number} seconds
 */
export function attend(actors, camera, seconds) {
  for (let k = 0; k < actors.length; k++) {
    const actor = actors[k];
    if (seconds >= actor.nextLook || seconds < actor.nextLook - 10) {
      actor.nextLook = seconds + 0.7 + actor.random() * 1.4;
      decide(actor, actors, camera);
    }
    if (actor.watched) follow(actor, actor.watched.head, 0.14);
    else if (actor.watchesCamera) follow(actor, camera, 0);
  }
}

/**
 * @param {Actor} actor
 * @param {readonly Actor[]} actors
 * @param {Float64Array} camera
 */
function decide(actor, actors, camera) {
  actor.watched = null;
  actor.watchesCamera = actor.hasLookAt = false;
  let nearest = SPEAKER_M_MAX;
  for (let k = 0; k < actors.length; k++) {
    const other = actors[k];
    if (other === actor || !other.isSpeaking || other.isHidden) continue;
    const distance = reach(actor, other.head);
    if (distance < nearest) {
      nearest = distance;
      actor.watched = other;
    }
  }
  if (actor.watched || actor.isFirstPerson) return;
  // Now and then people look elsewhere; to be stared at is no pleasure.
  actor.watchesCamera = reach(actor, camera) < CAMERA_M_MAX && actor.random() < 0.75;
}

/**
 * How far away, or Infinity if it is behind.
 * @param {Actor} actor
 * @param {Float64Array} place
 */
function reach(actor, place) {
  const dx = place[0] - actor.head[0], dz = place[2] - actor.head[2];
  const distance = Math.hypot(dx, place[1] - actor.head[1], dz);
  const ahead = -(Math.sin(actor.root[3]) * dx + Math.cos(actor.root[3]) * dz);
  return ahead > BEHIND * distance ? distance : Infinity;
}

/**
 * @param {Actor} actor
 * @param {Float64Array} place
 * @param {number} above
 */
function follow(actor, place, above) {
  actor.hasLookAt = true;
  actor.lookAt[0] = place[0];
  actor.lookAt[1] = place[1] + above;
  actor.lookAt[2] = place[2];
}
