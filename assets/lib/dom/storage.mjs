/**
 * Storage of choices in this browser. If it is blocked or full, a choice lasts only as long as the page.
 */

/**
 * What was kept under `key`, or null.
 * @param {Window} window @param {string} key
 */
export function kept(window, key) {
  try {
    return window.localStorage.getItem(key);
  } catch {
    return null;
  }
}

/**
 * Keep `text` under `key`; false where the browser does not.
 * @param {Window} window @param {string} key @param {string} text
 */
export function keep(window, key, text) {
  try {
    window.localStorage.setItem(key, text);
    return true;
  } catch {
    return false;
  }
}
