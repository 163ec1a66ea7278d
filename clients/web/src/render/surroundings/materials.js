/**
 * How the surroundings take light. Everything solid is `MeshLambertMaterial`, the cheapest that
 * takes part in three.js's lights, shadows and fog, with a few lines put in between. Colours are
 * in the corners; the one texture only adds stones and grain.
 *
 * What changes while one looks (time, lamps, sun) lives in one object of uniforms that all shaders
 * share, so a frame sets two numbers.
 */

import * as THREE from "../../../vendor/three.js";
import { PAINT } from "./palette.js";

/** @typedef {ReturnType<typeof makeUniforms>} Uniforms */

/** What all shaders share. @param {THREE.Texture} stones */
export function makeUniforms(stones) {
  const colour = () => ({ value: new THREE.Color() });
  return {
    uTime: { value: 0 },
    uLamps: { value: 0 },
    uStones: { value: stones },
    uSunward: { value: new THREE.Vector3(0, 1, 0) },
    uSun: colour(),
    uZenith: colour(),
    uHorizon: colour(),
    uHaze: colour(),
    uCloud: colour(),
    uShade: colour(),
    uLampColour: { value: new THREE.Color(...PAINT.bulb) },
    uShadowMiddle: { value: new THREE.Vector3(0, 0, -1) },
  };
}

const WIND_GLSL = `
  vec4 swayed = vec4(transformed, 1.0);
  #ifdef USE_INSTANCING
    swayed = instanceMatrix * swayed;
  #endif
  float gust = sin(uTime * 1.1 + swayed.x * 0.35 + swayed.z * 0.25);
  transformed += extra.z * vec3(gust + 0.4 * sin(uTime * 2.7 + swayed.y * 3.0 + swayed.x),
    0.3 * sin(uTime * 2.1 + swayed.x * 2.0), 0.7 * sin(uTime * 1.4 + swayed.z * 0.5 + swayed.y));
`;

/** Walls, benches, everything built. @param {Uniforms} uniforms */
export function makeSolidMaterial(uniforms) {
  return patched(uniforms, {}, (shader) => {
    shader.vertexShader = shader.vertexShader
      .replace("#include <common>", `#include <common>
        attribute vec3 extra; varying vec2 vFinish; varying vec2 vTile;`)
      .replace("#include <begin_vertex>", `#include <begin_vertex>
        vFinish = extra.xy; vTile = uv * 0.25;`);
    shader.fragmentShader = shader.fragmentShader
      .replace("#include <common>", `#include <common>
        uniform sampler2D uStones; uniform float uLamps; uniform vec3 uLampColour;
        varying vec2 vFinish; varying vec2 vTile;`)
      .replace("#include <color_fragment>", `#include <color_fragment>
        vec4 stones = texture2D(uStones, vTile);
        diffuseColor.rgb *= 1.0 + vFinish.x * ((stones.r - 0.5) * 0.42 - stones.g * 0.3
          + (stones.b - 0.5) * 0.12);`)
      .replace("#include <emissivemap_fragment>", `
        totalEmissiveRadiance += uLampColour * vFinish.y * (0.15 + 2.2 * uLamps);`);
  });
}

/** Leaves, grass, cloth: seen from both sides, lit alike from both, moved by the wind.
 *  @param {Uniforms} uniforms */
export function makeLeafMaterial(uniforms) {
  return patched(uniforms, { side: THREE.DoubleSide }, (shader) => {
    shader.vertexShader = shader.vertexShader
      .replace("#include <common>", `#include <common>
        attribute vec3 extra; varying float vGlow; varying vec3 vToEye; uniform float uTime;`)
      .replace("#include <begin_vertex>", `#include <begin_vertex>
        vGlow = extra.y; ${WIND_GLSL}`)
      .replace("#include <fog_vertex>", `#include <fog_vertex>
        vToEye = cameraPosition - (modelMatrix * swayed).xyz;`);
    shader.fragmentShader = oneSided(shader.fragmentShader)
      .replace("#include <common>", `#include <common>
        uniform float uLamps; uniform vec3 uLampColour; uniform vec3 uSun; uniform vec3 uSunward;
        varying float vGlow; varying vec3 vToEye;`)
      // Light comes through leaves and cloth when one looks towards the sun.
      .replace("#include <emissivemap_fragment>", `
        float against = max(-dot(normalize(vToEye), uSunward), 0.0);
        totalEmissiveRadiance += diffuseColor.rgb * uSun * (0.05 + 0.22 * against * against);
        totalEmissiveRadiance += uLampColour * vGlow * (0.15 + 2.2 * uLamps);`);
  });
}

