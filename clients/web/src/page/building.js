/** Build mode, made known to the page: its key, its clicks and its frames. */

import { BuildMode } from "../build/build_mode.js";

/** @param {import("./world_page.js").WorldPage} page */
export function withBuilding(page) {
  const { stage, canvas, model, propScene } = page;
  const building = new BuildMode({ stage, canvas, model, propScene,
    holdView: (isHeld) => { page.isViewHeld = isHeld; } });
  page.takesClick = (x, y, event) => building.click(x, y, event);
  page.parts.push(() => building.update());
  return building;
}
