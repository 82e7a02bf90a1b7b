/**
 * Texts of the page that follow the store: single values, meters, panels with nothing to show, collectors, the status
 * bar. All are written four times a second at most, a part of them a frame; a text that did not change is not touched.
 */

import { partsOf, put } from "../dom/elements.mjs";
import { ABSENT, clockTime, parts, span, text as written } from "../series/format.mjs";
import { figure, overTime, rank } from "../series/stats.mjs";
import { splitSelectors } from "../series/selectors.mjs";

/**
 * @import { View } from "../chart/types"
 * @import { CollectorStatus } from "../series/types"
 * @import { Store } from "../series/store.mjs"
 * @import { ConnectionState, StatusContext } from "./types"
 */

/** @param {HTMLElement} element @param {string} name @param {string} value */
const set = (element, name, value) => {
  if (element.dataset[name] !== value) element.dataset[name] = value;
};

/** @param {Store} store @param {string[]} selectors */
const tracksOf = (store, selectors) => selectors.flatMap((selector) => store.select(selector));

/** `<span data-value>`: a number and its unit. */
export class Value {
  /** @param {HTMLElement} element */
  constructor(element) {
    const { dataset, ownerDocument: document } = element;
    this.element = element;
    this.selectors = splitSelectors(dataset.value ?? "");
    this.stat = dataset.stat || "last";
    this.slow = overTime(this.stat);
    this.unit = dataset.unit && dataset.unit !== "auto" ? dataset.unit : null;
    this.absent = dataset.absentText || ABSENT;
    this.warn = dataset.warn ? Number(dataset.warn) : Infinity;
    this.number = document.createTextNode("");
    this.suffix = document.createElement("span");
    this.suffix.className = "unit";
    element.replaceChildren(this.number, this.suffix);
    /** @type {string | null} */
    this.shown = null;
  }

  /** @param {Store} store @param {View} view */
  update(store, view) {
    const tracks = tracksOf(store, this.selectors);
    const unit = this.stat === "count" ? "" : (this.unit ?? tracks[0]?.unit ?? "");
    const measured = figure(tracks, this.stat, view.right - view.span, Math.min(view.right, view.known), unit);
    const value = this.stat === "sum" && unit === "" ? Math.round(measured) : measured; // so many of a thing
    const known = value === value;
    const { number, unit: shownUnit } = known ? parts(value, unit) : { number: this.absent, unit: "" };
    const over = value > this.warn;
    const key = `${number} ${shownUnit} ${over}`;
    if (key !== this.shown) {
      this.shown = key;
      this.number.data = number;
      put(this.suffix, shownUnit);
      this.element.classList.toggle("is-absent", !known);
      this.element.classList.toggle("is-over", over);
    }
    const reason = known
      ? ""
      : (tracks.find((track) => track.absent)?.absent ??
        whyNever(store, this.selectors) ??
        collectorReason(store, this.selectors[0]));
    if (this.element.title !== reason) this.element.title = reason;
  }
}

/** @param {Store} store @param {string} selector */
function collectorReason(store, selector) {
  const status = store.collectors.get(selector.split(".")[0]);
  return (status && status.state !== "running" && status.reason) || "no value yet";
}

/**
 * What a fact of the machine reads like: one name alone, several with their numbers.
 * @param {unknown} fact
 */
export function factText(fact) {
  if (!Array.isArray(fact)) return String(fact ?? "");
  return fact.length > 1 ? fact.map((name, number) => `${number} ${name}`).join(" · ") : String(fact[0] ?? "");
}

/** `<span data-fact>`: what the monitor knows of this machine and is no measurement, such as a card's name. */
export class Fact {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  /** @param {Store} store */
  update(store) {
    put(this.element, factText(store.facts[this.element.dataset.fact ?? ""]));
  }
}

