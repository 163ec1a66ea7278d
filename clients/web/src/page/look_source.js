/**
 * What the avatar maker works with: what a look is, how one looks, and where a model goes.
 *
 * The preview draws with three.js and the whole crowd, so it is loaded only when somebody opens
 * the maker.
 */

import {
  FIELDS, formatLook, PALETTES, parseLook, seededLook, STYLES,
} from "../core/look.js";
import { words } from "../ui/words.js";

/** @typedef {import("../core/look.js").Look} Look */

/**
 * @param {import("../net/account.js").Account} account
 * @returns {import("../ui/look_panel.js").LookPorts}
 */
export function lookPorts(account) {
  return {
    source: {
      FIELDS, palettes: PALETTES, styles: STYLES, parse: (text, seed) => ({
        ...parseLook(text, seed) }),
      format: (look) => formatLook(/** @type {Look} */ (look)),
      random: (seed) => ({ ...seededLook(seed) }),
    },
    preview: async (canvas) => {
      const { AvatarPreview } = await import("../render/avatars/preview.js");
      const reducedMotion = document.documentElement.dataset.motion === "reduced";
      const preview = new AvatarPreview(canvas, { reducedMotion });
      return { show: (look) => preview.show(/** @type {Look} */ (look)),
        dispose: () => preview.dispose() };
    },
    uploadVrm: (file) => upload(file, account.token),
  };
}

/**
 * The hash under which the server keeps the model, once it has checked it.
 * @param {File} file
 * @param {string} token
 */
async function upload(file, token) {
  /** @type {Record<string, string>} */
  const headers = { "content-type": "model/gltf-binary" };
  if (token) headers.authorization = `Bearer ${token}`;
  const response = await fetch("/api/assets", { method: "POST", headers, body: file,
    credentials: "omit", cache: "no-store" }).catch(() => null);
  const answer = await response?.json().catch(() => null);
  if (!response?.ok || typeof answer?.hash !== "string") {
    throw new Error(typeof answer?.sentence === "string" ? answer.sentence : words("answer.none"));
  }
  return answer.hash;
}
