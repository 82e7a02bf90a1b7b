/**
 * What the History page is told: what is shown (wfmon/ui/history/lookup.py), its statistics (docs/openapi.yaml), its
 * charts.
 */

/** [from, to], UTC milliseconds. */
export type Range = [from: number, to: number];

/** Minutes east of UTC at an instant. */
export type EastAt = (ms: number) => number;

/** One line of a chart; `trace` is its number among the figure's. */
export interface Line {
  series: string;
  label: string;
  color: string; // a token of the theme
  trace: number;
  from_ms: number;
  step_ms: number;
}

/** One chart, and the position of its texts, px. */
export interface ChartRow {
  name: string;
  unit: string;
  top: number;
  height: number;
  lines: Line[];
}

/** A trace as plotly takes it; `meta` is ours: the envelope of a line, and the colour of its band. */
export interface Trace {
  name?: string;
  x0?: string;
  dx?: number;
  y: (number | null)[];
  yaxis?: string;
  meta?: { low: (number | null)[]; high: (number | null)[]; band: string; unit: string };
  [more: string]: unknown;
}

export interface Axis {
  domain: [low: number, high: number];
  [more: string]: unknown;
}

/** A layout as plotly takes it: `xaxis`, `yaxis`, `yaxis2` and so on are its axes. */
export interface Layout {
  height: number;
  margin: { t: number; b: number };
  [more: string]: unknown;
}

export interface Figure {
  data: Trace[];
  layout: Layout;
}

/** Ticks of an axis of time, as plotly takes them. */
export interface Ticks {
  tickmode: "array";
  tickvals: string[];
  ticktext: string[];
}

/** What is shown. */
export interface Spec {
  figure: Figure;
  rows: ChartRow[];
  empty: boolean;
  fixed: string; // the query that asks for the same span at any time
  series: string[];
  from_ms: number;
  to_ms: number;
  now_ms: number;
  step_ms: number;
  tier: string;
  text: string; // the range in words
  compare: string;
  compared_ms: number | null;
  quantiles: boolean;
}

/** Figures of one span; null is not known. */
export interface SpanFigures {
  from_ms: number;
  to_ms: number;
  absent: string;
  [figure: string]: number | string | null;
}

export interface Change {
  of: string;
  difference: number | null;
  low: number | null;
  high: number | null;
  ratio: number | null;
  ratio_low: number | null;
  ratio_high: number | null;
  sure: boolean;
  absent: string;
}

export interface Trend {
  per_ms: number;
  slope: number | null;
  low: number | null;
  high: number | null;
  sure: boolean;
  absent: string;
}

export interface Correlation {
  rho: number;
  low: number | null;
  high: number | null;
  steps: number;
  sure: boolean;
  absent: string;
}

/** The median of each hour of the day; null is not known. */
export interface Profile {
  hours: (number | null)[] | null;
  absent: string;
}

export interface Statistics {
  span: SpanFigures;
  against: SpanFigures;
  changes: Change[];
  trend: Trend;
  profile: Profile;
  correlation: Correlation | null;
  methods: Record<string, string>;
}

/** What is said of a figure: a verdict, by how much, and whether it is sure. */
export interface Verdict {
  verdict: string;
  size: string;
  sure: boolean;
}

/** A row of the table of figures. */
export interface FigureRow {
  key: string;
  name: string;
  now: string;
  before: string;
  change: Change | null;
}

/** What fingers ask of the charts. */
export interface FingerCharts {
  stack(): HTMLElement | null;
  inPlot(target: Element): boolean;
  range(): Range;
  nowMs(): number;
  move(range: Range): void;
  rest(range: Range): void;
}

/** An element that plotly has drawn in. */
export interface PlotElement extends HTMLElement {
  on(event: "plotly_hover", act: (event: { points: { x: string }[] }) => void): void;
}

/** What plotly says when a range changed. */
export type Relayout = Record<string, unknown>;

/** How another view is asked for. `leave`: the button leads back to the one shown now; `silent`: the address stays. */
export interface Asking {
  leave?: boolean;
  silent?: boolean;
}

/** What the parts of the page need of it. */
export interface HistoryPage {
  readonly window: Window & typeof globalThis;
  readonly document: Document;
  readonly query: string; // the address's query
  readonly spec: Spec | null; // what is shown
  ask(query: string, how?: Asking): void;
  fresh(query: string): void; // a range was chosen, not zoomed to: there is nothing to go back to
  set(name: string, props: Record<string, unknown>): void; // properties of one of Dash's components
  by(name: string): HTMLElement | null; // an element of the page by the end of its id
  say(sentence: string): void;
  refocus(): void; // what had the focus was drawn anew
}
