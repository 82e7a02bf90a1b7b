import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";

const LINE = 120;
const LINES = 400;
const ROOT = new URL("../../", import.meta.url);

/** Every script and type below a folder, as [path, text]. */
function* sources(folder) {
  for (const entry of readdirSync(new URL(folder, ROOT), { withFileTypes: true })) {
    const path = `${folder}${entry.name}`;
    if (entry.isDirectory()) yield* sources(`${path}/`);
    else if (/\.(m?js|ts)$/.test(entry.name)) yield [path, readFileSync(new URL(path, ROOT), "utf8")];
  }
}

test("no line of the page's scripts is longer than 120 characters: the formatter leaves comments and texts as they are", () => {
  const long = [];
  for (const [path, text] of [...sources("assets/"), ...sources("bench/charts/")]) {
    text.split("\n").forEach((line, i) => {
      if ([...line].length > LINE) long.push(`${path}:${i + 1}`);
    });
  }
  assert.deepEqual(long, []);
});

test("no script of the page has more than 400 lines, its comments and types among them", () => {
  const lengths = [...sources("assets/")].map(([path, text]) => [path, text.trimEnd().split("\n").length]);
  assert.deepEqual(lengths.filter(([, lines]) => lines > LINES), []);
});

test("every script that the page loads is among them", () => {
  const paths = [...sources("assets/")].map(([path]) => path);
  assert.ok(paths.includes("assets/live.mjs"));
  assert.ok(paths.includes("assets/lib/chart/chart.mjs"));
});
