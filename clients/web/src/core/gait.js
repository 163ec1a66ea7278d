/**
 * Where feet go: steps made up from the way that a root takes.
 *
 * A foot is planted, and then it stays where it is in the world, or it swings. Who moves is in a
 * cycle: both feet take turns, each planted for a part of the cycle and landing where the body will
 * be in the middle of the time that it stands, so walking in any direction (forwards, sideways,
 * backwards) slides as little as the way can be foreseen. Who stands steps only when a foot has
 * come too far from its place or is turned too far from the body, one at a time. Who jumps or falls
 * has both feet under the body, and after a jump in the world they start anew.
 *
 * Pure: `update` takes the root's place, its heading and the time that passed.
 */

import { approach, clamp, smoothStep } from "./body_math.js";

const MOVING_M_PER_S = 0.12;
const JUMP_M = 1.2;
/** How far from its place a foot may stand, in lengths of the leg. */
const STRIDE = 0.6;
const AIRBORNE_M_PER_S = 1.1;
const STEP_S = 0.34;
const STRAY_M = 0.13;
const STRAY_RAD = 0.6;
/** Where in the cycle one sets out: the first step is short. */
const START = 0.18;
const TURN = 2 * Math.PI;
const DT_MAX_S = 0.1;

/** One foot: where it is in the world, and its swing. */
class Foot {
  x = 0;
  z = 0;
  yaw = 0;
  /** Above the ground, metres, and how the toes point: down is negative. */
  lift = 0;
  pitch = 0;
  /** Of its swing, 0 to 1; 1 is planted. */
  swing = 1;
  fromX = 0;
  fromZ = 0;
  fromYaw = 0;

  begin() {
    this.swing = 0;
    this.fromX = this.x;
    this.fromZ = this.z;
    this.fromYaw = this.yaw;
  }
}

export class Gait {
  feet = [new Foot(), new Foot()];
  /** Metres per second in the world, smoothed. */
  vx = 0;
  vy = 0;
  vz = 0;
  speed = 0;
  /** Of the cycle, 0 to 1; the left foot swings first. */
  phase = 0;
  /** 0 standing, 1 in full stride: fades arms and bobbing in and out. */
  stride = 0;
  isAirborne = false;
  #x = 0;
  #y = 0;
  #z = 0;
  #isFresh = true;
  #duty = 0.62;
  #cycleS = 1;
  #airborneS = 0;

  /** Forgets the way: the next update starts where the root then is. */
  reset() {
    this.#isFresh = true;
  }

