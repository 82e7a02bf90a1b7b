/**
 * The saved appearance: theme and collapsed sidebar, in a cookie that the server reads before the first paint.
 * Pure.
 */

/** @typedef {{ theme: string, side: string }} Look */

export const LOOK_COOKIE = "wfmon-look";
const YEAR_S = 31_536_000;
const THEMES = ["", "dark", "light"]; // "" follows the system

/**
 * {theme, side} from `document.cookie`. Anything unknown is the default.
 * @param {string} cookies
 */
export function readLook(cookies) {
  const found = new RegExp(`(?:^|;\\s*)${LOOK_COOKIE}=([^;]*)`).exec(cookies);
  const [theme, side] = (found ? found[1] : "").split(".");
  return { theme: THEMES.includes(theme) ? theme : "", side: side === "folded" ? "folded" : "open" };
}

/**
 * What to assign to `document.cookie`.
 * @param {Look} look
 */
export function lookCookie({ theme, side }) {
  return `${LOOK_COOKIE}=${theme}.${side}; Path=/; Max-Age=${YEAR_S}; SameSite=Strict`;
}

/**
 * The next theme of the switch: system, dark, light, and system again.
 * @param {string} theme
 */
export function nextTheme(theme) {
  return THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
}

/**
 * The theme in words.
 * @param {string} theme
 */
export function themeWords(theme) {
  return theme === "" ? "system" : theme;
}
