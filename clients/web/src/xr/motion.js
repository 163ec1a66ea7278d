/**
 * Moving about in a headset: sticks, steps, turns and jumps, and what keeps them comfortable.
 *
 * The left stick walks, or aims a jump where that is set; the right stick turns, and aims when it
 * is pushed ahead. Bare hands aim by a pinch that is held, so that hands alone are enough to get
 * anywhere. Letting go jumps, and the stick's direction is where one faces afterwards.
 */

import { deadened, followHead, keepDistance, SnapStick } from "../core/locomotion.js";
import { rotate, yawOfRotation } from "../core/quaternion.js";
import { seatNear } from "../core/prop_places.js";
import { TeleportArc } from "../core/teleport_arc.js";

/** @typedef {import("./senses.js").Senses} Senses */
/** @typedef {import("./senses.js").HandSense} HandSense */
/** @typedef {import("./anchor.js").RoomAnchor} RoomAnchor */
/** @typedef {import("../core/world_model.js").WorldModel} WorldModel */
/** @typedef {import("../page/settings.js").Settings} Settings */
/** @typedef {import("../core/requests.js").Answer} Answer */

const AIM_ON = 0.7;
const AIM_OFF = 0.35;
const PINCH_S = 0.25;
const SMOOTH_TURN_RAD_PER_S = 1.8;
const SEAT_M = 0.6;

export class Motion {
  arc = new TeleportArc();
  isAiming = false;
  /** Where one will face after the jump. */
  facing = 0;
  /** The seat that the jump ends on; null for the ground. */
  /** @type {{id: number} | {prop: Uint8Array} | null} */
  seat = null;
  /** Radians per second by a smooth turn, of this frame. */
  turning = 0;
  /** Somebody is within the boundary. */
  isNear = false;
  nearX = 0;
  nearZ = 0;
  #push = { east: 0, south: 0, run: false, facing: /** @type {number | null} */ (null) };
  #snap = new SnapStick();
  #aim = new Float64Array(7);
  #ahead = new Float64Array(3);
  #origin = { x: 0, y: 0, z: 0 };
  #along = { x: 0, y: 0, z: 0 };
  #byStick = -1;
  #pinching = [0, 0];
  #isPinched = [false, false];
  #stand = false;
  #model;
  #settings;
  #tell;

  /**
   * @param {WorldModel} model
   * @param {Settings} settings
   * @param {(answer: Answer) => void} tell of a refusal
   */
  constructor(model, settings, tell) {
    this.#model = model;
    this.#settings = settings;
    this.#tell = tell;
  }

  /** A bare hand pinches the air, or lets go. @param {number} hand @param {boolean} is */
  pinch(hand, is) {
    this.#isPinched[hand] = is;
  }

