/**
 * VRM files: fetched once for all who wear them, checked before they are built, let go of entirely.
 *
 * The loaders are big, so they are imported when the first VRM is wanted. Files come from
 * strangers: how much is in one is read from its JSON before anything is decoded, and what is too
 * heavy, broken or no VRM is refused with a reason, for good. What could not be fetched is asked
 * for again, after a wait that grows and that the server may name. Each wearer gets a figure of
 * their own (a skeleton cannot be shared); the bytes are shared and counted.
 */

import { TextureLoader } from "../../../vendor/three.js";

/** @typedef {import("../../../vendor/vrm.js").VRM} VRM */
/** @typedef {{vrm: VRM, dispose: () => void}} Figure */

const BYTES_MAX = 32 * 1024 * 1024;
const TRIANGLES_MAX = 80_000;
const PRIMITIVES_MAX = 64;
const NODES_MAX = 1024;
const PIXELS_MAX = 24 * 1024 * 1024;
const FAILURES_MAX = 256;
const RETRY_S_MIN = 5;
const RETRY_S_MAX = 120;
/** Answers that a later try would not change. */
const FINAL = new Set([400, 401, 403, 404, 410, 413, 415]);
const MAGIC = 0x46546c67;
const JSON_CHUNK = 0x4e4f534a;

/** Why a file is not shown; the message says it. */
export class Refused extends Error {}

/** It could not be fetched just now. */
class Away extends Error {
  /** @param {string} message @param {number} waitS as the server wishes */
  constructor(message, waitS) {
    super(message);
    this.waitS = waitS;
  }
}

export class VrmLibrary {
  #assetUrl;
  /** @type {Map<string, {bytes: Promise<ArrayBuffer>, wearers: number}>} */
  #files = new Map();
  /** @type {Map<string, {tries: number, untilMs: number}>} by hash, oldest first */
  #failures = new Map();
  #nowMs;

  /** @param {(hash: string) => string} assetUrl @param {() => number} [nowMs] */
  constructor(assetUrl, nowMs = () => performance.now()) {
    this.#assetUrl = assetUrl;
    this.#nowMs = nowMs;
  }

  /** How many files are held. */
  get count() {
    return this.#files.size;
  }

  /** Whether it is of no use to ask for it now. @param {string} hash */
  hasFailed(hash) {
    const failure = this.#failures.get(hash);
    return failure !== undefined && this.#nowMs() < failure.untilMs;
  }

  /** @param {string} hash @param {unknown} error */
  #failed(hash, error) {
    const tries = (this.#failures.get(hash)?.tries ?? 0) + 1;
    const grown = Math.min(RETRY_S_MIN * 2 ** (tries - 1), RETRY_S_MAX);
    const waitS = error instanceof Away ? Math.max(grown, Math.min(error.waitS, RETRY_S_MAX))
      : Infinity;
    this.#failures.delete(hash);
    const [oldest] = this.#failures.keys();
    if (this.#failures.size >= FAILURES_MAX) this.#failures.delete(oldest);
    this.#failures.set(hash, { tries, untilMs: this.#nowMs() + waitS * 1000 });
  }

  /**
   * A figure of this file; rejects when it cannot be shown.
   * @param {string} hash
   * @returns {Promise<Figure>}
   */
  async load(hash) {
    const file = this.#files.get(hash) ?? { bytes: this.#fetch(hash), wearers: 0 };
    this.#files.set(hash, file);
    file.wearers += 1;
    const release = () => {
      file.wearers -= 1;
      if (!file.wearers) this.#files.delete(hash);
    };
    try {
      const { vrm, dispose } = await build(await file.bytes, await loaders());
      this.#failures.delete(hash);
      return { vrm, dispose: () => (dispose(), release()) };
    } catch (error) {
      release();
      this.#failed(hash, error);
      console.debug(`The avatar ${hash.slice(0, 8)} is not shown: ${reasonOf(error)}`);
      throw error;
    }
  }

  /** @param {string} hash */
  async #fetch(hash) {
    const answer = await fetch(this.#assetUrl(hash)).catch(away);
    if (!answer.ok) {
      const said = `the server answers ${answer.status}`;
      if (FINAL.has(answer.status)) throw new Refused(said);
      throw new Away(said, Number(answer.headers.get("retry-after")) || 0);
    }
    if (Number(answer.headers.get("content-length")) > BYTES_MAX) throw new Refused("too large");
    const bytes = await answer.arrayBuffer().catch(away);
    checkVrm(bytes);
    return bytes;
  }
}

/** @param {unknown} error @returns {never} */
function away(error) {
  throw new Away(reasonOf(error), 0);
}

/** @param {unknown} error */
function reasonOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Looks into a GLB without decoding it. Throws Refused.
 * @param {ArrayBuffer} bytes
 */
export function checkVrm(bytes) {
  if (bytes.byteLength > BYTES_MAX) throw new Refused("it is too large");
  const view = new DataView(bytes);
  if (bytes.byteLength < 20 || view.getUint32(0, true) !== MAGIC
    || view.getUint32(16, true) !== JSON_CHUNK) throw new Refused("it is no GLB");
  const length = view.getUint32(12, true);
  if (20 + length > bytes.byteLength) throw new Refused("it ends too early");
  let gltf;
  try {
    gltf = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 20, length)));
  } catch {
    throw new Refused("its JSON is damaged");
  }
  if (!gltf?.extensions?.VRMC_vrm && !gltf?.extensions?.VRM) throw new Refused("it is no VRM");
  const { triangles, primitives } = costOf(gltf);
  const nodes = listOf(gltf.nodes).length;
  if (triangles > TRIANGLES_MAX) throw new Refused(`it has ${triangles} triangles`);
  if (primitives > PRIMITIVES_MAX) throw new Refused(`it has ${primitives} parts`);
  if (nodes > NODES_MAX) throw new Refused(`it has ${nodes} nodes`);
}

