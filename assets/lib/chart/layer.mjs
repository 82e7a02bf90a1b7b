/**
 * Draws the bodies of ribbons and their particles pixel by pixel into one buffer. Pure.
 *
 * Without a graphics card a canvas takes 1 us a rectangle and 2 ms for four large translucent shapes; a loop over the
 * same pixels takes a tenth, and one `putImageData` brings all of it to the canvas. Everything in one lane has one
 * colour, so that only opacities add up.
 */

const FULL = 255;

/**
 * Pixels of `width` x `height`; `pixels` is a Uint32Array of so many, in the order of ImageData on this machine (ABGR).
 */
export class Layer {
  /** @param {number} width @param {number} height @param {Uint32Array} [pixels] */
  constructor(width, height, pixels = new Uint32Array(width * height)) {
    this.width = width;
    this.height = height;
    this.pixels = pixels;
  }

  clear() {
    this.pixels.fill(0);
  }

  /**
   * Fill what lies within `half` of the curve `middle` (y at every `step` px), softened at its two edges. `levels` has
   * the opacity of each column at full strength, 0 to 1; `strength` scales it.
   * @param {ArrayLike<number>} middle @param {number} step @param {number} half @param {number} rgb
   * @param {ArrayLike<number>} levels @param {number} strength
   */
  band(middle, step, half, rgb, levels, strength) {
    const { width, height, pixels } = this;
    for (let x = 0; x < width; x += 1) {
      const opacity = levels[x] * strength * FULL;
      if (opacity < 0.5) continue;
      const y = curveAt(middle, step, x + 0.5);
      const top = Math.max(0, y - half);
      const bottom = Math.min(height, y + half);
      const first = Math.ceil(top);
      const last = Math.floor(bottom);
      const whole = ((opacity + 0.5) << 24) | rgb;
      for (let row = first, at = first * width + x; row < last; row += 1, at += width) pixels[at] = whole;
      if (first > top && last >= first) pixels[(first - 1) * width + x] = ((opacity * (first - top) + 0.5) << 24) | rgb;
      if (bottom > last && last >= first && last < height)
        pixels[last * width + x] = ((opacity * (bottom - last) + 0.5) << 24) | rgb;
    }
  }

  /**
   * One particle: a square of `size` px with its left upper corner at (x, y), whole px, over what is there.
   * @param {number} x @param {number} y @param {number} size @param {number} rgb @param {number} opacity
   */
  dot(x, y, size, rgb, opacity) {
    const { width, height, pixels } = this;
    const right = Math.min(width, x + size);
    const low = Math.min(height, y + size);
    for (let row = Math.max(0, y); row < low; row += 1) {
      for (let at = row * width + Math.max(0, x); at < row * width + right; at += 1) {
        const under = pixels[at] >>> 24;
        pixels[at] = ((under + (FULL - under) * opacity + 0.5) << 24) | rgb;
      }
    }
  }

  /**
   * Opacity at a pixel, 0 to 255.
   * @param {number} x @param {number} y
   */
  opacityAt(x, y) {
    return this.pixels[y * this.width + x] >>> 24;
  }
}

/**
 * y of a curve given at every `step` px, at x.
 * @param {ArrayLike<number>} middle @param {number} step @param {number} x
 */
export function curveAt(middle, step, x) {
  const p = x / step;
  const i = Math.min(middle.length - 2, p | 0);
  return middle[i] + (middle[i + 1] - middle[i]) * (p - i);
}

/**
 * A colour "#rrggbb" as the low 24 bits of a pixel.
 * @param {string} colour
 */
export function rgbOf(colour) {
  const value = Number.parseInt(colour.slice(1, 7), 16);
  return ((value & 0xff) << 16) | (value & 0xff00) | (value >>> 16);
}
