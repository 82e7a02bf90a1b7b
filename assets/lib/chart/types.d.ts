/** What charts and widgets are drawn from. */

import type { Track } from "../series/track.mjs";
import type { Columns } from "./columns.mjs";

/** The moment that a frame shows; times are the server's ms, NaN where there is none. */
export interface View {
  right: number; // where the window ends
  span: number; // how long it lasts
  known: number; // the newest time that is known
  cursor: number; // the instant that all charts read out
  cursorMoved: number; // counts its moves
  cursorCanvas: HTMLCanvasElement | null; // where it was moved
  minutesEast: number; // the zone
  now: number; // page time
  frozenMs: number | null;
  version: number; // rises when anything of it changed
}

/** How a chart is described in `data-chart`. */
export interface ChartConfig {
  series: string[];
  min: number | null;
  max: number | null;
  reach: number | null;
  colors: string[];
  unit: string | null;
  height: number;
  label: string;
  legend: boolean;
  names: string[];
  budget: number | null;
}

/** One line of a chart; `token` is its colour: a token of the theme. */
export interface Line {
  track: Track;
  columns: Columns;
  token: string;
  name: string;
}

/** The position of values and times on a chart, in device pixels; `from` and `to` are the ends of the value axis. */
export interface Frame {
  first: number; // number of the leftmost column
  last: number;
  right: number; // where the window ends, in columns
  top: number;
  bottom: number;
  axis: number; // height of the time axis
  scale: number; // pixels a unit
  from: number;
  to: number;
  columnMs: number;
  ratio: number;
}

/** The marks above the ticks of a token strip. */
export interface Mark {
  kind: "first" | "stall";
  from: number;
  to: number;
  ms: number;
  at?: number; // its column, once it was drawn
  wide?: number; // columns that it and its words take
}

/** A token, or a chunk of several. */
export interface Tick {
  t: number;
  tokens: number;
  bits: number;
}

/** How far a reader has taken a track in. */
export interface TrackCursor {
  track: Track | null;
  epoch: number;
  cursor: number;
}

/** What marks are found in: first tokens, intervals between tokens, tokens, open requests. */
export interface MarkTracks {
  firsts?: Track;
  intervals?: Track;
  chunks?: Track;
  active?: Track;
}

/** A row of what the cursor says; the time has no colour. */
export interface Reading {
  text: string;
  token: string | null;
}
