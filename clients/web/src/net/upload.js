/**
 * Bringing a file to the server: as the body of one request, with its progress.
 *
 * What is too large or of a wrong kind is refused here already, before a byte is sent; the server
 * checks all of it again. An XMLHttpRequest, since `fetch` tells nothing of what was sent so far.
 */

import { Limits } from "../core/protocol.generated.js";

/** What is taken, by the end of a name. */
const TYPES = new Map([
  ["glb", "model/gltf-binary"], ["vrm", "model/gltf-binary"], ["png", "image/png"],
  ["jpg", "image/jpeg"], ["jpeg", "image/jpeg"], ["webp", "image/webp"],
]);

/** @typedef {"tooLarge" | "wrongType" | "away" | "cancelled" | "refused"} UploadReason */

/** Why there is no upload; `sentence` is the server's, where it gave one. */
export class UploadError extends Error {
  /** @param {UploadReason} reason @param {string} [sentence] */
  constructor(reason, sentence = "") {
    super(sentence || reason);
    this.reason = reason;
    this.sentence = sentence;
  }
}

/** The media type of a file by its name; empty for one that is not taken. @param {string} name */
export function typeOf(name) {
  return TYPES.get(name.toLowerCase().split(".").at(-1) ?? "") ?? "";
}

/**
 * @param {File} file
 * @param {{token: string, progress?: (part: number) => void, signal?: AbortSignal}} how
 *   progress: 0..1; while the server checks it is 1
 * @returns {Promise<string>} the hash by which the server knows it from now on
 */
export function upload(file, { token, progress, signal }) {
  return new Promise((resolve, reject) => {
    const type = typeOf(file.name);
    if (!type) return reject(new UploadError("wrongType"));
    if (file.size > Limits.ASSET_BYTES_MAX) return reject(new UploadError("tooLarge"));
    const request = new XMLHttpRequest();
    request.open("POST", "/api/assets");
    request.setRequestHeader("content-type", type);
    if (token) request.setRequestHeader("authorization", `Bearer ${token}`);
    request.upload.addEventListener("progress", ({ loaded, total }) => (
      progress?.(total ? loaded / total : 0)));
    request.addEventListener("error", () => reject(new UploadError("away")));
    request.addEventListener("abort", () => reject(new UploadError("cancelled")));
    request.addEventListener("load", () => {
      const answer = read(request.responseText);
      if (request.status < 300 && typeof answer?.hash === "string") resolve(answer.hash);
      else reject(new UploadError("refused", sentenceIn(answer)));
    });
    signal?.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/**
 * Whether somebody may upload at all, before they choose a file. Where it cannot be known the
 * server says so when it is asked.
 * @param {string} token empty for a guest
 * @returns {Promise<"yes" | "guest" | "denied">}
 */
export async function mayUpload(token) {
  if (!token) return "guest";
  const asked = { headers: { authorization: `Bearer ${token}` }, credentials: NO_COOKIES,
    cache: FRESH };
  const response = await fetch("/api/accounts/me", asked).catch(() => null);
  if (!response) return "yes";
  if (response.status === 401 || response.status === 403) return "guest";
  const { permissions } = (await response.json().catch(() => null)) ?? {};
  return !Array.isArray(permissions) || permissions.includes("upload") ? "yes" : "denied";
}

const NO_COOKIES = /** @type {RequestCredentials} */ ("omit");
const FRESH = /** @type {RequestCache} */ ("no-store");

/** @param {string} text @returns {any} */
function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** @param {any} answer */
function sentenceIn(answer) {
  return typeof answer?.sentence === "string" ? answer.sentence : "";
}
