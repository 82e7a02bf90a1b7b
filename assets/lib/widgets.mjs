/**
 * The widgets of `data-widget`: name -> class.
 *
 * A widget is made as `new Widget(host, { document, paint, page })`. The engine sets `visible`; while it is,
 * `draw(view, store, turn, quality)` is called in every frame that is drawn and `write(store, view, serverNow)` four
 * times a second. `tables` names the tables that it watches; `canvas`, if it has one, is measured: `resize(width,
 * height)` in device pixels. `destroy()` ends it. New elements of the markup's contract that it makes are found by
 * `page.scan()`.
 */

import { EnergyStage } from "./overview/energy-stage.mjs";
import { ModelCards } from "./models/model-cards.mjs";
import { Moment } from "./page/moments.mjs";
import { PastRequests } from "./requests/past-requests.mjs";
import { RequestTable } from "./requests/request-table.mjs";
import { ServerTable } from "./models/server-table.mjs";
import { Spread } from "./requests/spread.mjs";
import { TokenStrip } from "./models/token-strip.mjs";

export const WIDGETS = {
  energy: EnergyStage,
  models: ModelCards,
  moment: Moment,
  "past-requests": PastRequests,
  requests: RequestTable,
  servers: ServerTable,
  spread: Spread,
  "token-strip": TokenStrip,
};
