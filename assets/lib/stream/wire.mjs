/**
 * Version 1 of the wire protocol, the page's side: parse, check, apply. Pure.
 */

/**
 * @import { Greeting, Message, Watch } from "./messages"
 * @import { Store } from "../series/store.mjs"
 */

export const VERSION = 1;

/** @typedef {(value: unknown) => boolean} Check */

export class WireError extends Error {}

/** @param {unknown} v @returns {v is number} */
const number = (v) => typeof v === "number" && Number.isFinite(v);
/** @param {unknown} v @returns {v is string} */
const text = (v) => typeof v === "string";
/** @param {unknown} v @returns {v is Record<string, unknown>} */
const object = (v) => typeof v === "object" && v !== null && !Array.isArray(v);
/**
 * @param {unknown} v
 * @returns {v is unknown[]}
 */
const list = (v) => Array.isArray(v);
/** @param {unknown} s */
const meta = (s) =>
  object(s) && number(s.id) && text(s.name) && text(s.unit) && (s.labels === undefined || object(s.labels));
/** @param {Check} check @returns {Check} */
const optional = (check) => (v) => v === undefined || check(v);

/**
 * Message type -> field -> check. A message with a field that fails is refused; unknown fields are let through.
 * @type {Record<string, Record<string, Check>>}
 */
const FIELDS = {
  hello: {
    version: (v) => v === VERSION,
    boot: text,
    now_ms: number,
    series: (v) => list(v) && v.every(meta),
    collectors: optional(list),
  },
  snapshot: {
    seq: number,
    t0: number,
    step_ms: (v) => number(v) && v > 0,
    series: (v) => object(v) && Object.values(v).every(list),
  },
  frame: { seq: number, t: number, v: list },
  series: { series: (v) => list(v) && v.every(meta) },
  state: { collectors: optional(list), absent: optional((v) => list(v) && v.every(list)), client: optional(object) },
  table: { name: text, t: number, columns: list, rows: (v) => list(v) && v.every(list) },
  clock: { t: number, step_ms: number },
  pong: { now_ms: number, client_ms: number },
  error: { code: (v) => text(v) || number(v) },
};

/**
 * One message from its text. Types that this page does not know come back as they are; nonsense raises WireError.
 * @param {string} raw @returns {Message}
 */
export function parse(raw) {
  let message;
  try {
    message = JSON.parse(raw);
  } catch {
    throw new WireError("not JSON");
  }
  if (!object(message) || !text(message.type)) throw new WireError("a message without a type");
  const fields = FIELDS[message.type];
  if (fields) {
    for (const name in fields) {
      if (!fields[name](message[name])) throw new WireError(`${message.type}: bad ${name}`);
    }
  }
  return /** @type {Message} */ (/** @type {unknown} */ (message)); // checked above, field by field
}

/**
 * Message type -> what it does to the store. Others (pong, error) concern the transport alone.
 * @type {{ [T in Message["type"]]?: (store: Store, message: Extract<Message, { type: T }>) => void | boolean }}
 */
const APPLY = {
  hello(store, m) {
    store.begin(m.boot);
    store.describe(m.series);
    store.facts = { cores: m.cores, ...m.host_facts };
    if (m.resumed) store.counters.resumed += 1;
    if (m.collectors) store.state({ collectors: m.collectors });
  },
  snapshot: (store, m) => store.fill(m.seq, m.t0, m.step_ms, m.series),
  frame: (store, m) => store.frame(m.seq, m.t, m.v),
  series: (store, m) => store.describe(m.series),
  state(store, m) {
    store.facts = { ...store.facts, ...m.host_facts };
    store.state(m);
  },
  table: (store, m) => store.table(m.name, m.t, m.columns, m.rows),
  clock: (store, m) => store.clockStep(m.step_ms),
};

/**
 * Put a message into the store; false when there was nothing new in it.
 * @param {Store} store @param {Message} message
 */
export function apply(store, message) {
  const act = /** @type {((store: Store, message: Message) => void | boolean) | undefined} */ (APPLY[message.type]);
  return act ? act(store, message) !== false : false;
}

/**
 * The page's first message.
 * @param {{ token: string, rateHz: number, boot?: string | null, since?: number | null, watch?: Watch | null }} wishes
 * @returns {Greeting}
 */
export function hello({ token, rateHz, boot = null, since = null, watch = null }) {
  /** @type {Greeting} */
  const message = { type: "hello", version: VERSION, token, rate_hz: rateHz };
  if (boot !== null && since !== null && since >= 0) Object.assign(message, { boot, since });
  if (watch) message.watch = watch;
  return message;
}
