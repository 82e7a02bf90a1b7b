/**
 * The server's clock as the page sees it. Pure: both times come as arguments.
 *
 * The offset is taken from the ping of least round trip among the recent ones (the shorter the trip, the smaller the
 * error, which is at most half of it). Until the first pong, the greeting's time serves.
 */

const KEEP = 12;
const MAX_AGE_MS = 120_000;

export class ServerClock {
  constructor() {
    this.offset = NaN; // server ms minus page ms
    this.roundTrip = NaN; // of the ping in use
    /** @type {{ at: number, trip: number, offset: number }[]} */
    this.pings = []; // {at, trip, offset}
  }

  /**
   * A first guess from a message that said `serverMs` when it arrived at page time `pageMs`.
   * @param {number} serverMs @param {number} pageMs
   */
  greet(serverMs, pageMs) {
    if (this.pings.length === 0) this.offset = serverMs - pageMs;
  }

  /**
   * A ping sent and answered at page times `sent` and `received`.
   * @param {number} sent @param {number} received @param {number} serverMs
   */
  pong(sent, received, serverMs) {
    const trip = received - sent;
    if (!(trip >= 0) || !Number.isFinite(serverMs)) return;
    this.pings.push({ at: received, trip, offset: serverMs - (sent + received) / 2 });
    while (this.pings.length > KEEP || received - this.pings[0].at > MAX_AGE_MS) this.pings.shift();
    const best = this.pings.reduce((a, b) => (b.trip <= a.trip ? b : a));
    this.offset = best.offset;
    this.roundTrip = best.trip;
  }

  /**
   * The server's clock was stepped by `stepMs`.
   * @param {number} stepMs
   */
  step(stepMs) {
    this.offset += stepMs;
    for (const ping of this.pings) ping.offset += stepMs;
  }

  /** Forget everything: another server, or a page that slept. */
  reset() {
    this.pings.length = 0;
    this.roundTrip = NaN;
  }

  /**
   * Server time at page time `pageMs`; NaN before the first message.
   * @param {number} pageMs
   */
  at(pageMs) {
    return pageMs + this.offset;
  }
}
