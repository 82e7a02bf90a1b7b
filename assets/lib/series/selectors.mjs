/**
 * How series are written and chosen: `name{label="v"}`, and the same with `*` in a value. Pure.
 */

/** @import { Labels, Selector } from "./types" */
/** @import { Track } from "./track.mjs" */

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
 * Split `name{label="glob",...}` into {name, labels}; labels null = any label set. Throws on anything else.
 * @param {string} selector @returns {Selector}
 */
export function parseSelector(selector) {
  const match = /^([A-Za-z_][\w.]*)(?:\{(.*)\})?$/s.exec(selector);
  if (!match) throw new Error(`not a selector: ${selector}`);
  if (match[2] === undefined) return { name: match[1], labels: null };
  /** @type {Labels} */
  const labels = {};
  let rest = match[2];
  while (rest) {
    const pair = /^\s*([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"\s*(?:,|$)/s.exec(rest);
    if (!pair) throw new Error(`not a selector: ${selector}`);
    labels[pair[1]] = pair[2].replace(/\\(.)/gs, "$1");
    rest = rest.slice(pair[0].length);
  }
  return { name: match[1], labels };
}

/**
 * Several selectors in one attribute, separated by spaces (a label's value may hold some too).
 * @param {string} text @returns {string[]}
 */
export function splitSelectors(text) {
  return text.match(/[^\s{]+(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?/gs) ?? [];
}

/** @param {string} glob @param {string} value */
function globMatches(glob, value) {
  if (glob === "*") return true;
  if (!glob.includes("*")) return glob === value;
  const pieces = glob.split("*");
  if (!value.startsWith(pieces[0])) return false;
  let at = pieces[0].length;
  for (const piece of pieces.slice(1, -1)) {
    const found = value.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  const end = pieces[pieces.length - 1];
  return value.length - end.length >= at && value.endsWith(end);
}

/**
 * Whether a track is meant by a parsed selector: each label named must be there and match.
 * @param {Selector} selector @param {Track} track
 */
export function selects({ name, labels }, track) {
  if (track.name !== name) return false;
  if (labels === null) return true;
  return Object.entries(labels).every(([k, glob]) => k in track.labels && globMatches(glob, String(track.labels[k])));
}
