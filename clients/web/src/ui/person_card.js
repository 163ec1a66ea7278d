/**
 * What can be done with a person: write, look, find, mute, hide, block, report.
 *
 * It opens from the list, from a line of the chat, from the name over a head and by the context
 * key, and always is the same menu. Blocking asks first, since it works both ways; reporting says
 * what is kept and who hears of it before anything is sent.
 */

import { EntityKind, Limits, Relation, ReportReason } from "../core/protocol.generated.js";
import { charactersOf } from "./chat_window.js";
import { ask } from "./dialogs.js";
import { make } from "./dom.js";
import { BITS } from "./relations.js";
import { shownName } from "./surroundings.js";
import { words, wordsOf } from "./words.js";

/** @typedef {import("./menu.js").Entry} Entry */
/** @typedef {{id: number, name: string, kind: number}} Whom */
/**
 * @typedef {object} CardPorts
 * @property {import("./ports.js").UiOptions} options
 * @property {import("./menu.js").Menu} menu
 * @property {import("./notices.js").Notices} notices
 * @property {import("./relations.js").Relations} relations
 * @property {(id: number, name: string) => void} writeTo
 */

export class PersonCard {
  #ports;

  /** @param {CardPorts} ports */
  constructor(ports) {
    this.#ports = ports;
  }

  /** @param {number} id @param {string} name as last known @param {{x: number, y: number}} at */
  open(id, name, at) {
    const { options: { model }, menu } = this.#ports;
    const person = model.people.get(id);
    const whom = { id, name: person ? shownName(person) : name,
      kind: person?.kind ?? EntityKind.AVATAR };
    if (id === model.entityId) return menu.open(name, [{ hint: words("card.you") }], at);
    menu.open(words("card.actions", { name: whom.name }), this.#entries(whom, Boolean(person)), at);
  }

  /** @param {Whom} whom @param {boolean} isHere @returns {Entry[]} */
  #entries(whom, isHere) {
    const { options: { actions }, writeTo } = this.#ports;
    const { id, name } = whom;
    /** @type {Entry[]} */
    const entries = [{ hint: name },
      { text: words("card.message", { name }), act: () => writeTo(id, name) }];
    if (isHere) {
      entries.push({ text: words("card.look"), act: () => actions.lookAt(id) },
        { text: words("card.show"), act: () => actions.showWhere(id) });
    }
    if (whom.kind !== EntityKind.AVATAR) return entries;
    return [...entries, ...this.#volume(whom), "rule", ...this.#safety(whom)];
  }

  /** @param {Whom} whom @returns {Entry[]} */
  #volume({ id, name }) {
    const { voice } = this.#ports.options;
    if (!voice) return [];
    return [{ text: words("card.volume"), act: () => void askVolume(name, voice.volumeOf(id),
      (volume) => voice.setVolume(id, volume)) }];
  }

  /** @param {Whom} whom @returns {Entry[]} */
  #safety(whom) {
    const { relations } = this.#ports;
    const before = relations.of(whom.id);
    const who = { id: whom.id, person: "", name: whom.name };
    const turns = BITS.map(({ bit, on, off }) => ({
      text: words(before & bit ? off : on), isGrave: bit === Relation.BLOCK && !(before & bit),
      act: () => void (bit === Relation.BLOCK && !(before & bit) ? this.#block(whom, before)
        : relations.turn(who, before, bit)) }));
    return [...turns, { text: words("card.report"), isGrave: true,
      act: () => void this.report(whom) }];
  }

  /** @param {Whom} whom @param {number} before */
  async #block({ id, name }, before) {
    const { relations } = this.#ports;
    const isSure = await ask({ title: words("card.blockTitle", { name }),
      content: [words("card.blockText")], yes: words("card.block"), isGrave: true });
    if (isSure) await relations.turn({ id, person: "", name }, before, Relation.BLOCK);
  }

  /** @param {Whom} whom */
  async report({ id, name }) {
    const { options: { model }, notices, relations } = this.#ports;
    const reasons = Object.values(ReportReason).filter((reason) => reason !== 0);
    const choices = [...reasons, ReportReason.OTHER].map(reasonChoice);
    const text = make("textarea", { attributes: { rows: "3", dir: "auto", id: "report-text",
      maxlength: String(Limits.REPORT_CHARS_MAX) } });
    const block = make("input", { attributes: { type: "checkbox" } });
    const isSent = await ask({ title: words("report.title", { name }), yes: words("report.send"),
      isGrave: true, content: [
        make("fieldset", {}, make("legend", { text: words("report.what") }), ...choices),
        make("label", { text: words("report.text"), attributes: { for: "report-text" } }), text,
        make("label", { class: "choice" }, block, words("report.block", { name })),
        words("report.then", { name })] });
    if (!isSent) return;
    const chosen = choices.map((choice) => choice.querySelector("input"))
      .find((input) => input?.checked);
    const said = bounded(text.value.trim(), Limits.REPORT_CHARS_MAX);
    const answer = await model.report(id, Number(chosen?.value ?? ReportReason.OTHER), said);
    if (relations.heard(answer)) notices.tell(words("report.sent"));
    if (block.checked) {
      await relations.set({ id, person: "", name }, relations.of(id) | Relation.BLOCK);
    }
  }
}

/** @param {number} reason @param {number} at */
function reasonChoice(reason, at) {
  const radio = make("input", { attributes: { type: "radio", name: "reason",
    value: String(reason), required: "" } });
  radio.checked = at === 0;
  return make("label", { class: "choice" }, radio, wordsOf(`report.${reason}`));
}

/** @param {string} text @param {number} most code points */
function bounded(text, most) {
  return charactersOf(text) > most ? [...text].slice(0, most).join("") : text;
}

/** @param {string} name @param {number} before @param {(volume: number) => void} then */
async function askVolume(name, before, then) {
  const slider = make("input", { attributes: { type: "range", min: "0", max: "1", step: "0.05",
    "aria-label": words("card.volume") } });
  slider.value = String(before);
  slider.addEventListener("input", () => then(Number(slider.value)));
  const isKept = await ask({ title: name, content: [words("card.volume"), slider],
    yes: words("dialog.ok") });
  if (!isKept) then(before);
}
