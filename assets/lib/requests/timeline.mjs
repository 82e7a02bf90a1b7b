/**
 * One request as a timeline: its phases to scale, its figures in words, and why it was slow. Pure.
 *
 * Fields are those of wfmon.core.types.Request, with `ticks`; what is null was not measured and is never guessed.
 */

import { text as written } from "../series/format.mjs";
import { niceCeil } from "../chart/scale.mjs";

/** @import { Cause, Request } from "./types" */

/** @type {["queue" | "load" | "prompt", "queue_ms" | "load_ms" | "prompt_ms"][]} */
const BEFORE = [
  ["queue", "queue_ms"],
  ["load", "load_ms"],
  ["prompt", "prompt_ms"],
];
const REST_SHARE = 0.01; // a remainder smaller than this share is rounding, not a phase
const SLOW_FIRST_MS = 1_000; // as wfmon/analyse/slow.py judges
const SLOW_STALL_MS = 400;

export const NAMES = {
  queue: "Queue",
  load: "Load",
  prompt: "Prompt",
  before: "Before the first token, phases unknown",
  tokens: "Tokens",
};

/** @param {unknown} value @returns {value is number} */
const known = (value) => typeof value === "number" && Number.isFinite(value);

/**
 * Milliseconds that the timeline spans.
 * @param {Partial<Request>} request
 */
export function lengthOf(request) {
  const last = request.ticks?.t_ms?.at(-1);
  const told = [request.duration_ms, last, request.ttft_ms].filter(known);
  return Math.max(1, ...told);
}

/**
 * Phases in order of time: [{kind, from, to}], ms since the start. What was not measured is one phase of its own.
 * @param {Partial<Request>} request
 */
export function phases(request) {
  const total = lengthOf(request);
  const first = known(request.ttft_ms) ? Math.min(request.ttft_ms, total) : total;
  /** @type {{ kind: keyof typeof NAMES, from: number, to: number }[]} */
  const spans = [];
  let at = 0;
  for (const [kind, field] of BEFORE) {
    const ms = request[field];
    if (!known(ms) || ms <= 0 || at >= first) continue;
    const to = Math.min(at + ms, first);
    spans.push({ kind, from: at, to });
    at = to;
  }
  if (first - at > total * REST_SHARE) spans.push({ kind: "before", from: at, to: first });
  if (known(request.ttft_ms)) spans.push({ kind: "tokens", from: first, to: total });
  return spans;
}

/**
 * Ticks of the time axis, ms: from 0 on a nice step, about `most` of them.
 * @param {number} totalMs @param {number} [most]
 */
export function axisTicks(totalMs, most = 6) {
  const step = niceCeil(totalMs / most);
  return Array.from({ length: Math.floor(totalMs / step + 1e-9) + 1 }, (_, i) => i * step);
}

/** @param {number | null | undefined} value */
const ms = (value) => (known(value) ? written(value, "ms") : null);
/** @param {number[]} values */
const sum = (values) => values.reduce((a, b) => a + b, 0);
const grouped = new Intl.NumberFormat("en");
/** @param {number | null | undefined} value */
const count = (value) => (known(value) ? grouped.format(value) : null);

/** @param {Partial<Request>} request */
function promptText(request) {
  const parts = [known(request.prompt_tokens) ? `${count(request.prompt_tokens)} tokens` : null];
  if (known(request.cached_tokens) && request.cached_tokens > 0)
    parts.push(`${count(request.cached_tokens)} of them from a cache`);
  if (known(request.prompt_ms)) parts.push(`read in ${ms(request.prompt_ms)}`);
  return parts.filter(Boolean).join(", ") || null;
}

/** @param {Partial<Request>} request */
function answerText(request) {
  const rate = known(request.tokens_per_second) ? `${written(request.tokens_per_second, "tokens/s")}` : null;
  return [`${count(request.output_tokens ?? 0)} tokens`, rate].filter(Boolean).join(", ");
}

/**
 * Stalls in words.
 * @param {Partial<Request>} request
 */
export function stallText(request) {
  const stalls = request.stalls ?? [];
  if (!stalls.length) return "none over 400 ms";
  const longest = stalls.reduce((a, b) => (b[1] > a[1] ? b : a));
  if (stalls.length === 1) return `one of ${ms(longest[1])}, ${ms(longest[0])} after the start`;
  const all = sum(stalls.map(([, length]) => length));
  return `${stalls.length}, ${ms(all)} in total; the longest ${ms(longest[1])}, ${ms(longest[0])} after the start`;
}

/** @param {Partial<Request>} request */
function entropyText(request) {
  if (!known(request.entropy_bits)) return null;
  const outcomes = known(request.entropy_k) ? `, of ${count(request.entropy_k)} outcomes` : "";
  return `${written(request.entropy_bits, "bit")}, mean${outcomes}`;
}

