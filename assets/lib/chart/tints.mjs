/**
 * The theme's colours of tokens, from certain to uncertain. Touches the document only to read tokens.
 */

import { windowOf } from "../dom/elements.mjs";
import { shade } from "./strip.mjs";

const RAMP = ["--h-0", "--h-1", "--h-2", "--h-3", "--h-4", "--h-5"];
const TOKENS = [...RAMP, "--ink", "--ink-3", "--bad", "--grid", "--s-dim"];

/**
 * The theme's colours that strips use: a map of token -> colour.
 * @param {Element} element @returns {Record<string, string>}
 */
export function stripColours(element) {
  const style = windowOf(element.ownerDocument).getComputedStyle(element.ownerDocument.documentElement);
  return Object.fromEntries(TOKENS.map((token) => [token, style.getPropertyValue(token).trim()]));
}

/**
 * The colour of an entropy.
 * @param {Record<string, string>} colours @param {number} bits
 */
export function tint(colours, bits) {
  const step = shade(bits, RAMP.length);
  return colours[step < 0 ? "--s-dim" : RAMP[step]];
}
