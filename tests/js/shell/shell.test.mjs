import assert from "node:assert/strict";
import { test } from "node:test";

import { ARRANGE_KEYS, isTyping, Keys } from "../../../assets/lib/shell/keys.mjs";
import { arranged, moved, NO_CHOICE, parseChoice, storageKey, withHidden } from "../../../assets/lib/shell/panels.mjs";
import { lookCookie, nextTheme, readLook, themeWords } from "../../../assets/lib/shell/theme.mjs";

const KEYS = ["cpu", "memory", "gpu", "disk"];

test("without a choice the panels stand as the page put them", () => {
  assert.deepEqual(arranged(KEYS, NO_CHOICE), KEYS);
});

test("the chosen order wins, and keys that the page no longer has are passed over", () => {
  assert.deepEqual(arranged(KEYS, { order: ["disk", "gone", "cpu", "gpu", "memory"] }), ["disk", "cpu", "gpu", "memory"]);
});

test("a panel that is born after the choice stands behind its neighbour of the page", () => {
  const order = ["disk", "cpu", "memory"];
  assert.deepEqual(arranged(KEYS, { order }), ["disk", "cpu", "memory", "gpu"]);
  assert.deepEqual(arranged(["new", ...KEYS], { order: [...order, "gpu"] }), ["new", "disk", "cpu", "memory", "gpu"]);
});

test("a panel moves by one place, and not past the ends", () => {
  const right = moved(NO_CHOICE, KEYS, "cpu", 1);
  assert.deepEqual(arranged(KEYS, right), ["memory", "cpu", "gpu", "disk"]);
  assert.deepEqual(arranged(KEYS, moved(right, KEYS, "cpu", -1)), KEYS);
  assert.equal(moved(NO_CHOICE, KEYS, "cpu", -1), NO_CHOICE);
  assert.equal(moved(NO_CHOICE, KEYS, "disk", 1), NO_CHOICE);
});

test("a move jumps over what is hidden: the user sees it move", () => {
  const choice = withHidden(NO_CHOICE, "memory", true);
  assert.deepEqual(arranged(KEYS, moved(choice, KEYS, "cpu", 1)), ["memory", "gpu", "cpu", "disk"]);
});

test("moving in one group keeps the order of another", () => {
  const choice = { order: ["rss", "threads"], hidden: [] };
  const next = moved(choice, KEYS, "gpu", -1);
  assert.deepEqual(arranged(["threads", "rss"], next), ["rss", "threads"]);
  assert.deepEqual(arranged(KEYS, next), ["cpu", "gpu", "memory", "disk"]);
});

test("hiding twice is hiding once, and showing takes it back", () => {
  const hidden = withHidden(withHidden(NO_CHOICE, "gpu", true), "gpu", true);
  assert.deepEqual(hidden.hidden, ["gpu"]);
  assert.deepEqual(withHidden(hidden, "gpu", false).hidden, []);
});

test("a stored choice that is none is no choice", () => {
  for (const text of [null, "", "{", "7", "null", '{"order":7,"hidden":{}}']) {
    assert.deepEqual({ ...parseChoice(text) }, { order: [], hidden: [] }, String(text));
  }
  assert.deepEqual(parseChoice('{"order":["a",1,"a","b"],"hidden":["c"]}'), { order: ["a", "b"], hidden: ["c"] });
});

test("each page keeps its own choice", () => {
  assert.notEqual(storageKey("overview"), storageKey("system"));
});

test("the look survives its cookie, among other cookies", () => {
  for (const theme of ["", "dark", "light"]) {
    for (const side of ["open", "folded"]) {
      const [pair] = lookCookie({ theme, side }).split(";");
      assert.deepEqual(readLook(`other=1; ${pair}; wfmon-looks=light.open`), { theme, side });
    }
  }
  assert.deepEqual(readLook("wfmon-look=pink.sideways"), { theme: "", side: "open" });
  assert.deepEqual(readLook(""), { theme: "", side: "open" });
});

test("the theme switch goes round: system, dark, light", () => {
  assert.deepEqual(["", "dark", "light"].map(nextTheme), ["dark", "light", ""]);
  assert.equal(themeWords(""), "system");
});

test("g and a letter go to a page, when the letter comes soon", () => {
  const keys = new Keys();
  assert.equal(keys.press("g", 0), null);
  assert.deepEqual(keys.press("n", 1_000), { go: "network" });
  keys.press("g", 2_000);
  assert.equal(keys.press("o", 3_300), null);
  keys.press("g", 4_000);
  assert.equal(keys.press("x", 4_100), null);
  assert.equal(keys.press("o", 4_200), null, "a wrong letter ends the sequence");
});

test("single keys act, also a letter that alone means nothing after g", () => {
  const keys = new Keys();
  assert.deepEqual(["?", "a", "t", "b"].map((key) => keys.press(key, 0).do), ["shortcuts", "arrange", "theme", "fold"]);
  assert.equal(keys.press("s", 0), null);
});

test("typing into a field is no shortcut", () => {
  assert.ok(isTyping({ tagName: "INPUT" }));
  assert.ok(isTyping({ tagName: "DIV", isContentEditable: true }));
  assert.ok(!isTyping({ tagName: "BUTTON" }));
});

test("arranging is symmetric: left undoes right, up undoes down", () => {
  assert.equal(ARRANGE_KEYS.ArrowLeft[1] + ARRANGE_KEYS.ArrowRight[1], 0);
  assert.equal(ARRANGE_KEYS.ArrowUp[1] + ARRANGE_KEYS.ArrowDown[1], 0);
});
