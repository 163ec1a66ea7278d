/**
 * What a headset tells in a frame: head, hands, joints, buttons, in the room's own frame.
 *
 * Read anew each frame from whatever input sources there are, so that controllers may be put down
 * and hands be used at any moment, and the other way round. What is not tracked just now says so;
 * nothing is guessed. Everything is written into arrays that are made once.
 */

/** @typedef {"left" | "right"} Side */

const JOINTS = 25;
export const INDEX_TIP = 9;
const STICK = [2, 3];
const THUMBSTICK = 3;

/** One hand: with a controller, bare, or not there. */
export class HandSense {
  /** @type {XRInputSource | null} */
  source = null;
  /** Place and rotation; of use when `hasGrip`. */
  grip = new Float64Array(7);
  /** Where it points from, and how it is turned; it points along -Z. */
  aim = new Float64Array(7);
  hasGrip = false;
  hasAim = false;
  /** Bare, with joints. */
  hasJoints = false;
  joints = new Float32Array(16 * JOINTS);
  radii = new Float32Array(JOINTS);
  stickX = 0;
  stickY = 0;
  /** @type {readonly GamepadButton[]} */
  buttons = [];
  /** @type {XRHand | null} */
  #hand = null;
  /** @type {XRJointSpace[]} */
  #spaces = [];

  forget() {
    this.source = null;
    this.hasGrip = this.hasAim = this.hasJoints = false;
    this.stickX = this.stickY = 0;
    this.buttons = [];
  }

  /** @param {XRFrame} frame @param {XRReferenceSpace} space @param {XRInputSource} source */
  read(frame, space, source) {
    this.source = source;
    this.hasAim = readPose(frame, source.targetRaySpace, space, this.aim);
    this.hasGrip = source.gripSpace !== undefined && source.gripSpace !== null
      && readPose(frame, source.gripSpace, space, this.grip);
    this.hasJoints = source.hand ? this.#readJoints(frame, space, source.hand) : false;
    if (!this.hasGrip && this.hasJoints) {
      this.hasGrip = readPose(frame, this.#spaces[0], space, this.grip);
    }
    const pad = source.gamepad;
    this.buttons = pad?.buttons ?? [];
    this.stickX = pad?.axes[STICK[0]] ?? 0;
    this.stickY = pad?.axes[STICK[1]] ?? 0;
  }

  /** @param {XRFrame} frame @param {XRReferenceSpace} space @param {XRHand} hand */
  #readJoints(frame, space, hand) {
    if (hand !== this.#hand) {
      this.#hand = hand;
      this.#spaces = [...hand.values()];
    }
    const filling = /** @type {any} */ (frame); // the types do not know it
    if (this.#spaces.length !== JOINTS || !filling.fillPoses) return false;
    if (!filling.fillPoses(this.#spaces, space, this.joints)) return false;
    filling.fillJointRadii?.(this.#spaces, this.radii);
    return true;
  }

  /** A button of the thumbstick is down. */
  get isStickPressed() {
    return this.buttons[THUMBSTICK]?.pressed ?? false;
  }

  /**
   * A short shake, where it can.
   * @param {number} strength 0..1
   * @param {number} ms
   */
  pulse(strength, ms) {
    const pad = /** @type {any} */ (this.source?.gamepad);
    const actuator = pad?.hapticActuators?.[0] ?? pad?.vibrationActuator;
    try {
      void actuator?.pulse?.(strength, ms)?.catch?.(() => {});
    } catch {
      // A controller that cannot shake is none the worse for it.
    }
  }
}

export class Senses {
  head = new Float64Array(7);
  hasHead = false;
  left = new HandSense();
  right = new HandSense();
  /** Both, left first as on the wire. */
  hands = [this.left, this.right];

  /** @param {XRFrame} frame @param {XRReferenceSpace} space @param {XRSession} session */
  read(frame, space, session) {
    const pose = frame.getViewerPose(space);
    this.hasHead = pose !== undefined && pose !== null;
    if (pose) write(pose.transform, this.head);
    // The system's own menu is shown: it has the controllers.
    const isOurs = session.visibilityState === "visible";
    let [left, right] = [false, false];
    for (const source of session.inputSources) {
      if (!isOurs || source.targetRayMode === "screen") continue;
      if (source.handedness === "left") left = true;
      else if (source.handedness === "right") right = true;
      else continue;
      (source.handedness === "left" ? this.left : this.right).read(frame, space, source);
    }
    if (!left) this.left.forget();
    if (!right) this.right.forget();
  }

  /** @param {XRInputSource} source @returns {0 | 1 | -1} */
  handOf(source) {
    if (source.handedness === "left") return 0;
    return source.handedness === "right" ? 1 : -1;
  }
}

/**
 * @param {XRFrame} frame
 * @param {XRSpace} what
 * @param {XRSpace} space
 * @param {Float64Array} out
 */
export function readPose(frame, what, space, out) {
  const pose = frame.getPose(what, space);
  if (!pose) return false;
  write(pose.transform, out);
  return true;
}

/** @param {XRRigidTransform} transform @param {Float64Array} out */
function write({ position, orientation }, out) {
  out[0] = position.x;
  out[1] = position.y;
  out[2] = position.z;
  out[3] = orientation.x;
  out[4] = orientation.y;
  out[5] = orientation.z;
  out[6] = orientation.w;
}
