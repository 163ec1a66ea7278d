/**
 * Asking a server again that cannot answer just now.
 *
 * A server that is busy says when to come back (Retry-After); whoever comes sooner makes it worse.
 * An answer that does not come at all is not waited for without end.
 */

const TRIES_MAX = 5;
const PAUSE_MS = 700;
/** A wait that is longer than this is not what somebody in front of a picture waits for. */
const WAIT_MS_MAX = 20_000;
const ANSWER_MS_MAX = 30_000;

/**
 * How long an answer asks one to wait, ms; 0 where it does not.
 * @param {Pick<Response, "headers">} answer
 */
export function retryAfterMs({ headers }) {
  const seconds = Number(headers.get("retry-after"));
  return seconds > 0 ? Math.min(seconds * 1000, WAIT_MS_MAX) : 0;
}

/**
 * @typedef {object} How
 * @property {() => boolean} isWanted whether it is still of use
 * @property {typeof fetch} [fetching]
 * @property {(ms: number) => Promise<void>} [pause]
 */

/**
 * The JSON at an address; null when it cannot be had, or is not wanted any more.
 * @param {URL} url
 * @param {How} how
 * @returns {Promise<any>}
 */
export async function fetchPatiently(url, { isWanted, fetching = fetch, pause = sleep }) {
  for (let tries = 1; isWanted(); tries++) {
    const { json, waitMs } = await fetchOnce(url, fetching);
    if (json !== null) return json;
    if (tries >= TRIES_MAX) return null;
    await pause(Math.max(PAUSE_MS * tries, waitMs));
  }
  return null;
}

/**
 * @param {URL} url
 * @param {typeof fetch} fetching
 * @returns {Promise<{json: any, waitMs: number}>}
 */
async function fetchOnce(url, fetching) {
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(), ANSWER_MS_MAX);
  try {
    const answer = await fetching(url, { signal: giveUp.signal });
    return { json: answer.ok ? await answer.json() : null, waitMs: retryAfterMs(answer) };
  } catch {
    return { json: null, waitMs: 0 }; // no answer, or one that is cut short: asked for again
  } finally {
    clearTimeout(timer);
  }
}

/** @param {number} ms @returns {Promise<void>} */
function sleep(ms) {
  return new Promise((wake) => { setTimeout(wake, ms); });
}
