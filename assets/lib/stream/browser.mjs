/**
 * The browser's parts that the connection uses, in one place: sockets, streams, timers, locks.
 */

import { SseShare } from "./sse-share.mjs";

/** @import { LinkIo, ShareIo, Timers } from "./types" */

/**
 * The `io` of a Link for this window.
 * @param {Window & typeof globalThis} window @returns {LinkIo}
 */
export function browserIo(window) {
  const { protocol, host } = window.location;
  /** @type {Timers} */
  const timers = {
    setTimer: (act, ms) => window.setTimeout(act, ms),
    clearTimer: (id) => window.clearTimeout(id),
  };
  /** @type {ShareIo} */
  const shared = {
    ...timers,
    locks: window.navigator.locks ?? null,
    makeChannel: (name) => new window.BroadcastChannel(name),
    makeSource: (url) => new window.EventSource(url),
    tab: `${Math.random()}`,
  };
  return {
    ...timers,
    openSocket: (path) => new window.WebSocket(`${protocol === "https:" ? "wss" : "ws"}://${host}${path}`),
    fetch: (url, options) => window.fetch(url, options),
    now: () => window.performance.now(),
    makeShare: (on) => new SseShare(shared, on),
  };
}
