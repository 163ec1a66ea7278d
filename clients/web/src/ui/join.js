/**
 * The first thing seen: a slip over the picture that asks for a name and tells how loading goes.
 *
 * It also is where one comes back to when the link ends for good. Each way it can end has a
 * sentence and a way out: a button that reloads, that tries again, a link to the map. While the
 * server cannot be reached, the slip counts down to the next try. Loading goes on behind the slip:
 * nobody waits for models in order to come in.
 */

import { accountSentence } from "./answers.js";
import { ErrorCode, Limits } from "../core/protocol.generated.js";
import { charactersOf } from "./chat_window.js";
import { button, element, make, setText } from "./dom.js";
import { Progress } from "./progress.js";
import { languageChanged, languageName, words } from "./words.js";

/** @typedef {import("./words.js").WordKey} WordKey */
/** @typedef {import("./progress.js").Step} Step */
/** @typedef {import("./ports.js").UiOptions} UiOptions */
/** @typedef {{join: (name: string) => void, look: () => void, settings: () => void}} Presses */

/** @type {ReadonlyMap<number, WordKey>} codes whose own words say more than the server's */
const ENDS = new Map([[ErrorCode.VERSION, "join.version"], [ErrorCode.REPLACED, "join.replaced"],
  [ErrorCode.FULL, "join.full"], [ErrorCode.WORLD_FULL, "join.full"],
  [ErrorCode.DRAINING, "join.draining"], [ErrorCode.MALFORMED, "join.malformed"],
].map(([code, key]) => [Number(code), /** @type {WordKey} */ (key)]));
/** @type {ReadonlyMap<number, WordKey>} why one waits for the next try, where it is known */
const WAITS = new Map([[ErrorCode.FULL, "join.fullAgain"],
  [ErrorCode.WORLD_FULL, "join.fullAgain"], [ErrorCode.DRAINING, "join.drainingAgain"],
].map(([code, key]) => [Number(code), /** @type {WordKey} */ (key)]));
/** @type {ReadonlySet<number>} codes that a fresh page may not meet */
const RELOADS = new Set([ErrorCode.VERSION, ErrorCode.MALFORMED].map(Number));

const LANGUAGE_CHOICES = Object.freeze(/** @type {const} */ (["auto", "en", "zh"]));

export class Join {
  #dialog = element("join", HTMLDialogElement);
  #name = element("join-name", HTMLInputElement);
  #password = element("join-password", HTMLInputElement);
  #error = element("join-error", HTMLElement);
  #ways = element("join-ways", HTMLElement);
  #enter = element("join-enter", HTMLButtonElement);
  #loading = element("join-progress", HTMLElement);
  progress = new Progress();
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #countdown;
  #options;
  #presses;

  /** @param {UiOptions} options @param {Presses} presses */
  constructor(options, presses) {
    this.#options = options;
    this.#presses = presses;
    this.#name.value = options.settings.recall("name");
    element("join-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#password.value && !options.account.token) void this.#sign(false);
      else this.#submit();
    });
    // Escape would leave a page behind in which nobody is.
    this.#dialog.addEventListener("cancel", (event) => event.preventDefault());
    this.#dialog.addEventListener("keydown", (event) => event.stopPropagation());
    const on = (/** @type {string} */ id, /** @type {() => void} */ act) => (
      element(id, HTMLButtonElement).addEventListener("click", act));
    on("join-sign-in", () => void this.#sign(false));
    on("join-sign-up", () => void this.#sign(true));
    on("join-sign-out", () => {
      void options.account.signOut();
      this.showAccount();
    });
    on("join-look", presses.look);
    element("join-look", HTMLElement).hidden = !options.look;
    on("join-settings", presses.settings);
    this.#languages();
    this.showAccount();
  }

  get isOpen() {
    return this.#dialog.open;
  }

  #languages() {
    const select = element("join-language", HTMLSelectElement);
    const { settings } = this.#options;
    const fill = () => {
      const automatic = `${words("settings.language")}: ${words("choice.auto")}`;
      select.replaceChildren(...LANGUAGE_CHOICES.map((each) => make("option", {
        text: each === "auto" ? automatic : languageName(each), attributes: { value: each } })));
      select.value = settings.values.language;
    };
    fill();
    languageChanged.add(fill);
    select.addEventListener("change", () => {
      settings.set("language", /** @type {typeof LANGUAGE_CHOICES[number]} */ (select.value));
    });
  }

  /** @param {string} [sentence] why one has to come in again */
  open(sentence = "") {
    this.#stopCounting();
    this.#say(sentence);
    if (!this.#dialog.open) {
      this.#dialog.showModal();
      this.#name.focus();
      this.#name.select();
    }
  }

