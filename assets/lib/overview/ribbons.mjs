/**
 * Paints the energy stage's ribbons on a canvas. Lines are one device pixel wide, particles are rectangles of one
 * colour a ribbon; gradients and buffers are made when the size or the theme changes, never in a frame.
 */

import { painterOf } from "../dom/elements.mjs";
import { DASH_PX, GLOW_PX, Particles, places } from "./energy.mjs";
import { STEP_PX, drawChosen, drawFull, drawRipples, drawStall } from "./marks.mjs";
import { CHARGING, STALLING } from "../series/models.mjs";
import { Layer, rgbOf } from "../chart/layer.mjs";
import { SERIES_TOKENS } from "../chart/paint.mjs";

/**
 * @import { Ribbon } from "./energy.mjs"
 * @import { Paint } from "../chart/paint.mjs"
 */

/** @type {[at: number, opacity: number][]} */
const BODY = [
  [0, 0],
  [0.12, 0.4],
  [1, 0.62],
]; // opacity of a ribbon at full energy, from left to right
const FADE = 0.09; // share of the width over which particles come out of the ground
const LEAST = 0.35; // edges and particles of a ribbon without energy can still be seen
const PARTICLE_PX = 1.5; // every fifth is larger
const LARGE_PX = 2.5;
const DASH = { long: 7, half: 1 }; // px
const GLOW_FULL = 22;
const HAIRLINE_PX = 0.75; // half a width below this is one line

/**
 * Opacity of a ribbon's body at the share `x` of the width and the energy `brightness`.
 * @param {number} x @param {number} brightness
 */
export function bodyAlpha(x, brightness) {
  for (let i = 1; i < BODY.length; i += 1) {
    const [from, low] = BODY[i - 1];
    const [to, high] = BODY[i];
    if (x <= to) return (low + ((x - from) / (to - from)) * (high - low)) * brightness;
  }
  return BODY[BODY.length - 1][1] * brightness;
}

/**
 * Opacity of edges and particles; without a known energy it claims none.
 * @param {number} brightness
 */
export const lineAlpha = (brightness) => (brightness === brightness ? LEAST + (1 - LEAST) * brightness : 0.6);

export class RibbonPainter {
  /** @param {HTMLCanvasElement} canvas @param {Paint} paint */
  constructor(canvas, paint) {
    this.canvas = canvas;
    this.paint = paint;
    this.context = painterOf(canvas);
    this.particles = new Particles();
    this.place = places(0, 0, 1);
    this.lanes = 0;
    this.version = -1;
    /** @type {Float32Array[]} */
    this.middles = []; // a Float32Array a ribbon: y of its middle at every STEP_PX, device px
    this.points = 0; // of a middle
    /** @type {ImageData | null} */
    this.image = null; // the layer's pixels; null without room
    this.layer = new Layer(0, 0); // bodies and particles, as pixels
    this.faded = new Float32Array(0); // how far a particle has come out of the ground, a column each
    this.levels = new Float32Array(0); // opacity of a body at full energy, a column each
    /** @type {number[]} */
    this.rgb = []; // a colour each
    /** @type {CanvasGradient[]} */
    this.glows = [];
  }

  /**
   * The room given by the layout, in device pixels.
   * @param {number} width @param {number} height
   */
  resize(width, height) {
    this.canvas.width = width;
    this.canvas.height = height;
    this.version = -1;
  }

  /**
   * Make what a frame needs, if anything changed; true when it did.
   * @param {number} count
   */
  ready(count) {
    const { paint, canvas } = this;
    if (this.version === paint.version && this.lanes === count) return false;
    this.version = paint.version;
    this.lanes = count;
    const { ratio } = paint;
    this.place = places(canvas.width / ratio, canvas.height / ratio, count);
    this.points = Math.ceil(canvas.width / (STEP_PX * ratio)) + 1;
    this.middles = Array.from({ length: count }, () => new Float32Array(this.points));
    this.rgb = SERIES_TOKENS.map((token) => rgbOf(this.#plain(paint.colour[token])));
    if (this.layer.width !== canvas.width || this.layer.height !== canvas.height) this.#newLayer();
    const glow = [
      [0, 0],
      [0.75, 0.9],
      [1, 0],
    ];
    this.glows = SERIES_TOKENS.map((token) => this.#gradient(-GLOW_PX * ratio, 0, token, glow));
    return true;
  }

  #newLayer() {
    const { width, height } = this.canvas;
    this.image = width && height ? this.context.createImageData(width, height) : null;
    this.layer = new Layer(width, height, this.image ? new Uint32Array(this.image.data.buffer) : undefined);
    this.faded = Float32Array.from({ length: width }, (_, x) => Math.min(1, (x + 0.5) / (width * FADE)));
    this.levels = this.faded.map((shown, x) => shown * bodyAlpha((x + 0.5) / width, 1));
  }

  /**
   * A colour of the theme as #rrggbb.
   * @param {string} colour
   */
  #plain(colour) {
    this.context.fillStyle = colour;
    return String(this.context.fillStyle);
  }

  /** @param {number} from @param {number} to @param {string} token @param {number[][]} stops */
  #gradient(from, to, token, stops) {
    const gradient = this.context.createLinearGradient(from, 0, to, 0);
    for (const [at, alpha] of stops) gradient.addColorStop(at, withAlpha(this.paint.colour[token], alpha));
    return gradient;
  }

