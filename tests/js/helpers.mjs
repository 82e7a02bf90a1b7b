import { Store } from "../../assets/lib/series/store.mjs";
import { Track } from "../../assets/lib/series/track.mjs";

export const T0 = 1_700_000_000_000;

export const meta = (id, name, labels = {}, unit = "%") => ({ id, name, unit, kind: "gauge", labels });

/** A track with samples [ms after T0, value]; null begins a gap. */
export function track(samples, name = "system.cpu_percent") {
  const made = new Track(meta(1, name));
  for (const [ms, value] of samples) made.push(T0 + ms, value === null ? NaN : value);
  return made;
}

export const stored = (t) => Array.from({ length: t.size }, (_, i) => [t.t[t.slot(i)] - T0, t.v[t.slot(i)]]);

/** A store that knows series 1 and 2 of boot "a". */
export function store() {
  const made = new Store();
  made.begin("a");
  made.describe([meta(1, "system.cpu_percent"), meta(2, "system.memory_used_bytes", {}, "B")]);
  return made;
}
