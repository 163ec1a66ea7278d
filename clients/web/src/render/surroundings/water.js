/**
 * Moving water: the surface of a basin, and the jets and drops that fall from its column. The
 * surface is opaque, with a mosaic seen through it; the jets are a few ribbons and the drops a few
 * small squares that the vertex shader throws, all in one call.
 */

import * as THREE from "../../../vendor/three.js";
import { stream } from "./chance.js";
import { kindOfCylinder } from "./kinds.js";
import { WATER_UNDER_RIM_M } from "./masonry.js";
import { PAINT } from "./palette.js";

/** @typedef {import("../../core/scene.js").Scene} Scene */
/** @typedef {import("../../core/scene.js").Cylinder} Cylinder */
/** @typedef {import("./materials.js").Uniforms} Uniforms */

const JETS = 12;
const JET_PARTS = 12;
const GRAVITY = 9.81;

const SURFACE_VERTEX_GLSL = `
  varying vec3 vPlace; varying vec2 vOff; varying vec2 vForm;
  attribute vec4 basin;
  #include <fog_pars_vertex>
  void main() {
    vPlace = position; vOff = position.xz - basin.xy; vForm = basin.zw;
    vec4 mvPosition = viewMatrix * vec4(position, 1.0);
    gl_Position = projectionMatrix * mvPosition;
    #include <fog_vertex>
  }
`;

const SURFACE_FRAGMENT_GLSL = `
  uniform vec3 uSun, uSunward, uHorizon, uZenith, uLampColour, uWater;
  uniform float uTime, uLamps, uDaylight; uniform sampler2D uStones;
  varying vec3 vPlace; varying vec2 vOff; varying vec2 vForm;
  #include <common>
  #include <fog_pars_fragment>
  void main() {
    float r = length(vOff);
    vec2 outward = vOff / max(r, 0.001);
    float falls = vForm.y;
    float off = abs(r - falls);
    float strength = falls > 0.0 ? exp(-off * 0.9) : 0.12;
    float ring = cos(off * 13.0 - uTime * 6.0) * strength + 0.5 * cos(off * 29.0 - uTime * 9.0)
      * strength;
    vec4 ripple = texture2D(uStones, vPlace.xz * 0.19 + vec2(uTime * 0.02, -uTime * 0.013));
    vec4 cross_ = texture2D(uStones, vPlace.zx * 0.23 - vec2(uTime * 0.017, uTime * 0.011));
    vec2 slope = outward * ring * 0.16 + vec2(ripple.a - 0.5, cross_.a - 0.5) * 0.28;
    vec3 normal = normalize(vec3(-slope.x, 1.0, -slope.y));
    vec3 eye = normalize(cameraPosition - vPlace);
    float facing = max(dot(normal, eye), 0.0);
    float fresnel = 0.03 + 0.7 * pow(1.0 - facing, 4.0);
    vec2 seen = (vPlace.xz - eye.xz / max(eye.y, 0.25) * 0.22 + slope * 0.7) * 1.6;
    vec4 mosaic = texture2D(uStones, seen * 0.5);
    float deep = smoothstep(0.0, 0.5, vForm.x - r) ;
    vec3 floor_ = uWater * (0.55 + 0.75 * mosaic.r) * (1.0 - 0.45 * mosaic.g);
    float net = smoothstep(0.07, 0.0, abs(ripple.a - cross_.a));
    vec3 below = mix(floor_ * 1.15, floor_ * 0.72, deep) + net * 0.12 * uSun;
    below *= uDaylight;
    vec3 above = mix(uHorizon, uZenith, clamp(reflect(-eye, normal).y, 0.0, 1.0));
    vec3 colour = mix(below, above, fresnel);
    float glint = pow(max(dot(reflect(-eye, normal), uSunward), 0.0), 180.0);
    colour += uSun * glint * 2.0;
    float foam = falls > 0.0 ? smoothstep(0.34, 0.0, off) * smoothstep(0.35, 0.75,
      texture2D(uStones, vPlace.xz * 0.9 + vec2(0.0, uTime * 0.11)).a + 0.15) : 0.0;
    foam += smoothstep(0.07, 0.0, vForm.x - r) * 0.35;
    colour = mix(colour, vec3(0.92, 0.96, 0.93) * uDaylight, foam * 0.75);
    colour += uLampColour * uWater * uLamps * (0.5 + 0.6 * net) * exp(-off * 0.5);
    gl_FragColor = vec4(colour, 1.0);
    #include <tonemapping_fragment>
    #include <colorspace_fragment>
    #include <fog_fragment>
  }
`;

