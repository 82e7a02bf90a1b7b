/**
 * Twelve charts of 30 s or 5 min at 60 Hz (1800 or 18000 points), each with a new point in every frame, drawn by one
 * of:
 *   own     the project's renderer (assets/lib/chart/chart.mjs)
 *   uplot   uPlot, with typed arrays shifted in place, its axes and grid, a line of one device pixel
 *   empty   nothing: what the page and the measurement cost by themselves
 *
 * `window.bench.run(kind, points, seconds)` gives {intervals, work}: ms between frames, and ms from the start of each
 * animation callback to the first task after it, so that raster on the main thread counts.
 */

import { Chart } from "/assets/lib/chart/chart.mjs";
import { readConfig } from "/assets/lib/chart/config.mjs";
import { Paint } from "/assets/lib/chart/paint.mjs";
import { Store } from "/assets/lib/series/store.mjs";

const CHARTS = 12;
const STEP_MS = 1_000 / 60;
const HEIGHT = 150;
const T0 = 1_700_000_000_000;
const main = document.querySelector("main");
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The same walk for every kind: noise on a slow wave, in 0..100. */
const walk = (chart, n) =>
  50 + 30 * Math.sin(n / (90 + 10 * chart)) + (((n * 7919 + chart * 104_729) % 1_009) / 1_009 - 0.5) * 24;

function hosts() {
  main.replaceChildren(
    ...Array.from({ length: CHARTS }, () => Object.assign(document.createElement("div"), { className: "chart" })),
  );
  return [...main.children];
}

function own(points) {
  const store = new Store();
  store.begin("bench");
  store.describe(
    Array.from({ length: CHARTS }, (_, id) => ({
      id,
      name: "bench.value",
      unit: "%",
      kind: "gauge",
      labels: { chart: `${id}` },
    })),
  );
  const paint = new Paint(document);
  const charts = hosts().map((host, i) => {
    const config = {
      series: [`bench.value{chart="${i}"}`],
      min: 0,
      max: 100,
      unit: "%",
      height: HEIGHT,
      colors: [`--s-${(i % 6) + 1}`],
      label: `${i}`,
    };
    const chart = new Chart(host, readConfig(JSON.stringify(config)), paint);
    chart.resize(Math.round(host.clientWidth * devicePixelRatio), Math.round(HEIGHT * devicePixelRatio));
    chart.resolve(store);
    return chart;
  });
  const view = {
    right: 0,
    span: points * STEP_MS,
    known: 0,
    cursor: NaN,
    cursorMoved: 0,
    cursorCanvas: null,
    minutesEast: 0,
    now: 0,
  };
  return (n, now) => {
    const t = T0 + n * STEP_MS;
    store.frame(
      n,
      t,
      charts.map((_, i) => [i, 0, walk(i, n)]),
    );
    if (now === null) return; // filling up
    Object.assign(view, { right: t, known: t, now });
    for (const chart of charts) chart.draw(view);
  };
}

async function uplot(points) {
  const { default: UPlot } = await import("./uplot/uPlot.esm.js");
  const grid = { stroke: token("--grid"), width: 1 / devicePixelRatio };
  const axis = { stroke: token("--ink-3"), grid, ticks: { show: false }, font: "10px sans-serif" };
  const plots = hosts().map((host, i) => {
    const x = new Float64Array(points);
    const y = new Float64Array(points);
    const plot = new UPlot(
      {
        width: host.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { show: false },
        pxAlign: 0,
        scales: { x: { time: true }, y: { range: [0, 100] } },
        axes: [
          { ...axis, size: 20 },
          { ...axis, size: 34 },
        ],
        series: [{}, { stroke: token(`--s-${(i % 6) + 1}`), width: 1 / devicePixelRatio, points: { show: false } }],
      },
      [x, y],
      host,
    );
    return { plot, x, y };
  });
  return (n, now) => {
    const t = (T0 + n * STEP_MS) / 1000;
    plots.forEach(({ plot, x, y }, i) => {
      x.copyWithin(0, 1);
      y.copyWithin(0, 1);
      x[points - 1] = t;
      y[points - 1] = walk(i, n);
      if (now !== null) plot.setData([x, y]);
    });
  };
}

const KINDS = { own, uplot, empty: () => (hosts(), () => {}) };

async function run(kind, points, seconds) {
  const frame = await KINDS[kind](points);
  let n = 0;
  for (; n < points; n += 1) frame(n, null);
  const intervals = [];
  const work = [];
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    let begun = 0;
    let last = NaN;
    const from = performance.now() + 1_000; // a second to warm up
    port1.onmessage = () => {
      const now = performance.now();
      if (now > from) work.push(now - begun);
      if (now > from + seconds * 1_000) resolve({ intervals, work });
      else requestAnimationFrame(tick);
    };
    function tick(stamp) {
      begun = performance.now();
      if (begun > from && last === last) intervals.push(stamp - last);
      last = stamp;
      frame((n += 1), begun);
      port2.postMessage(null);
    }
    requestAnimationFrame(tick);
  });
}

window.bench = { run };