/** `<span data-meter>`: a bar from 0 to `data-max`, a number or the series that is the limit. */
export class Meter {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    this.selectors = splitSelectors(element.dataset.meter ?? "");
    const limit = element.dataset.max ?? "100";
    this.limit = Number(limit);
    this.limits = this.limit === this.limit ? [] : splitSelectors(limit);
    /** @type {string | null} */
    this.shown = null;
  }

  /** @param {Store} store @param {View} view */
  update(store, view) {
    const to = Math.min(view.right, view.known);
    const value = figure(tracksOf(store, this.selectors), "last", to, to, "");
    const limit = this.limits.length ? figure(tracksOf(store, this.limits), "last", to, to, "") : this.limit;
    const share = limit > 0 && value === value ? Math.min(1, Math.max(0, value / limit)) : NaN;
    const shown = share === share ? share.toFixed(3) : "absent";
    if (shown === this.shown) return;
    this.shown = shown;
    this.element.style.setProperty("--v", share === share ? shown : "0");
    this.element.classList.toggle("is-absent", share !== share);
  }
}

const WORKING = new Set(["running", "starting"]);

/** `<section data-panel data-collector>`: shows why it has no data, and when its collector last ran. */
export class Panel {
  /** @param {HTMLElement} element @param {string[]} selectors */
  constructor(element, selectors) {
    this.element = element;
    this.collector = element.dataset.collector ?? null;
    this.selectors = selectors;
    /** @type {HTMLElement | null} */
    this.why = element.querySelector(".absent");
    this.looked = partsOf(element, "[data-looked]");
    this.told = false;
  }

  /**
   * The reason why there is nothing to show, or null. While the window holds values, they are shown.
   * @param {Store} store @param {View} view
   */
  reason(store, view) {
    const status = this.collector ? store.collectors.get(this.collector) : null;
    if (status && !WORKING.has(status.state))
      return status.reason || `The ${this.collector} collector is ${status.state}.`;
    const tracks = tracksOf(store, this.selectors);
    if (!tracks.length) return whyNever(store, this.selectors);
    const from = view.right - view.span;
    return tracks.every((track) => track.absent && !track.knownSince(from)) ? tracks[0].absent : null;
  }

  /**
   * A frozen panel stays as it was, whatever changes meanwhile.
   * @param {Store} store @param {View} view @param {number} serverNow
   */
  update(store, view, serverNow) {
    if (this.told && view.frozenMs !== null) return;
    this.told = true;
    const reason = this.reason(store, view);
    this.element.toggleAttribute("data-absent", reason !== null);
    if (this.why) {
      this.why.hidden = reason === null;
      if (reason !== null) put(this.why, reason);
    }
    for (const element of this.looked)
      put(element, reason === null ? "" : updatedAgo(store, element.dataset.looked ?? "", serverNow));
  }
}

/**
 * The reason of a metric that never had a sample, or null.
 * @param {Store} store @param {string[]} selectors
 */
function whyNever(store, selectors) {
  for (const selector of selectors) {
    const reason = store.reasons.get(selector) ?? store.reasons.get(selector.split("{")[0]);
    if (reason) return reason;
  }
  return null;
}

/** @param {Store} store @param {string} collector @param {number} serverNow */
function updatedAgo(store, collector, serverNow) {
  const checked = store.collectors.get(collector)?.checked_ms;
  return checked ? `updated ${span(serverNow - checked)} ago` : "";
}

const grouped = new Intl.NumberFormat("en");

/**
 * Field of a collector's status -> its text.
 * @type {Record<string, (status: CollectorStatus, serverNow: number) => string>}
 */
const FIELDS = {
  state: (s) => s.state,
  reason: (s) => s.reason ?? "",
  rate_hz: (s) => (s.rate_hz ? `${Number(s.rate_hz.toPrecision(3))} Hz` : "pushed"),
  cpu_percent: (s) => (typeof s.cpu_percent === "number" ? `${s.cpu_percent.toFixed(1)} %` : "–"),
  beats: (s) => grouped.format(s.beats ?? 0),
  skipped: (s) => grouped.format(s.skipped ?? 0),
  errors: (s) => grouped.format(s.errors ?? 0),
  checked_ms: (s, serverNow) => (s.checked_ms ? `${span(serverNow - s.checked_ms)} ago` : "–"),
};

