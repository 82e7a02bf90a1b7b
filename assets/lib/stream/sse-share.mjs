/**
 * One SSE stream per browser, shared by all its tabs: over HTTP/1.1 a browser opens six connections per host, so eight
 * open streams would stall every other request. The tab that holds the lock reads the stream and hands each message on;
 * when it goes away the lock passes to another tab, which opens its own. Without Web Locks each tab reads for itself.
 *
 * Everything of the browser comes through the constructor: {locks, makeChannel(name), makeSource(url), tab}.
 */

/**
 * @import { Wish } from "./messages"
 * @import { Channel, Heard, ShareIo, ShareListener, Source, Timer } from "./types"
 */

const LOCK = "wfmon-sse";
const CHANNEL = "wfmon-sse";
const REOPEN_MS = 150;

export class SseShare {
  /**
   * Called in each tab: `on.message(text)`, `on.down()`, `on.renew()` (the stream ends, a new one greets soon); in the
   * leader alone: `on.wishes({rate_hz, tables})`.
   * @param {ShareIo} io @param {ShareListener} on
   */
  constructor({ locks, makeChannel, makeSource, tab, setTimer = setTimeout, clearTimer = clearTimeout }, on) {
    this.locks = locks;
    this.makeChannel = makeChannel;
    this.makeSource = makeSource;
    this.tab = tab;
    this.setTimer = setTimer;
    this.clearTimer = clearTimer;
    this.on = on;
    this.url = "";
    this.fresh = "";
    /** @type {Wish | null} */
    this.wish = null;
    /** @type {Channel | null} */
    this.channel = null;
    /** @type {Source | null} */
    this.source = null;
    /** @type {AbortController | null} */
    this.abort = null;
    /** @type {() => void} */
    this.release = () => {};
    /** @type {Map<string, Wish>} */
    this.wishes = new Map(); // tab -> {rate_hz, tables}
    this.opened = false;
    this.leader = false;
    /** @type {Timer | undefined} */
    this.timer = undefined;
  }

  /**
   * Take part. `url` is what this tab opens if it leads; `fresh` the same for the whole story, when another tab joins.
   * @param {string} url @param {string} [fresh]
   */
  open(url, fresh = url) {
    if (this.opened) return;
    this.opened = true;
    this.url = url;
    this.fresh = fresh;
    this.channel = this.makeChannel(CHANNEL);
    this.channel.onmessage = (event) => this.#heard(event.data);
    if (!this.locks) {
      this.#lead();
      return;
    }
    this.abort = new AbortController();
    const released = /** @type {Promise<void>} */ (
      new Promise((resolve) => {
        this.release = resolve;
      })
    );
    this.locks
      .request(LOCK, { signal: this.abort.signal }, () => {
        if (!this.opened) return undefined;
        this.#lead();
        return released;
      })
      .catch(() => {}); // aborted while waiting: this tab left before it led
    this.#tell({ kind: "join" });
  }

  /**
   * What this tab wants of the stream; the leader asks for what all tabs together want.
   * @param {Wish | null} wish
   */
  want(wish) {
    this.wish = wish;
    if (!this.opened) return;
    if (this.leader) this.#wished(this.tab, wish);
    else this.#tell({ kind: "want", tab: this.tab, wish });
  }

  /**
   * Say something to the other tabs.
   * @param {Heard} message
   */
  #tell(message) {
    this.channel?.postMessage(message);
  }

  /** @param {string} tab @param {Wish | null} wish */
  #wished(tab, wish) {
    if (wish) this.wishes.set(tab, wish);
    else this.wishes.delete(tab);
    const all = [...this.wishes.values()];
    if (!all.length) return;
    this.on.wishes({
      rate_hz: Math.max(...all.map((w) => w.rate_hz)),
      tables: [...new Set(all.flatMap((w) => w.tables))].sort(),
    });
  }

  /** Leave. Idempotent; another tab takes over. */
  close() {
    if (!this.opened) return;
    this.opened = false;
    this.clearTimer(this.timer);
    this.#tell(this.leader ? { kind: "renew" } : { kind: "want", tab: this.tab, wish: null });
    this.source?.close();
    this.source = null;
    this.channel?.close();
    this.leader = false;
    this.wishes.clear();
    this.abort?.abort();
    this.release();
  }

  /** @param {Heard} data */
  #heard(data) {
    if (!this.opened) return;
    if (data.kind === "message" && !this.leader) this.on.message(data.text);
    else if (data.kind === "down" && !this.leader) this.on.down();
    else if (data.kind === "renew") this.on.renew();
    else if (data.kind === "join" && this.leader) this.#reopenSoon();
    else if (data.kind === "want" && this.leader) this.#wished(data.tab, data.wish);
    else if (data.kind === "who" && this.wish) this.want(this.wish);
  }

  /** A new tab needs the greeting and the last five minutes: a fresh stream tells them to all, who know what is new. */
  #reopenSoon() {
    this.clearTimer(this.timer);
    this.timer = this.setTimer(() => {
      this.#tell({ kind: "renew" });
      this.on.renew();
      this.#connect(this.fresh);
    }, REOPEN_MS);
  }

  #lead() {
    this.leader = true;
    this.#connect(this.url);
    if (this.locks) this.#tell({ kind: "who" });
    if (this.wish) this.want(this.wish);
  }

  /** @param {string} url */
  #connect(url) {
    if (!this.opened) return;
    this.source?.close();
    const source = this.makeSource(url);
    this.source = source;
    source.onmessage = ({ data }) => {
      if (source !== this.source) return;
      if (this.locks) this.#tell({ kind: "message", text: data });
      this.on.message(data);
    };
    source.onerror = () => {
      if (source !== this.source) return;
      source.close();
      this.source = null;
      if (this.locks) this.#tell({ kind: "down" });
      this.on.down();
    };
  }
}
