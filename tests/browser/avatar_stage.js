/**
 * A stage for the tests of avatars: a scene with a crowd on it and nothing else of the page.
 *
 * Time is what the tests say: `stage.step` moves it, and everything is drawn when asked.
 */

import { formatLook, seededLook } from "/clients/web/src/core/look.js";
import { Crowd } from "/clients/web/src/render/avatars/crowd.js";
import { AvatarPreview } from "/clients/web/src/render/avatars/preview.js";
import * as THREE from "/clients/web/vendor/three.js";

const renderer = new THREE.WebGLRenderer({ preserveDrawingBuffer: true });
const scene = new THREE.Scene();
const camera = new THREE.PerspectiveCamera(50, 16 / 9, 0.05, 200);
renderer.setSize(480, 270);
document.body.append(renderer.domElement);
scene.background = new THREE.Color(0x204060);
scene.add(new THREE.HemisphereLight(0xffffff, 0x888888, 3));

const stage = {
  renderer, scene, camera, formatLook, seededLook, AvatarPreview, THREE, people: [], seconds: 0,

  /** A crowd of its own for each test. */
  begin(options = {}) {
    stage.crowd?.dispose();
    stage.people = [];
    stage.crowd = new Crowd({
      quality: "high", assetUrl: (hash) => `/asset/${hash}`, reducedMotion: false, ...options,
    });
    scene.add(stage.crowd.group);
    stage.look([0, 1.6, 5], [0, 1, 0]);
  },

  look(from, at) {
    camera.position.set(...from);
    camera.lookAt(...at);
    camera.updateMatrixWorld();
  },

  add(id, x, z, more = {}) {
    const pose = new Float64Array(46);
    pose[0] = x;
    pose[2] = z;
    pose[3] = Math.PI;
    for (let point = 0; point < 6; point++) pose[4 + 7 * point + 6] = 1;
    const person = {
      id, kind: 0, name: `Person ${id}`, avatar: "", isOwn: false, isHidden: false,
      isFirstPerson: false, figure: { pose, flags: 0, parts: 0 }, speaking: 0, subtitle: "",
      ...more,
    };
    stage.people.push(person);
    return person;
  },

  /** Gives somebody a headset and two controllers. */
  track({ figure }) {
    figure.parts = 3;
    figure.pose.set([0, 1.6, 0], 4);
    figure.pose.set([-0.2, 1.2, -0.35, 0.02], 11);
    figure.pose.set([0.2, 1.2, -0.35, 0.02], 18);
  },

  step(frames = 1, dt = 1 / 60, each = () => {}) {
    for (let k = 0; k < frames; k++) {
      stage.seconds += dt;
      each(dt);
      stage.crowd.update(stage.people, camera, stage.seconds, dt);
    }
  },

  /** Draws; tells what it cost and what is there. */
  draw() {
    renderer.render(scene, camera);
    const { calls, triangles } = renderer.info.render;
    const { geometries, textures } = renderer.info.memory;
    return { calls, triangles, geometries, textures, ...stage.crowd.info() };
  },

  pixels() {
    stage.draw();
    const gl = renderer.getContext();
    const pixels = new Uint8Array(480 * 270 * 4);
    gl.readPixels(0, 0, 480, 270, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    return pixels;
  },

  /** The part of the picture that is not the background. */
  filled() {
    stage.crowd.group.visible = false;
    const [red, green, blue] = stage.pixels();
    stage.crowd.group.visible = true;
    const pixels = stage.pixels();
    let other = 0;
    for (let k = 0; k < pixels.length; k += 4) {
      const distance = Math.abs(pixels[k] - red) + Math.abs(pixels[k + 1] - green)
        + Math.abs(pixels[k + 2] - blue);
      if (distance > 24) other += 1;
    }
    return other / (480 * 270);
  },
};

window.stage = stage;
