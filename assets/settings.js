/*
 * Functions that Dash calls on the Settings page: the browser's time zone, and the focus after a step.
 * A classic script, so that they are defined before Dash calls them.
 */
(() => {
  /**
   * Give an id as it stands in the page: Dash writes those of several parts as JSON with its keys in order.
   * @param {DashId} id
   */
  function written(id) {
    if (typeof id === "string") return id;
    return JSON.stringify(
      Object.fromEntries(
        Object.keys(id)
          .sort()
          .map((key) => [key, id[key]]),
      ),
    );
  }

  function client() {
    return { zone: new Intl.DateTimeFormat().resolvedOptions().timeZone, east: -new Date().getTimezoneOffset() };
  }

  /**
   * What comes in the same answer is in the page by the next frame.
   * @param {DashId} id
   */
  function focus(id) {
    if (id) requestAnimationFrame(() => requestAnimationFrame(() => document.getElementById(written(id))?.focus()));
    return window.dash_clientside.no_update;
  }

  window.dash_clientside = Object.assign(window.dash_clientside ?? {}, { wfmon_settings: { client, focus } });
})();
