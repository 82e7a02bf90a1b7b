/**
 * The panels that a page shows, and their order, from the user's choice and the page's panels. Pure.
 *
 * A choice is {order: [keys], hidden: [keys]}. It survives panels that are born or die: a key that the page lacks is
 * kept for later, and a new panel stands where the page put it.
 */

/** @typedef {{ order: string[], hidden: string[] }} Choice */

/** @type {Choice} */
export const NO_CHOICE = Object.freeze({ order: [], hidden: [] });

/**
 * The name under which a page's choice is kept.
 * @param {string} page
 */
export function storageKey(page) {
  return `wfmon.panels.${page}`;
}

/**
 * A choice from stored text; anything else than a choice is none.
 * @param {string | null} stored @returns {Choice}
 */
export function parseChoice(stored) {
  let given;
  try {
    given = JSON.parse(stored ?? "");
  } catch {
    return NO_CHOICE;
  }
  /** @param {unknown} list */
  const keys = (list) => (Array.isArray(list) ? [...new Set(list.filter((key) => typeof key === "string"))] : []);
  return { order: keys(given?.order), hidden: keys(given?.hidden) };
}

/**
 * The page's keys in the chosen order. A key without a place follows its neighbour of the page's own order.
 * @param {string[]} keys @param {{ order: string[] }} choice
 */
export function arranged(keys, { order }) {
  const result = order.filter((key) => keys.includes(key));
  keys.forEach((key, i) => {
    if (result.includes(key)) return;
    result.splice(i === 0 ? 0 : result.indexOf(keys[i - 1]) + 1, 0, key);
  });
  return result;
}

/**
 * The choice after moving `key` by `steps` among the shown keys of its group; the same choice when it cannot move.
 * @param {Choice} choice @param {string[]} keys @param {string} key @param {number} steps @returns {Choice}
 */
export function moved(choice, keys, key, steps) {
  const all = arranged(keys, choice);
  const shown = all.filter((k) => !choice.hidden.includes(k));
  const from = shown.indexOf(key);
  const to = Math.min(shown.length - 1, Math.max(0, from + steps));
  if (from < 0 || to === from) return choice;
  const neighbour = shown[to];
  const rest = all.filter((k) => k !== key);
  rest.splice(rest.indexOf(neighbour) + (to > from ? 1 : 0), 0, key);
  return { ...choice, order: merged(choice.order, rest) };
}

/**
 * The new order of one group, with what the choice knows of other groups behind it.
 * @param {string[]} order @param {string[]} group
 */
function merged(order, group) {
  return [...group, ...order.filter((key) => !group.includes(key))];
}

/**
 * The choice with `key` hidden or shown again.
 * @param {Choice} choice @param {string} key @param {boolean} hide @returns {Choice}
 */
export function withHidden(choice, key, hide) {
  const others = choice.hidden.filter((k) => k !== key);
  return { ...choice, hidden: hide ? [...others, key] : others };
}