  /**
   * Draw everything. `marked`: index of the ribbon that is read out, or -1; `full`: show the width of 100 % too.
   * @param {Ribbon[]} ribbons @param {number} ms @param {number} marked @param {boolean} full
   */
  draw(ribbons, ms, marked, full) {
    const { context: g } = this;
    if (!this.image) return;
    this.layer.clear();
    for (let i = 0; i < ribbons.length; i += 1) {
      this.#bendLane(ribbons[i], i);
      this.#body(ribbons[i], i);
    }
    g.putImageData(this.image, 0, 0);
    for (let i = 0; i + 1 < ribbons.length; i += 1) drawRipples(this, g, ribbons[i], ribbons[i + 1], i, ms);
    for (let i = 0; i < ribbons.length; i += 1) {
      const ribbon = ribbons[i];
      if (full) drawFull(this, g, i);
      if (ribbon.flash > 0) this.#flash(g, ribbon, i);
      if (!(ribbon.density === ribbon.density)) this.#dashes(g, ribbon, i, this.#colour(ribbon));
      this.#edges(g, ribbon, i, i === marked);
      if (ribbon.signals.state === CHARGING) this.#glow(g, ribbon, i);
      if (ribbon.signals.state === STALLING) drawStall(this, g, i);
      if (i === marked) drawChosen(this, g, i);
    }
    g.globalAlpha = 1;
  }

  /**
   * y of the middle of lane `i`, unbent, in CSS px.
   * @param {number} i
   */
  laneAt(i) {
    return this.place.top + (i + 0.5) * this.place.lane;
  }

