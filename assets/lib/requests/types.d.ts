/** Requests to a model, as the monitor describes them; null and what is missing was not measured. */

export interface Cause {
  code: string;
  text: string;
  cost_ms?: number | null;
}

/** A row of the table `requests`, or of the history. */
export interface RequestRow {
  id: string | number;
  model: string;
  server?: string | null;
  via: string;
  status: string; // "open" while it runs
  started_ms: number;
  why?: string | null;
  in_memory?: boolean;
  [column: string]: unknown;
}

/** All that is known of one. */
export interface Request extends RequestRow {
  reason?: string | null;
  ended_ms?: number | null;
  duration_ms?: number | null;
  ttft_ms?: number | null;
  queue_ms?: number | null;
  load_ms?: number | null;
  prompt_ms?: number | null;
  prompt_tokens?: number | null;
  cached_tokens?: number | null;
  output_tokens?: number | null;
  tokens_per_second?: number | null;
  time_per_output_token_ms?: number | null;
  entropy_bits?: number | null;
  entropy_k?: number | null;
  energy?: number | null;
  joules?: number | null;
  stalls?: [at: number, length: number][] | null;
  causes?: (Cause | [code: string, text: string, cost?: number | null])[] | null;
  slow?: boolean | null;
  thinned?: number | null; // one of so many chunks is in `ticks`
  ticks?: { t_ms?: number[]; tokens?: number[]; entropy_bits?: (number | null)[] } | null;
}

/** The range shown: a preset that ends now, or two instants; `model` "" means all. */
export interface SpanChoice {
  preset?: string;
  from?: number;
  to?: number;
  model: string;
}

/** The position of a figure's axes, px. */
export interface Box {
  left: number;
  right: number;
  top?: number;
  bottom: number;
}

export interface Axis {
  title: string;
  unit?: string;
}

/** How the requests of a span spread, as wfmon/ui/requests/spread.py writes it. */
export interface Dots {
  kind: "dots";
  x: Axis;
  y: Axis;
  series: { name: string; color: string; points: [x: number, y: number][] }[];
}

export interface Boxes {
  kind: "boxes";
  x: Axis;
  boxes: { name: string; color: string; count: number; marks: [number, number, number, number, number] }[];
}

export interface Bars {
  kind: "bars";
  x: Axis;
  y: Axis;
  bars: [from: number, to: number, count: number][];
}

export type Figure = (Dots | Boxes | Bars) & { text?: string; empty?: string };

/** An element of a figure: its tag, its attributes, its words. */
export type Shape = [tag: string, attributes: Record<string, string | number | undefined>, words?: string];
