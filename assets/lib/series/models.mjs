/**
 * Which models have series, what they are called, and the states that `model.energy_state` counts. Pure.
 */

/**
 * @import { Model, ModelName } from "./types"
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
 * Colour of a model among MODELS: its place in the order in which models came to be known, unless a shown one has it.
 * @param {Map<string, Model>} models @param {string} key @param {Set<number>} taken
 */
export function slotOf(models, key, taken) {
  const own = Math.max(0, [...models.keys()].indexOf(key)) % MODELS;
  for (let i = 0; i < MODELS; i += 1) if (!taken.has((own + i) % MODELS)) return (own + i) % MODELS;
  return own;
}
