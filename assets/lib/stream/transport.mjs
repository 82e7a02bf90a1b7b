/**
 * How the page stays connected: a pure state machine. `step(state, event, now)` gives the next state and effects.
 *
 * WebSocket first. It cannot open though the server answers, or dies twice within a minute: SSE takes over, and the
 * WebSocket is tried again with growing pauses; once it greets, SSE is closed. The server does not answer: wait and try
 * again, keeping all that is drawn. It answers 401: the session has ended, keep looking at leisure.
 *
 * Events: {type: "start"}, {type: "stop"}, {type: "wake"} (page shown or network back),
 *   {type: "ws-hello"|"sse-hello"}, {type: "ws-down"|"sse-down", code?}, {type: "probe", status} (0: no answer), {type: "timer"}.
 * Effects: {do: "open-ws"|"close-ws"|"open-sse"|"close-sse"|"probe"}, {do: "timer", ms} (replaces the one before).
 */

export const GREETING_MS = 5_000; // how long an opened way may take to greet
const DEATHS_WITHIN_MS = 60_000;
const PAUSES_MS = [250, 500, 1_000, 2_000, 4_000, 5_000];
const RETURN_MS = [5_000, 10_000, 20_000, 40_000, 60_000];
const ENDED_MS = 5_000;
const ENDINGS = { 4401: "session", 4400: "version" }; // WebSocket close codes after which trying again needs a person

const pick = (table, n) => table[Math.min(n, table.length - 1)];

/** The state before anything happened. `phase`: idle, opening, live, waiting or ended. */
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

/** Next state and effects. Never mutates its arguments. */
export function step(state, event, now) {
  const s = { ...state, deaths: state.deaths };
  const handler = HANDLERS[event.type];
  return handler ? [s, handler(s, event, now)] : [s, []];
}

function tryWebSocket(s) {
  s.phase = "opening";
  s.ws = "opening";
  return [{ do: "open-ws" }, { do: "timer", ms: GREETING_MS }];
}

function trySse(s) {
  s.phase = "opening";
  s.sse = "opening";
  return [{ do: "open-sse" }, { do: "timer", ms: GREETING_MS }];
}

function wait(s) {
  s.phase = "waiting";
  s.way = null;
  const ms = pick(PAUSES_MS, s.failures);
  s.failures += 1;
  return [{ do: "timer", ms }];
}

function end(s, why) {
  s.phase = "ended";
  s.why = why;
  s.way = null;
  const effects = [];
  if (s.ws !== "closed") effects.push({ do: "close-ws" });
  if (s.sse !== "closed") effects.push({ do: "close-sse" });
  s.ws = "closed";
  s.sse = "closed";
  return [...effects, { do: "timer", ms: ENDED_MS }];
}

function webSocketFailed(s, event, now) {
  const wasLive = s.ws === "open";
  s.ws = "closed";
  s.tried = "ws";
  if (ENDINGS[event.code]) return end(s, ENDINGS[event.code]);
  if (wasLive) s.deaths = [...s.deaths.filter((at) => now - at < DEATHS_WITHIN_MS), now];
  if (s.way === "sse") return [{ do: "timer", ms: pick(RETURN_MS, s.returns++) }]; // only the return failed
  s.way = null;
  if (wasLive && s.deaths.length < 2) return tryWebSocket(s);
  s.phase = "opening";
  return [{ do: "probe" }, { do: "timer", ms: GREETING_MS }];
}

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
    if (event.status === 401) return end(s, "session");
    if (event.status === 0 || event.status >= 500) return wait(s);
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
    const effects = s.sse === "opening" ? [{ do: "close-sse" }] : [];
    s.sse = "closed";
    return [...effects, ...wait(s)];
  },
};
