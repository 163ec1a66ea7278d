/**
 * How the page looks and speaks as the person set it: language, size of text, contrast, motion.
 *
 * "Automatic" is what the browser says the person prefers, and follows it when it changes.
 */

import { languageOf, languageTag, speak } from "./words.js";

/** @typedef {import("../page/settings.js").Settings} Settings */

/** @param {Settings} settings */
export function speakAsSet(settings) {
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const contrast = matchMedia("(prefers-contrast: more)");
  const apply = () => setTone(settings, still.matches, contrast.matches);
  let language = "";
  const speakNow = () => {
    const next = languageOf(settings.values.language, navigator.languages);
    if (next === language) return;
    language = next;
    speak(next).then(() => { document.documentElement.lang = languageTag(); }, (error) => {
      console.debug("the language could not be fetched", error);
      language = "";
    });
  };
  settings.changed.add((name) => (name === "language" ? speakNow() : apply()));
  still.addEventListener("change", apply);
  contrast.addEventListener("change", apply);
  window.addEventListener("languagechange", speakNow);
  speakNow();
  apply();
}

/** @param {Settings} settings @param {boolean} isStill @param {boolean} isContrasty */
function setTone({ values }, isStill, isContrasty) {
  const { style, dataset } = document.documentElement;
  style.fontSize = `${Math.round(values.textSize * 100)}%`;
  const isMore = values.contrast === "more" || isContrasty;
  dataset.contrast = isMore ? "more" : "auto";
  const isReduced = values.reducedMotion === "on" || (values.reducedMotion === "auto" && isStill);
  dataset.motion = isReduced ? "reduced" : "full";
}
