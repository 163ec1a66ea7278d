/**
 * The menu on the inside of the wrist: shown when one turns the palm up to look at it.
 *
 * The other hand presses: by its ray, or by touching with a fingertip. Pages of buttons: the main
 * one, gestures, phrases for the chat (nobody has to type in a headset) and people nearby.
 */

import { Group, Vector3 } from "../../vendor/three.js";
import { Relation } from "../core/protocol.generated.js";
import { rotate } from "../core/quaternion.js";
import { CHOICES_MAX, SpatialPanel } from "./panel.js";
import { PanelPointer, turnToHead } from "./panel_pointer.js";

/** @typedef {import("./senses.js").Senses} Senses */
/** @typedef {import("./senses.js").HandSense} HandSense */
/** @typedef {import("./entry.js").XrOptions} XrOptions */
/** @typedef {import("./panel.js").Choice} Choice */
/**
 * @typedef {object} Does
 * @property {() => void} leave
 * @property {() => void} recentre
 * @property {() => Choice[] | null} placing of a world that is laid into a room; null for none
 * @property {() => Choice[]} building the switch of build mode; none where nobody is on foot
 */

const LOOKED_AT = 0.5;
const LOOKED_AWAY = 0.25;
const OUT_M = 0.07;
const DOWN_M = 0.09;
const EMOTES = 4;
const PHRASES = 6;
const NEAR_M = 15;
const PAGE = (CHOICES_MAX - 2) / 2;
const LISTED_MAX = 10 * PAGE;
const NEWCOMERS_FRAMES = 36;

export class WristMenu {
  group = new Group();
  panel = new SpatialPanel();
  #pointer = new PanelPointer(this.panel);
  #page = "main";
  #options;
  #does;
  #palm = new Float64Array(3);
  #at = new Vector3();
  #head = new Vector3();
  #ahead = new Vector3();
  #turned = new Float64Array(3);
  /** @type {Map<number, string>} those who have buttons on the page of people, by entity id */
  #listed = new Map();
  #firstShown = 0;
  #frames = 0;

  /** @param {XrOptions} options @param {Does} does */
  constructor(options, does) {
    this.#options = options;
    this.#does = does;
    this.group.add(this.panel.mesh);
  }

