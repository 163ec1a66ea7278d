/**
 * Carrying without a headset: one key takes the thing that is pointed at, and throws it again.
 *
 * It is held in the right hand, at once; the server's answer leaves it there or puts it back, since
 * of several who reach for it one gets it. It is thrown where one looks, and put down gently when
 * one looks at the ground.
 */

import { Quaternion, Raycaster, Vector2, Vector3 } from "../../vendor/three.js";
import { Limits } from "../core/protocol.generated.js";
import { words } from "../ui/words.js";

/** @typedef {import("./world_page.js").WorldPage} WorldPage */

const RIGHT = 1;
/** How high a hand is that is not known. */
const HAND_M = 1;
const NO_GRIP = [0, 0, 0];
const GRIP_M = [0, -0.02, -0.22];
const THROW_M_PER_S = 6;
const PUT_DOWN_PITCH = -0.5;
const REACH_M = Limits.GRAB_RANGE_M_MAX * 0.95;

export class Carrying {
  /** Key of what is carried, or empty. */
  key = "";
  #page;
  #tell;
  #raycaster = new Raycaster();
  #pointer = new Vector2();
  #at = new Vector3();
  #turn = new Quaternion();
  #grip = new Vector3();
  #place = new Float64Array(10);

  /** @param {WorldPage} page @param {(sentence: string) => void} tell */
  constructor(page, tell) {
    this.#page = page;
    this.#tell = tell;
    page.canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => {
      const { clientWidth, clientHeight } = page.canvas;
      this.#pointer.set((offsetX / clientWidth) * 2 - 1, 1 - (offsetY / clientHeight) * 2);
    });
    page.commanded.add((command) => { if (command === "grab") this.toggle(); });
    page.model.props.changed.add(({ key }) => {
      if (key === this.key && !page.model.hands.has(key)) this.key = "";
    });
    page.model.welcomed.add(() => { this.key = ""; });
  }

  /** Takes, or throws. */
  toggle() {
    const { model } = this.#page;
    if (model.state !== "live") return;
    if (this.key) this.#letGo();
    else this.#take();
  }

  /** The portable thing that is pointed at, or else the nearest within reach. */
  #find() {
    const { model, propScene, stage } = this.#page;
    this.#raycaster.setFromCamera(this.#pointer, stage.camera);
    const picked = propScene.pick(this.#raycaster)?.key ?? "";
    if (this.#isInReach(picked)) return picked;
    let [best, least] = ["", REACH_M];
    for (const key of model.props.props.keys()) {
      if (!this.#isInReach(key)) continue;
      const away = this.#awayOf(key);
      if (away < least) [best, least] = [key, away];
    }
    return best;
  }

  /** @param {string} key */
  #isInReach(key) {
    const properties = this.#page.model.props.props.get(key)?.properties;
    return properties !== undefined && "portable" in properties && properties.portable
      && this.#awayOf(key) < REACH_M;
  }

  /** @param {string} key */
  #awayOf(key) {
    const { props, own } = this.#page.model;
    if (!props.worldTransformOf(key, this.#place)) return Infinity;
    return Math.hypot(this.#place[0] - own.x, this.#place[1] - own.y, this.#place[2] - own.z);
  }

  #take() {
    const { model } = this.#page;
    const key = this.#find();
    const prop = model.props.props.get(key);
    if (!prop) return this.#tell(words("carry.nothing"));
    const size = Math.max(...prop.transform.scale) / 2;
    const grip = [GRIP_M[0], GRIP_M[1], Math.max(GRIP_M[2] - size, -Limits.GRIP_M_MAX * 0.9)];
    this.key = key;
    void model.hands.take(prop, RIGHT, grip, [0, 0, 0, 1]).then((answer) => {
      if (!answer.code) return;
      if (this.key === key) this.key = "";
      model.refused.fire(answer);
    });
  }

  #letGo() {
    const { model, crowd, boom } = this.#page;
    const key = this.key;
    const held = model.props.held.get(key);
    this.key = "";
    if (!crowd.handOf?.(model.entityId, RIGHT, this.#at, this.#turn)) {
      this.#at.set(model.own.x, model.own.y + HAND_M, model.own.z);
      this.#turn.set(0, Math.sin(model.own.yaw / 2), 0, Math.cos(model.own.yaw / 2));
    }
    this.#grip.fromArray(held?.position_m ?? NO_GRIP).applyQuaternion(this.#turn).add(this.#at);
    const gentle = boom.pitch < PUT_DOWN_PITCH ? 0 : THROW_M_PER_S;
    const flat = Math.cos(boom.pitch) * gentle;
    const velocity = [-Math.sin(boom.yaw) * flat, (Math.sin(boom.pitch) + 0.35) * gentle,
      -Math.cos(boom.yaw) * flat];
    model.hands.letGo(key, { position_m: this.#grip.toArray(), rotation: this.#turn.toArray(),
      velocity_m_per_s: velocity }, model.clock.now(performance.now()));
  }
}
