/** The entry of the world page: finds out what this browser can do, and begins. */

import { Account } from "./net/account.js";
import { lastingStorage, tabStorage } from "./net/storage.js";
import { withScenery } from "./page/scenery.js";
import { Settings } from "./page/settings.js";
import { tellPlain, withUi } from "./page/around.js";
import { WorldPage } from "./page/world_page.js";
import { NoWebGl, Stage } from "./render/stage.js";
import { showNoWebGl } from "./ui/no_webgl.js";

document.getElementById("unloaded")?.remove();
const canvas = /** @type {HTMLCanvasElement} */ (document.getElementById("world"));
const test = new URLSearchParams(location.search).has("test");
const settings = new Settings(lastingStorage);

/** @returns {Stage | null} */
function makeStage() {
  const { quality } = settings.values;
  try {
    return new Stage(canvas, { quality: quality === "auto" ? "medium" : quality, test });
  } catch (error) {
    if (!(error instanceof NoWebGl)) throw error;
    showNoWebGl(settings);
    return null;
  }
}

const stage = makeStage();
if (stage) {
  const account = new Account((url, asked) => fetch(url, asked), tabStorage);
  const page = new WorldPage(stage, canvas, account);
  const { ui, headset, talking, building, carrying } = withUi(page, settings);
  stage.start();
  const scenery = withScenery(page, settings);
  void tellPlain(scenery, ui);
  if (test) {
    const atriumTest = { page, model: page.model, stage, ui, settings, scenery, talking,
      xr: headset, building, carrying };
    Object.assign(window, { atriumTest });
  }
}
