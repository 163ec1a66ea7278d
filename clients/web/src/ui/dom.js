/**
 * Elements of the page, found and made.
 *
 * Everything that comes from others (names, chat, titles) goes through `textContent` here and
 * nowhere through HTML. Names are set apart in a `bdi`, so that one written from right to left does
 * not turn around the words beside it.
 */

/**
 * @template {Element} T
 * @param {string} id
 * @param {new (...args: any[]) => T} kind
 * @returns {T}
 */
export function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`The page has no #${id}.`);
  return found;
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {{class?: string, text?: string, attributes?: Record<string, string>}} [how]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, how = {}, ...children) {
  const made = document.createElement(tag);
  if (how.class) made.className = how.class;
  if (how.text !== undefined) made.textContent = how.text;
  for (const [name, value] of Object.entries(how.attributes ?? {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/**
 * @param {string} text
 * @param {() => void} act
 * @param {string} [kind] its classes
 */
export function button(text, act, kind = "do") {
  const made = make("button", { class: kind, text, attributes: { type: "button" } });
  made.addEventListener("click", act);
  return made;
}

/** A name or another text of somebody, set apart from the words around it. @param {string} text */
export function foreign(text, kind = "name") {
  return make("bdi", { class: kind, text, attributes: { dir: "auto" } });
}

/** Writes only what differs: a live region would read the same again.
 * @param {Element} target
 * @param {string} text
 */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/**
 * @param {Element} target
 * @param {string} name
 * @param {string} value
 */
export function setAttribute(target, name, value) {
  if (target.getAttribute(name) !== value) target.setAttribute(name, value);
}

/** @param {HTMLElement} target the label as well as the hint @param {string} text */
export function setLabel(target, text) {
  setAttribute(target, "aria-label", text);
  if (target.title !== text) target.title = text;
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag
 * @param {Record<string, string>} attributes
 * @param {Node[]} children
 */
export function drawn(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

