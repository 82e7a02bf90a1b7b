/**
 * THE matcher of series: `name` or `name{label="value"}`, where `*` is any text and `?` one character. Pure.
 *
 * A label that is not named may have any value; one that is named must be there and fit. A backslash in a label's value
 * takes the next character as itself. wfmon/core/selectors.py is the same, and tests/data/selectors.json holds both to
 * the same cases.
 */

/** @import { Labels, Pattern, Selector } from "./types" */

const ANY = 0;
const ONE = 1;

/**
 * The name of a series as it is written everywhere: `name{label="v"}`.
 * @param {string} name @param {Labels} [labels]
 */
export function seriesKey(name, labels = {}) {
  const names = Object.keys(labels).sort();
  if (!names.length) return name;
  return `${name}{${names.map((n) => `${n}="${String(labels[n]).replace(/[\\"]/g, "\\$&")}"`).join(",")}}`;
}

/**
 * Split `name{label="v"}` into its name and its labels as written, escapes included. Throws on anything else.
 * @param {string} text @returns {[name: string, labels: [key: string, raw: string][]]}
 */
function split(text) {
  const at = text.indexOf("{");
  if (at < 0) return [text, []];
  if (!text.endsWith("}")) throw new Error(`not a selector: ${text}`);
  /** @type {[key: string, raw: string][]} */
  const labels = [];
  let rest = text.slice(at + 1, -1);
  while (rest) {
    const pair = /^([a-z_][a-z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)/s.exec(rest);
    if (!pair) throw new Error(`not a selector: ${text}`);
    labels.push([pair[1], pair[2]]);
    rest = rest.slice(pair[0].length);
  }
  return [text.slice(0, at), labels];
}

/**
 * Read a pattern: a character each, ANY for a star, ONE for a question mark.
 * @param {string} pattern @param {boolean} escapes @returns {Pattern}
 */
function glob(pattern, escapes) {
  /** @type {Pattern} */
  const found = [];
  const chars = [...pattern];
  for (let i = 0; i < chars.length; i += 1) {
    if (chars[i] === "\\" && escapes && i + 1 < chars.length) {
      i += 1;
      found.push(chars[i]);
    } else found.push(chars[i] === "*" ? ANY : chars[i] === "?" ? ONE : chars[i]);
  }
  return found;
}

/**
 * Whether a whole text fits a pattern. Only the last star is ever tried again.
 * @param {Pattern} pattern @param {string} text
 */
function fits(pattern, text) {
  const chars = [...text];
  let at = 0;
  let here = 0;
  let star = -1;
  let taken = 0;
  while (here < chars.length) {
    if (pattern[at] === ANY) {
      star = at;
      taken = here;
      at += 1;
    } else if (pattern[at] === ONE || pattern[at] === chars[here]) {
      at += 1;
      here += 1;
    } else if (star >= 0) {
      taken += 1;
      at = star + 1;
      here = taken;
    } else return false;
  }
  while (pattern[at] === ANY) at += 1;
  return at === pattern.length;
}

/**
 * Read a selector. Throws on what is none.
 * @param {string} text @returns {Selector}
 */
export function parseSelector(text) {
  const [name, labels] = split(text);
  return { name: glob(name, false), labels: labels.map(([key, raw]) => [key, glob(raw, true)]) };
}

/**
 * Read a series' own text: its name and its labels, unescaped. Throws on what is none.
 * @param {string} text @returns {{ name: string, labels: Labels }}
 */
export function parseSeries(text) {
  const [name, labels] = split(text);
  return { name, labels: Object.fromEntries(labels.map(([key, raw]) => [key, raw.replace(/\\(.)/gs, "$1")])) };
}

/**
 * Whether a parsed selector means a series.
 * @param {Selector} selector @param {{ name: string, labels: Labels }} series
 */
export function selects(selector, { name, labels }) {
  return (
    fits(selector.name, name) &&
    selector.labels.every(([key, pattern]) => key in labels && fits(pattern, String(labels[key])))
  );
}

/**
 * Several selectors in one attribute, separated by spaces (a label's value may hold some too).
 * @param {string} text @returns {string[]}
 */
export function splitSelectors(text) {
  return text.match(/[^\s{]+(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?/gs) ?? [];
}
