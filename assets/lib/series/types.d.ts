/** What the page knows of series, as the monitor sends it. Names and labels come from elsewhere: text, never markup. */

import type { Track } from "./track.mjs";

export type Labels = Record<string, string>;

/** A series of this boot; `id` is good until the monitor starts anew. */
export interface Meta {
  id: number;
  name: string;
  unit?: string;
  kind?: string;
  labels?: Labels;
}

/** A pattern: a character each, 0 for any text, 1 for one character. */
export type Pattern = (string | number)[];

/** A parsed selector `name{label="a*"}`; a label that it does not name may have any value. */
export interface Selector {
  name: Pattern;
  labels: [key: string, pattern: Pattern][];
}

/** `dt` is how many ms before the frame's time the sample was taken; null begins a gap. */
export type Sample = [id: number, dt: number, value: number | null];

export interface CollectorStatus {
  name: string;
  state: string;
  reason?: string | null;
  rate_hz?: number | null;
  cpu_percent?: number | null;
  beats?: number;
  skipped?: number;
  errors?: number;
  checked_ms?: number | null;
}

/** What the monitor knows of this client. */
export interface ClientState {
  level?: string;
  rate_hz?: number;
}

/** The state of collectors, of absences ([id or name, reason]) and of this client; each may be missing. */
export interface StateChange {
  collectors?: CollectorStatus[];
  absent?: [id: number | string, reason: string | null][] | null;
  client?: ClientState | null;
}

export type Cell = string | number | boolean | null;

/** Rows that are no series: processes, connections, models, requests, servers. */
export interface Table {
  t: number;
  columns: string[];
  rows: Cell[][];
}

/** A series that is unusual for this hour of the day; `also`: other names of the same thing. */
export interface Unusual {
  series: string;
  also: string[];
  since_ms: number;
  usually: string;
  text: string;
}

/** What the monitor knows of this machine and is no measurement. */
export interface Facts {
  unusual?: Unusual[];
  [name: string]: unknown;
}

/** A model is known by its name and its server. */
export interface ModelName {
  model: string;
  server: string;
}

/** A row of the table `models`. */
export interface ModelRow extends ModelName {
  via?: string | null;
  rate_hz?: number | null;
  runtime?: string | null;
  pid?: number | null;
  seen_ms?: number | null;
  state?: string | null;
  entropy_reason?: string | null;
  note?: string | null;
  /** Its place in the palette, from 1. */
  colour?: number | null;
}

/** A row of the table `servers`. */
export interface ServerRow {
  server: string;
  runtime?: string | null;
  version?: string | null;
  process?: string | null;
  pid?: number | null;
  models?: string | null;
  gpu_bytes: number | null;
  state?: string | null;
  shows?: string | null;
  lacks?: string | null;
  fix?: string | null;
}

/** A number as it is written, and its unit. */
export interface Written {
  number: string;
  unit: string;
}

/**
 * A model's series: `tracks` by their names without "model.", `others` are its disagreements by the other model's name.
 */
export interface Model extends ModelName {
  key: string;
  tracks: Record<string, Track | undefined>;
  others: Map<string, Track>;
}
