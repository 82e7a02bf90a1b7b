/** The live elements of a page. */

import type { Chart } from "../chart/chart.mjs";
import type { Paint } from "../chart/paint.mjs";
import type { View } from "../chart/types";
import type { Store } from "../series/store.mjs";
import type { Link } from "../stream/link.mjs";
import type { ChartTable } from "./a11y.mjs";
import type { FrameMeter } from "./frames.mjs";
import type { Legend } from "./legend.mjs";
import type { Page } from "./page.mjs";
import type { Quality } from "./quality.mjs";
import type { UnusualMark } from "./unusual.mjs";

/** A chart with the elements around it. */
export interface PlacedChart extends Chart {
  table: ChartTable;
  legend: Legend | null;
  unusual: UnusualMark;
  drawnVersion?: number; // version of the view that it shows
}

/** What is made for an element with `data-widget`; widgets.mjs says when what is called. */
export interface Widget {
  host?: HTMLElement;
  visible?: boolean; // set by the IntersectionObserver
  canvas?: HTMLCanvasElement;
  tables?: string[]; // names of the tables that it watches
  draw?(view: View, store: Store, turn: number, quality: Quality): void;
  write?(store: Store, view: View, serverNow: number): void;
  resize?(width: number, height: number): void;
  destroy(): void;
}

/** What a widget is made with. */
export interface Room {
  document: Document;
  paint: Paint;
  page: Page;
}

// An element of the document as its widget wants it: a <time>, a <table>. The markup promises that it is one.
export type WidgetKinds = Record<string, new (host: never, room: Room) => Widget>;

/** The state of the connection, as far as its texts need it. */
export type ConnectionState = Pick<Link, "phase"> & Partial<Pick<Link, "way" | "ended" | "patient">>;

/** What the status bar speaks of. */
export interface StatusContext {
  store: Store;
  meter: FrameMeter;
  quality: Quality;
  link: Link;
  view: View;
  serverNow: number;
  wished: number;
}