/** @param {any} gltf */
function costOf(gltf) {
  let triangles = 0, primitives = 0;
  const accessors = listOf(gltf.accessors);
  const meshes = listOf(gltf.meshes);
  for (const node of listOf(gltf.nodes)) {
    for (const primitive of listOf(meshes[node?.mesh]?.primitives)) {
      const count = accessors[primitive?.indices ?? primitive?.attributes?.POSITION]?.count;
      triangles += Number.isFinite(count) ? count / 3 : 0;
      primitives += 1;
    }
  }
  return { triangles: Math.round(triangles), primitives };
}

/** @param {unknown} value @returns {any[]} */
function listOf(value) {
  return Array.isArray(value) ? value : [];
}

/** What reads a file, fetched when the first is wanted. */
function loaders() {
  return Promise.all([import("../../../vendor/gltf.js"), import("../../../vendor/vrm.js")])
    .catch(away);
}

/**
 * @param {ArrayBuffer} bytes
 * @param {Awaited<ReturnType<typeof loaders>>} loaders
 * @returns {Promise<Figure>}
 */
async function build(bytes, [{ GLTFLoader }, { VRMLoaderPlugin, VRMUtils }]) {
  const loader = new GLTFLoader();
  loader.register((parser) => new VRMLoaderPlugin(parser));
  // Pictures come as <img>: what pages may fetch does not include blobs.
  loader.register((parser) => {
    parser.textureLoader = new TextureLoader(parser.options.manager);
    return { name: "ATRIUM_plain_pictures" };
  });
  const gltf = await loader.parseAsync(bytes.slice(0), "");
  const dispose = () => VRMUtils.deepDispose(gltf.scene);
  /** @type {VRM | undefined} */
  const vrm = gltf.userData.vrm;
  try {
    if (!vrm?.humanoid) throw new Refused("it has no humanoid");
    if (pixelsOf(gltf.scene) > PIXELS_MAX) throw new Refused("its pictures are too large");
  } catch (error) {
    dispose();
    throw error;
  }
  VRMUtils.removeUnnecessaryVertices(gltf.scene);
  VRMUtils.combineSkeletons(gltf.scene);
  gltf.scene.traverse((object) => {
    object.frustumCulled = false;
  });
  return { vrm, dispose };
}

/** @param {import("../../../vendor/three.js").Object3D} scene */
function pixelsOf(scene) {
  const seen = new Set();
  let pixels = 0;
  scene.traverse((object) => {
    const { material } = /** @type {{material?: any}} */ (object);
    for (const each of Array.isArray(material) ? material : material ? [material] : []) {
      for (const value of Object.values(each)) {
        if (!value?.isTexture || seen.has(value.source)) continue;
        seen.add(value.source);
        pixels += (value.image?.width ?? 0) * (value.image?.height ?? 0);
      }
    }
  });
  return pixels;
}
