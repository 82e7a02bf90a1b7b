/*
 * Functions that Dash calls on the History page. A classic script, so that they are defined before Dash calls them;
 * each call waits for history.mjs, which is a module and may load later.
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
