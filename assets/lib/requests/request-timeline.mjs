/**
 * The dialog of one request: fetches it, draws its phases, tokens and stalls to scale, and says why it was slow.
 */

import { axisText, clockTime } from "../series/format.mjs";
import { momentText } from "../page/moments.mjs";
import { painterOf, part, put, windowOf } from "../dom/elements.mjs";
import { reading, tallness } from "../chart/strip.mjs";
import { NAMES, axisTicks, failure, figures, lengthOf, phases, timelineSentence, verdict } from "./timeline.mjs";
import { stripColours, tint } from "../chart/tints.mjs";

/**
 * @import { Paint } from "../chart/paint.mjs"
 * @import { Tick } from "../chart/types"
 * @import { Request, RequestRow } from "./types"
 */

/** @typedef {(path: string, options: RequestInit) => Promise<Response>} Ask */

const AGAIN_MS = 1_000; // how often a running request is loaded again
const JUDGED_MS = 3_000; // why it was slow is known so long after its end, at the latest
const STRIP_PX = 44;

/** One dialog for all requests of the page. */
export class RequestDialog {
  /** @param {HTMLDialogElement} dialog @param {{ document: Document, paint: Paint, ask?: Ask }} room */
  constructor(dialog, { document, paint, ask = (path, options) => windowOf(document).fetch(path, options) }) {
    this.dialog = dialog;
    this.document = document;
    this.paint = paint;
    this.fetch = ask;
    this.title = part(dialog, "h2");
    this.body = part(dialog, ".request-body");
    /** @type {string | number | null} */
    this.id = null;
    this.asked = 0; // answers to older questions are not shown
    /** @type {Request | null} */
    this.request = null;
    /** @type {RequestRow | null} */
    this.row = null; // the row in the history, if given
    this.kept = false; // whether that is what is shown
    /** @type {Tick[]} */
    this.steps = [];
    this.at = -1; // the token that the keyboard reads
    this.canvas = document.createElement("canvas");
    this.said = document.createElement("p");
    this.askedMs = -Infinity;
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => {
      this.id = null;
      this.asked += 1;
    });
  }

  /**
   * Show the request of this id; `row` is what the table knows of it. `kept`, where it is given: the row is a whole
   * request of the history. True: only that; false: it may still be in the monitor's memory, with its tokens.
   * @param {string | number} id @param {RequestRow} row @param {{ kept?: boolean }} [options]
   */
  async open(id, row, { kept } = {}) {
    this.id = id;
    this.row = kept === undefined ? null : row;
    this.kept = kept === true;
    this.request = null;
    this.at = -1; // the token that the keyboard reads
    const at = clockTime(row.started_ms);
    put(
      this.title,
      kept === undefined
        ? `${row.model} at ${at}`
        : `${row.model}, ${momentText(row.started_ms).slice(0, 10)} at ${at}`,
    );
    this.title.title = row.model;
    this.body.replaceChildren(this.#element("p", "quiet", "Loading…"));
    if (!this.dialog.open) this.dialog.showModal();
    if (this.kept) this.#fromHistory();
    else await this.#ask();
  }

  /**
   * Called four times a second: loads a running request again.
   * @param {number} nowMs
   */
  tick(nowMs) {
    const { request } = this;
    if (!this.dialog.open || !request || this.kept || nowMs - this.askedMs < AGAIN_MS) return;
    if (request.status !== "open" && !(nowMs - (request.ended_ms ?? NaN) < JUDGED_MS)) return;
    this.askedMs = nowMs;
    this.#ask();
  }

  async #ask() {
    this.asked += 1;
    const { asked } = this;
    let status = 0;
    try {
      const answer = await this.fetch(`/api/v1/requests/${encodeURIComponent(this.id ?? "")}`, {
        cache: "no-store",
        credentials: "same-origin",
      });
      status = answer.status;
      /** @type {Request | null} */
      const request = answer.ok ? await answer.json() : null;
      if (asked !== this.asked) return;
      if (request) {
        const same = JSON.stringify(request) === JSON.stringify(this.request);
        this.request = request;
        if (!same) this.#show(request);
        return;
      }
    } catch {
      if (asked !== this.asked) return;
      status = 0;
    }
    this.#fail(status);
  }

  /** Show what the history has of it. */
  #fromHistory() {
    if (!this.row) return;
    this.kept = true;
    this.request = this.row;
    this.#show(this.row);
  }

  /** @param {number} status */
  #fail(status) {
    if (status === 404 && this.row && !this.request) {
      this.#fromHistory();
      return;
    }
    if (this.request) return; // what is shown stays; the next question may be answered
    const said = this.#element("p", "failed", failure(status));
    said.setAttribute("role", "alert");
    const again = this.#element("button", "text", "Try again");
    again.type = "button";
    again.addEventListener("click", () => this.#ask());
    this.body.replaceChildren(said, again);
  }

  /** @template {keyof HTMLElementTagNameMap} K @param {K} tag @param {string} [className] @param {string} [text] */
  #element(tag, className = "", text = "") {
    const element = this.document.createElement(tag);
    if (className) element.className = className;
    if (text) element.textContent = text;
    return element;
  }

  /** @param {Request} request */
  #show(request) {
    const total = lengthOf(request);
    const { slow, lines } = verdict(request);
    const why = this.#element("section", slow ? "why slow" : "why");
    why.append(this.#element("h3", "", "Why was it slow?"), ...lines.map((line) => this.#element("p", "", line)));
    const focused = this.document.activeElement === this.canvas;
    const said = focused ? this.said.textContent : "";
    this.body.replaceChildren(why, this.#picture(request, total), this.#figures(request));
    this.#ticks(request, total);
    if (!focused) return;
    this.canvas.focus();
    put(this.said, said);
  }

  /** @param {Request} request @param {number} total */
  #picture(request, total) {
    const picture = this.#element("section", "timeline");
    /** @param {number} ms */
    const share = (ms) => `${Math.min(100, Math.max(0, (ms / total) * 100))}%`;
    const bar = this.#element("div", "bar-of");
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", timelineSentence(request));
    const keys = this.#element("ul", "keys");
    for (const { kind, from, to } of phases(request)) {
      const part = this.#element("i", kind);
      part.style.left = share(from);
      part.style.width = share(to - from);
      part.title = `${NAMES[kind]}: ${axisText(from, "ms")} to ${axisText(to, "ms")}`;
      bar.append(part);
      const key = this.#element("li", kind, NAMES[kind]);
      key.prepend(this.#element("i", kind));
      keys.append(key);
    }
    for (const [at, length] of request.stalls ?? []) {
      const stall = this.#element("b", "stall");
      stall.style.left = share(at);
      stall.style.width = share(length);
      stall.title = `stall of ${axisText(length, "ms")}, ${axisText(at, "ms")} after the start`;
      bar.append(stall);
    }
    if (request.stalls?.length) {
      const key = this.#element("li", "stall", "Stall");
      key.prepend(this.#element("i", "stall"));
      keys.append(key);
    }
    this.canvas = this.#element("canvas");
    this.canvas.style.height = `${STRIP_PX}px`;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "This request's tokens, one line each; arrow keys step through them");
    this.canvas.setAttribute("aria-keyshortcuts", "ArrowLeft ArrowRight Home End");
    const axis = this.#element("p", "axis");
    axis.setAttribute("aria-hidden", "true");
    for (const tick of axisTicks(total)) {
      const label = this.#element("span", "", tick === 0 ? "0" : axisText(tick, "ms"));
      label.style.left = share(tick);
      axis.append(label);
    }
    this.said = this.#element("p", "said");
    this.said.setAttribute("role", "status");
    picture.append(bar, this.canvas, axis, this.said, keys);
    return picture;
  }

  /**
   * The request's own token strip, on the axis of its timeline.
   * @param {Request} request @param {number} total
   */
  #ticks(request, total) {
    const { t_ms: times = [], tokens = [], entropy_bits: bits = [] } = request.ticks ?? {};
    this.steps = times.map((t, i) => ({ t, tokens: tokens[i] ?? 1, bits: bits[i] ?? NaN }));
    this.canvas.hidden = times.length === 0;
    if (this.kept) put(this.said, "The token times were only in the monitor's memory and are no longer available.");
    if (!times.length) return;
    this.canvas.tabIndex = 0;
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    const { ratio } = this.paint;
    const width = Math.max(2, Math.round(this.canvas.clientWidth * ratio));
    const height = Math.round(STRIP_PX * ratio);
    this.canvas.width = width;
    this.canvas.height = height;
    const g = painterOf(this.canvas);
    const colours = stripColours(this.canvas);
    this.steps.forEach((step) => {
      const tall = Math.max(2, Math.round(height * tallness(step.tokens)));
      g.fillStyle = tint(colours, step.bits);
      g.fillRect(Math.min(width - 1, Math.floor((step.t / total) * width)), (height - tall) >> 1, 1, tall);
    });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const last = this.steps.length - 1;
    const step = event.shiftKey ? 10 : 1;
    /** @type {Record<string, number>} */
    const places = { ArrowLeft: this.at < 0 ? last : this.at - step, ArrowRight: this.at + step, Home: 0, End: last };
    const to = places[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.at = Math.min(last, Math.max(0, to));
    put(this.said, reading(this.steps, this.at, "this request"));
  }

  /** @param {Request} request */
  #figures(request) {
    const list = this.#element("dl", "request-figures");
    for (const [name, text] of figures(request)) {
      const row = this.#element("div");
      const what = this.#element("dd", text === null ? "is-absent" : "", text ?? "n/a");
      if (text === null) what.title = `not measured by the ${request.via}`;
      row.append(this.#element("dt", "", name), what);
      list.append(row);
    }
    return list;
  }
}
