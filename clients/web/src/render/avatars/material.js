/**
 * The one material of all default avatars: three's Lambert material, taught three things.
 *
 * It finds the bones of its instance in a texture: a row per person, three texels per bone (the
 * rows of a 3 x 4 matrix), and a second one for the fingers of those who are near. It takes colours
 * from a third, by the slot of the vertex. And it draws faces: eyes, brows, mouth and cheeks are
 * computed per pixel from where on the head that is, so that they are sharp at every distance and
 * can look, blink and speak at the cost of four numbers per person.
 *
 * Who fades (too near, or just come in) is drawn with holes in a fixed pattern, which needs no
 * sorting and no blending.
 */

import { DoubleSide, MeshBasicMaterial, MeshDepthMaterial, MeshLambertMaterial, RGBADepthPacking }
  from "../../../vendor/three.js";
import { BONES } from "../../core/body.js";
import { FACE_GLSL } from "./face.js";

/** Texels of a row after the bones: what the face does, and what is seen of the person. */
export const FACE_TEXEL = BONES * 3;
export const STATE_TEXEL = FACE_TEXEL + 1;
export const ROW_TEXELS = FACE_TEXEL + 3;
export const FINGER_TEXELS = 90;
/** After the colours in a row of looks: pattern of the top, colour of the eyes' white. */
export const LOOK_TEXELS = 14;

/** @typedef {{bones: {value: any}, fingers: {value: any}, looks: {value: any}}} Uniforms */

const VERTEX_HEAD = /* glsl */`
  attribute vec4 rig;
  attribute vec2 instance;
  uniform highp sampler2D bones;
  uniform highp sampler2D fingers;
  flat varying float vRow;
  flat varying float vSlot;
  varying vec3 vBind;
  mat4 boneAt(float bone) {
    ivec2 at = ivec2(int(bone) * 3, int(instance.x));
    bool isFinger = bone > ${BONES}.0 - 0.5;
    if (isFinger) at = ivec2((int(bone) - ${BONES}) * 3, int(instance.y));
    vec4 a, b, c;
    if (isFinger) {
      a = texelFetch(fingers, at, 0);
      b = texelFetch(fingers, at + ivec2(1, 0), 0);
      c = texelFetch(fingers, at + ivec2(2, 0), 0);
    } else {
      a = texelFetch(bones, at, 0);
      b = texelFetch(bones, at + ivec2(1, 0), 0);
      c = texelFetch(bones, at + ivec2(2, 0), 0);
    }
    return transpose(mat4(a, b, c, vec4(0.0, 0.0, 0.0, 1.0)));
  }
  mat4 rigMatrix() {
    mat4 one = boneAt(rig.x);
    return rig.z > 0.001 ? one * (1.0 - rig.z) + boneAt(rig.y) * rig.z : one;
  }
`;
const VERTEX_NORMAL = /* glsl */`
  mat4 moved = rigMatrix();
  vec3 objectNormal = normalize(mat3(moved) * normal);
`;
const VERTEX_PLACE = /* glsl */`
  vec3 transformed = (rigMatrix() * vec4(position, 1.0)).xyz;
  vRow = instance.x;
  vSlot = rig.w;
  vBind = position;
`;
const FRAGMENT_HEAD = /* glsl */`
  uniform highp sampler2D bones;
  uniform highp sampler2D looks;
  flat varying float vRow;
  flat varying float vSlot;
  varying vec3 vBind;
  vec3 lookColour(int slot) {
    return texelFetch(looks, ivec2(slot, int(vRow)), 0).rgb;
  }
  ${FACE_GLSL}
  void fadeAway(float shown) {
    float grain = dot(floor(gl_FragCoord.xy), vec2(0.06711056, 0.00583715));
    float noise = fract(52.9829189 * fract(grain));
    if (noise >= shown) discard;
  }
`;
const FRAGMENT_COLOUR = /* glsl */`
  vec4 state = texelFetch(bones, ivec2(${STATE_TEXEL}, int(vRow)), 0);
  fadeAway(state.x);
  int slot = int(vSlot + 0.5);
  vec3 tint = lookColour(slot == 6 ? 0 : slot);
  if (slot == 2 || slot == 7) {
    float pattern = texelFetch(looks, ivec2(12, int(vRow)), 0).x;
    tint = dressed(tint, lookColour(5), lookColour(10), pattern, slot == 2);
  }
  if (slot == 6) {
    tint = withFace(tint, texelFetch(bones, ivec2(${FACE_TEXEL}, int(vRow)), 0), state.zw);
  }
  tint = mix(tint, vec3(dot(tint, vec3(0.3, 0.6, 0.1))), state.y);
  diffuseColor.rgb = tint;
`;
const FRAGMENT_RIM = /* glsl */`
  float rim = 1.0 - abs(dot(normalize(vViewPosition), normal));
  outgoingLight += diffuseColor.rgb * (0.02 + 0.3 * rim * rim * rim);
  #include <opaque_fragment>
`;

