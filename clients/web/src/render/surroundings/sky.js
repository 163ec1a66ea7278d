/**
 * The sky: a gradient with the sun or the moon, soft clouds and stars, drawn at the far end of the
 * depth so that only what nothing stands before is computed. It is always around the camera, in
 * both eyes at the same place, which is infinitely far.
 */

import * as THREE from "../../../vendor/three.js";

const VERTEX_GLSL = `
  varying vec3 vToward;
  void main() {
    vToward = position;
    gl_Position = projectionMatrix * vec4(mat3(viewMatrix) * position * 10.0, 1.0);
    gl_Position.z = gl_Position.w * 0.99999;
  }
`;

const FRAGMENT_GLSL = `
  uniform vec3 uZenith, uHorizon, uHaze, uSun, uCloud, uShade, uSunward;
  uniform float uTime, uLamps; uniform sampler2D uStones;
  varying vec3 vToward;
  void main() {
    vec3 toward = normalize(vToward);
    float up = max(toward.y, 0.0);
    vec3 colour = mix(uHorizon, uZenith, 1.0 - pow(1.0 - up, 3.2));
    colour *= 1.12;
    colour = mix(uHaze, colour, smoothstep(-0.02, 0.13, toward.y));
    float sun = max(dot(toward, uSunward), 0.0);
    float night = smoothstep(0.75, 1.0, uLamps);
    float glow = 0.34 * pow(sun, 7.0) + 0.5 * pow(sun, 60.0);
    colour += uSun * glow * (1.0 - 0.72 * night);
    #if CLOUDS > 0
      vec2 flat_ = toward.xz / (up + 0.16);
      vec2 drift = vec2(uTime * 0.0012, uTime * 0.0004);
      float billow = texture2D(uStones, flat_ * 0.075 + drift).a;
      float lit = texture2D(uStones, (flat_ + uSunward.xz * 0.16) * 0.075 + drift).a;
      #if CLOUDS > 1
        float fine = texture2D(uStones, flat_ * 0.31 + drift * 2.3).a - 0.5;
        billow += fine * 0.22;
        lit += fine * 0.16;
      #endif
      float cover = smoothstep(0.56, 0.78, billow) * smoothstep(0.02, 0.16, toward.y);
      float light = clamp(0.72 + (billow - lit) * 2.4, 0.0, 1.0);
      vec3 cloud = mix(uShade, uCloud, light) + uSun * pow(sun, 12.0) * 0.22;
      colour = mix(colour, cloud, cover * 0.82);
    #else
      float cover = 0.0;
    #endif
    float disc = smoothstep(0.99935, 0.99965, sun) * (1.0 - cover);
    colour += disc * mix(uSun * 4.0, vec3(0.9, 0.92, 1.0), night);
    #if CLOUDS > 0
      vec3 grid = floor(toward * 150.0);
      float star = fract(sin(dot(grid, vec3(12.99, 78.23, 37.72))) * 4375.85);
      vec3 within = fract(toward * 150.0) - 0.5;
      colour += night * (1.0 - cover) * step(0.99, star) * smoothstep(0.02, 0.25, toward.y)
        * smoothstep(0.16, 0.0, dot(within, within)) * vec3(0.55, 0.6, 0.7);
    #endif
    gl_FragColor = vec4(colour, 1.0);
    #include <tonemapping_fragment>
    #include <colorspace_fragment>
  }
`;

/** @param {import("./materials.js").Uniforms} uniforms @param {0|1|2} clouds how fine */
export function makeSky(uniforms, clouds) {
  const material = new THREE.ShaderMaterial({
    vertexShader: VERTEX_GLSL, fragmentShader: `precision highp float;\n${FRAGMENT_GLSL}`,
    defines: { CLOUDS: clouds }, uniforms, side: THREE.BackSide, depthWrite: false, fog: false,
  });
  const sky = new THREE.Mesh(new THREE.SphereGeometry(1, 24, 16), material);
  sky.name = "sky";
  sky.frustumCulled = false;
  // After what is opaque, so that hidden sky costs nothing.
  sky.renderOrder = 10;
  return sky;
}
