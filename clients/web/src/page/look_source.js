/**
 * What the avatar maker works with: what a look is, how one looks, and where a model goes.
 *
 * The preview draws with three.js and the whole crowd, so it is loaded only when somebody opens
 * the maker.
 */

import {
  FIELDS, formatLook, PALETTES, parseLook, seededLook, STYLES,
} from "../core/look.js";
import { upload } from "../net/upload.js";
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
    uploadVrm: async (file) => {
      const asked = upload(file, { token: account.token });
      return asked.catch((error) => {
        throw new Error(error.sentence || words("answer.none"));
      });
    },
  };
}
