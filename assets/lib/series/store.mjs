/**
 * What the page knows: every series' last five minutes, absences, collectors, tables. Pure, one owner (the page).
 *
 * A track is a ring of (time, value) pairs: Float64 milliseconds since the epoch, Float32 values, NaN = a gap begins.
 * Only changes are kept: between two samples the value holds. What holds is known up to `store.knownMs`, the time of the
 * newest frame; later than that nobody knows.
 */

import { parseSelector, selects } from "./selectors.mjs";

export const KEEP_MS = 300_000;
const FIRST_POINTS = 256;
const MAX_POINTS = 32_768; // a power of two above five minutes at 60 Hz
const SLOWEST_PERIOD_MS = 10_000;

/** The name of a series as it is written everywhere: `name{label="v"}`. */
export function seriesKey(name, labels = {}) {
  const names = Object.keys(labels).sort();
  if (!names.length) return name;
  return `${name}{${names.map((n) => `${n}="${String(labels[n]).replace(/[\\"]/g, "\\$&")}"`).join(",")}}`;
}

/** One series and its ring of samples. */
export class Track {
  constructor(meta) {
    this.key = seriesKey(meta.name, meta.labels);
    this.t = new Float64Array(FIRST_POINTS);
    this.v = new Float32Array(FIRST_POINTS);
    this.head = 0; // slot of the oldest sample
    this.size = 0;
    this.total = 0; // samples ever taken: a reader's cursor
    this.epoch = 0; // rises when stored samples changed under the readers
    this.last = NaN;
    this.lastMs = -Infinity;
    this.periodMs = NaN; // the usual distance of two samples, a soft minimum
    this.beatMs = Infinity; // what the source's own rate allows it to be at most
    this.absent = null; // the reason, when there is none to measure
    this.describe(meta);
  }

  /** Take over the description of the server (ids live for one boot only). */
  describe({ id, name, unit = "", kind = "gauge", labels = {} }) {
    this.id = id;
    this.name = name;
    this.unit = unit;
    this.kind = kind;
    this.labels = labels;
  }

  /** Append a sample; NaN begins a gap. False when it is not later than the newest one. */
  push(ms, value) {
    if (!(ms > this.lastMs)) return false;
    const distance = ms - this.lastMs;
    if (distance < SLOWEST_PERIOD_MS && value === value && this.last === this.last) this.#beat(distance);
    if (this.size === this.t.length) this.#makeRoom(ms);
    const slot = (this.head + this.size) & (this.t.length - 1);
    this.t[slot] = ms;
    this.v[slot] = value;
    this.size += 1;
    this.total += 1;
    this.last = value;
    this.lastMs = ms;
    if (value === value) this.absent = null;
    return true;
  }

