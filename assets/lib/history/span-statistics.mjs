/**
 * The statistics below each chart of the History page: asked for when they are opened, anew whenever what is shown changes.
 *
 * What is open, and the series that each is correlated with, outlive the charts' being drawn anew. `grown` is called when the
 * room that they need changes. What they say is in span-words.mjs.
 */

import { localText } from "./history.mjs";
import * as words from "./span-words.mjs";
import { eastAt, zoneName } from "../series/zone.mjs";

const SVG = "http://www.w3.org/2000/svg";
const MOST = 6; // series of a chart at once; the others are asked for by a button
const METHODS = { mean: "Figures", quantiles: "p50, p95, p99", change: "Change", trend: "Trend", profile: "Hours of the day", correlation: "Correlation" };

export class SpanStatistics {
  constructor(document, { grown }) {
    this.document = document;
    this.window = document.defaultView;
    this.grown = grown;
    this.panels = new Map(); // by metric: {box, sections, all, turn}
    this.open = new Set();
    this.others = new Map(); // by series, what it is correlated with
    this.spec = null;
    this.sizes = new this.window.ResizeObserver(() => this.grown());
  }

  start() {
    this.document.addEventListener("toggle", (event) => this.#toggled(event), true);
  }

  /** The page was laid out anew: nothing is open. */
  begin() {
    this.sizes.disconnect();
    for (const panel of this.panels.values()) panel.turn += 1;
    this.panels.clear();
    this.open.clear();
    this.spec = null;
  }

  /** The charts were drawn anew. */
  show(spec) {
    this.spec = spec;
    for (const box of this.document.querySelectorAll(".history [data-statistics]")) {
      const on = this.open.has(box.dataset.statistics);
      if (on) this.#fill(box);
      box.open = on;
    }
  }

  /** Pixels that what is open needs, by metric. What is closed has a height too: it is laid out, and not shown. */
  get extras() {
    const height = (metric, place) => (this.open.has(metric) && place?.isConnected ? place.offsetHeight : 0);
    return Object.fromEntries([...this.panels].map(([metric, { box }]) => [metric, height(metric, box.parentElement)]));
  }

  #toggled({ target }) {
    const metric = target.dataset?.statistics;
    if (!metric || !this.spec) return;
    if (target.open === this.open.has(metric)) return;
    if (target.open) {
      this.open.add(metric);
      this.#fill(target);
    } else this.open.delete(metric);
    this.grown();
  }

