/*
 * Cell formatting for the grid of the Requests page. A classic script, so that it is loaded before the grid needs it.
 * The grid looks these names up; nothing is evaluated from text.
 */
(() => {
  /** @param {number} n */
  const two = (n) => String(n).padStart(2, "0");
  const writers = new Map();

  /**
   * A figure with its digits below 100, whole above, in groups of three; "–" for what was not measured.
   * @param {{ value?: unknown }} cell @param {number} digits
   */
  function figure({ value }, digits) {
    if (typeof value !== "number" || !Number.isFinite(value)) return "–";
    const shown = Math.abs(value) >= 100 ? 0 : digits;
    if (!writers.has(shown))
      writers.set(shown, new Intl.NumberFormat("en", { minimumFractionDigits: shown, maximumFractionDigits: shown }));
    return writers.get(shown).format(value);
  }

  /**
   * Day and time in this browser's zone.
   * @param {{ value?: unknown }} cell
   */
  function time({ value }) {
    if (!Number.isFinite(value)) return "–";
    const at = new Date(Number(value));
    const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  }

  /** @param {{ value?: string }} cell */
  const words = ({ value }) => value || "–";
  /** @param {{ colDef: { field: string }, data: { slow: boolean, status: string } }} cell */
  const style = ({ colDef, data }) => (colDef.field === "why" ? (data.slow ? "is-slow" : "") : `is-${data.status}`);

  window.dashAgGridFunctions = Object.assign(window.dashAgGridFunctions ?? {}, {
    wfmonFigure: figure,
    wfmonTime: time,
    wfmonText: words,
    wfmonClass: style,
  });
})();