  #beat(distance) {
    if (!(this.periodMs > 0)) this.periodMs = distance;
    else this.periodMs += (distance - this.periodMs) * (distance < this.periodMs ? 0.2 : 0.002);
    if (this.periodMs > this.beatMs) this.periodMs = this.beatMs;
  }

  /** Its source measures this often: what changed after a longer time held until then, and is drawn so. */
  pace(ms) {
    this.beatMs = ms;
    if (this.periodMs > ms) this.periodMs = ms;
  }

  /** A full ring forgets its oldest sample when that is old enough, else it doubles. */
  #makeRoom(ms) {
    const capacity = this.t.length;
    if (capacity >= MAX_POINTS || ms - this.t[this.head] > KEEP_MS) {
      this.head = (this.head + 1) & (capacity - 1);
      this.size -= 1;
      return;
    }
    const t = new Float64Array(capacity * 2);
    const v = new Float32Array(capacity * 2);
    const tail = capacity - this.head;
    t.set(this.t.subarray(this.head), 0);
    v.set(this.v.subarray(this.head), 0);
    t.set(this.t.subarray(0, this.head), tail);
    v.set(this.v.subarray(0, this.head), tail);
    this.t = t;
    this.v = v;
    this.head = 0;
  }

  /** Slot of the i-th oldest sample. */
  slot(i) {
    return (this.head + i) & (this.t.length - 1);
  }

  /** How many samples are at or before `ms`. */
  countUntil(ms) {
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.t[this.slot(middle)] <= ms) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The value that held at `ms`; NaN in a gap or before the first sample. */
  valueAt(ms) {
    const count = this.countUntil(ms);
    return count ? this.v[this.slot(count - 1)] : NaN;
  }

  /** Whether `value` (null: nothing) is what is known of the instant already. */
  holds(ms, value) {
    const known = this.valueAt(ms);
    return value === null ? known !== known : known === Math.fround(value) || this.t[this.head] > ms;
  }

  /** Whether anything is known from `ms` on. */
  knownSince(ms) {
    const before = this.countUntil(ms);
    for (let i = Math.max(0, before - 1); i < this.size; i += 1) {
      const value = this.v[this.slot(i)];
      if (value === value) return true;
    }
    return false;
  }

  /** Move the whole history by a step of the wall clock. */
  shift(stepMs) {
    for (let i = 0; i < this.size; i += 1) this.t[this.slot(i)] += stepMs;
    if (this.size) this.lastMs += stepMs;
    this.epoch += 1;
  }
}

const byNature = new Intl.Collator("en", { numeric: true }).compare;

/** All series of the page. */
export class Store {
  constructor() {
    this.tracks = new Map(); // key -> Track; survives a restart of the server
    this.byId = new Map(); // id of this boot -> Track
    this.collectors = new Map(); // name -> status
    this.tables = new Map(); // name -> {t, columns, rows}
    this.facts = {};
    this.boot = null;
    this.seq = -1;
    this.knownMs = NaN; // newest server time that a frame has confirmed
    this.joinedSeq = -1; // what we had when the present way greeted
    this.filledMs = -Infinity; // up to here a snapshot told it all
    this.version = 0; // rises when the set of series changes: selectors are resolved again
    this.reasons = new Map(); // metric or series that never had a sample -> why
    this.absenceVersion = 0;
    this.client = { level: "normal", rate_hz: 60 };
    this.counters = { frames: 0, samples: 0, duplicates: 0, overlaps: 0, late: 0, unknown: 0, snapshots: 0, resumed: 0, clockSteps: 0, breaks: 0 };
    this.found = new Map(); // selector -> {version, tracks}
  }

  /** Series of this boot: new ones are made, known ones keep their history under the new id. */
  describe(list) {
    for (const meta of list) {
      const key = seriesKey(meta.name, meta.labels);
      let track = this.tracks.get(key);
      if (track) track.describe(meta);
      else {
        track = new Track(meta);
        this.tracks.set(key, track);
      }
      this.#pace(track);
      this.byId.set(meta.id, track);
    }
    this.version += 1;
  }

