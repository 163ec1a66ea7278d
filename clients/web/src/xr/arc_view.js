/**
 * The arc of a jump and where it lands, and the ring around somebody who has come very close.
 */

import {
  BufferAttribute, BufferGeometry, ConeGeometry, DynamicDrawUsage, Group, Line, LineBasicMaterial,
  Mesh, MeshBasicMaterial, RingGeometry,
} from "../../vendor/three.js";
import { PIECES_MAX } from "../core/teleport_arc.js";

/** @typedef {import("./motion.js").Motion} Motion */

const YES = 0x3fb28a;
const NO = 0xd0573f;
const NEAR = 0xe8a33d;
const ABOVE_M = 0.02;

export class ArcView {
  group = new Group();
  #points = new BufferAttribute(new Float32Array((PIECES_MAX + 1) * 3), 3);
  #line;
  #landing = new Group();
  #near;
  #lineColour = new LineBasicMaterial({ color: YES });
  #colour = new MeshBasicMaterial({ color: YES, transparent: true, opacity: 0.85,
    depthWrite: false });
  #nearColour = new MeshBasicMaterial({ color: NEAR, transparent: true, opacity: 0.5,
    depthWrite: false });

  constructor() {
    const geometry = new BufferGeometry();
    this.#points.setUsage(DynamicDrawUsage);
    geometry.setAttribute("position", this.#points);
    this.#line = new Line(geometry, this.#lineColour);
    this.#line.frustumCulled = false;
    const ring = new Mesh(new RingGeometry(0.24, 0.3, 40), this.#colour);
    ring.rotation.x = -Math.PI / 2;
    const arrow = new Mesh(new ConeGeometry(0.09, 0.2, 3), this.#colour);
    arrow.rotation.x = -Math.PI / 2;
    arrow.position.z = -0.46;
    this.#landing.add(ring, arrow);
    this.#near = new Mesh(new RingGeometry(0.5, 0.6, 48), this.#nearColour);
    this.#near.rotation.x = -Math.PI / 2;
    this.group.add(this.#line, this.#landing, this.#near);
  }

  /** @param {Motion} motion @param {number} floor height of the feet */
  update(motion, floor) {
    const { arc, isAiming, isNear, seat } = motion;
    this.#line.visible = this.#landing.visible = isAiming;
    this.#near.visible = isNear;
    if (isNear) this.#near.position.set(motion.nearX, floor + ABOVE_M, motion.nearZ);
    if (!isAiming) return;
    const isGood = arc.isValid || seat !== null;
    this.#colour.color.setHex(isGood ? YES : NO);
    this.#lineColour.color.setHex(isGood ? YES : NO);
    this.#points.array.set(arc.points);
    this.#points.needsUpdate = true;
    this.#line.geometry.setDrawRange(0, arc.count);
    this.#landing.position.set(arc.landing.x, arc.landing.y + ABOVE_M, arc.landing.z);
    this.#landing.rotation.y = motion.facing;
  }

  dispose() {
    this.group.traverse((each) => {
      if (each instanceof Mesh || each instanceof Line) each.geometry.dispose();
    });
    for (const each of [this.#lineColour, this.#colour, this.#nearColour]) each.dispose();
  }
}