  #make(tag, content, more = {}) {
    const { dataset, ...rest } = more;
    const made = Object.assign(this.document.createElement(tag), rest);
    Object.assign(made.dataset, dataset);
    made.append(...[content].flat());
    return made;
  }

  /** Ask for what the open box should say, one series after the other. */
  async #fill(box) {
    const metric = box.dataset.statistics;
    const row = this.spec.rows.find((each) => each.name === metric);
    if (!row) return;
    if (!this.panels.has(metric)) this.panels.set(metric, { box: this.#make("div", [], { className: "spans" }), sections: new Map(), all: false, turn: 0 });
    const panel = this.panels.get(metric);
    const place = box.querySelector(".statistics");
    if (panel.box.parentElement !== place) {
      place.replaceChildren(panel.box);
      this.sizes.observe(place);
    }
    const turn = (panel.turn += 1);
    const lines = panel.all ? row.lines : row.lines.slice(0, MOST);
    const sections = lines.map((line) => this.#section(panel, row, line));
    const left = row.lines.length - lines.length;
    const more = this.#make("button", `Show the other ${left}`, { type: "button", className: "text" });
    more.addEventListener("click", () => {
      panel.all = true;
      this.#fill(box);
    });
    panel.how ??= this.#make("details", this.#make("summary", "How these are made"), { className: "how", hidden: true });
    panel.box.replaceChildren(...sections, ...(left > 0 ? [more] : []), panel.how);
    for (const line of lines) {
      if (panel.turn !== turn) return;
      await this.#ask(panel, row, line);
    }
  }

  #section(panel, row, line) {
    if (!panel.sections.has(line.series)) {
      const name = [this.#make("i", []), line.label];
      name[0].style.background = `var(${line.color})`;
      const head = row.lines.length > 1 ? this.#make("h4", name) : this.#make("h4", line.label || row.name, { className: line.label ? "" : "aside" });
      const body = this.#make("div", this.#make("p", "Reckoning …", { className: "muted" }), { className: "body" });
      const section = this.#make("section", [head, body], { dataset: { series: line.series } });
      section.style.setProperty("--c", `var(${line.color})`);
      panel.sections.set(line.series, { section, body, asked: "" });
    }
    return panel.sections.get(line.series).section;
  }

  async #ask(panel, row, line) {
    const place = panel.sections.get(line.series);
    const asked = words.address(this.spec, line.series, this.others.get(line.series) ?? "", { name: zoneName(), east: eastAt(this.spec.to_ms) });
    if (place.asked === asked) return;
    place.asked = asked;
    place.section.setAttribute("aria-busy", "true");
    const found = await this.#fetch(asked);
    if (place.asked !== asked) return; // another was asked for meanwhile
    place.section.removeAttribute("aria-busy");
    if (found.told) this.#tell(panel, place, found.told, row, line);
    else this.#trouble(panel, place, found, row, line);
  }

  async #fetch(asked) {
    try {
      const answer = await this.window.fetch(asked, { cache: "no-store", credentials: "same-origin" });
      const told = await answer.json();
      return answer.ok ? { told } : { detail: told.detail, fix: told.fix };
    } catch {
      return { detail: "The monitor gave no answer.", fix: "Is it running? Try again." };
    }
  }

  #trouble(panel, place, { detail, fix }, row, line) {
    const again = this.#make("button", "Try again", { type: "button", className: "text" });
    again.addEventListener("click", () => this.#ask(panel, row, line));
    place.asked = "";
    place.body.replaceChildren(this.#make("p", `${detail} ${fix}`, { className: "bad" }), again);
    place.body.firstChild.setAttribute("role", "alert");
  }

  #tell(panel, place, told, row, line) {
    this.#how(panel, told.methods);
    const kept = this.document.activeElement?.closest?.("select") && place.body.contains(this.document.activeElement);
    const notes = [["", told.span.absent], ["The span to compare with: ", told.against.absent]].filter(([, absent]) => absent);
    const said = notes.map(([before, absent]) => this.#make("p", before + absent, { className: "muted" }));
    const found = words.rows(told, row.unit);
    const facts = this.#make("dl", [
      ...this.#fact("Trend", words.trend(told.trend, row.unit)),
      ...this.#fact("Hours of the day", this.#day(told.profile, row.unit)),
      ...this.#fact("Goes together with", this.#correlated(panel, told.correlation, row, line)),
    ]);
    place.body.replaceChildren(...said, ...(found.length ? [this.#table(found, told, row, line)] : []), ...(told.span.absent ? [] : [facts]));
    if (kept) place.body.querySelector("select")?.focus({ preventScroll: true });
  }

  #table(found, told, row, line) {
    const clock = (ms) => localText(ms, eastAt).slice(0, 16).replace("T", " ");
    const span = ({ from_ms: from, to_ms: to }) => `${clock(from)} to ${clock(to)}`;
    const head = this.#make("tr", [
      this.#make("th", this.#make("span", "Figure", { className: "aside" }), { scope: "col" }),
      this.#make("th", "This span", { scope: "col", className: "num", title: span(told.span) }),
      this.#make("th", this.spec.compared_ms === null ? "Span before" : "Compared span", { scope: "col", className: "num", title: span(told.against) }),
      this.#make("th", "Change (95 % interval)", { scope: "col" }),
    ]);
    const body = found.map(({ key, name, now, before, change }) => {
      const cells = [this.#make("th", name, { scope: "row" }), this.#make("td", now, { className: "num" }), this.#make("td", before, { className: "num" })];
      const last = this.#make("td", change ? this.#said(words.change(change, row.unit)) : [], { className: "changed", dataset: { of: key } });
      return this.#make("tr", [...cells, last]);
    });
    const caption = this.#make("caption", `${line.label || row.name}: ${span(told.span)}, compared with ${span(told.against)}`, { className: "aside" });
    return this.#make("table", [caption, this.#make("thead", head), this.#make("tbody", body)]);
  }

  /** A verdict, and beside it how much. */
  #said({ verdict, size, sure }) {
    return [this.#make("strong", verdict, { className: sure ? "sure" : "" }), " ", this.#make("span", size, { className: "size" })];
  }

  #fact(name, content) {
    const what = content.verdict ? this.#said(content) : content;
    return [this.#make("dt", name), this.#make("dd", what)];
  }

  #day(profile, unit) {
    const found = words.day(profile.hours, unit);
    if (!found) return this.#make("span", profile.absent || "Fewer than two hours of the day are known.", { className: "size" });
    const draw = (tag, more) => {
      const made = this.document.createElementNS(SVG, tag);
      for (const [name, value] of Object.entries(more)) made.setAttribute(name, value);
      return made;
    };
    const [width, height] = found.size;
    const all = found.bars.map((bar) => bar.words).join("; ");
    const picture = draw("svg", { viewBox: `0 0 ${width} ${height}`, class: "day", role: "img", "aria-label": `Median by hour of the day: ${all}`, preserveAspectRatio: "none" });
    for (const { words: said, ...box } of found.bars) {
      const bar = draw("rect", box);
      const title = draw("title", {});
      title.textContent = said;
      bar.append(title);
      picture.append(bar);
    }
    const marks = this.#make("span", ["0:00", "6:00", "12:00", "18:00", "24:00"].map((each) => this.#make("span", each)), { className: "marks", ariaHidden: "true" });
    return [this.#make("div", [picture, marks], { className: "hours" }), this.#make("span", found.words, { className: "size" })];
  }

  #correlated(panel, told, row, line) {
    const chosen = this.others.get(line.series) ?? "";
    const all = this.spec.rows.flatMap((each) => each.lines.map((one) => one.series)).filter((series) => series !== line.series);
    if (chosen && !all.includes(chosen)) all.push(chosen);
    const option = (value, name) => this.#make("option", name, { value });
    const select = this.#make("select", [option("", all.length ? "choose a series" : "no other series is shown"), ...all.map((each) => option(each, each))], {
      className: "field", disabled: !all.length, ariaLabel: `Series to correlate ${line.series} with`,
    });
    select.value = chosen;
    select.addEventListener("change", (event) => {
      event.stopPropagation();
      this.others.set(line.series, select.value);
      this.#ask(panel, row, line);
    });
    return [select, ...(told ? [this.#make("p", this.#said(words.correlation(told)), { className: "answer" })] : [])];
  }

  #how(panel, methods) {
    const list = Object.entries(METHODS).flatMap(([key, name]) => (methods[key] ? [this.#make("dt", name), this.#make("dd", methods[key])] : []));
    panel.how.replaceChildren(panel.how.firstChild, this.#make("dl", list));
    panel.how.hidden = false;
  }
}
