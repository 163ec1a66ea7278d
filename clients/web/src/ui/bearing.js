/**
 * Directions as people say them. North is -z, east is +x; a yaw of 0 looks north and grows to the
 * left, as on the wire. Pure.
 */

const EIGHTH = Math.PI / 4;

/** @typedef {0 | 1 | 2 | 3 | 4 | 5 | 6 | 7} Eighth clockwise, 0 is north or straight ahead */

/** @param {number} dx @param {number} dz @returns {Eighth} where something lies on the compass */
export function compassOf(dx, dz) {
  return eighth(Math.atan2(dx, -dz));
}

/** @param {number} yaw @returns {Eighth} where somebody looks */
export function facingOf(yaw) {
  return eighth(-yaw);
}

/**
 * Where something lies as seen by one who looks along `yaw`: 0 ahead, 2 to the right.
 * @param {number} dx
 * @param {number} dz
 * @param {number} yaw
 * @returns {Eighth}
 */
export function sideOf(dx, dz, yaw) {
  return eighth(Math.atan2(dx, -dz) + yaw);
}

/** @param {number} clockwise radians @returns {Eighth} */
function eighth(clockwise) {
  const turned = Math.round(clockwise / EIGHTH) % 8;
  return /** @type {Eighth} */ ((turned + 8) % 8);
}

/** Metres to say: tenths are noise. @param {number} metres */
export function roundedMetres(metres) {
  return metres < 20 ? Math.round(metres) : Math.round(metres / 5) * 5;
}
