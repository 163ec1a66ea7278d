/**
 * The picture as it is meant: people with bodies and faces, and a place one would like to stay in.
 *
 * Both are fetched while the page is already usable, so that the first picture need not wait for
 * them; where one cannot be fetched the plain picture stays, and the person is told. Settings that
 * concern them are applied here.
 */

/** @typedef {import("./world_page.js").WorldPage} WorldPage */
/** @typedef {import("./settings.js").Settings} Settings */

/**
 * @param {WorldPage} page
 * @param {Settings} settings
 * @returns {Promise<boolean>} whether all is shown as it is meant
 */
export async function withScenery(page, settings) {
  const surroundings = showSurroundings(page, settings);
  const found = await Promise.allSettled([surroundings, showCrowd(page, settings, surroundings)]);
  const failed = found.filter(({ status }) => status === "rejected");
  for (const each of failed) console.debug("the picture stays plain", each);
  return failed.length === 0;
}

/**
 * @param {WorldPage} page
 * @param {Settings} settings
 * @param {Promise<unknown>} lit the surroundings, whose light is part of every shader
 */
async function showCrowd(page, settings, lit) {
  const { Crowd } = await import("../render/avatars/crowd.js");
  await lit.catch(() => {});
  const options = () => ({ quality: page.stage.quality, tags: settings.values.tags,
    reducedMotion: isStill(settings), shadows: page.stage.quality === "high",
    assetUrl: (/** @type {string} */ hash) => `/api/assets/${hash}` });
  const crowd = new Crowd(options());
  settings.changed.add(() => crowd.setOptions(options()));
  page.stage.qualityChanged.add(() => crowd.setOptions(options()));
  await page.useCrowd(crowd);
}

/** @param {WorldPage} page @param {Settings} settings */
async function showSurroundings(page, settings) {
  const { Surroundings } = await import("../render/surroundings/surroundings.js");
  const options = () => ({ quality: page.stage.quality, reducedMotion: isStill(settings) });
  const surroundings = new Surroundings(options());
  settings.changed.add(() => surroundings.setOptions(options()));
  page.stage.qualityChanged.add(() => surroundings.setOptions(options()));
  await page.useSurroundings(surroundings);
}

/** Whether what need not move should not. @param {Settings} settings */
export function isStill({ values }) {
  if (values.reducedMotion !== "auto") return values.reducedMotion === "on";
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
