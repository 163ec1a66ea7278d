/**
 * The page around the world, put together: who tells whom.
 *
 * Everything comes in through ports (ports.js): the model tells by its signals, the world's canvas
 * by commands of keys and by people who were pointed at; what the person does goes out through the
 * actions. Each part owns its piece of the page and knows no other part. `step` is called a few
 * times a second and writes only what has changed. No three.js here.
 */

import { ErrorCode, Rights, SaveState } from "../core/protocol.generated.js";
import { sentenceOf } from "./answers.js";
import { Captions } from "./captions.js";
import { Chat } from "./chat.js";
import { isAsking } from "./dialogs.js";
import { element } from "./dom.js";
import { Hud } from "./hud.js";
import { Join } from "./join.js";
import { keysPanel } from "./keys_panel.js";
import { below, Menu } from "./menu.js";
import { MiniMap } from "./minimap.js";
import { Notices } from "./notices.js";
import { Panel } from "./panel.js";
import { People } from "./people.js";
import { PersonCard } from "./person_card.js";
import { Relations } from "./relations.js";
import { settingsPanel } from "./settings_panel.js";
import { shownName, Surroundings } from "./surroundings.js";
import { speakAsSet } from "./tone.js";
import { Travel } from "./travel.js";
import { languageChanged, translate, words, wordsOf } from "./words.js";

/** @typedef {import("./ports.js").UiOptions} UiOptions */
/** @typedef {import("./menu.js").Entry} Entry */
/** @typedef {"immersive-vr" | "immersive-ar"} XrMode */

const FOUND_MS = 20_000;
/** A short loss of the link is not worth a sentence. */
const LOST_MS = 1_500;

export class Ui {
  notices = new Notices();
  menu = new Menu();
  panel = new Panel();
  #captions = new Captions();
  #options;
  /** @type {XrMode[]} */
  #xr = [];
  #lostSinceMs = 0;
  #isLossTold = false;
  /** @type {import("./look_panel.js").LookPanel | null} */
  #look = null;
  #wasLive = false;
  /** Why one was not taken in at the last try: of ErrorCode. */
  #why = 0;

  /** @param {UiOptions} options */
  constructor(options) {
    this.#options = options;
    const { model, settings } = options;
    speakAsSet(settings);
    this.surroundings = new Surroundings(model);
    this.relations = new Relations(options, this.notices);
    this.hud = this.#makeHud();
    const person = (/** @type {number} */ id, /** @type {string} */ name,
      /** @type {Element} */ from) => this.card.open(id, name, below(from));
    this.chat = new Chat({ options, notices: this.notices, person,
      names: () => this.surroundings.names() });
    this.card = new PersonCard({ options, menu: this.menu, notices: this.notices,
      relations: this.relations, writeTo: (id, name) => this.chat.writeTo(id, name) });
    this.people = new People({ options, surroundings: this.surroundings,
      relations: this.relations, notices: this.notices, person,
      opened: (isOpen) => this.hud.peopleOpen(isOpen) });
    this.miniMap = new MiniMap(options);
    this.travel = new Travel({ options, notices: this.notices, relations: this.relations,
      panel: this.panel });
    this.join = new Join(options, { join: (name) => options.actions.join(name),
      look: () => void this.#openLook(),
      settings: () => this.panel.open(settingsPanel(settings)) });
    this.#listen();
    this.#translate();
    this.#apply();
  }

