/**
 * The connection: carries out the effects of the transport's state machine and passes on parsed messages.
 *
 * Everything of the browser comes through the constructor as `io`: {openSocket(url), fetch, share (an SseShare maker),
 * now(), setTimer, clearTimer, origin}. One link a page.
 */

import { WireError, hello, parse } from "./wire.mjs";
import { initial, step } from "./transport.mjs";

/**
 * @import { Message, Said, Wish } from "./messages"
 * @import { Effect, LinkIo, LinkOptions, Share, Socket, Timer, TransportEvent, Way } from "./types"
 */

const SILENCE_MS = 6_000; // a live stream speaks at least once a second
const PROBE = "/api/v1/health";
const ENDED = {
  session: "run make run ARGS=--open in wfmon's folder, or reload this page and type the code that its terminal shows",
  version: "reload this page: wfmon has been updated",
};

export class Link {
  /**
   * `on.message(message, receivedMs)` for each message; `on.change()` when the phase changed; `resume()` gives {boot,
   * since}.
   * @param {LinkIo} io @param {LinkOptions} options
   */
  constructor(io, { token, on, resume, wish }) {
    this.io = io;
    this.token = token;
    this.on = on;
    this.resume = resume;
    this.wish = wish;
    this.state = initial();
    /** @type {string | null} */
    this.client = null; // our name at the server while SSE is in use
    this.bad = 0; // messages that were refused
    this.heardMs = -Infinity;
    /** @type {Wish} */
    this.told = { rate_hz: NaN, tables: [] }; // what the server knows of our wishes
    /** @type {Timer | undefined} */
    this.timer = undefined;
    /** @type {Socket | null} */
    this.socket = null;
    /** @type {Share} */
    this.share = io.makeShare({
      message: (text) => this.#received("sse", text),
      down: () => {
        this.client = null;
        this.#feed({ type: "sse-down" });
      },
      renew: () => {
        this.client = null; // what we would say has nobody to hear it until the next greeting
      },
      wishes: (wishes) => this.way === "sse" && this.#wish(wishes),
    });
  }

  get phase() {
    return this.state.phase;
  }

  get way() {
    return this.state.way;
  }

  /** The first attempts may fail without a word. */
  get patient() {
    return this.state.failures < 3;
  }

  /** What to do about an end. */
  get ended() {
    const { why } = this.state;
    return why ? ENDED[why] : "";
  }

  start() {
    this.#feed({ type: "start" });
  }

  stop() {
    this.#feed({ type: "stop" });
  }

  /** The page was shown again, or the network came back. */
  wake() {
    this.heardMs = this.io.now();
    this.#feed({ type: "wake" });
  }

  /** Called once a second: a live way that fell silent is dead. */
  tick() {
    if (this.phase !== "live" || this.io.now() - this.heardMs < SILENCE_MS) return;
    if (this.way === "ws") this.#dropSocket(true);
    else {
      this.share.close();
      this.#feed({ type: "sse-down" });
    }
  }

  /**
   * Say something to the server; false when there is no way to.
   * @param {Said} message
   */
  send(message) {
    if (this.phase !== "live") return false;
    if (this.way === "ws") {
      if (this.socket?.readyState !== 1) return false;
      this.socket.send(JSON.stringify(message));
      return true;
    }
    return this.#post(message);
  }

  /** What the page wants may have changed: rate, tables. Only what did is said, for the server answers with values. */
  want() {
    const { rate_hz, tables } = this.wish();
    this.share.want({ rate_hz, tables });
    if (this.way === "ws") this.#wish({ rate_hz, tables });
  }

  /** @param {Wish} wish */
  #wish({ rate_hz, tables }) {
    if (this.phase !== "live") return; // said when the way is open
    const { told } = this;
    if (rate_hz !== told.rate_hz) this.send({ type: "rate", rate_hz });
    if (tables.join() !== told.tables.join()) this.send({ type: "watch", series: null, tables });
    this.told = { rate_hz, tables };
  }

  /** @param {TransportEvent} event */
  #feed(event) {
    const before = this.state;
    const [state, effects] = step(before, event, this.io.now());
    this.state = state;
    for (const effect of effects) this.#act(effect);
    if (state.phase !== before.phase || state.way !== before.way) {
      this.on.change();
      if (state.phase === "live") this.want(); // what was wished while the greeting was under way
    }
  }

  /** @param {Effect} effect */
  #act(effect) {
    if (effect.do === "timer") {
      this.io.clearTimer(this.timer);
      this.timer = this.io.setTimer(() => this.#feed({ type: "timer" }), effect.ms);
    } else if (effect.do === "open-ws") this.#openSocket();
    else if (effect.do === "close-ws") this.#dropSocket(false);
    else if (effect.do === "open-sse") this.#openShare();
    else if (effect.do === "close-sse") {
      this.client = null;
      this.share.close();
    } else if (effect.do === "probe") this.#probe();
  }

  #openSocket() {
    this.#dropSocket(false);
    const socket = this.io.openSocket("/ws");
    this.socket = socket;
    /** @template E @param {(event: E) => void} act @returns {(event: E) => void} */
    const mine = (act) => (event) => {
      if (socket === this.socket) act(event);
    };
    socket.onopen = mine(() => {
      const { rate_hz, tables } = this.wish();
      const { boot, since } = this.resume();
      this.told = { rate_hz, tables };
      socket.send(
        JSON.stringify(hello({ token: this.token, rateHz: rate_hz, boot, since, watch: { series: null, tables } })),
      );
    });
    socket.onmessage = mine(({ data }) => this.#received("ws", data));
    socket.onclose = mine(({ code }) => {
      this.socket = null;
      this.#feed({ type: "ws-down", code });
    });
  }

  /** @param {boolean} tell */
  #dropSocket(tell) {
    const { socket } = this;
    this.socket = null;
    socket?.close();
    if (socket && tell) this.#feed({ type: "ws-down" });
  }

  #openShare() {
    const { rate_hz, tables } = this.wish();
    this.client = null;
    this.told = { rate_hz, tables };
    this.share.want({ rate_hz, tables });
    const { boot, since } = this.resume();
    const fresh = `/sse?rate_hz=${rate_hz}`;
    const known = boot !== null && since >= 0;
    this.share.open(known ? `${fresh}&last_event_id=${encodeURIComponent(`${boot}:${since}`)}` : fresh, fresh);
  }

  async #probe() {
    let status = 0;
    try {
      const answer = await this.io.fetch(PROBE, { cache: "no-store", credentials: "same-origin" });
      status = answer.status;
    } catch {
      status = 0; // no answer: the server is gone
    }
    this.#feed({ type: "probe", status });
  }

  /** @param {Said} message */
  #post(message) {
    if (!this.client) return false;
    this.io
      .fetch(`/sse/${encodeURIComponent(this.client)}`, {
        method: "POST",
        credentials: "same-origin",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(message),
        keepalive: true,
      })
      .catch(() => {}); // the stream itself reports when the server is gone
    return true;
  }

  /** @param {Way} way @param {string} text */
  #received(way, text) {
    const receivedMs = this.io.now();
    this.heardMs = receivedMs;
    /** @type {Message} */
    let message;
    try {
      message = parse(text);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.bad += 1;
      return;
    }
    if (message.type === "hello" && way === "sse") {
      this.client = message.client ?? null; // a stream anew: it knows no tables
      this.told = { rate_hz: message.rate_hz ?? this.told.rate_hz, tables: [] };
    }
    this.on.message(message, receivedMs, way);
    if (message.type === "hello") {
      this.#feed({ type: `${way}-hello` });
      if (way === "sse") this.share.want(this.wish());
    }
  }
}
