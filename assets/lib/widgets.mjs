/**
 * What stands on a page under `data-widget`: its name -> its class.
 *
 * A widget is made as `new Widget(host, { document, paint, page })`. The engine sets `visible`; while it is, `draw(view, store,
 * turn, quality)` is called in every frame that is drawn and `write(store, view, serverNow)` four times a second. `tables` names the
 * tables that it watches; `canvas`, if it has one, is measured: `resize(width, height)` in device pixels. `destroy()` ends it.
 * New elements of the markup's contract that it makes are found by `page.scan()`.
 */

import { EnergyStage } from "./energy-stage.mjs";
import { ModelCards } from "./model-cards.mjs";
import { Moment } from "./moments.mjs";
import { PastRequests } from "./past-requests.mjs";
import { RequestTable } from "./request-table.mjs";
import { ServerTable } from "./server-table.mjs";
import { Spread } from "./spread.mjs";
import { TokenStrip } from "./token-strip.mjs";

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
