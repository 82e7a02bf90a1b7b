import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";

/** Folder of assets/lib -> the folders that its modules may import, besides their own. A page's folder knows no other page's. */
const PAGE = ["dom", "series", "chart", "page"];
const MAY = {
  dom: [],
  series: [],
  stream: ["series"],
  chart: ["dom", "series"],
  page: ["dom", "series", "stream", "chart"],
  shell: ["dom"],
  overview: PAGE,
  models: PAGE,
  requests: PAGE,
  history: PAGE,
};
const LIB = new URL("../../assets/lib/", import.meta.url);

/** Every module below assets/lib by its folder; "" holds those that put the page together. */
function* modules() {
  for (const entry of readdirSync(LIB, { withFileTypes: true })) {
    if (!entry.isDirectory()) yield { folder: "", name: entry.name };
    else for (const name of readdirSync(new URL(`${entry.name}/`, LIB))) yield { folder: entry.name, name };
  }
}

/** What a module imports, for its work or for its types: paths below assets/lib. */
function imports({ folder, name }) {
  const here = new URL(folder ? `${folder}/${name}` : name, LIB);
  const found = readFileSync(here, "utf8").matchAll(/\bfrom "([^"]+)"|\bimport\("([^"]+)"\)|^import "([^"]+)"/gm);
  return [...found].map((match) => new URL(match[1] ?? match[2] ?? match[3], here).href.slice(LIB.href.length));
}

test("every folder of assets/lib has its place among the layers, and none is named that is not there", () => {
  const folders = new Set([...modules()].map(({ folder }) => folder).filter(Boolean));
  assert.deepEqual([...folders].sort(), Object.keys(MAY).sort());
});

test("a module imports its own folder and the layers below it: no chart knows a page, no page another page", () => {
  const wrong = [];
  for (const module of modules()) {
    for (const target of imports(module)) {
      const folder = target.split("/")[0];
      const allowed = module.folder === "" || folder === module.folder || MAY[module.folder]?.includes(folder);
      if (!allowed) wrong.push(`${module.folder}/${module.name} imports ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("the walk sees the imports: a chart's own, and those of its neighbours", () => {
  const seen = imports({ folder: "chart", name: "chart.mjs" });
  assert.ok(seen.includes("chart/columns.mjs"));
  assert.ok(seen.includes("series/format.mjs"));
});

test("what puts the page together stands above all folders: nothing in them imports it", () => {
  const top = [...modules()].filter(({ folder }) => folder === "").map(({ name }) => name);
  const users = [...modules()].filter(({ folder }) => folder).filter((module) => imports(module).some((path) => top.includes(path)));
  assert.deepEqual(users, []);
});
