/**
 * The models that have series, their names, and the states of `model.energy_state`. Pure.
 */

/**
 * @import { Model, ModelName, ModelRow } from "./types"
 * @import { Store } from "./store.mjs"
 */

export const STATES = ["idle", "charging", "flowing", "stalling", "saturated", "drained"];
export const [IDLE, CHARGING, FLOWING, STALLING, SATURATED, DRAINED] = STATES.keys();

export const MODELS = 6; // ribbons at most: the palette's colours

/**
 * Name of a model among all series: model and server.
 * @param {ModelName} given
 */
export const modelKey = ({ model, server }) => `${model}\n${server}`;

/**
 * {key -> {key, model, server, tracks}} of every model that has series.
 * @param {Store} store @returns {Map<string, Model>}
 */
export function modelsOf(store) {
  /** @type {Map<string, Model>} */
  const found = new Map();
  for (const track of store.tracks.values()) {
    if (!track.name.startsWith("model.") || !("model" in track.labels)) continue;
    const { model, server } = track.labels;
    const key = modelKey({ model, server });
    let one = found.get(key);
    if (!one)
      found.set(
        key,
        (one = { key, model: track.labels.model, server: track.labels.server, tracks: {}, others: new Map() }),
      );
    const name = track.name.slice("model.".length);
    if (name === "disagreement") one.others.set(track.labels.other, track);
    else if (name !== "requests_total") one.tracks[name] = track;
  }
  return found;
}

/**
 * Place of a model's colour in the palette, from 0: the one that the monitor gave it for good, which the table of
 * models has; until that is known, its place in the order in which models came to be known.
 * @param {Map<string, Model>} models @param {string} key @param {ModelRow | undefined} row
 */
export function slotOf(models, key, row) {
  const place = row?.colour ? row.colour - 1 : Math.max(0, [...models.keys()].indexOf(key));
  return place % MODELS;
}
