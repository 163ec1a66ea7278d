/** The world page and headsets, made known to each other. */

import { XrEntry } from "../xr/entry.js";
import { sentenceOf } from "../ui/answers.js";
import { languageTag, words, wordsOf } from "../ui/words.js";

/** @typedef {import("./world_page.js").WorldPage} WorldPage */
/** @typedef {import("./settings.js").Settings} Settings */

/**
 * @param {WorldPage} page
 * @param {Settings} settings
 * @param {import("../ui/notices.js").Notices} notices
 */
export function withHeadset(page, settings, notices) {
  const { stage, model } = page;
  const xr = new XrEntry({
    stage, model, settings, words: wordsOf,
    people: () => page.gathering.people,
    surroundings: () => page.surroundings,
    propScene: page.propScene, told: notices.told,
    ui: { tell: (sentence) => notices.tell(sentence), choices: () => voiceChoices(settings),
      sentenceOf: (answer) => sentenceOf(answer, languageTag().slice(0, 2)) },
  });
  page.immersive = (seconds, dt, frame) => {
    xr.update(seconds, dt, frame);
    page.isInside = xr.visit?.isOnFoot ?? true;
  };
  page.ownHandOf = (id, hand, at, turn) => xr.handOf(id, hand, at, turn);
  xr.changed.add((mode) => {
    page.isImmersive = mode !== "none";
    if (!page.isImmersive) page.boom.snapBehind(model.own);
  });
  return xr;
}

/**
 * The microphone and the voices of others.
 * @param {Settings} settings
 */
function voiceChoices(settings) {
  const { voice } = settings.values;
  return [
    { text: words("xr.microphone"), isOn: voice === "talk",
      act: () => settings.set("voice", voice === "talk" ? "listen" : "talk") },
    { text: words("xr.voices"), isOn: voice !== "off",
      act: () => settings.set("voice", voice === "off" ? "listen" : "off") },
  ];
}