const SPRAY_VERTEX_GLSL = `
  attribute vec4 flow; attribute vec3 across;
  uniform float uTime; varying vec3 vFlow;
  void main() {
    vec3 place = position;
    vec2 spread = across.xy;
    float age = 0.0;
    if (across.z > 0.5) {
      age = fract(uTime * 1.6 + flow.w);
      float t = age * 0.55;
      place += flow.xyz * t + vec3(0.0, -4.9 * t * t, 0.0);
      spread *= 1.0 - age * 0.5;
    }
    vFlow = vec3(flow.w, across.z, age);
    vec4 seen = viewMatrix * vec4(place, 1.0);
    seen.xy += spread;
    gl_Position = projectionMatrix * seen;
  }
`;

const SPRAY_FRAGMENT_GLSL = `
  uniform vec3 uHorizon, uSun; uniform float uTime, uDaylight;
  varying vec3 vFlow;
  void main() {
    float along = vFlow.x;
    float streak = 0.62 + 0.38 * sin(along * 26.0 - uTime * 17.0);
    float jet = (0.5 + 0.3 * along) * streak;
    float drop = 0.75 * (1.0 - vFlow.z);
    vec3 colour = (uHorizon * 0.55 + vec3(0.35) + uSun * 0.08) * uDaylight;
    gl_FragColor = vec4(colour, mix(jet, drop, vFlow.y));
    #include <tonemapping_fragment>
    #include <colorspace_fragment>
  }
`;

/** The water of a scene, or nothing. @param {Scene} place @param {Uniforms} uniforms
 *  @param {number} lushness 0..1 how many drops @returns {THREE.Mesh[]} */
export function makeWater(place, uniforms, lushness) {
  const basins = place.cylinders.filter((each) => kindOfCylinder(each) === "basin");
  if (!basins.length) return [];
  const columns = place.cylinders.filter((each) => kindOfCylinder(each) === "fountain");
  const shared = { ...uniforms, uWater: { value: new THREE.Color(...PAINT.water) } };
  const fogged = { ...shared, ...THREE.UniformsUtils.clone(THREE.UniformsLib.fog) };
  const surface = new THREE.Mesh(surfaces(basins, columns), new THREE.ShaderMaterial({
    vertexShader: SURFACE_VERTEX_GLSL, fragmentShader: SURFACE_FRAGMENT_GLSL, uniforms: fogged,
    fog: true,
  }));
  surface.name = "water";
  const jets = columns.flatMap((column) => {
    const basin = basins.find((each) => around(each, column));
    return basin ? [{ column, basin }] : [];
  });
  if (!jets.length) return [surface];
  const spray = new THREE.Mesh(sprayOf(jets, lushness), new THREE.ShaderMaterial({
    vertexShader: SPRAY_VERTEX_GLSL, fragmentShader: SPRAY_FRAGMENT_GLSL, uniforms: shared,
    transparent: true, depthWrite: false, side: THREE.DoubleSide,
  }));
  spray.name = "spray";
  spray.renderOrder = 12;
  return [surface, spray];
}

/** @param {Cylinder} basin @param {Cylinder} column */
function around(basin, column) {
  return Math.hypot(basin.x - column.x, basin.z - column.z) < basin.radius;
}

/** Where jets meet the water. @param {Cylinder} basin @param {Cylinder} column */
function fallRadius(basin, column) {
  return column.radius + (basin.radius - column.radius) * 0.48;
}