  /** A polled collector's rate is known; a page's frames come as they come, and a rate of 0 says so. */
  #pace(track) {
    const rate = this.collectors.get(track.name.split(".")[0])?.rate_hz;
    track.pace(rate > 0 ? 1000 / rate : Infinity);
  }

  /** Tracks of a selector in natural order of their labels; the same array until the set of series changes. */
  select(selector) {
    const known = this.found.get(selector);
    if (known && known.version === this.version) return known.tracks;
    const own = this.tracks.get(selector); // a series' own text means that series alone
    const parsed = parseSelector(selector);
    const tracks = own ? [own] : [...this.tracks.values()].filter((track) => selects(parsed, track));
    tracks.sort((a, b) => byNature(a.key, b.key));
    this.found.set(selector, { version: this.version, tracks });
    return tracks;
  }

  /** A new session. With another boot the ids are void; the history stays, with a gap where nobody watched. */
  begin(boot) {
    this.joinedSeq = boot === this.boot ? this.seq : -1;
    if (boot === this.boot) return;
    this.boot = boot;
    this.seq = -1;
    this.byId.clear();
    this.#break(this.tracks.values());
  }

  /** What these tracks held ends with the newest known instant. */
  #break(tracks) {
    if (this.knownMs !== this.knownMs) return;
    let broken = false;
    for (const track of tracks) broken = this.#breakAt(track, this.knownMs) || broken;
    if (broken) this.counters.breaks += 1;
  }

  #breakAt(track, ms) {
    return track.last === track.last && track.size > 0 && track.push(Math.max(ms, track.lastMs) + 1, NaN);
  }

  /** The last five minutes on a grid. Only what is later than a track's newest sample is taken: finer history stays. */
  fill(seq, t0, stepMs, values) {
    let end = t0;
    if (this.knownMs < t0) this.#break(this.byId.values()); // it does not reach back to what we know
    for (const [id, grid] of Object.entries(values)) {
      const track = this.byId.get(Number(id));
      if (!track) {
        this.counters.unknown += 1;
        continue;
      }
      this.#fillTrack(track, t0, stepMs, grid);
      end = Math.max(end, t0 + (grid.length - 1) * stepMs);
    }
    this.seq = seq;
    this.joinedSeq = seq;
    this.filledMs = end;
    this.counters.snapshots += 1;
    if (!(this.knownMs > end)) this.knownMs = end;
  }

  #fillTrack(track, t0, stepMs, grid) {
    for (let i = 0; i < grid.length; i += 1) {
      const value = grid[i] === null ? NaN : Math.fround(grid[i]);
      if (track.kind === "event") {
        if (value === value && t0 + (i - 1) * stepMs >= track.lastMs) track.push(t0 + i * stepMs, value);
        continue;
      }
      if (value !== value && track.last !== track.last) continue; // still nothing
      if (value !== Math.fround(track.last)) track.push(t0 + i * stepMs, value);
    }
  }

  /** One frame: [[id, dt, value], ...] at server time t. False when it was seen before. */
  frame(seq, t, values) {
    if (seq <= this.seq) {
      if (seq <= this.joinedSeq) this.counters.overlaps += 1; // both ways spoke while one took over from the other
      else this.counters.duplicates += 1;
      return false;
    }
    this.seq = seq;
    this.counters.frames += 1;
    for (let i = 0; i < values.length; i += 1) {
      const [id, dt, value] = values[i];
      const track = this.byId.get(id);
      if (!track) this.counters.unknown += 1;
      else if (track.push(t - dt, value === null ? NaN : value)) this.counters.samples += 1;
      else if (t - dt > this.filledMs && !track.holds(t - dt, value)) this.counters.late += 1; // told again is no loss
    }
    if (!(this.knownMs > t)) this.knownMs = t;
    return true;
  }

  /** The wall clock of the server was stepped: the history moves along, with a gap at the step. */
  clockStep(stepMs) {
    this.#break(this.tracks.values());
    for (const track of this.tracks.values()) track.shift(stepMs);
    if (this.knownMs === this.knownMs) this.knownMs += stepMs;
    this.counters.clockSteps += 1;
  }

  /** Collectors, absences and the state of this client. */
  state({ collectors = [], absent = null, client = null }) {
    let paced = false;
    for (const status of collectors) {
      paced ||= this.collectors.get(status.name)?.rate_hz !== status.rate_hz;
      this.collectors.set(status.name, status);
    }
    if (paced) for (const track of this.tracks.values()) this.#pace(track);
    if (absent) this.reasons.clear(); // the server tells all of them at once
    for (const [id, reason] of absent ?? []) {
      const track = this.byId.get(id);
      if (track) track.absent = reason || null;
      else if (typeof id === "string") this.reasons.set(id, reason);
    }
    if (client) this.client = client;
    this.absenceVersion += 1;
  }

  table(name, t, columns, rows) {
    this.tables.set(name, { t, columns, rows });
  }
}
