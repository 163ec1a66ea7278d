/**
 * Signing in: the account part of the join form, and the ticket that it gets from the server.
 *
 * Without a password one comes in as a guest, by name alone. With one, the server gives a token
 * that goes into the hello. It is kept in memory and in sessionStorage, as long as the tab; never
 * in a cookie, so that no other page can use it. It is not exchanged for a fresh one here: a tab
 * that is duplicated has a copy, and of two who show a spent token both are signed out.
 */

const TICKET_KEY = "atrium.ticket";
const AWAY = "The server does not answer just now: try again in a moment.";

/** @typedef {{token: string, name: string}} Ticket */

/** Why the server said no; `message` is its sentence, `code` its word for it. */
export class Refusal extends Error {
  /** @param {string} sentence @param {string} [code] */
  constructor(sentence, code = "") {
    super(sentence);
    this.code = code;
  }
}

export class Account {
  /** @type {Ticket | null} */
  ticket = null;
  #fetch;
  #storage;

  /**
   * @param {typeof fetch} fetching
   * @param {Pick<Storage, "getItem" | "setItem" | "removeItem">} storage
   */
  constructor(fetching, storage) {
    this.#fetch = fetching;
    this.#storage = storage;
    this.ticket = read(storage.getItem(TICKET_KEY));
  }

  /** What goes into the hello; empty for a guest. */
  get token() {
    return this.ticket?.token ?? "";
  }

  /** @param {string} handle @param {string} password */
  async signIn(handle, password) {
    this.#keep(await this.#ask("POST", "/api/sign-ins", { handle, password }));
  }

  /** @param {string} handle @param {string} password */
  async signUp(handle, password) {
    this.#keep(await this.#ask("POST", "/api/accounts", { handle, password }));
  }

  /** Forgets the ticket at once; the server is told, and whether it hears is its affair. */
  async signOut() {
    const told = this.token ? this.#ask("DELETE", "/api/sign-ins/current") : null;
    this.forget();
    await told?.catch(() => null);
  }

  /** Whether the server still takes the ticket; one that it does not take is forgotten. */
  async verify() {
    const token = this.token;
    const headers = { authorization: `Bearer ${token}` };
    const asked = { headers, cache: /** @type {RequestCache} */ ("no-store") };
    const response = await this.#fetch("/api/accounts/me", asked).catch(() => null);
    if (response?.status === 401 && token === this.token) this.forget();
    return this.token !== "";
  }

  /** The ticket is no good any more. */
  forget() {
    this.ticket = null;
    this.#storage.removeItem(TICKET_KEY);
  }

  /** @param {unknown} answer */
  #keep(answer) {
    const ticket = read(JSON.stringify(answer));
    if (ticket === null) throw new Refusal("The server's answer is not understood.");
    this.ticket = ticket;
    this.#storage.setItem(TICKET_KEY, JSON.stringify(ticket));
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object} [content]
   * @returns {Promise<unknown>}
   */
  async #ask(method, path, content) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (content) headers["content-type"] = "application/json";
    else if (this.token) headers.authorization = `Bearer ${this.token}`;
    /** @type {RequestInit} */
    const asked = { method, headers, credentials: "omit", cache: "no-store" };
    if (content) asked.body = JSON.stringify(content);
    const response = await this.#fetch(path, asked).catch(() => null);
    if (response === null) throw new Refusal(AWAY, "unavailable");
    if (response.status === 204) return null;
    const answer = await response.json().catch(() => null);
    if (!response.ok) {
      const { sentence, code } = answer ?? {};
      if (typeof sentence !== "string") throw new Refusal(AWAY, "unavailable");
      throw new Refusal(sentence, typeof code === "string" ? code : "");
    }
    return answer;
  }
}

/**
 * A ticket from JSON; null for anything else.
 * @param {string | null} text
 * @returns {Ticket | null}
 */
function read(text) {
  try {
    const found = JSON.parse(text ?? "null");
    if (typeof found?.token !== "string" || typeof found.name !== "string") return null;
    return { token: found.token, name: found.name };
  } catch {
    return null;
  }
}