  /**
   * @param {{x: number, y: number, z: number, yaw: number}} root where feet belong under
   * @param {{legM: number, hipM: number}} legs length of a leg, half the way between the feet
   * @param {number} dt
   */
  update(root, legs, dt) {
    const time = clamp(Number.isFinite(dt) ? dt : 0, 0, DT_MAX_S);
    const far = Math.abs(root.x - this.#x) + Math.abs(root.z - this.#z) > JUMP_M;
    if (this.#isFresh || far) this.#start(root, legs);
    else if (time > 0) this.#follow(root, time);
    this.#x = root.x;
    this.#y = root.y;
    this.#z = root.z;
    if (this.isAirborne) this.#hang(root, legs, time);
    else if (this.speed > MOVING_M_PER_S) this.#walk(root, legs, time);
    else this.#stand(root, legs, time);
  }

  /**
   * @param {{x: number, y: number, z: number, yaw: number}} root
   * @param {{legM: number, hipM: number}} legs
   */
  #start(root, legs) {
    this.#isFresh = false;
    this.vx = this.vy = this.vz = this.speed = this.stride = this.phase = 0;
    this.isAirborne = false;
    for (let k = 0; k < 2; k++) {
      const foot = this.feet[k];
      foot.x = homeX(root, legs, k);
      foot.z = homeZ(root, legs, k);
      foot.yaw = root.yaw + toeOut(k);
      foot.swing = 1;
      foot.lift = foot.pitch = 0;
    }
  }

  /**
   * @param {{x: number, y: number, z: number}} root
   * @param {number} dt
   */
  #follow(root, dt) {
    const ease = approach(12, dt);
    this.vx += ((root.x - this.#x) / dt - this.vx) * ease;
    this.vy += ((root.y - this.#y) / dt - this.vy) * ease;
    this.vz += ((root.z - this.#z) / dt - this.vz) * ease;
    this.speed = Math.hypot(this.vx, this.vz);
    const rising = Math.abs(this.vy) > AIRBORNE_M_PER_S + 0.8 * this.speed;
    this.#airborneS = rising ? 0.12 : Math.max(0, this.#airborneS - dt);
    this.isAirborne = this.#airborneS > 0;
  }

  /**
   * @param {{x: number, z: number, yaw: number}} root
   * @param {{legM: number, hipM: number}} legs
   * @param {number} dt
   */
  #walk(root, legs, dt) {
    const pace = this.speed / Math.sqrt(9.81 * legs.legM);
    const aside = Math.abs(Math.cos(root.yaw) * this.vx - Math.sin(root.yaw) * this.vz);
    // Sideways, steps are short, so that legs do not cross.
    this.#cycleS = clamp(1.2 - 0.5 * pace, 0.55, 1.2) * (1 - 0.45 * (aside / this.speed) ** 2);
    const longest = (2 * 0.9 * STRIDE * legs.legM) / (this.speed * this.#cycleS);
    this.#duty = Math.min(clamp(0.68 - 0.18 * pace, 0.36, 0.66), longest);
    if (this.stride < 0.05 && this.phase === 0) this.phase = START;
    this.stride += (smoothStep(this.speed, 0.1, 0.9) - this.stride) * approach(8, dt);
    this.phase = (this.phase + dt / this.#cycleS) % 1;
    for (let k = 0; k < 2; k++) {
      const own = (this.phase + (k ? 0.5 : 0)) % 1;
      const swinging = 1 - this.#duty;
      const foot = this.feet[k];
      if (own < swinging) {
        if (foot.swing >= 1) foot.begin();
        foot.swing = own / swinging;
        this.#swing(foot, k, root, legs);
      } else {
        this.#land(foot, k, root, legs);
      }
    }
  }

  /**
   * Towards where the body will be in the middle of the foot's stand.
   * @param {Foot} foot
   * @param {number} k
   * @param {{x: number, z: number, yaw: number}} root
   * @param {{legM: number, hipM: number}} legs
   */
  #swing(foot, k, root, legs) {
    const swingS = (1 - this.#duty) * this.#cycleS;
    const ahead = (1 - foot.swing) * swingS + (this.#duty * this.#cycleS) / 2;
    const reach = Math.min(ahead, (0.75 * legs.legM) / Math.max(this.speed, 0.01));
    const t = smoothStep(foot.swing, 0, 1);
    foot.x = foot.fromX + (homeX(root, legs, k) + this.vx * reach - foot.fromX) * t;
    foot.z = foot.fromZ + (homeZ(root, legs, k) + this.vz * reach - foot.fromZ) * t;
    foot.yaw = foot.fromYaw + arc(root.yaw + toeOut(k) - foot.fromYaw) * t;
    const height = legs.legM * clamp(0.05 + 0.055 * this.speed, 0.05, 0.24);
    foot.lift = Math.sin(Math.PI * foot.swing) * height;
    const forwards = -(Math.sin(root.yaw) * this.vx + Math.cos(root.yaw) * this.vz);
    const push = clamp(forwards / 2, -0.4, 1);
    foot.pitch = push * (0.75 * Math.sin(TURN * Math.min(foot.swing, 0.5)) * -1
      + 0.35 * smoothStep(foot.swing, 0.55, 0.95));
  }

  /**
   * Planted; a foot that the body has left too far behind is drawn along.
   * @param {Foot} foot
   * @param {number} k
   * @param {{x: number, z: number, yaw: number}} root
   * @param {{legM: number, hipM: number}} legs
   */
  #land(foot, k, root, legs) {
    foot.swing = 1;
    foot.lift *= 0.6;
    foot.pitch *= 0.75;
    const dx = foot.x - homeX(root, legs, k);
    const dz = foot.z - homeZ(root, legs, k);
    const stray = Math.hypot(dx, dz);
    const most = STRIDE * legs.legM;
    if (stray > most) {
      foot.x -= dx * (1 - most / stray);
      foot.z -= dz * (1 - most / stray);
    }
  }

  /**
   * @param {{x: number, z: number, yaw: number}} root
   * @param {{legM: number, hipM: number}} legs
   * @param {number} dt
   */
  #stand(root, legs, dt) {
    this.stride += (0 - this.stride) * approach(8, dt);
    this.phase = 0;
    for (let k = 0; k < 2; k++) {
      const foot = this.feet[k];
      const x = homeX(root, legs, k), z = homeZ(root, legs, k);
      const yaw = root.yaw + toeOut(k);
      if (foot.swing < 1) {
        foot.swing = Math.min(1, foot.swing + dt / STEP_S);
        const t = smoothStep(foot.swing, 0, 1);
        foot.x = foot.fromX + (x - foot.fromX) * t;
        foot.z = foot.fromZ + (z - foot.fromZ) * t;
        foot.yaw = foot.fromYaw + arc(yaw - foot.fromYaw) * t;
        foot.lift = Math.sin(Math.PI * foot.swing) * 0.055 * legs.legM;
        foot.pitch = -0.25 * Math.sin(Math.PI * foot.swing);
        continue;
      }
      foot.lift *= 0.6;
      foot.pitch *= 0.75;
      const stray = Math.hypot(foot.x - x, foot.z - z) > STRAY_M * legs.legM
        || Math.abs(arc(foot.yaw - yaw)) > STRAY_RAD;
      if (stray && this.feet[1 - k].swing >= 1) foot.begin();
    }
  }

  /**
   * @param {{x: number, z: number, yaw: number}} root
   * @param {{legM: number, hipM: number}} legs
   * @param {number} dt
   */
  #hang(root, legs, dt) {
    this.stride += (0 - this.stride) * approach(8, dt);
    const ease = approach(14, dt);
    for (let k = 0; k < 2; k++) {
      const foot = this.feet[k];
      const trail = k ? -0.1 : 0.12;
      foot.x += (homeX(root, legs, k) + Math.sin(root.yaw) * trail - foot.x) * 0.9;
      foot.z += (homeZ(root, legs, k) + Math.cos(root.yaw) * trail - foot.z) * 0.9;
      foot.yaw += arc(root.yaw - foot.yaw) * ease;
      foot.lift += ((k ? 0.1 : 0.2) * legs.legM - foot.lift) * ease;
      foot.pitch += (-0.5 - foot.pitch) * ease;
      foot.swing = 1;
    }
  }
}

/** @param {number} k 0 left, 1 right */
function toeOut(k) {
  return k ? -0.12 : 0.12;
}

/**
 * @param {{x: number, yaw: number}} root
 * @param {{hipM: number}} legs
 * @param {number} k
 */
function homeX(root, legs, k) {
  return root.x + (k ? 1 : -1) * legs.hipM * Math.cos(root.yaw);
}

/**
 * @param {{z: number, yaw: number}} root
 * @param {{hipM: number}} legs
 * @param {number} k
 */
function homeZ(root, legs, k) {
  return root.z - (k ? 1 : -1) * legs.hipM * Math.sin(root.yaw);
}

/** @param {number} radians */
function arc(radians) {
  return radians - TURN * Math.round(radians / TURN);
}