/**
 * @param {import("../../../vendor/three.js").Material} material
 * @param {Uniforms} uniforms
 * @param {(shader: {vertexShader: string, fragmentShader: string}) => void} finish
 */
function rigged(material, uniforms, finish) {
  material.onBeforeCompile = (shader) => {
    Object.assign(shader.uniforms, uniforms);
    shader.vertexShader = shader.vertexShader
      .replace("#include <common>", `#include <common>\n${VERTEX_HEAD}`)
      .replace("#include <begin_vertex>", VERTEX_PLACE);
    finish(shader);
  };
  return material;
}

/** @param {Uniforms} uniforms */
export function bodyMaterial(uniforms) {
  const material = new MeshLambertMaterial({ side: DoubleSide });
  material.customProgramCacheKey = () => "avatar-body";
  return rigged(material, uniforms, (shader) => {
    shader.vertexShader = shader.vertexShader
      .replace("#include <beginnormal_vertex>", VERTEX_NORMAL);
    shader.fragmentShader = shader.fragmentShader
      .replace("#include <common>", `#include <common>\n${FRAGMENT_HEAD}`)
      .replace("#include <color_fragment>", FRAGMENT_COLOUR)
      .replace("#include <opaque_fragment>", FRAGMENT_RIM);
  });
}

/** What casts the shadows of the same shapes. @param {Uniforms} uniforms */
export function shadowMaterial(uniforms) {
  const material = new MeshDepthMaterial({ depthPacking: RGBADepthPacking });
  material.customProgramCacheKey = () => "avatar-shadow";
  return rigged(material, uniforms, () => {});
}

/**
 * Fills the depth of hidden people beforehand, so that one does not see into them.
 * @param {Uniforms} uniforms
 */
export function depthMaterial(uniforms) {
  const material = new MeshBasicMaterial({ colorWrite: false, transparent: true });
  material.customProgramCacheKey = () => "avatar-depth";
  return rigged(material, uniforms, () => {});
}

/**
 * People who are hidden: an outline of light in the shape of somebody, the same for all.
 * @param {Uniforms} uniforms
 */
export function hiddenMaterial(uniforms) {
  const material = new MeshBasicMaterial({
    color: 0xa9b8d8, transparent: true, opacity: 0.6, depthWrite: false,
  });
  material.customProgramCacheKey = () => "avatar-hidden";
  return rigged(material, uniforms, (shader) => {
    shader.vertexShader = shader.vertexShader
      .replace("#include <common>", "#include <common>\nvarying float vEdge;")
      .replace("#include <fog_vertex>", `
        vec3 turned = normalize(normalMatrix * mat3(rigMatrix()) * normal);
        vEdge = 1.0 - abs(dot(normalize(-mvPosition.xyz), turned));
        #include <fog_vertex>`);
    shader.fragmentShader = shader.fragmentShader
      .replace("#include <common>", `#include <common>\nvarying float vEdge;\n${FRAGMENT_HEAD}`)
      .replace("#include <color_fragment>", /* glsl */`
        float seen = texelFetch(bones, ivec2(${STATE_TEXEL}, int(vRow)), 0).x;
        diffuseColor.a *= seen * (0.22 + 0.78 * vEdge * vEdge);`);
  });
}