  /**
   * @param {Senses} senses
   * @param {RoomAnchor} anchor
   * @param {number} dt
   * @param {readonly import("../page/gather.js").Person[]} people
   */
  step(senses, anchor, dt, people) {
    const { own, place } = this.#model;
    this.#turn(senses, anchor, dt);
    anchor.follow(own, senses.head, place);
    const torso = followHead(own.yaw, anchor.yaw + yawOfRotation(senses.head, 3), dt);
    this.#walk(senses, anchor);
    this.#keepApart(people);
    if (this.#push.east || this.#push.south) this.#standUp();
    this.#push.facing = own.seated ? own.yaw : torso;
    own.step(dt, this.#push, place);
    anchor.hang(own, senses.head);
    this.#aimBy(senses, anchor, dt);
  }

  /** @param {Senses} senses @param {RoomAnchor} anchor @param {number} dt */
  #turn({ right }, anchor, dt) {
    const { turn, turnDegrees } = this.#settings.values;
    this.turning = 0;
    if (this.isAiming) return;
    if (turn === "snap") {
      const step = this.#snap.step(right.stickX);
      if (step) this.turnBy(anchor, (step * turnDegrees * Math.PI) / 180);
      return;
    }
    const radians = -deadened(right.stickX) * SMOOTH_TURN_RAD_PER_S * dt;
    if (!radians) return;
    this.turning = radians / dt;
    anchor.yaw += radians;
    this.#model.own.turn(radians);
  }

  /** A step of turning. @param {RoomAnchor} anchor @param {number} radians */
  turnBy(anchor, radians) {
    anchor.yaw += radians;
    this.#model.own.snapTurn(radians);
  }

  /** @param {Senses} senses @param {RoomAnchor} anchor */
  #walk({ head, left }, anchor) {
    this.#push.east = this.#push.south = 0;
    this.#push.run = left.isStickPressed;
    if (this.#settings.values.move !== "smooth") return;
    const [x, y] = [deadened(left.stickX), deadened(left.stickY)];
    if (!x && !y) return;
    const yaw = anchor.yaw + yawOfRotation(head, 3);
    const [sin, cos] = [Math.sin(yaw), Math.cos(yaw)];
    this.#push.east = x * cos + y * sin;
    this.#push.south = y * cos - x * sin;
  }

  /** @param {readonly import("../page/gather.js").Person[]} people */
  #keepApart(people) {
    this.isNear = false;
    if (!this.#settings.values.boundary) return;
    const { own } = this.#model;
    for (let k = 0; k < people.length; k++) {
      if (people[k].isOwn) continue;
      const { pose } = people[k].figure;
      if (!keepDistance(this.#push, pose[0] - own.x, pose[2] - own.z)) continue;
      this.isNear = true;
      this.nearX = pose[0];
      this.nearZ = pose[2];
    }
  }

  #standUp() {
    const { own } = this.#model;
    if (!own.seated || this.#stand) return;
    this.#stand = true;
    void this.#model.stand().then(() => { this.#stand = false; });
  }

  /** @param {Senses} senses @param {RoomAnchor} anchor @param {number} dt */
  #aimBy(senses, anchor, dt) {
    for (let hand = 0; hand < 2; hand++) {
      this.#pinching[hand] = this.#isPinched[hand] && senses.hands[hand].hasJoints
        ? this.#pinching[hand] + dt : 0;
    }
    const hand = this.isAiming && this.#byStick >= 0 ? this.#byStick : this.#aimingHand(senses);
    const held = hand >= 0 && this.#holds(senses.hands[hand], hand);
    if (!held) {
      if (this.isAiming) this.#jump(anchor, senses.head);
      this.isAiming = false;
      this.#byStick = -1;
      return;
    }
    this.#byStick = hand;
    if (!senses.hands[hand].hasAim) return;
    this.isAiming = true;
    this.#cast(senses.hands[hand], anchor);
  }

  /** @param {Senses} senses */
  #aimingHand({ left, right }) {
    if (right.stickY < -AIM_ON && Math.abs(right.stickX) < AIM_ON) return 1;
    if (this.#settings.values.move === "teleport" && left.stickY < -AIM_ON) return 0;
    if (this.#pinching[1] > PINCH_S) return 1;
    return this.#pinching[0] > PINCH_S ? 0 : -1;
  }

  /** @param {HandSense} sense @param {number} hand */
  #holds(sense, hand) {
    if (!sense.source) return false;
    if (sense.hasJoints) return this.#isPinched[hand];
    return Math.hypot(sense.stickX, sense.stickY) > AIM_OFF;
  }

  /** @param {HandSense} sense @param {RoomAnchor} anchor */
  #cast(sense, anchor) {
    const { own, place, props } = this.#model;
    anchor.toWorld(this.#aim, sense.aim);
    rotate(this.#ahead, 0, this.#aim, 3, 0, 0, -1);
    [this.#origin.x, this.#origin.y, this.#origin.z] = this.#aim;
    [this.#along.x, this.#along.y, this.#along.z] = this.#ahead;
    this.arc.cast(place, this.#origin, this.#along, own);
    const byStick = sense.hasJoints ? 0 : Math.atan2(-sense.stickX, -sense.stickY);
    this.facing = Math.atan2(-this.#ahead[0], -this.#ahead[2]) + byStick;
    const { landing } = this.arc;
    this.seat = null;
    for (const seat of place.seats) {
      const away = Math.hypot(seat.x - landing.x, seat.z - landing.z);
      if (away < SEAT_M && Math.abs(seat.y - landing.y) < SEAT_M) this.seat = seat;
    }
    const prop = this.seat ? null : seatNear(props, landing);
    if (prop) this.seat = { prop: prop.id };
  }

  /** @param {RoomAnchor} anchor @param {Float64Array} head */
  #jump(anchor, head) {
    const { arc: { landing, isValid }, facing, seat } = this;
    if (!isValid && !seat) return;
    const model = this.#model;
    const asked = !seat ? model.teleport(landing.x, landing.y, landing.z, facing)
      : "id" in seat ? model.sitOn(seat.id) : model.sitOnProp(seat.prop);
    const looks = head.slice();
    void asked.then((answer) => {
      if (answer.code) return this.#tell(answer);
      // The server has turned us: the room turns along, so that one looks that way.
      const yaw = !seat ? facing : "yaw" in seat ? Number(seat.yaw) : model.own.yaw;
      anchor.yaw = yaw - yawOfRotation(looks, 3);
      anchor.settle();
    });
  }
}
