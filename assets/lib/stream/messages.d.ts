/**
 * Version 1 of the wire: every message that the monitor and the page exchange. docs/protocol.md says what each means.
 */

import type { CollectorStatus, Facts, Meta, Sample, StateChange, Table } from "../series/types";

export interface Hello {
  type: "hello";
  version: number;
  boot: string;
  now_ms: number;
  series: Meta[];
  collectors?: CollectorStatus[];
  cores?: number;
  host_facts?: Facts;
  resumed?: boolean;
  client?: string | null;
  rate_hz?: number;
}

/** The last five minutes on a grid: id of a series -> its values, null where there is none. */
export interface Snapshot {
  type: "snapshot";
  seq: number;
  t0: number;
  step_ms: number;
  series: Record<string, (number | null)[]>;
}

export interface Frame {
  type: "frame";
  seq: number;
  t: number;
  v: Sample[];
}

export interface NewSeries {
  type: "series";
  series: Meta[];
}

export interface State extends StateChange {
  type: "state";
  host_facts?: Facts;
}

export interface TableRows extends Table {
  type: "table";
  name: string;
}

export interface Clock {
  type: "clock";
  t: number;
  step_ms: number;
}

export interface Pong {
  type: "pong";
  id?: number;
  now_ms: number;
  client_ms: number;
}

export interface Failure {
  type: "error";
  code: string | number;
}

export type Message = Hello | Snapshot | Frame | NewSeries | State | TableRows | Clock | Pong | Failure;

/** What a page wants of the stream. */
export interface Wish {
  rate_hz: number;
  tables: string[];
}

/** Where a page left off. */
export interface Place {
  boot: string | null;
  since: number;
}

/** The page's first message. */
export interface Greeting {
  type: "hello";
  version: number;
  token: string;
  rate_hz: number;
  boot?: string;
  since?: number;
  watch?: Watch;
}

export interface Watch {
  series: string[] | null;
  tables: string[];
}

/** How the page itself fared since its last report. */
export interface UxReport {
  type: "ux";
  page: string;
  t0: number;
  intervals: number[];
  work: number[];
  missed: number;
  loaf: { duration_ms: number }[];
  inputs: number[];
  stream_latency: number[];
  hidden: boolean;
}

/** What a page may say once it was greeted. */
export type Said =
  | { type: "rate"; rate_hz: number }
  | ({ type: "watch" } & Watch)
  | { type: "ping"; id: number; client_ms: number }
  | UxReport;