/** @type {Record<string, string>} */
const STATUS = {
  open: "running",
  ok: "finished",
  aborted: "aborted by the client",
  error: "failed",
  lost: "lost: no end was seen",
};

/**
 * The status in words, with the runtime's own reason.
 * @param {Partial<Request>} request
 */
export function statusText({ status, reason }) {
  return `${STATUS[status ?? ""] ?? status}${reason ? ` (${reason})` : ""}`;
}

/**
 * What the strip leaves out, where it does.
 * @param {Partial<Request>} request @returns {[name: string, text: string][]}
 */
function stripText({ thinned }) {
  return known(thinned) && thinned > 1 ? [["Strip", `one of ${count(thinned)} chunks is shown`]] : [];
}

/**
 * The figures: [[name, text or null where it was not measured], ...].
 * @param {Partial<Request>} request @returns {[name: string, text: string | null][]}
 */
export function figures(request) {
  return [
    ["Status", statusText(request)],
    ["Source", [request.via, request.server].filter(Boolean).join(", ")],
    ["Queue", ms(request.queue_ms)],
    ["Load", ms(request.load_ms)],
    ["Prompt", promptText(request)],
    ["First token", ms(request.ttft_ms)],
    ["Answer", answerText(request)],
    ["Per output token", ms(request.time_per_output_token_ms)],
    ["Duration", ms(request.duration_ms)],
    ["Stalls", stallText(request)],
    ...stripText(request),
    ["Entropy", entropyText(request)],
    ["Energy", known(request.energy) ? `${request.energy.toFixed(2)}, mean of the index from 0 to 1` : null],
    ["Electricity", known(request.joules) ? `${written(request.joules, "J")} of all graphics cards` : null],
  ];
}

/**
 * A cause as an object; it may come as one or as [code, text, cost].
 * @param {Cause | [code: string, text: string, cost?: number | null]} given @returns {Cause}
 */
const cause = (given) => (Array.isArray(given) ? { code: given[0], text: given[1], cost_ms: given[2] ?? null } : given);

/**
 * Why it was slow: {slow, lines}. The causes come from the monitor; without one, slowness is said and not explained.
 * @param {Partial<Request>} request
 */
export function verdict(request) {
  const causes = (request.causes ?? []).map(cause);
  if (causes.length) {
    /** @param {number | null | undefined} cost */
    const share = (cost) =>
      known(cost) ? `, ${written(Math.min(100, (cost / lengthOf(request)) * 100), "%")} of the request's time` : "";
    const lines = causes.map(({ text, cost_ms: cost }) => text + share(cost));
    return { slow: true, lines };
  }
  if (request.slow === false) return { slow: false, lines: ["Not slow."] };
  const signs = [];
  if (known(request.ttft_ms) && request.ttft_ms > SLOW_FIRST_MS)
    signs.push(`the first token took ${ms(request.ttft_ms)}`);
  if (
    !known(request.ttft_ms) &&
    !request.output_tokens &&
    known(request.duration_ms) &&
    request.duration_ms > SLOW_FIRST_MS
  )
    signs.push(`no token came in ${ms(request.duration_ms)}`);
  const stalled = sum((request.stalls ?? []).map(([, length]) => length).filter((length) => length > SLOW_STALL_MS));
  if (stalled > 0) signs.push(`it stalled for ${ms(stalled)}`);
  const told = signs.join(", and ");
  if (request.status === "open")
    return { slow: false, lines: [told ? `It is still running; so far ${told}.` : "It is still running."] };
  if (told) return { slow: true, lines: [`Slow, for an unknown reason: ${told}.`] };
  if (request.slow)
    return {
      slow: true,
      lines: ["Slow, for an unknown reason: fewer tokens per second than usual for this model."],
    };
  return { slow: false, lines: ["Not slow."] };
}

/**
 * The timeline in one sentence, for those who do not see it.
 * @param {Partial<Request>} request
 */
export function timelineSentence(request) {
  const spans = phases(request).map(({ kind, from, to }) => `${NAMES[kind].toLowerCase()} ${ms(to - from)}`);
  return `Timeline of ${ms(lengthOf(request))}: ${spans.join(", then ")}; stalls: ${stallText(request)}`;
}

/**
 * The error of loading a request, as a sentence.
 * @param {number} status
 */
export function failure(status) {
  if (status === 404)
    return "This request is no longer in memory: the monitor keeps only the newest ones, and none after a restart.";
  if (status === 401 || status === 403) return "This browser is no longer signed in. Reload the page.";
  if (status) return `The monitor returned an error (status ${status}).`;
  return "The monitor did not respond. Is it still running?";
}
