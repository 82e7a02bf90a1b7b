/*
 * The names that Dash calls for the History page. A classic script, so that they are there before Dash asks; each call
 * waits for history.mjs, which is a module and may come later.
 */
(() => {
  const come = new Promise((resolve) => {
    document.addEventListener("wfmon:history", (event) => resolve(/** @type {CustomEvent} */ (event).detail), {
      once: true,
    });
  });
  const names = ["begin", "paint", "done", "zoomed", "saved"];
  const calls = names.map((name) => [
    name,
    (/** @type {unknown[]} */ ...given) => come.then((page) => page[name](...given)),
  ]);
  window.dash_clientside = Object.assign(window.dash_clientside ?? {}, { wfmon_history: Object.fromEntries(calls) });
})();