/** Hills and far trees. Where the camera does not see that far they are kept at its far end.
 *  @param {Uniforms} uniforms */
export function makeHorizonMaterial(uniforms) {
  return patched(uniforms, { side: THREE.DoubleSide }, (shader) => {
    shader.vertexShader = shader.vertexShader.replace("#include <project_vertex>", `
      #include <project_vertex>
      gl_Position.z = min(gl_Position.z, gl_Position.w * 0.9999);`);
    shader.fragmentShader = oneSided(shader.fragmentShader);
  });
}

/** Leaves have no back: both sides are lit as the crown is. @param {string} fragment */
function oneSided(fragment) {
  return fragment.replace("#include <normal_fragment_begin>",
    "vec3 normal = normalize(vNormal); vec3 nonPerturbedNormal = normal;");
}

/** The paving and the grass. @param {Uniforms} uniforms
 *  @param {{uMap: {value: THREE.Texture}, uMapArea: {value: THREE.Vector4},
 *    uPlace: {value: THREE.Vector4},
 *    uHeart: {value: THREE.Vector4}, uByLamps: {value: number}}} own */
export function makeGroundMaterial(uniforms, own) {
  return patched({ ...uniforms, ...own }, { vertexColors: false }, (shader) => {
    shader.vertexShader = shader.vertexShader
      .replace("#include <common>", `#include <common>
        uniform vec4 uMapArea; varying vec2 vTile; varying vec2 vMap; varying vec3 vPlace;`)
      .replace("#include <begin_vertex>", `#include <begin_vertex>
        vTile = uv; vPlace = position; vMap = (position.xz - uMapArea.xy) / uMapArea.zw;`)
      .replace("#include <project_vertex>", `#include <project_vertex>
        gl_Position.z = min(gl_Position.z, gl_Position.w * 0.9999);`);
    shader.fragmentShader = shader.fragmentShader
      .replace("#include <common>", `#include <common>
        ${GROUND_HEAD_GLSL}`)
      .replace("#include <color_fragment>", GROUND_COLOUR_GLSL)
      .replace("#include <lights_fragment_end>", `#include <lights_fragment_end>
        ${GROUND_LIGHT_GLSL}`);
  });
}

const GROUND_HEAD_GLSL = `
  uniform sampler2D uStones, uMap; uniform vec4 uPlace, uHeart; uniform float uByLamps, uLamps;
  uniform vec3 uShadowMiddle, uLampColour;
  varying vec2 vTile; varying vec2 vMap; varying vec3 vPlace;
  ${Object.entries({ STONE: PAINT.stone, STONE_DARK: PAINT.stoneDark, PALE: PAINT.stonePale,
    INLAY: PAINT.inlay, WARM: PAINT.rose, KERB: PAINT.kerb, JOINT: PAINT.joint, GRASS: PAINT.grass,
    GRASS_DARK: PAINT.grassDark, SOIL: PAINT.soil, FIELD: PAINT.field, MEADOW: PAINT.olive })
    .map(([name, colour]) => `const vec3 ${name} = vec3(${colour.map((each) => each.toFixed(4))
      .join(", ")});`).join("\n  ")}
`;

