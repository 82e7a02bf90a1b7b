/**
 * Small helpers for elements of the document.
 */

/**
 * The window that shows a document.
 * @param {Document} document
 */
export function windowOf(document) {
  return /** @type {Window & typeof globalThis} */ (document.defaultView);
}

/**
 * The first element below `host` that `selector` finds, where the markup promises that there is one (docs/markup.md).
 * @template {Element} [E=HTMLElement]
 * @param {ParentNode} host @param {string} selector @returns {E}
 */
export function part(host, selector) {
  return /** @type {E} */ (host.querySelector(selector));
}

/**
 * All of them, as an array.
 * @template {Element} [E=HTMLElement]
 * @param {ParentNode} host @param {string} selector @returns {E[]}
 */
export function partsOf(host, selector) {
  return [.../** @type {NodeListOf<E>} */ (host.querySelectorAll(selector))];
}

/**
 * A new element at the end of `parent`.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {string} className @param {Element} parent
 */
export function make(tag, className, parent) {
  const element = parent.ownerDocument.createElement(tag);
  if (className) element.className = className;
  parent.append(element);
  return element;
}

/**
 * The element at which an event happened.
 * @param {Event} event
 */
export function targetOf(event) {
  return /** @type {HTMLElement} */ (event.target);
}

/**
 * The text node that an element was made with.
 * @param {Node} element
 */
export function textOf(element) {
  return /** @type {Text} */ (element.firstChild);
}

/**
 * What paints on a canvas.
 * @param {HTMLCanvasElement} canvas
 */
export function painterOf(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

/**
 * Put `text` into the element's own text node; the element holds nothing else.
 * @param {Element} element @param {string} text
 */
export function put(element, text) {
  const node = element.firstChild;
  if (node && node.nodeType === 3 && !node.nextSibling) {
    if (textOf(element).data !== text) textOf(element).data = text;
  } else element.textContent = text;
}
