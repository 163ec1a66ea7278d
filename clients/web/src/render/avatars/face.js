/**
 * Faces and patterns of clothes, drawn per pixel (GLSL).
 *
 * `vBind` is where on the undeformed body a pixel is, metres; the face looks along -z, and its
 * middle is between the eyes. `face` holds blink, opening of the mouth, smile and raise of the
 * brows; `gaze` where the eyes look, -1 to 1.
 */

export const FACE_GLSL = /* glsl */`
  float spot(vec2 at, vec2 radii, float soft) {
    float d = length(at / radii);
    float edge = max(fwidth(d), soft);
    return 1.0 - smoothstep(1.0 - edge, 1.0 + edge, d);
  }
  float bar(vec2 at, vec2 a, vec2 b, float half_m) {
    vec2 along = b - a;
    float t = clamp(dot(at - a, along) / dot(along, along), 0.0, 1.0);
    float d = length(at - a - along * t);
    float edge = fwidth(d) + 0.0008;
    return 1.0 - smoothstep(half_m - edge, half_m + edge, d);
  }
  vec3 withEye(vec3 skin, vec2 at, float side, vec4 face, vec2 gaze) {
    float open = 0.94 * clamp(1.0 - face.x, 0.0, 1.0) * (1.0 - 0.18 * max(0.0, face.z - 0.5));
    vec2 eye = at - vec2(side * 0.0585, 0.0);
    vec3 lash = vec3(0.035, 0.025, 0.03);
    float lid = 0.0325 * open;
    float closed = bar(vec2(eye.x, eye.y + 0.010 - eye.x * eye.x * 9.0),
      vec2(-0.022, 0.0), vec2(0.022, 0.0), 0.0032);
    if (lid < 0.004) return mix(skin, lash, closed);
    float inside = spot(eye, vec2(0.0265, max(lid, 0.003)), 0.05);
    vec2 iris = eye - gaze * vec2(0.0085, 0.0075) - vec2(-side * 0.001, 0.0);
    vec3 colour = vec3(0.93, 0.94, 0.95);
    vec3 ring = lookColour(11);
    vec3 inner = mix(ring * 0.55, ring * 1.5, clamp(0.5 - iris.y * 30.0, 0.0, 1.0));
    colour = mix(colour, inner, spot(iris, vec2(0.0212, 0.0262), 0.05));
    colour = mix(colour, vec3(0.012), spot(iris, vec2(0.0122, 0.0152), 0.06));
    colour = mix(colour, vec3(1.0), spot(iris - vec2(-0.0075, 0.0105), vec2(0.0058, 0.0068), 0.1));
    colour = mix(colour, vec3(0.85), spot(iris - vec2(0.0075, -0.0085), vec2(0.0028), 0.2));
    colour *= 0.72 + 0.28 * smoothstep(lid, lid * 0.35, eye.y);
    vec3 made = mix(skin, colour, inside);
    float rim = spot(eye - vec2(side * 0.0012, 0.0016), vec2(0.0293, lid + 0.0032), 0.04) - inside;
    return mix(made, lash, clamp(rim, 0.0, 1.0) * step(-0.006, eye.y));
  }
  vec3 withMouth(vec3 skin, vec2 at, vec4 face) {
    float open = clamp(face.y, 0.0, 1.0), smile = face.z;
    vec2 mouth = at - vec2(0.0, -0.0745);
    vec3 lip = skin * vec3(0.55, 0.3, 0.3);
    float wide = 0.030 + 0.012 * smile - 0.006 * open;
    float bend = (mouth.x * mouth.x) * (10.0 * smile) - 0.004 * smile;
    vec2 curved = vec2(mouth.x, mouth.y - bend);
    float line = bar(curved, vec2(-wide, 0.0), vec2(wide, 0.0), 0.0031);
    vec3 made = mix(skin, lip, line);
    float tall = 0.022 * open + 0.004 * smoothstep(0.75, 1.0, smile);
    if (tall > 0.0025) {
      float inside = spot(curved + vec2(0.0, tall * 0.55), vec2(wide * 0.86, tall), 0.06);
      vec3 depth = vec3(0.16, 0.022, 0.03);
      depth = mix(depth, vec3(0.62, 0.16, 0.17),
        spot(curved + vec2(0.0, tall * 1.35), vec2(wide * 0.6, tall * 0.62), 0.1));
      depth = mix(depth, vec3(0.92), step(tall * 0.02, curved.y) * step(0.006, tall));
      made = mix(made, depth, inside);
    }
    return made;
  }
  vec3 withFace(vec3 skin, vec4 face, vec2 gaze) {
    if (vBind.z > -0.02) return skin;
    vec2 at = vec2(vBind.x, vBind.y - 1.5600);
    vec2 side = vec2(abs(at.x), at.y);
    float cheek = length((side - vec2(0.098, -0.046)) / vec2(0.034, 0.024));
    float blush = 0.55 * (1.0 - smoothstep(0.2, 1.0, cheek));
    vec3 made = mix(skin, skin * vec3(1.06, 0.72, 0.66), blush);
    made = withEye(made, at, at.x < 0.0 ? -1.0 : 1.0, face, gaze);
    vec3 hair = mix(lookColour(1), skin * 0.35, 0.35) * 0.8;
    float lift = 0.0565 + 0.012 * face.w;
    float brow = bar(vec2(side.x, side.y + (side.x - 0.058) * (side.x - 0.058) * 7.0),
      vec2(0.036, lift - 0.001), vec2(0.081, lift), 0.0048);
    made = mix(made, hair, brow);
    return withMouth(made, at, face);
  }
  vec3 dressed(vec3 cloth, vec3 accent, vec3 trim, float pattern, bool isTop) {
    if (pattern > 2.5) {
      float row = isTop && abs(vBind.x) < 0.16 ? vBind.y * 18.0 : abs(vBind.x) * 18.0;
      float wave = abs(fract(row) - 0.5) * 2.0;
      float edge = fwidth(row) * 2.0;
      return mix(cloth, accent, smoothstep(0.5 - edge, 0.5 + edge, wave) * step(edge, 0.9));
    }
    if (pattern > 1.5 && isTop && vBind.z < 0.0 && abs(vBind.x) < 0.1) {
      float wide = 0.012 + 0.26 * max(0.0, vBind.y - 1.13);
      float edge = fwidth(vBind.x) + 0.001;
      float inside = 1.0 - smoothstep(wide - edge, wide + edge, abs(vBind.x));
      return mix(cloth, trim, inside);
    }
    return cloth;
  }
`;