const GROUND_COLOUR_GLSL = `
  vec4 stones = texture2D(uStones, vTile);
  float broad = texture2D(uStones, vPlace.xz * 0.021).a;
  vec4 map = texture2D(uMap, vMap);
  vec2 beyond = abs(vPlace.xz - uPlace.xy) - uPlace.zw;
  float outside = step(0.0, max(beyond.x, beyond.y));
  float blur = 0.02 + 0.0022 * length(vViewPosition);
  float lawn = (map.r - 0.5) * 4.0;
  float band = smoothstep(-blur, blur, (map.g - 0.5) * 4.0);
  float edge = (map.g - 0.5) * 4.0;
  vec3 paved = mix(STONE_DARK, mix(STONE, PALE, stones.r), 0.35 + 0.65 * stones.r);
  // Broad squares, light and dark by turns, with a thin line between; and a star in the heart.
  vec2 square = (vPlace.xz - uHeart.xy) / 10.0 + 0.5;
  vec2 within = abs(fract(square) - 0.5);
  float line = smoothstep(0.484 - blur * 0.1, 0.484 + blur * 0.1, max(within.x, within.y));
  float lozenge = smoothstep(blur * 0.1, -blur * 0.1, 0.88 - within.x - within.y);
  float checker = mod(floor(square.x) + floor(square.y), 2.0);
  float fade = 1.0 - smoothstep(60.0, 140.0, length(vViewPosition));
  vec2 fromHeart = vPlace.xz - uHeart.xy;
  float out_ = length(fromHeart);
  float heart = smoothstep(blur, -blur, out_ - uHeart.z);
  float ray = abs(fract(atan(fromHeart.y, fromHeart.x) * 2.5464791 + 0.5) - 0.5) * 2.0;
  float reach = mix(uHeart.z - 0.9, uHeart.w + 2.4, ray);
  float star = smoothstep(blur, -blur, out_ - reach) * heart;
  float rim = smoothstep(blur, -blur, abs(out_ - reach) - 0.07) * heart;
  float collar = smoothstep(blur, -blur, abs(out_ - uHeart.w - 0.95) - 0.16) * heart;
  paved *= 1.0 + fade * (1.0 - heart) * (checker * 0.1 - 0.07);
  paved = mix(paved, WARM * (0.82 + 0.36 * stones.r), star * 0.62);
  float inlay = max(max(line, lozenge) * (1.0 - heart) * (0.35 + 0.65 * fade) * 0.7,
    max(rim * 0.7, collar));
  vec3 inlaid = INLAY * (0.8 + 0.45 * stones.r);
  paved = mix(paved, inlaid, max(band * 0.85, inlay));
  paved = mix(paved, PALE, 0.5 * smoothstep(0.07 + blur, 0.07, abs(edge + 0.06)));
  paved *= (1.0 - 0.42 * stones.g) * (0.95 + 0.1 * stones.b) * (0.9 + 0.2 * broad);
  vec3 green = mix(GRASS_DARK, GRASS, smoothstep(0.2, 0.8, stones.a * 0.45 + broad * 0.55));
  green *= 0.86 + 0.28 * stones.b;
  vec3 soil = SOIL * (0.75 + 0.5 * stones.b);
  vec3 grown = mix(green, soil, band);
  vec3 ground = mix(paved, grown, smoothstep(-blur, blur, lawn));
  ground = mix(ground, KERB * (0.85 + 0.2 * stones.r),
    (1.0 - band) * smoothstep(0.11 + blur, 0.11 - blur, abs(lawn)));
  vec3 wild = mix(MEADOW, FIELD, smoothstep(0.35, 0.65, broad)) * (0.85 + 0.2 * stones.a);
  diffuseColor.rgb = mix(ground, wild, outside);
`;

const GROUND_LIGHT_GLSL = `
  float open = 1.0 - 0.9 * map.b;
  reflectedLight.indirectDiffuse *= open;
  reflectedLight.directDiffuse *= 1.0 - 0.35 * map.b;
  float baked = (1.0 - uByLamps) * (1.0 - outside) * map.a;
  #if defined(USE_SHADOWMAP) && NUM_DIR_LIGHT_SHADOWS > 0
    // Near the camera the shadow map knows better; its area fades into what is baked.
    float far = distance(vPlace.xz, uShadowMiddle.xy) / uShadowMiddle.z;
    baked *= uShadowMiddle.z > 0.0 ? smoothstep(0.85, 0.97, far) : 1.0;
  #endif
  reflectedLight.directDiffuse *= 1.0 - 0.94 * baked;
  reflectedLight.indirectDiffuse += diffuseColor.rgb * uLampColour
    * (uByLamps * uLamps * map.a * (1.0 - outside) * 0.55);
`;

/** @param {Record<string, {value: unknown}>} uniforms
 *  @param {THREE.MeshLambertMaterialParameters} parameters
 *  @param {(shader: {vertexShader: string, fragmentShader: string}) => void} patch */
function patched(uniforms, parameters, patch) {
  const material = new THREE.MeshLambertMaterial({ vertexColors: true, ...parameters });
  material.defines = { USE_UV: "" };
  material.onBeforeCompile = (shader) => {
    Object.assign(shader.uniforms, uniforms);
    patch(shader);
  };
  // Programs are told apart by this text, which would else be the same for all of them.
  material.customProgramCacheKey = () => patch.toString();
  return material;
}

/** A depth that sways as its leaves do, so that shadows fit. @param {Uniforms} uniforms */
export function makeLeafDepthMaterial(uniforms) {
  const material = new THREE.MeshDepthMaterial({ side: THREE.DoubleSide });
  material.onBeforeCompile = (shader) => {
    Object.assign(shader.uniforms, uniforms);
    shader.vertexShader = shader.vertexShader
      .replace("#include <common>", `#include <common>
        attribute vec3 extra; uniform float uTime;`)
      .replace("#include <begin_vertex>", `#include <begin_vertex>
        ${WIND_GLSL}`);
  };
  return material;
}