  #makeHud() {
    const { actions } = this.#options;
    return new Hud({
      safeZone: () => void this.#safeZone(), voice: () => void this.#nextVoice(),
      view: () => actions.toggleView(), people: () => this.people.toggle(),
      build: () => actions.build?.(), menu: (from) => this.#mainMenu(from),
      emote: (emote) => actions.emote(emote), xr: (mode) => void this.#enterXr(mode),
    });
  }

  #listen() {
    const { model, settings } = this.#options;
    model.stateChanged.add((change) => this.#stateChanged(change));
    model.welcomed.add(() => {
      document.body.dataset.in = model.world;
      if (this.join.isOpen) {
        this.join.close();
        this.#options.actions.focusWorld();
      }
      this.hud.place(model.place.name || model.world);
      this.hud.safeZone(model.safeZone);
      const { build } = this.#options.actions;
      this.hud.mayBuild(build !== undefined && (model.rights & Rights.BUILD) !== 0);
    });
    model.placed.add((place) => this.hud.place(place.name || model.world));
    model.told.add((sentence) => this.notices.tell(sentence));
    model.refused.add((answer) => this.notices.tell(this.explain(answer)));
    model.savingChanged.add(() => this.#saving());
    model.chat.changed.add((line) => {
      if (line.state === "published" && !line.isOwn) this.#captions.show(line, performance.now());
    });
    settings.changed.add(() => this.#apply());
    languageChanged.add(() => this.#translate());
    document.addEventListener("keydown", (event) => this.#keyed(event, true));
    document.addEventListener("keyup", (event) => this.#keyed(event, false));
  }

  #translate() {
    translate(document);
    this.chat.translate();
    this.hud.link(this.#options.model, 0);
    this.hud.peopleCount(0);
  }

  #apply() {
    const { values } = this.#options.settings;
    this.chat.hear(values.chatFrom);
    this.#captions.isOn = values.captions;
  }

  /** The page is shown: asks for the name, or comes in again by itself. @param {boolean} resumes */
  start(resumes) {
    this.join.loaded("modules", 1, 1);
    const { settings, actions } = this.#options;
    const name = settings.recall("name");
    if (resumes && name) actions.join(name);
    else this.join.open();
    if (!settings.isKept) this.notices.tell(words("join.storage"), { isAlert: true });
    void this.#findXr();
  }

  // --- the link ----------------------------------------------------------------------------

  /** @param {{state: string, sentence: string, code: number}} change */
  #stateChanged({ state, sentence, code }) {
    const { model, actions } = this.#options;
    this.hud.link(model, 0);
    if (state === "live") {
      if (this.#isLossTold) this.notices.tell(words("link.back"));
      this.#wasLive = true;
      this.#lostSinceMs = 0;
      this.#isLossTold = false;
    } else if (state === "lost") {
      this.#lostSinceMs ||= performance.now();
      if (!this.#wasLive) this.join.unreachable(actions.retryInMs() / 1000, this.#why);
      else if (sentence) this.notices.tell(sentence);
    } else if (state === "ended") {
      delete document.body.dataset.in;
      this.join.ended(sentence, code, this.#wasLive);
      this.#wasLive = false;
    } else if (state === "connecting") this.#why = 0;
    else if (sentence || code) this.#refused(sentence, code);
  }

  /**
   * Not the end: before one is in, the slip tells it together with the next try.
   * @param {string} sentence
   * @param {number} code
   */
  #refused(sentence, code) {
    this.#why = code;
    if (this.#wasLive) this.notices.tell(sentence, { isAlert: code !== ErrorCode.OK });
  }

  /** A loss that lasts is told, with what is kept. @param {number} nowMs */
  #tellLoss(nowMs) {
    if (!this.#lostSinceMs || this.#isLossTold || !this.#wasLive) return;
    if (nowMs - this.#lostSinceMs < LOST_MS) return;
    this.#isLossTold = true;
    this.notices.tell(words("link.kept"), { isAlert: true, offer: { text: words("join.retry"),
      act: () => this.#options.actions.retry() } });
  }

  #saving() {
    const { saving } = this.#options.model;
    if (saving === SaveState.RW) this.notices.tell(words("saving.rw"));
    else {
      this.notices.tell(words(saving === SaveState.DEGRADED ? "saving.degraded"
        : "saving.readOnly"), { isAlert: true });
    }
  }

  /** A few times a second. @param {number} nowMs */
  step(nowMs) {
    const { model, voice, figures } = this.#options;
    const people = model.state === "ended" ? [] : this.surroundings.people();
    const retryMs = model.state === "lost" ? this.#options.actions.retryInMs() : 0;
    this.hud.link(model, figures?.().fps ?? 0, retryMs);
    this.hud.peopleCount(people.length);
    this.hud.voiceState(voice?.mode ?? null, voice?.level() ?? 0);
    this.people.step(people, nowMs);
    this.miniMap.step(people, nowMs);
    this.chat.step(nowMs, people.filter(({ isTyping, name }) => isTyping && name)
      .map(({ name }) => name));
    this.#captions.step(nowMs);
    this.#tellLoss(nowMs);
  }

  /**
   * Loading of a place: how much of it is done, and the address of what cannot be had.
   * @param {number} done
   * @param {number} total
   * @param {string} failed
   */
  loading(done, total, failed) {
    this.join.loaded("scene", done, total);
    if (failed) {
      this.notices.tell(words("join.sceneFailed"), { isAlert: true,
        offer: { text: words("join.reload"), act: () => location.reload() } });
    }
  }

  /**
   * Models of the place, which come after it.
   * @param {number} done
   * @param {number} total
   * @param {number} failed
   */
  loadingModels(done, total, failed) {
    this.join.loaded("models", done, total);
    if (failed && done === total) this.notices.tell(words("join.modelFailed", { count: failed }));
  }

  // --- what the person does ----------------------------------------------------------------

  /**
   * A key of core/input_map was pressed in the world.
   * @param {string} name
   * @returns {boolean} whether it is known here
   */
  command(name) {
    if (isAsking()) return true;
    const act = this.#commands()[name];
    act?.();
    return act !== undefined;
  }

  /** @returns {Record<string, (() => void) | undefined>} */
  #commands() {
    const { settings } = this.#options;
    return {
      chat: () => this.chat.focus(), people: () => this.people.toggle(),
      map: () => settings.set("minimap", !settings.values.minimap),
      settings: () => this.panel.toggle(settingsPanel(settings)),
      keys: () => this.panel.toggle(keysPanel), whereAmI: () => this.whereAmI(),
      safeZone: () => void this.#safeZone(), mute: () => void this.#nextVoice(),
      build: this.#options.actions.build,
    };
  }

  whereAmI() {
    this.notices.tell(this.surroundings.summary());
  }

  /** Somebody was pointed at in the world. @param {{id: number, x: number, y: number}} where */
  personChosen({ id, x, y }) {
    this.card.open(id, "", { x, y });
  }

  /** Shows on the small map where somebody is. @param {number} id */
  find(id) {
    const person = this.surroundings.people().find((each) => each.id === id);
    if (!person) return;
    this.#options.settings.set("minimap", true);
    this.miniMap.find(id, performance.now() + FOUND_MS);
    this.notices.tell(words("around.found", { name: shownName(person),
      place: this.surroundings.place(person) }));
  }

  async #safeZone() {
    const { model } = this.#options;
    const isOn = !model.safeZone;
    const answer = await model.setSafeZone(isOn);
    if (this.relations.heard(answer)) this.notices.tell(words(isOn ? "safe.on" : "safe.off"));
    this.hud.safeZone(model.safeZone);
  }

  /** Off, listening and talking, in turn. */
  async #nextVoice() {
    const { voice, settings } = this.#options;
    if (!voice) return this.notices.tell(words("tools.voiceNone"), { isAlert: true });
    const next = voice.mode === "talk" ? "listen" : "talk";
    const why = await voice.setMode(next);
    if (why) this.notices.tell(why, { isAlert: true });
    else settings.set("voice", next);
  }

  /**
   * Keys that mean something wherever the focus is.
   * @param {KeyboardEvent} event
   * @param {boolean} isDown
   */
  #keyed({ code, target, repeat }, isDown) {
    const { voice, settings } = this.#options;
    if (code === "Escape" && isDown && !isAsking()) this.panel.close();
    if (code !== "KeyC" || repeat || !settings.values.pushToTalk) return;
    const isWorld = target === element("world", HTMLElement) || target === document.body;
    if (isWorld || !isDown) voice?.hold?.(isDown);
  }

  /** @param {string} text of the look */
  async #wear(text) {
    const { settings, actions, model } = this.#options;
    settings.keep("look", text);
    const answer = await actions.setAvatar(text);
    if (model.state !== "live" || answer === null) this.notices.tell(words("look.kept"));
    else if (this.relations.heard(answer)) this.notices.tell(words("look.saved"));
  }

  /** The avatar maker is loaded when it is first wanted. */
  async #openLook() {
    const { look, settings } = this.#options;
    if (!look) return;
    const [{ LookPanel }, ports] = await Promise.all([import("./look_panel.js"), look()]);
    this.#look ??= new LookPanel(ports, { notices: this.notices,
      now: () => settings.recall("look"), wear: (text) => void this.#wear(text) });
    this.panel.toggle(this.#look.panel());
  }

  // --- headsets ----------------------------------------------------------------------------

  async #findXr() {
    const { xr } = navigator;
    if (!xr || !this.#options.actions.enterXr) return;
    const modes = /** @type {XrMode[]} */ (["immersive-vr", "immersive-ar"]);
    const found = await Promise.all(modes.map((mode) => (
      xr.isSessionSupported(mode).catch(() => false))));
    this.#xr = modes.filter((_, at) => found[at]);
    this.hud.xr({ vr: this.#xr.includes("immersive-vr"), ar: this.#xr.includes("immersive-ar") });
  }

  /** @param {XrMode} mode */
  async #enterXr(mode) {
    const reason = await this.#options.actions.enterXr?.(mode);
    if (reason) this.notices.tell(words("join.xrRefused", { reason }), { isAlert: true });
  }

  // --- the menu ----------------------------------------------------------------------------

  /** @param {Element} from */
  #mainMenu(from) {
    const { actions, settings, model } = this.#options;
    /** @type {Entry[]} */
    const entries = [
      { text: words("menu.settings"), key: "O",
        act: () => this.panel.open(settingsPanel(settings)) },
      { text: words("menu.worlds"), act: () => this.panel.open(this.travel.panel()) },
      { text: words("menu.keys"), key: "F1", act: () => this.panel.open(keysPanel) },
      { text: words("menu.around"), key: "I", act: () => this.whereAmI() },
      { text: words("menu.view"), key: "V", act: () => actions.toggleView() },
      { text: words("menu.mini"), key: "M", act: () => (
        settings.set("minimap", !settings.values.minimap)) },
      "rule", ...this.#xrEntries(), "rule",
      { text: words("menu.leave"), isGrave: true, act: () => actions.leave() },
    ];
    if (this.#options.look) {
      entries.splice(1, 0, { text: words("menu.look"), act: () => void this.#openLook() });
    }
    if (model.state === "ended") entries.pop();
    else if (this.hud.hidesEmotes) entries.push("rule", ...this.#emoteEntries());
    this.menu.open(words("tools.menu"), entries, below(from));
  }

  /** Where the screen is too small for their buttons. @returns {Entry[]} */
  #emoteEntries() {
    return [0, 1, 2, 3].map((emote) => ({ text: wordsOf(`emote.${emote}`),
      act: () => this.#options.actions.emote(emote) }));
  }

  /** @returns {Entry[]} */
  #xrEntries() {
    return [
      this.#xr.includes("immersive-vr")
        ? { text: words("menu.vr"), act: () => void this.#enterXr("immersive-vr") }
        : { hint: words("menu.noVr") },
      this.#xr.includes("immersive-ar")
        ? { text: words("menu.ar"), act: () => void this.#enterXr("immersive-ar") }
        : { hint: words("menu.noAr") },
    ];
  }

  /** Why something was refused. @param {import("./ports.js").Answer} answer */
  explain(answer) {
    return sentenceOf(answer, document.documentElement.lang.slice(0, 2));
  }
}
