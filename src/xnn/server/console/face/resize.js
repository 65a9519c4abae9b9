/** Resize a picture as Pillow's BICUBIC does: same taps, same fixed-point arithmetic, same bytes. */

import { roundHalfEven } from "./boxes.js";

const SUPPORT = 2; // of the cubic kernel, in pixels of the coarser side
const PRECISION_BITS = 22; // Pillow keeps 32 - 8 bits, and 2 against overflow

/** Return the picture at `scale` times its size, at least one pixel. */
export function resized(picture, scale) {
  const width = Math.max(1, roundHalfEven(picture.width * scale));
  const height = Math.max(1, roundHalfEven(picture.height * scale));
  // Pillow goes across first and rounds to bytes between the two.
  return vertical(horizontal(picture, width), height);
}

function horizontal({ rgb, width, height }, wanted) {
  const taps = coefficients(width, wanted);
  const to = new Uint8Array(3 * wanted * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < wanted; x += 1) {
      weigh(rgb, 3 * (y * width + taps[x].first), 3, taps[x].weights, to, 3 * (y * wanted + x));
    }
  }
  return { rgb: to, width: wanted, height };
}

function vertical({ rgb, width, height }, wanted) {
  const taps = coefficients(height, wanted);
  const to = new Uint8Array(3 * width * wanted);
  for (let y = 0; y < wanted; y += 1) {
    const { first, weights } = taps[y];
    for (let x = 0; x < width; x += 1) {
      weigh(rgb, 3 * (first * width + x), 3 * width, weights, to, 3 * (y * width + x));
    }
  }
  return { rgb: to, width, height: wanted };
}

function weigh(rgb, from, step, weights, to, at) {
  const half = 1 << (PRECISION_BITS - 1);
  let [red, green, blue] = [half, half, half];
  for (let tap = 0, pixel = from; tap < weights.length; tap += 1, pixel += step) {
    red += rgb[pixel] * weights[tap];
    green += rgb[pixel + 1] * weights[tap];
    blue += rgb[pixel + 2] * weights[tap];
  }
  to[at] = clipped(red);
  to[at + 1] = clipped(green);
  to[at + 2] = clipped(blue);
}

function clipped(sum) {
  return Math.min(Math.max(sum >> PRECISION_BITS, 0), 255);
}

/** Return for each pixel wanted its first source pixel and the weights from there on. */
function coefficients(size, wanted) {
  const scale = size / wanted;
  const filter = Math.max(scale, 1);
  const support = SUPPORT * filter;
  return Array.from({ length: wanted }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const past = Math.min(Math.trunc(centre + support + 0.5), size);
    const exact = Array.from({ length: past - first }, (_unused, tap) =>
      cubic((tap + first - centre + 0.5) * (1 / filter)),
    );
    const total = exact.reduce((sum, weight) => sum + weight, 0);
    const weights = exact.map((weight) => fixedPoint(total === 0 ? weight : weight / total));
    return { first, weights };
  });
}

function fixedPoint(weight) {
  const scaled = weight * (1 << PRECISION_BITS);
  return Math.trunc(weight < 0 ? scaled - 0.5 : scaled + 0.5);
}

/** The cubic kernel with a = -0.5. */
function cubic(value) {
  const x = Math.abs(value);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
  return 0;
}