  /** @param {Ribbon} ribbon @param {number} i */
  #bendLane(ribbon, i) {
    const { ratio } = this.paint;
    const middle = this.middles[i];
    const y = this.laneAt(i) * ratio;
    const swing = this.place.swing * ratio;
    const last = this.canvas.width / (STEP_PX * ratio);
    for (let p = 0; p < this.points; p += 1) middle[p] = y + swing * ribbon.bend(p / last);
  }

  /**
   * Width of a ribbon in CSS px; at rest it is a hairline.
   * @param {Ribbon} ribbon
   */
  widthOf(ribbon) {
    return ribbon.share * this.place.full;
  }

  /** @param {CanvasRenderingContext2D} g @param {Float32Array} middle @param {number} shift */
  #edge(g, middle, shift) {
    const step = STEP_PX * this.paint.ratio;
    g.moveTo(0, middle[0] + shift);
    for (let p = 1; p < this.points; p += 1) g.lineTo(p * step, middle[p] + shift);
  }

  /** @param {Ribbon} ribbon */
  #colour(ribbon) {
    return this.paint.colour[SERIES_TOKENS[ribbon.slot % SERIES_TOKENS.length]];
  }

  /** @param {CanvasRenderingContext2D} g @param {Ribbon} ribbon @param {number} i @param {boolean} marked */
  #edges(g, ribbon, i, marked) {
    const middle = this.middles[i];
    const half = (this.widthOf(ribbon) * this.paint.ratio) / 2;
    g.lineWidth = 1;
    g.strokeStyle = this.#colour(ribbon);
    g.globalAlpha = marked ? 1 : lineAlpha(ribbon.brightness);
    g.beginPath();
    if (half < HAIRLINE_PX) this.#edge(g, middle, 0);
    else {
      this.#edge(g, middle, -half);
      this.#edge(g, middle, half);
    }
    g.stroke();
  }

  /**
   * What is between the edges: light as the energy, and what flows.
   * @param {Ribbon} ribbon @param {number} i
   */
  #body(ribbon, i) {
    const half = (this.widthOf(ribbon) * this.paint.ratio) / 2;
    const slot = ribbon.slot % this.rgb.length;
    if (half >= HAIRLINE_PX && ribbon.brightness > 0) {
      this.layer.band(
        this.middles[i],
        STEP_PX * this.paint.ratio,
        half,
        this.rgb[slot],
        this.levels,
        ribbon.brightness,
      );
    }
    if (ribbon.density === ribbon.density) this.#particles(ribbon, i, this.rgb[slot]);
  }

  /**
   * The first token of a request has come.
   * @param {CanvasRenderingContext2D} g @param {Ribbon} ribbon @param {number} i
   */
  #flash(g, ribbon, i) {
    const half = (this.widthOf(ribbon) * this.paint.ratio) / 2;
    if (half < HAIRLINE_PX) return;
    this.#band(g, this.middles[i], half);
    g.globalAlpha = ribbon.flash * 0.55;
    g.fillStyle = this.paint.colour["--ink"];
    g.fill();
  }

  /** @param {CanvasRenderingContext2D} g @param {Float32Array} middle @param {number} half */
  #band(g, middle, half) {
    const step = STEP_PX * this.paint.ratio;
    g.beginPath();
    g.moveTo(0, middle[0] - half);
    for (let p = 1; p < this.points; p += 1) g.lineTo(p * step, middle[p] - half);
    for (let p = this.points - 1; p >= 0; p -= 1) g.lineTo(p * step, middle[p] + half);
  }

  /** @param {Ribbon} ribbon @param {number} i @param {number} rgb */
  #particles(ribbon, i, rgb) {
    const { particles, canvas, layer, faded } = this;
    const { ratio } = this.paint;
    const { width } = this.place;
    const middle = this.middles[i];
    const inner = Math.max(0, this.widthOf(ribbon) * ratio - 4 * ratio);
    const small = Math.max(1, Math.round(PARTICLE_PX * ratio));
    const large = Math.max(2, Math.round(LARGE_PX * ratio));
    const first = particles.first(ribbon.slot);
    const toPoint = 1 / STEP_PX;
    const opacity = lineAlpha(ribbon.brightness);
    for (let n = first; n < first + ribbon.count; n += 1) {
      const x = particles.at(n, ribbon.flown, width);
      const p = (x * toPoint) | 0;
      const size = n % 5 === 0 ? large : small;
      const y = middle[p] + particles.across(n, ribbon.flown, width) * inner - size / 2;
      const left = Math.min(canvas.width - size, Math.round(x * ratio));
      layer.dot(left, Math.round(y), size, rgb, opacity * faded[left]);
    }
  }

  /**
   * No entropy is known, so no density is claimed: sparse marks that only move.
   * @param {CanvasRenderingContext2D} g @param {Ribbon} ribbon @param {number} i @param {string} colour
   */
  #dashes(g, ribbon, i, colour) {
    if (!(ribbon.speed > 0)) return;
    const { ratio } = this.paint;
    const middle = this.middles[i];
    g.fillStyle = colour;
    g.globalAlpha = lineAlpha(ribbon.brightness);
    const { width } = this.place;
    const half = Math.round(DASH.half * ratio);
    for (let x = (ribbon.flown % DASH_PX) - DASH_PX; x < width; x += DASH_PX) {
      const p = Math.max(0, (x / STEP_PX) | 0);
      g.fillRect(Math.round(x * ratio), Math.round(middle[p]) - half, DASH.long * ratio, 2 * half);
    }
  }

  /**
   * A prompt is being read: light comes in from the left.
   * @param {CanvasRenderingContext2D} g @param {Ribbon} ribbon @param {number} i
   */
  #glow(g, ribbon, i) {
    const { ratio } = this.paint;
    const middle = this.middles[i];
    const width = this.place.width + GLOW_PX;
    const head = (Math.max(60, ribbon.glow % width) * ratio) | 0;
    const step = STEP_PX * ratio;
    const full = Math.min(GLOW_FULL, this.place.full * 0.5) * ratio;
    const from = Math.max(0, Math.ceil((head - GLOW_PX * ratio) / step));
    const to = Math.min(this.points - 1, Math.floor(head / step));
    if (to <= from) return;
    /** @param {number} p */
    const bulge = (p) => {
      const share = 1 - (head - p * step) / (GLOW_PX * ratio);
      return full * Math.sin(Math.PI * Math.min(1, Math.max(0, share)) ** 2) * 0.5;
    };
    g.globalAlpha = 1;
    g.fillStyle = this.glows[ribbon.slot % this.glows.length];
    g.save();
    g.translate(head, 0);
    g.beginPath();
    g.moveTo(from * step - head, middle[from]);
    for (let p = from; p <= to; p += 1) g.lineTo(p * step - head, middle[p] - bulge(p));
    for (let p = to; p >= from; p -= 1) g.lineTo(p * step - head, middle[p] + bulge(p));
    g.fill();
    g.restore();
  }

  /**
   * Which ribbon is at y (CSS px from the top), or -1.
   * @param {number} y @param {number} count
   */
  hit(y, count) {
    const i = Math.floor((y - this.place.top) / this.place.lane);
    return count && i >= 0 && i < count ? i : -1;
  }
}

/**
 * A colour of the theme (#rrggbb, or any other way to write one) with an opacity.
 * @param {string} colour @param {number} alpha
 */
export function withAlpha(colour, alpha) {
  if (/^#[0-9a-f]{6}$/i.test(colour)) {
    return (
      colour +
      Math.round(alpha * 255)
        .toString(16)
        .padStart(2, "0")
    );
  }
  return `color-mix(in srgb, ${colour} ${(alpha * 100).toFixed(1)}%, transparent)`;
}