  close() {
    this.#stopCounting();
    this.#say("");
    this.#dialog.close();
    // What is still loading is told on the slip of the place from now on.
    element("title", HTMLElement).append(this.#loading);
  }

  /** What the place is called, before one is in it. @param {string} title */
  title(title) {
    setText(element("join-heading", HTMLElement), title);
  }

  /** @param {string} sentence @param {Node[]} ways out of it */
  #say(sentence, ...ways) {
    setText(this.#error, sentence);
    this.#ways.replaceChildren(...ways);
    this.#ways.hidden = !ways.length;
    setText(this.#enter, words("join.enter"));
    this.#enter.disabled = false;
  }

  #submit() {
    const name = this.#name.value.trim();
    if (!name) return this.#wrong(words("join.noName"));
    if (charactersOf(name) > Limits.NAME_CHARS_MAX) {
      return this.#wrong(words("join.longName", { count: Limits.NAME_CHARS_MAX }));
    }
    this.#options.settings.keep("name", name);
    this.#say("");
    setText(this.#enter, words("join.entering"));
    this.#presses.join(name);
  }

  /** @param {string} sentence */
  #wrong(sentence) {
    this.#say(sentence);
    this.#name.focus();
  }

  /** @param {boolean} isNew */
  async #sign(isNew) {
    const { account } = this.#options;
    const [name, password] = [this.#name.value.trim(), this.#password.value];
    if (!name) return this.#wrong(words("join.noName"));
    if (!password) {
      element("join-account", HTMLDetailsElement).open = true;
      this.#say(words("join.noPassword"));
      return this.#password.focus();
    }
    this.#enter.disabled = true;
    try {
      await (isNew ? account.signUp(name, password) : account.signIn(name, password));
    } catch (error) {
      return this.#say(accountSentence(error, document.documentElement.lang.slice(0, 2)));
    }
    this.#enter.disabled = false;
    this.showAccount();
    this.#submit();
  }

  /** Whether one is signed in, and as whom. */
  showAccount() {
    const name = this.#options.account.ticket?.name ?? "";
    element("join-account", HTMLElement).hidden = name !== "";
    element("join-signed-in", HTMLElement).hidden = name === "";
    this.#password.value = "";
    this.#name.readOnly = name !== "";
    if (name) this.#name.value = name;
  }

  // --- how it can end ----------------------------------------------------------------------

  /**
   * The server cannot be reached or cannot take one in; tries again by itself.
   * @param {number} seconds
   * @param {number} [code] of ErrorCode: why, where the server could say it
   */
  unreachable(seconds, code = 0) {
    this.open();
    const key = WAITS.get(code) ?? "join.away";
    let left = Math.max(1, Math.round(seconds));
    const retry = button(words("join.retry"), () => {
      this.#stopCounting();
      setText(this.#error, words("join.awayNow"));
      this.#options.actions.retry();
    });
    this.#say(words(key, { count: left }), retry);
    // Only the first sentence is read aloud: the number is not worth a voice every second.
    this.#countdown = setInterval(() => {
      left -= 1;
      this.#error.setAttribute("role", "none");
      setText(this.#error, left > 0 ? words(key, { count: left }) : words("join.awayNow"));
    }, 1000);
  }

  #stopCounting() {
    clearInterval(this.#countdown);
    this.#error.setAttribute("role", "alert");
  }

  /**
   * The session ended for good.
   * @param {string} sentence of the server
   * @param {number} code of ErrorCode, 0 where none was told
   * @param {boolean} wasIn whether one was in the world until now
   */
  ended(sentence, code, wasIn) {
    const key = ENDS.get(code);
    if (code === ErrorCode.NOT_ALLOWED) {
      this.open(words(wasIn ? "join.kicked" : "join.banned", { reason: sentence }));
    } else this.open(key ? words(key) : sentence);
    // The name may be one's own, and the sign-in over since the last visit.
    if (code === ErrorCode.BAD_NAME) element("join-account", HTMLDetailsElement).open = true;
    if (key && RELOADS.has(code)) {
      this.#say(words(key), button(words("join.reload"), () => location.reload()));
    }
    const { account } = this.#options;
    if (!account.token || !sentence) return;
    void account.verify().then((holds) => {
      if (holds) return;
      this.showAccount();
      element("join-account", HTMLDetailsElement).open = true;
      this.#say(words("join.expired"));
      this.#password.focus();
    });
  }

  /** The world cannot be drawn here. */
  noWebGl() {
    this.open();
    const map = make("a", { text: words("join.map"), attributes: { href: "/map" } });
    this.#say(words("join.noWebGl"), map);
    this.#enter.disabled = true;
  }

  // --- loading -----------------------------------------------------------------------------

  /** @param {Step} step @param {number} done @param {number} total */
  loaded(step, done, total) {
    this.progress.set(step, done, total);
    const { part, doing } = this.progress;
    this.#loading.hidden = !doing;
    element("join-bar", HTMLProgressElement).value = part;
    setText(element("join-doing", HTMLElement),
      doing ? words(`load.${doing.step}`, { count: doing.left }) : words("load.done"));
  }
}
