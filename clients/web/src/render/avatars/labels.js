/**
 * Flat pictures that face the reader, all of one atlas in one draw call.
 *
 * Each label has a place in the world, an offset from there in the plane of the screen, a size in
 * metres that is kept between a least and a greatest size on the screen, a cell of the atlas, a
 * colour for its ink and an opacity. They are written anew each frame, farthest first, because they
 * are blended.
 */

import {
  BufferAttribute, InstancedBufferAttribute, InstancedBufferGeometry, Mesh, ShaderMaterial, Vector4,
} from "../../../vendor/three.js";

/** @typedef {import("./atlas.js").Atlas} Atlas */

const VERTEX = /* glsl */`
  attribute vec4 spot;
  attribute vec4 frame;
  attribute vec4 paint;
  attribute vec2 shift;
  uniform vec4 form;
  varying vec2 vUv;
  varying vec4 vPaint;
  void main() {
    vec4 middle = modelViewMatrix * vec4(spot.xyz, 1.0);
    float distance = max(-middle.z, 0.05);
    float upright = projectionMatrix[1][1];
    float high = clamp(spot.w * upright / distance, frame.z, frame.w);
    float scale = high * distance / upright;
    vec2 corner = position.xy * vec2(form.z / form.w * scale, scale);
    middle.xy += corner + shift * scale;
    float column = mod(frame.x, form.x), row = floor(frame.x / form.x);
    vec2 at = vec2(position.x + 0.5, 0.5 - position.y);
    vUv = (vec2(column, row) + at) / form.xy;
    vPaint = paint;
    gl_Position = projectionMatrix * middle;
  }
`;
const FRAGMENT = /* glsl */`
  uniform sampler2D atlas;
  varying vec2 vUv;
  varying vec4 vPaint;
  void main() {
    vec4 here = texture2D(atlas, vUv);
    if (here.a < 0.004) discard;
    float ground = 1.0 - clamp(here.r, 0.0, 1.0);
    gl_FragColor = vec4(mix(vPaint.rgb, vec3(0.045, 0.05, 0.065), ground), here.a * vPaint.a);
    #include <colorspace_fragment>
  }
`;

/** One label to add; reused by its owner. */
export class Label {
  x = 0;
  y = 0;
  z = 0;
  /** In heights of the label, to the right and up. */
  right = 0;
  up = 0;
  heightM = 0.2;
  /** Heights on the screen: 2 is all of it. */
  least = 0.02;
  most = 0.12;
  cell = 0;
  colour = 0xffffff;
  opacity = 1;
}

export class Labels {
  mesh;
  count = 0;
  #geometry = new InstancedBufferGeometry();
  #capacity;
  #spots;
  #frames;
  #paints;
  #shifts;

  /**
   * @param {Atlas} atlas
   * @param {number} capacity
   */
  constructor(atlas, capacity) {
    this.#capacity = capacity;
    const corners = new Float32Array([-0.5, -0.5, 0, 0.5, -0.5, 0, 0.5, 0.5, 0, -0.5, 0.5, 0]);
    this.#geometry.setAttribute("position", new BufferAttribute(corners, 3));
    this.#geometry.setIndex([0, 1, 2, 0, 2, 3]);
    this.#spots = this.#attribute("spot", 4);
    this.#frames = this.#attribute("frame", 4);
    this.#paints = this.#attribute("paint", 4);
    this.#shifts = this.#attribute("shift", 2);
    const material = new ShaderMaterial({
      vertexShader: VERTEX, fragmentShader: FRAGMENT, transparent: true, depthWrite: false,
      uniforms: {
        atlas: { value: atlas.texture },
        form: { value: new Vector4(atlas.columns, atlas.rows, atlas.width, atlas.height) },
      },
    });
    this.mesh = new Mesh(this.#geometry, material);
    this.mesh.frustumCulled = false;
    this.mesh.visible = false;
    this.mesh.renderOrder = 10;
  }

  begin() {
    this.count = 0;
  }

  /** @param {Label} label */
  add(label) {
    if (this.count >= this.#capacity) return;
    const at = this.count++;
    const spot = this.#spots.array, frame = this.#frames.array, paint = this.#paints.array;
    const k = at * 4;
    spot[k] = label.x;
    spot[k + 1] = label.y;
    spot[k + 2] = label.z;
    spot[k + 3] = label.heightM;
    frame[k] = label.cell;
    frame[k + 2] = label.least;
    frame[k + 3] = label.most;
    paint[k] = linear(label.colour >> 16);
    paint[k + 1] = linear((label.colour >> 8) & 255);
    paint[k + 2] = linear(label.colour & 255);
    paint[k + 3] = label.opacity;
    this.#shifts.array[at * 2] = label.right;
    this.#shifts.array[at * 2 + 1] = label.up;
  }

  end() {
    this.mesh.visible = this.count > 0;
    this.#geometry.instanceCount = this.count;
    if (!this.count) return;
    this.#spots.needsUpdate = this.#frames.needsUpdate = true;
    this.#paints.needsUpdate = this.#shifts.needsUpdate = true;
  }

  dispose() {
    this.#geometry.dispose();
    this.mesh.material.dispose();
    this.mesh.removeFromParent();
  }

  /** @param {string} name @param {number} size */
  #attribute(name, size) {
    const made = new InstancedBufferAttribute(new Float32Array(this.#capacity * size), size);
    this.#geometry.setAttribute(name, made);
    return made;
  }
}

/** @param {number} byte of sRGB */
function linear(byte) {
  return (byte / 255) ** 2.2;
}