/** @param {Cylinder[]} basins @param {Cylinder[]} columns */
function surfaces(basins, columns) {
  /** @type {number[][]} */
  const [positions, forms, indices] = [[], [], []];
  for (const basin of basins) {
    const first = positions.length / 3;
    const radius = basin.radius - Math.min(0.42, basin.radius / 4);
    const column = columns.find((each) => around(basin, each));
    const falls = column ? fallRadius(basin, column) : 0;
    const y = basin.top - WATER_UNDER_RIM_M;
    for (let at = -1; at < 48; at++) {
      const angle = (at / 48) * Math.PI * 2;
      const reach = at < 0 ? 0 : radius + 0.02;
      positions.push(basin.x + Math.cos(angle) * reach, y, basin.z + Math.sin(angle) * reach);
      forms.push(basin.x, basin.z, radius, falls);
      if (at >= 0) indices.push(first, first + 1 + ((at + 1) % 48), first + 1 + at);
    }
  }
  return geometry({ position: [positions, 3], basin: [forms, 4] }, indices);
}

/** @typedef {{positions: number[], flows: number[], acrosses: number[], indices: number[]}}
 *   Spray */

/** @param {{column: Cylinder, basin: Cylinder}[]} jets @param {number} lushness */
function sprayOf(jets, lushness) {
  /** @type {Spray} */
  const spray = { positions: [], flows: [], acrosses: [], indices: [] };
  const random = stream(5);
  for (const { column, basin } of jets) {
    const to = fallRadius(basin, column);
    const level = basin.top - WATER_UNDER_RIM_M;
    for (let at = 0; at < JETS; at++) {
      const angle = ((at + 0.5) / JETS) * Math.PI * 2;
      jet(spray, { column, to, level, angle });
      for (let drop = 0; drop < Math.round(7 * lushness); drop++) {
        splash(spray, [column.x + Math.cos(angle) * to, level, column.z + Math.sin(angle) * to],
          random);
      }
    }
  }
  const { positions, flows, acrosses, indices } = spray;
  return geometry({ position: [positions, 3], flow: [flows, 4], across: [acrosses, 3] }, indices);
}

/** A ribbon along the path of falling water. @param {Spray} spray
 *  @param {{column: Cylinder, to: number, level: number, angle: number}} way */
function jet({ positions, flows, acrosses, indices }, { column, to, level, angle }) {
  const from = column.radius * 0.92;
  const rise = 1.6;
  const high = column.top - level;
  const time = (rise + Math.sqrt(rise * rise + 2 * GRAVITY * high)) / GRAVITY;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  for (let at = 0; at <= JET_PARTS; at++) {
    const share = at / JET_PARTS;
    const t = share * time;
    const out = from + (to - from) * share;
    const y = column.top - 0.02 + rise * t - (GRAVITY * t * t) / 2;
    const half = 0.035 + 0.05 * share;
    for (const side of [-1, 1]) {
      positions.push(column.x + cos * out - sin * half * side, Math.max(y, level),
        column.z + sin * out + cos * half * side);
      flows.push(0, 0, 0, share);
      acrosses.push(0, 0, 0);
    }
    const last = positions.length / 3;
    if (at) indices.push(last - 4, last - 3, last - 2, last - 2, last - 3, last - 1);
  }
}

/** A drop that jumps from where a jet lands. @param {Spray} spray @param {number[]} from
 *  @param {() => number} random */
function splash({ positions, flows, acrosses, indices }, from, random) {
  const first = positions.length / 3;
  const angle = random() * Math.PI * 2;
  const speed = 0.25 + random() * 0.5;
  const velocity = [Math.cos(angle) * speed, 1.3 + random() * 1.3, Math.sin(angle) * speed];
  const [size, seed] = [0.014 + random() * 0.014, random()];
  for (const [u, v] of [[-1, 0], [0, -1], [1, 0], [0, 1]]) {
    positions.push(...from);
    flows.push(...velocity, seed);
    acrosses.push(u * size, v * size, 1);
  }
  indices.push(first, first + 1, first + 2, first, first + 2, first + 3);
}

/** @param {Record<string, [number[], number]>} attributes @param {number[]} indices */
export function geometry(attributes, indices) {
  const made = new THREE.BufferGeometry();
  for (const [name, [numbers, size]] of Object.entries(attributes)) {
    made.setAttribute(name, new THREE.Float32BufferAttribute(numbers, size));
  }
  made.setIndex(indices);
  made.computeBoundingSphere();
  return made;
}
