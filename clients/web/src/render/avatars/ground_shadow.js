/**
 * Soft shadows under people: one flat disc each, all in one draw call. They hold figures to the
 * ground where real shadows are too dear, and cost next to nothing.
 */

import {
  BufferAttribute, InstancedBufferGeometry, ShaderMaterial,
} from "../../../vendor/three.js";
import { Layer } from "./layers.js";
import { STATE_TEXEL } from "./material.js";

const VERTEX = /* glsl */`
  attribute vec2 instance;
  uniform highp sampler2D bones;
  varying vec2 vAt;
  varying float vShown;
  vec3 joint(int bone, vec3 rest) {
    ivec2 at = ivec2(bone * 3, int(instance.x));
    vec4 p = vec4(rest, 1.0);
    return vec3(dot(texelFetch(bones, at, 0), p), dot(texelFetch(bones, at + ivec2(1, 0), 0), p),
      dot(texelFetch(bones, at + ivec2(2, 0), 0), p));
  }
  void main() {
    vec3 left = joint(15, vec3(-0.09, 0.0, -0.03));
    vec3 right = joint(18, vec3(0.09, 0.0, -0.03));
    vec3 hips = joint(0, vec3(0.0, 0.86, 0.0));
    vec4 state = texelFetch(bones, ivec2(${STATE_TEXEL}, int(instance.x)), 0);
    vec3 middle = (left + right + hips) / 3.0;
    middle.y = min(left.y, right.y) + 0.012;
    vAt = position.xz;
    vShown = state.x;
    gl_Position = projectionMatrix * modelViewMatrix * vec4(middle + position * 0.46, 1.0);
  }
`;
const FRAGMENT = /* glsl */`
  varying vec2 vAt;
  varying float vShown;
  void main() {
    float d = length(vAt);
    float dark = 1.0 - smoothstep(0.1, 1.0, d);
    gl_FragColor = vec4(0.0, 0.0, 0.0, 0.42 * dark * dark * vShown);
  }
`;

/** @param {{bones: {value: any}}} uniforms */
export function shadowLayer(uniforms) {
  const geometry = new InstancedBufferGeometry();
  const corners = new Float32Array([-1, 0, -1, -1, 0, 1, 1, 0, 1, 1, 0, -1]);
  geometry.setAttribute("position", new BufferAttribute(corners, 3));
  geometry.setIndex([0, 1, 2, 0, 2, 3]);
  const material = new ShaderMaterial({
    vertexShader: VERTEX, fragmentShader: FRAGMENT, uniforms: { bones: uniforms.bones },
    transparent: true, depthWrite: false, polygonOffset: true, polygonOffsetFactor: -2,
    polygonOffsetUnits: -2,
  });
  const layer = new Layer(geometry, material, 256);
  layer.mesh.renderOrder = 1;
  return layer;
}