  get #wrist() {
    return this.#options.settings.values.dominantHand === "right" ? 0 : 1;
  }

  /** @param {Senses} senses */
  step(senses) {
    const wrist = senses.hands[this.#wrist];
    const isShown = this.#isLookedAt(wrist, senses);
    if (isShown !== this.panel.mesh.visible) {
      this.panel.mesh.visible = isShown;
      if (isShown) this.#open("main");
    }
    if (!isShown) return;
    this.panel.mesh.position.copy(this.#at);
    turnToHead(this.panel.mesh, senses.head);
    if (this.#page === "people" && ++this.#frames % NEWCOMERS_FRAMES === 0 && this.#list()) {
      this.#open("people");
    }
    this.#pointer.point(senses.hands[1 - this.#wrist]);
  }

  /** @param {HandSense} wrist @param {Senses} senses */
  #isLookedAt(wrist, { head }) {
    if (!this.#options.settings.values.handMenu || !wrist.hasGrip) return false;
    // A palm looks along +X of the left grip, and along -X of the right one.
    const side = this.#wrist === 0 ? 1 : -1;
    rotate(this.#palm, 0, wrist.grip, 3, side, 0, 0);
    rotate(this.#turned, 0, wrist.grip, 3, side * OUT_M, 0, DOWN_M);
    this.#at.set(wrist.grip[0] + this.#turned[0], wrist.grip[1] + this.#turned[1],
      wrist.grip[2] + this.#turned[2]);
    this.#head.set(head[0], head[1], head[2]);
    const to = this.#ahead.copy(this.#head).sub(this.#at).normalize();
    const faces = this.#palm[0] * to.x + this.#palm[1] * to.y + this.#palm[2] * to.z;
    rotate(this.#turned, 0, head, 3, 0, 0, -1);
    const seen = -(this.#turned[0] * to.x + this.#turned[1] * to.y + this.#turned[2] * to.z);
    const wanted = this.panel.mesh.visible ? LOOKED_AWAY : LOOKED_AT;
    return faces > wanted && seen > wanted;
  }

  /** @param {number} hand @returns {boolean} whether it was a press on the menu */
  press(hand) {
    if (!this.panel.mesh.visible || hand === this.#wrist || this.panel.hovered < 0) return false;
    this.panel.press();
    return true;
  }

  /** @param {string} page */
  #open(page) {
    if (page !== this.#page) {
      this.#listed.clear();
      this.#firstShown = 0;
    }
    this.#page = page;
    const pages = /** @type {Record<string, () => Choice[]>} */ ({
      emotes: () => this.#emotes(), phrases: () => this.#phrases(), people: () => this.#people(),
      placing: () => this.#does.placing() ?? [], main: () => this.#main(),
    });
    const choices = pages[page]();
    if (page !== "main") choices.push(this.#leads("xr.back", "main"));
    this.panel.show(choices);
  }

  /** @param {string} key @param {string} page @returns {Choice} */
  #leads(key, page) {
    return { text: this.#options.words(key), act: () => this.#open(page) };
  }

  /** @returns {Choice[]} */
  #main() {
    const { model, settings, words, ui } = this.#options;
    const { values } = settings;
    /** @type {(key: string, isOn: boolean, act: () => void) => Choice} */
    const either = (key, isOn, act) => ({ text: words(key), isOn, act: () => {
      act();
      this.#open("main");
    } });
    const always = [
      ...(ui.choices?.() ?? []), ...this.#does.building(),
      either("xr.safeZone", model.safeZone, () => void model.setSafeZone(!model.safeZone)),
      this.#leads("xr.emotes", "emotes"), this.#leads("xr.phrases", "phrases"),
      this.#leads("xr.people", "people"),
    ];
    const leave = { text: words("xr.leave"), isGrave: true, act: () => this.#does.leave() };
    // In a room of one's own nobody turns or walks by a stick.
    if (this.#does.placing()) return [...always, this.#leads("xr.placing", "placing"), leave];
    return [
      ...always,
      either("xr.smoothTurn", values.turn === "smooth",
        () => settings.set("turn", values.turn === "smooth" ? "snap" : "smooth")),
      either("xr.smoothMove", values.move === "smooth",
        () => settings.set("move", values.move === "smooth" ? "teleport" : "smooth")),
      either("xr.seated", values.seated, () => {
        settings.set("seated", !values.seated);
        this.#does.recentre();
      }),
      either("xr.boundary", values.boundary, () => settings.set("boundary", !values.boundary)),
      { text: words("xr.recentre"), act: () => this.#does.recentre() },
      leave,
    ];
  }

  #emotes() {
    const { model, words } = this.#options;
    return Array.from({ length: EMOTES }, (_, emote) => (
      { text: words(`emote.${emote}`), act: () => model.emote(emote) }));
  }

  #phrases() {
    const { model, words } = this.#options;
    return Array.from({ length: PHRASES }, (_, k) => {
      const text = words(`xr.phrase.${k}`);
      return { text, act: () => { model.say(text); } };
    });
  }

  /**
   * Who is near, the nearest first as the page is opened. Whoever comes later gets a place at the
   * end; nobody's moves while it is open, so that a finger on its way never meets another person's
   * button. True if somebody was added.
   */
  #list() {
    const { model, people } = this.#options;
    const before = this.#listed.size;
    /** @type {(person: import("../page/gather.js").Person) => number} */
    const away = ({ figure }) =>
      Math.hypot(figure.pose[0] - model.own.x, figure.pose[2] - model.own.z);
    const news = people().filter((each) => !each.isOwn && each.name !== ""
      && !this.#listed.has(each.id) && away(each) < NEAR_M);
    for (const { id, name } of news.sort((a, b) => away(a) - away(b))) {
      if (this.#listed.size < LISTED_MAX) this.#listed.set(id, name);
    }
    return this.#listed.size > before;
  }

  /** Those nearby: a press mutes or blocks, the next one takes it back. @returns {Choice[]} */
  #people() {
    this.#list();
    const all = [...this.#listed];
    const choices = all.slice(this.#firstShown, this.#firstShown + PAGE).flatMap(([id, name]) => [
      this.#relates(id, Relation.MUTE, "xr.mute", name),
      { ...this.#relates(id, Relation.BLOCK, "xr.block", name), isGrave: true },
    ]);
    if (all.length <= PAGE) return choices;
    return [...choices, { text: this.#options.words("xr.others"), act: () => {
      this.#firstShown = this.#firstShown + PAGE < this.#listed.size ? this.#firstShown + PAGE : 0;
      this.#open("people");
    } }];
  }

  /**
   * Turns one bit of a relation over and leaves the others.
   * @param {number} id
   * @param {number} bit
   * @param {string} key
   * @param {string} name
   * @returns {Choice}
   */
  #relates(id, bit, key, name) {
    const { model, words, ui } = this.#options;
    const now = () => model.relations.find((each) => each.entity_id === id)?.relation ?? 0;
    return { text: words(key, { name }), isOn: (now() & bit) !== 0, act: async () => {
      const answer = await model.relate(id, now() ^ bit);
      if (answer.code) ui.tell(ui.sentenceOf(answer));
      if (this.#page === "people") this.#open("people");
    } };
  }

  dispose() {
    this.panel.dispose();
  }
}
