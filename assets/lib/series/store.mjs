/**
 * The page's data: the last five minutes of every series, absences, collectors, tables. Pure; the page owns it.
 *
 * What holds is known up to `store.knownMs`, the time of the newest frame; later than that nobody knows.
 */

import { parseSelector, selects, seriesKey } from "./selectors.mjs";
import { Track } from "./track.mjs";

/** @import { ClientState, CollectorStatus, Facts, Meta, Sample, StateChange, Table } from "./types" */

const byNature = new Intl.Collator("en", { numeric: true }).compare;

/** All series of the page. */
export class Store {
  constructor() {
    /** @type {Map<string, Track>} */
    this.tracks = new Map(); // key -> Track; survives a restart of the server
    /** @type {Map<number, Track>} */
    this.byId = new Map(); // id of this boot -> Track
    /** @type {Map<string, CollectorStatus>} */
    this.collectors = new Map(); // name -> status
    /** @type {Map<string, Table>} */
    this.tables = new Map(); // name -> {t, columns, rows}
    /** @type {Facts} */
    this.facts = {};
    /** @type {string | null} */
    this.boot = null;
    this.seq = -1;
    this.knownMs = NaN; // newest server time that a frame has confirmed
    this.joinedSeq = -1; // what we had when the present way greeted
    this.filledMs = -Infinity; // up to here a snapshot was complete
    this.version = 0; // rises when the set of series changes: selectors are resolved again
    /** @type {Map<string, string | null>} */
    this.reasons = new Map(); // metric or series that never had a sample -> why
    this.absenceVersion = 0;
    /** @type {ClientState} */
    this.client = { level: "normal", rate_hz: 60 };
    this.counters = {
      frames: 0,
      samples: 0,
      duplicates: 0,
      overlaps: 0,
      late: 0,
      unknown: 0,
      snapshots: 0,
      resumed: 0,
      clockSteps: 0,
      breaks: 0,
    };
    /** @type {Map<string, { version: number, tracks: Track[] }>} */
    this.found = new Map(); // selector -> {version, tracks}
  }

  /**
   * Series of this boot: new ones are made, known ones keep their history under the new id.
   * @param {Meta[]} list
   */
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

  /**
   * A polled collector's rate is known; a page's frames come as they come, and a rate of 0 says so.
   * @param {Track} track
   */
  #pace(track) {
    const rate = this.collectors.get(track.name.split(".")[0])?.rate_hz;
    track.pace(rate && rate > 0 ? 1000 / rate : Infinity);
  }

  /**
   * Tracks of a selector in natural order of their labels; the same array until the set of series changes.
   * @param {string} selector @returns {Track[]}
   */
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

  /**
   * A new session. With another boot the ids are void; the history stays, with a gap where nobody watched.
   * @param {string} boot
   */
  begin(boot) {
    this.joinedSeq = boot === this.boot ? this.seq : -1;
    if (boot === this.boot) return;
    this.boot = boot;
    this.seq = -1;
    this.byId.clear();
    this.#break(this.tracks.values());
  }

  /**
   * What these tracks held ends with the newest known instant.
   * @param {Iterable<Track>} tracks
   */
  #break(tracks) {
    if (this.knownMs !== this.knownMs) return;
    let broken = false;
    for (const track of tracks) broken = this.#breakAt(track, this.knownMs) || broken;
    if (broken) this.counters.breaks += 1;
  }

  /** @param {Track} track @param {number} ms */
  #breakAt(track, ms) {
    return track.last === track.last && track.size > 0 && track.push(Math.max(ms, track.lastMs) + 1, NaN);
  }

  /**
   * The last five minutes on a grid. Only what is later than a track's newest sample is taken: finer history stays.
   * @param {number} seq @param {number} t0 @param {number} stepMs @param {Record<string, (number | null)[]>} values
   */
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

  /** @param {Track} track @param {number} t0 @param {number} stepMs @param {(number | null)[]} grid */
  #fillTrack(track, t0, stepMs, grid) {
    for (let i = 0; i < grid.length; i += 1) {
      const told = grid[i];
      const value = told === null ? NaN : Math.fround(told);
      if (track.kind === "event") {
        if (value === value && t0 + (i - 1) * stepMs >= track.lastMs) track.push(t0 + i * stepMs, value);
        continue;
      }
      if (value !== value && track.last !== track.last) continue; // still nothing
      if (value !== Math.fround(track.last)) track.push(t0 + i * stepMs, value);
    }
  }

  /**
   * One frame: [[id, dt, value], ...] at server time t. False when it was seen before.
   * @param {number} seq @param {number} t @param {Sample[]} values
   */
  frame(seq, t, values) {
    if (seq <= this.seq) {
      if (seq <= this.joinedSeq)
        this.counters.overlaps += 1; // both ways spoke while one took over from the other
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
      else if (t - dt > this.filledMs && !track.holds(t - dt, value)) this.counters.late += 1; // a repeat is no loss
    }
    if (!(this.knownMs > t)) this.knownMs = t;
    return true;
  }

  /**
   * The wall clock of the server was stepped: the history moves along, with a gap at the step.
   * @param {number} stepMs
   */
  clockStep(stepMs) {
    this.#break(this.tracks.values());
    for (const track of this.tracks.values()) track.shift(stepMs);
    if (this.knownMs === this.knownMs) this.knownMs += stepMs;
    this.counters.clockSteps += 1;
  }

  /**
   * Collectors, absences and the state of this client.
   * @param {StateChange} change
   */
  state({ collectors = [], absent = null, client = null }) {
    let paced = false;
    for (const status of collectors) {
      paced ||= this.collectors.get(status.name)?.rate_hz !== status.rate_hz;
      this.collectors.set(status.name, status);
    }
    if (paced) for (const track of this.tracks.values()) this.#pace(track);
    if (absent) this.reasons.clear(); // the server sends all of them at once
    for (const [id, reason] of absent ?? []) {
      const track = typeof id === "number" ? this.byId.get(id) : undefined;
      if (track) track.absent = reason || null;
      else if (typeof id === "string") this.reasons.set(id, reason);
    }
    if (client) this.client = client;
    this.absenceVersion += 1;
  }

  /** @param {string} name @param {number} t @param {Table["columns"]} columns @param {Table["rows"]} rows */
  table(name, t, columns, rows) {
    this.tables.set(name, { t, columns, rows });
  }
}
