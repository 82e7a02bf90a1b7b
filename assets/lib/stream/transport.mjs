/**
 * How the page stays connected: a pure state machine. `step(state, event, now)` gives the next state and effects.
 *
 * WebSocket first. It cannot open though the server answers, or dies twice within a minute: SSE takes over, and the
 * WebSocket is tried again with growing pauses; once it greets, SSE is closed. The server does not answer: wait and try
 * again, keeping all that is drawn. It answers 401: the session has ended, keep looking at leisure.
 *
 * Events and effects are in types.d.ts. "wake": the page was shown or the network is back; "probe" with status 0: no
 * answer; a new timer replaces the one before.
 */

/** @import { Effect, Ending, TransportEvent, TransportState } from "./types" */

export const GREETING_MS = 5_000; // how long an opened way may take to greet
const DEATHS_WITHIN_MS = 60_000;
const PAUSES_MS = [250, 500, 1_000, 2_000, 4_000, 5_000];
const RETURN_MS = [5_000, 10_000, 20_000, 40_000, 60_000];
const ENDED_MS = 5_000;
/** @type {Record<number, Ending>} */
const ENDINGS = { 4401: "session", 4400: "version" }; // WebSocket close codes after which trying again needs a person

/** @param {number[]} table @param {number} n */
const pick = (table, n) => table[Math.min(n, table.length - 1)];

/**
 * The state before anything happened. `phase`: idle, opening, live, waiting or ended.
 * @returns {TransportState}
 */
export function initial() {
  return {
    phase: "idle",
    way: null, // "ws" or "sse": where messages are taken from
    ws: "closed", // closed, opening, open
    sse: "closed",
    deaths: [], // when a live WebSocket died
    failures: 0, // attempts in a row that failed
    returns: 0, // attempts to come back from SSE to WebSocket
    why: null, // of an end: "session" (not known to the server) or "version" (another protocol)
    tried: null, // "ws" or "sse": what failed last
  };
}

/**
 * Next state and effects. Never mutates its arguments.
 * @param {TransportState} state @param {TransportEvent} event @param {number} now @returns {[TransportState, Effect[]]}
 */
export function step(state, event, now) {
  const s = { ...state, deaths: state.deaths };
  const handler = HANDLERS[event.type];
  return handler ? [s, handler(s, event, now)] : [s, []];
}

/** @param {TransportState} s @returns {Effect[]} */
function tryWebSocket(s) {
  s.phase = "opening";
  s.ws = "opening";
  return [{ do: "open-ws" }, { do: "timer", ms: GREETING_MS }];
}

/** @param {TransportState} s @returns {Effect[]} */
function trySse(s) {
  s.phase = "opening";
  s.sse = "opening";
  return [{ do: "open-sse" }, { do: "timer", ms: GREETING_MS }];
}

/** @param {TransportState} s @returns {Effect[]} */
function wait(s) {
  s.phase = "waiting";
  s.way = null;
  const ms = pick(PAUSES_MS, s.failures);
  s.failures += 1;
  return [{ do: "timer", ms }];
}

/** @param {TransportState} s @param {Ending | null} why @returns {Effect[]} */
function end(s, why) {
  s.phase = "ended";
  s.why = why;
  s.way = null;
  /** @type {Effect[]} */
  const effects = [];
  if (s.ws !== "closed") effects.push({ do: "close-ws" });
  if (s.sse !== "closed") effects.push({ do: "close-sse" });
  s.ws = "closed";
  s.sse = "closed";
  return [...effects, { do: "timer", ms: ENDED_MS }];
}

/** @param {TransportState} s @param {TransportEvent} event @param {number} now @returns {Effect[]} */
function webSocketFailed(s, event, now) {
  const wasLive = s.ws === "open";
  s.ws = "closed";
  s.tried = "ws";
  const ending = ENDINGS[event.code ?? 0];
  if (ending) return end(s, ending);
  if (wasLive) s.deaths = [...s.deaths.filter((at) => now - at < DEATHS_WITHIN_MS), now];
  if (s.way === "sse") return [{ do: "timer", ms: pick(RETURN_MS, s.returns++) }]; // only the return failed
  s.way = null;
  if (wasLive && s.deaths.length < 2) return tryWebSocket(s);
  s.phase = "opening";
  return [{ do: "probe" }, { do: "timer", ms: GREETING_MS }];
}

/** @type {Record<TransportEvent["type"], (s: TransportState, event: TransportEvent, now: number) => Effect[]>} */
const HANDLERS = {
  start: (s) => (s.phase === "idle" ? tryWebSocket(s) : []),

  stop(s) {
    const effects = end(s, null).slice(0, -1);
    Object.assign(s, initial());
    return effects;
  },

  wake(s) {
    if (s.phase !== "waiting" && s.phase !== "ended") return [];
    s.failures = 0;
    return tryWebSocket(s);
  },

  "ws-hello"(s) {
    if (s.ws !== "opening") return [];
    /** @type {Effect[]} */
    const effects = s.sse === "closed" ? [] : [{ do: "close-sse" }];
    Object.assign(s, { phase: "live", way: "ws", ws: "open", sse: "closed", failures: 0 });
    return [...effects, { do: "timer", ms: DEATHS_WITHIN_MS }];
  },

  "ws-down": (s, event, now) => (s.ws === "closed" ? [] : webSocketFailed(s, event, now)),

  "sse-hello"(s) {
    if (s.sse !== "opening") return [];
    Object.assign(s, { phase: "live", way: "sse", sse: "open", failures: 0 });
    return [{ do: "timer", ms: pick(RETURN_MS, s.returns) }];
  },

  "sse-down"(s) {
    if (s.sse === "closed") return [];
    s.sse = "closed";
    s.tried = "sse";
    s.way = null;
    /** @type {Effect[]} */
    const effects = [{ do: "close-sse" }];
    if (s.ws === "opening") {
      s.phase = "opening";
      return effects; // the return is under way, its own outcome decides
    }
    s.phase = "opening";
    return [...effects, { do: "probe" }, { do: "timer", ms: GREETING_MS }];
  },

  /** The server was asked whether it is there and knows us. */
  probe(s, event) {
    if (s.phase !== "opening" || s.ws !== "closed" || s.sse !== "closed") return [];
    const { status = 0 } = event;
    if (status === 401) return end(s, "session");
    if (status === 0 || status >= 500) return wait(s);
    return s.tried === "sse" ? wait(s) : trySse(s); // both ways failed though the server answers: slow down
  },

  timer(s, _event, now) {
    if (s.phase === "waiting" || s.phase === "ended") return tryWebSocket(s);
    if (s.phase === "live" && s.way === "sse") {
      if (s.ws === "opening") {
        s.ws = "closed";
        return [{ do: "close-ws" }, { do: "timer", ms: pick(RETURN_MS, s.returns++) }];
      }
      s.ws = "opening";
      return [{ do: "open-ws" }, { do: "timer", ms: GREETING_MS }];
    }
    if (s.phase === "live") {
      s.returns = 0;
      s.deaths = s.deaths.filter((at) => now - at < DEATHS_WITHIN_MS);
      return [];
    }
    if (s.phase !== "opening") return [];
    if (s.ws === "opening") {
      s.ws = "closed";
      s.tried = "ws";
      return [{ do: "close-ws" }, { do: "probe" }, { do: "timer", ms: GREETING_MS }];
    }
    /** @type {Effect[]} */
    const effects = s.sse === "opening" ? [{ do: "close-sse" }] : [];
    s.sse = "closed";
    return [...effects, ...wait(s)];
  },
};
