/**
 * Going to other worlds: the list of them, and what a portal asks.
 *
 * The list is asked of the server whenever the panel opens. Titles are texts of somebody.
 */

import { ask } from "./dialogs.js";
import { button, foreign, make } from "./dom.js";
import { words } from "./words.js";

/** @typedef {{name: string, title: string, alive: boolean, sessions: number, capacity: number}}
 *   World */
/**
 * @typedef {object} TravelPorts
 * @property {import("./ports.js").UiOptions} options
 * @property {import("./notices.js").Notices} notices
 * @property {import("./relations.js").Relations} relations
 * @property {import("./panel.js").Panel} panel
 */

const WORLDS_MAX = 200;

export class Travel {
  #ports;
  #asked = 0;

  /** @param {TravelPorts} ports */
  constructor(ports) {
    this.#ports = ports;
  }

  /** @returns {import("./panel.js").Content} */
  panel() {
    return { title: "worlds.heading", fill: (body) => void this.#fill(body),
      closed: () => { this.#asked += 1; } };
  }

  /** @param {HTMLElement} body */
  async #fill(body) {
    const asked = ++this.#asked;
    const waiting = make("p", { class: "hint", text: words("worlds.loading") });
    body.append(waiting);
    const worlds = await fetchWorlds();
    if (asked !== this.#asked) return;
    if (!worlds) {
      waiting.textContent = words("worlds.failed");
      body.append(button(words("join.retry"), () => {
        body.replaceChildren();
        void this.#fill(body);
      }));
      return;
    }
    if (worlds.length < 2) waiting.textContent = words("worlds.none");
    else waiting.remove();
    body.append(...worlds.map((world) => this.#row(world)));
  }

  /** @param {World} world */
  #row({ name, title, alive, sessions, capacity }) {
    const isHere = name === this.#ports.options.model.world;
    const isFull = sessions >= capacity;
    const state = isHere ? words("worlds.here") : !alive ? words("worlds.down")
      : isFull ? words("worlds.full") : words("worlds.people", { count: sessions, most: capacity });
    const row = make("div", { class: "world" }, foreign(title || name));
    if (!isHere && alive && !isFull) {
      const enter = button(words("worlds.enter"), () => void this.go(name, title));
      enter.setAttribute("aria-label", words("worlds.enterNamed", { name: title || name }));
      row.append(enter);
    }
    row.append(make("span", { class: "hint", text: state }));
    return row;
  }

  /**
   * A portal was walked into or clicked.
   * @param {string} world
   * @param {string} title
   */
  async portal(world, title) {
    const { settings } = this.#ports.options;
    const name = title || world;
    const isWanted = settings.values.portals === "directly" || await ask({
      title: words("worlds.portalTitle", { name }), content: [words("worlds.portalText")],
      yes: words("worlds.enter") });
    if (isWanted) await this.go(world, title);
  }

  /** @param {string} world @param {string} title */
  async go(world, title) {
    const { options: { model }, notices, panel, relations } = this.#ports;
    const going = words("worlds.going", { name: title || world });
    notices.tell(going);
    const isThere = relations.heard(await model.travel(world));
    notices.drop(going);
    if (isThere) panel.close();
  }
}

/** @returns {Promise<World[] | null>} */
async function fetchWorlds() {
  try {
    const response = await fetch("/api/worlds", { cache: "no-store", credentials: "omit" });
    const answer = await response.json();
    if (!response.ok || !Array.isArray(answer)) return null;
    return answer.slice(0, WORLDS_MAX).map((entry) => entry.world ?? entry).filter((world) => (
      typeof world?.name === "string" && typeof world.title === "string"));
  } catch {
    return null;
  }
}
