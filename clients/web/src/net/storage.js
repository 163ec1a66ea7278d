/**
 * The browser's storage, or memory where it is blocked.
 *
 * Browsers may refuse storage altogether (private windows, embedded pages, policies): then the page
 * goes on and forgets when it is closed. Reading `window.localStorage` itself may throw.
 */

/** What is kept where the browser keeps nothing. */
class Memory {
  /** @type {Map<string, string>} */
  #items = new Map();

  /** @param {string} key */
  getItem(key) {
    return this.#items.get(key) ?? null;
  }

  /** @param {string} key @param {string} value */
  setItem(key, value) {
    this.#items.set(key, value);
  }

  /** @param {string} key */
  removeItem(key) {
    this.#items.delete(key);
  }
}

/** A storage that never throws; what it cannot keep there it keeps in memory. */
export class SafeStorage {
  /** Whether what is kept here will be there the next time. */
  isLasting = false;
  /** @type {Pick<Storage, "getItem" | "setItem" | "removeItem">} */
  #storage = new Memory();

  /** @param {() => Storage} find */
  constructor(find) {
    try {
      const storage = find();
      storage.setItem("atrium.probe", "1");
      storage.removeItem("atrium.probe");
      this.#storage = storage;
      this.isLasting = true;
    } catch {
      // Blocked: memory it is.
    }
  }

  /** @param {string} key */
  getItem(key) {
    try {
      return this.#storage.getItem(key);
    } catch {
      return null;
    }
  }

  /** @param {string} key @param {string} value */
  setItem(key, value) {
    try {
      this.#storage.setItem(key, value);
    } catch {
      this.#storage = new Memory();
      this.#storage.setItem(key, value);
      this.isLasting = false;
    }
  }

  /** @param {string} key */
  removeItem(key) {
    try {
      this.#storage.removeItem(key);
    } catch {
      // It is not there, then.
    }
  }
}

/** As long as the tab. */
export const tabStorage = new SafeStorage(() => window.sessionStorage);
/** For good. */
export const lastingStorage = new SafeStorage(() => window.localStorage);
