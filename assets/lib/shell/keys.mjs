/**
 * The meaning of each key. Pure.
 */

const SEQUENCE_MS = 1_200;
/** @type {Record<string, string>} */
const PAGES = {
  o: "overview",
  m: "models",
  s: "system",
  e: "experience",
  n: "network",
  h: "history",
  r: "requests",
  i: "insights",
  d: "settings",
};
/** @type {Record<string, "shortcuts" | "arrange" | "theme" | "fold">} */
const SINGLE = { "?": "shortcuts", a: "arrange", t: "theme", b: "fold" };

/**
 * Keys that arrange the panel in focus: [action, steps].
 * @type {Record<string, [action: "move" | "hide", steps: number]>}
 */
export const ARRANGE_KEYS = {
  ArrowLeft: ["move", -1],
  ArrowUp: ["move", -1],
  ArrowRight: ["move", 1],
  ArrowDown: ["move", 1],
  Delete: ["hide", 0],
  Backspace: ["hide", 0],
};

/**
 * Whether a key typed there is text, or belongs to the thing itself.
 * @param {{ tagName?: string, isContentEditable?: boolean }} [target]
 */
export function isTyping({ tagName = "", isContentEditable = false } = {}) {
  return isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(tagName);
}

/** A reader of keys that remembers a leading `g`: press(key, nowMs) -> {go: page} | {do: action} | null. */
export class Keys {
  constructor() {
    this.leadMs = -Infinity;
  }

  /** @param {string} key @param {number} nowMs */
  press(key, nowMs) {
    const led = nowMs - this.leadMs < SEQUENCE_MS;
    this.leadMs = -Infinity;
    if (led && PAGES[key]) return { go: PAGES[key] };
    if (key === "g") {
      this.leadMs = nowMs;
      return null;
    }
    return SINGLE[key] ? { do: SINGLE[key] } : null;
  }
}
