/**
 * The world page and the page around it, made known to each other.
 *
 * Settings that concern the picture and the controls are applied here; those of the page around are
 * its own affair.
 */

import { readScene } from "../core/scene.js";
import { withHeadset } from "./headset.js";
import { Building } from "./building.js";
import { TouchStick } from "../ui/touch_stick.js";
import { Ui } from "../ui/ui.js";
import { languageChanged, words } from "../ui/words.js";
import { Carrying } from "./carrying.js";
import { Talking } from "./talking.js";

/** @typedef {import("./world_page.js").WorldPage} WorldPage */
/** @typedef {import("./settings.js").Settings} Settings */

const STEP_MS = 250;
const TITLE_CHARS_MAX = 80;

/**
 * @param {WorldPage} page
 * @param {Settings} settings
 */
export function withUi(page, settings) {
  const { model, account } = page;
  const talking = new Talking(page, settings);
  const building = new Building(page);
  const ui = new Ui({ model, settings, account, voice: talking,
    actions: actionsOf(page, settings, { ui: () => ui, headset: () => headset, building }),
    figures: countFrames(page), look: async () => {
      const { lookPorts } = await import("./look_source.js");
      return lookPorts(account);
    } });
  const headset = withHeadset(page, settings, ui.notices);
  const carrying = new Carrying(page, (sentence) => ui.notices.tell(sentence));
  page.commanded.add((command) => ui.command(command));
  page.personChosen.add((where) => ui.personChosen(where));
  page.portalEntered.add(({ world, title }) => void ui.travel.portal(world, title));
  page.loading.add(({ done, of, failed }) => ui.loading(done, of, failed));
  new TouchStick(page.canvas, (x, y) => Object.assign(page.controls.stick, { x, y }));
  settings.changed.add(() => apply(page, settings));
  apply(page, settings);
  page.boom.isFirstPerson = settings.values.view === "first";
  setInterval(() => ui.step(performance.now()), STEP_MS);
  languageChanged.add(() => ui.step(performance.now()));
  ui.start(page.canResume);
  watchPicture(page, settings, ui);
  void showAhead(page, ui);
  return { ui, headset, talking, building, carrying };
}

/**
 * The place as it will be, behind the question for a name: it is loaded while one types, and what
 * was loaded is still there when the world asks for it.
 * @param {WorldPage} page
 * @param {Ui} ui
 */
async function showAhead(page, ui) {
  const wanted = new URLSearchParams(location.search).get("world");
  try {
    const worlds = await (await fetch("/api/worlds")).json();
    const entry = worlds.find((/** @type {any} */ each) => each.world.name === wanted) ?? worlds[0];
    ui.join.title(String(entry.world.title).slice(0, TITLE_CHARS_MAX));
    const scene = await (await fetch(entry.scene_url)).json();
    ui.loading(1, 1, "");
    if (page.model.sceneUrl) return;
    const place = readScene(scene);
    page.showAhead(place, entry.scene_url);
    const [spawn] = place.spawns;
    if (!spawn) return;
    Object.assign(page.model.own.shown, { x: spawn.x, y: spawn.y, z: spawn.z });
    page.model.own.yaw = spawn.yaw;
    page.boom.snapBehind(page.model.own);
  } catch {
    // It would only have been nice: joining loads it again, and tells what fails.
  }
}

/**
 * The picture was taken away, is back, or is too much for this machine.
 * @param {WorldPage} page
 * @param {Settings} settings
 * @param {Ui} ui
 */
function watchPicture({ stage }, settings, ui) {
  stage.contextChanged.add(({ lost }) => {
    if (!lost) ui.notices.drop(words("picture.lost"));
    ui.notices.tell(words(lost ? "picture.lost" : "picture.back"), { isAlert: lost });
  });
  stage.slowed.add(() => {
    if (settings.values.quality !== "auto" || stage.quality === "low") return;
    stage.setQuality(stage.quality === "high" ? "medium" : "low");
  });
}

/**
 * The picture stays plain where what makes it more than that could not be loaded.
 * @param {Promise<boolean>} scenery whether all of it was
 * @param {Ui} ui
 */
export async function tellPlain(scenery, ui) {
  if (await scenery) return;
  ui.notices.tell(words("picture.plain"), { isAlert: true,
    offer: { text: words("join.reload"), act: () => location.reload() } });
}

/** Pictures per second since it was last asked. @param {WorldPage} page */
function countFrames(page) {
  let [count, sinceMs, fps] = [0, performance.now(), 0];
  page.parts.push(() => { count += 1; });
  return () => {
    const ms = performance.now() - sinceMs;
    if (ms > 900) [fps, count, sinceMs] = [(count * 1000) / ms, 0, sinceMs + ms];
    return { fps };
  };
}

/**
 * @param {WorldPage} page
 * @param {Settings} settings
 * @param {{ui: () => Ui, headset: () => import("../xr/entry.js").XrEntry,
 *   building: Building}} made
 * @returns {import("../ui/ports.js").Actions}
 */
function actionsOf(page, settings, { ui, headset, building }) {
  const { model, link } = page;
  return {
    join: (name) => page.join(page.account.ticket?.name ?? name, settings.recall("look")),
    leave: () => page.leave(),
    retry: () => link.retry(),
    retryInMs: () => Math.max(0, link.retryAtMs - performance.now()),
    setAvatar: (text) => page.setAvatar(text),
    focusWorld: () => page.canvas.focus({ preventScroll: true }),
    toggleView: () => {
      page.toggleView();
      settings.set("view", page.boom.isFirstPerson ? "first" : "third");
    },
    goTo: (x, z) => page.goTo(x, z),
    lookAt: (id) => {
      const person = ui().surroundings.people().find((each) => each.id === id);
      if (!person) return;
      const [dx, dz] = [person.x - model.own.x, person.z - model.own.z];
      page.boom.yaw = Math.atan2(-dx, -dz);
    },
    showWhere: (id) => ui().find(id),
    emote: (emote) => page.emote(emote),
    enterXr: (mode) => headset().enter(mode),
    build: () => void building.toggle(),
  };
}

/** @param {WorldPage} page @param {Settings} settings */
function apply({ controls, stage, boom }, { values }) {
  controls.mouseSpeed = values.mouseSpeed;
  controls.invertY = values.invertY;
  boom.isFirstPerson = values.view === "first";
  if (stage.camera.fov !== values.fov) {
    stage.camera.fov = values.fov;
    stage.camera.updateProjectionMatrix();
  }
  const { quality } = values;
  if (quality !== "auto" && quality !== stage.quality) stage.setQuality(quality);
}