/** `<tr data-collector-row>`: the state of a collector. */
export class CollectorRow {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    this.name = element.dataset.collectorRow ?? "";
    this.fields = partsOf(element, "[data-field]");
    this.switch = element.querySelector("[data-switch]");
  }

  /** @param {Store} store @param {number} serverNow */
  update(store, serverNow) {
    const status = store.collectors.get(this.name);
    if (!status) return;
    set(this.element, "state", status.state);
    const on = String(status.state !== "off");
    if (this.switch && this.switch.getAttribute("aria-checked") !== on) this.switch.setAttribute("aria-checked", on);
    for (const element of this.fields) {
      const text = FIELDS[element.dataset.field ?? ""];
      if (text) put(element, text(status, serverNow));
    }
  }
}

/** @param {Store} store @param {string} name */
const one = (store, name) => {
  const track = store.tracks.get(name);
  return track && track.last === track.last ? track.last : NaN;
};

const WAYS = { ws: "WebSocket", sse: "SSE" };

/**
 * The connection for the page: {stream, transport, banner}; the banner is empty while all is well, or while the
 * first attempts last (`patient`).
 * @param {ConnectionState} link @param {number} lastMs
 */
export function connection({ phase, way, ended, patient = true }, lastMs) {
  if (phase === "live") return { stream: "live", transport: way ? WAYS[way] : "", banner: "" };
  const seen = Number.isFinite(lastMs) ? `, last seen ${clockTime(lastMs)}` : "";
  if (phase === "ended") {
    return {
      stream: "lost",
      transport: "session ended",
      banner: `This session has ended${seen}. To continue, ${ended}.`,
    };
  }
  if (!seen && patient) return { stream: "connecting", transport: "connecting", banner: "" };
  const kept = seen ? " The page still shows the last data." : "";
  return { stream: "lost", transport: "reconnecting", banner: `wfmon is not responding; reconnecting${seen}.${kept}` };
}

/**
 * Status name -> its text.
 * @type {Record<string, (context: StatusContext) => string>}
 */
const STATUS = {
  transport: ({ link, store }) => connection(link, store.knownMs).transport,
  rate({ store, link, wished }) {
    if (link.phase !== "live") return "";
    const { level, rate_hz: rate } = store.client;
    return `${rate ?? wished} Hz${level && level !== "normal" ? `, ${level}` : ""}`;
  },
  latency({ meter, link }) {
    const ms = rank(meter.latencies.newest(120), 0.5);
    return link.phase === "live" && ms === ms ? `${Math.max(0, Math.round(ms))} ms` : "";
  },
  fps({ meter }) {
    const fps = meter.fps(120);
    return fps === fps ? `${Math.round(fps)}` : "";
  },
  cost({ store }) {
    const cpu = one(store, "monitor.cpu_percent");
    const rss = one(store, "monitor.rss_bytes");
    if (cpu !== cpu || rss !== rss) return "";
    return `${cpu.toFixed(1)} % of a core, ${written(Math.round(rss / 1e6) * 1e6, "B").replace(".0", "")}`;
  },
  locality({ store }) {
    const out = one(store, "network.own_external_connections");
    const open = one(store, "network.own_external_listeners");
    if (out !== out || open !== open) return "";
    if (out + open === 0) return "Local only ✓";
    const facts = [];
    if (out) facts.push(`${out} connection${out === 1 ? " leaves" : "s leave"} this machine`);
    if (open) facts.push(`${open} listener${open === 1 ? "" : "s"} others can reach`);
    return facts.join(", ");
  },
  quality: ({ quality }) => quality.text,
  time({ view, serverNow }) {
    if (view.frozenMs !== null) return `frozen for ${span(serverNow - view.frozenMs)}`;
    return serverNow === serverNow ? clockTime(serverNow, view.minutesEast) : "";
  },
};

/** `data-status` elements of the frame around the pages. */
export class StatusBar {
  /** @param {Document} document */
  constructor(document) {
    this.root = document.documentElement;
    this.elements = partsOf(document, "[data-status]");
    this.banner = document.querySelector("[data-banner]");
  }

  /** @param {StatusContext} context */
  update(context) {
    for (const element of this.elements) {
      const name = element.dataset.status ?? "";
      if (!STATUS[name]) continue;
      const text = STATUS[name](context);
      put(element, text);
      if (name === "locality")
        set(element, "ok", text === "" ? "unknown" : text.startsWith("Local only") ? "yes" : "no");
    }
    const { stream, banner } = connection(context.link, context.store.knownMs);
    set(this.root, "stream", stream);
    if (this.banner) put(this.banner, banner);
  }
}
