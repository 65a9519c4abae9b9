/**
 * Bring a face into the ArcFace position, 112x112: src/xnn/faces/align.py with Pillow's arithmetic.
 *
 * A matrix is [a, b, c, d, e, f]: (x, y) goes to (a x + b y + c, d x + e y + f).
 */

import { roundHalfEven } from "./boxes.js";

export const CROP_PX = 112;
const FINEST = 32; // times finer than the crop, at most, when averaging a large source
const LARGEST_REGION_PX = 8192;
const TEMPLATE = [
  [38.2946, 51.6963],
  [73.5318, 51.5014],
  [56.0252, 71.7366],
  [41.5493, 92.3655],
  [70.7299, 92.2041],
];

/** Cut out the face with these five landmarks; returns 112x112 pixels of 3 bytes. */
export function align(picture, landmarks) {
  return warp(picture, similarity(landmarks, TEMPLATE));
}

/**
 * Return the rotation, uniform scale and shift that best maps `source` onto `target`.
 * In the plane the least squares solution without reflection has this closed form.
 */
export function similarity(source, target) {
  const [sx, sy] = mean(source);
  const [tx, ty] = mean(target);
  let [variance, along, across] = [0, 0, 0];
  source.forEach(([x0, y0], index) => {
    const [x, y] = [x0 - sx, y0 - sy];
    const [u, v] = [target[index][0] - tx, target[index][1] - ty];
    variance += x * x + y * y;
    along += x * u + y * v;
    across += x * v - y * u;
  });
  if (!Number.isFinite(variance) || variance < 1e-6) {
    throw new Error("The landmarks coincide: this is no face. Leave the photograph out.");
  }
  const [a, b] = [along / variance, across / variance];
  return [a, -b, tx - a * sx + b * sy, b, a, ty - b * sx - a * sy];
}

/** Map a photograph into a crop by a similarity; large faces are averaged from a finer grid. */
export function warp(picture, matrix) {
  const back = inverse(matrix);
  const [low, high] = region(back);
  if (Math.max(high[0] - low[0], high[1] - low[1]) > LARGEST_REGION_PX) {
    throw new Error("The landmarks lie absurdly far apart. Shrink the photograph.");
  }
  const cut = cutOut(picture, low, high);
  const shrink = Math.sqrt(Math.abs(back[0] * back[4] - back[1] * back[3]));
  const finer = Math.min(Math.max(1, roundHalfEven(shrink)), FINEST);
  const grid = [
    back[0] / finer, back[1] / finer, back[2] - low[0],
    back[3] / finer, back[4] / finer, back[5] - low[1],
  ];
  const fine = transformed(cut, grid, CROP_PX * finer);
  return finer > 1 ? reduced(fine, CROP_PX * finer, finer) : fine;
}

function mean(points) {
  const sum = points.reduce(([x, y], [u, v]) => [x + u, y + v], [0, 0]);
  return sum.map((value) => value / points.length);
}

function inverse([a, b, c, d, e, f]) {
  const det = a * e - b * d;
  return [e / det, -b / det, (b * f - c * e) / det, -d / det, a / det, (c * d - a * f) / det];
}

/** Return the corners of what the crop takes in, with three pixels to spare. */
function region([a, b, c, d, e, f]) {
  const ends = [0, CROP_PX];
  const points = ends.flatMap((y) => ends.map((x) => [a * x + b * y + c, d * x + e * y + f]));
  const axis = (index) => points.map((point) => point[index]);
  return [
    [0, 1].map((index) => Math.floor(Math.min(...axis(index))) - 3),
    [0, 1].map((index) => Math.ceil(Math.max(...axis(index))) + 3),
  ];
}

/** Copy a region; beyond its edges the photograph goes on as its last pixel. */
function cutOut({ rgb, width, height }, low, high) {
  const wide = high[0] - low[0];
  const tall = high[1] - low[1];
  const to = new Uint8Array(3 * wide * tall);
  for (let y = 0; y < tall; y += 1) {
    const from = 3 * width * Math.min(Math.max(low[1] + y, 0), height - 1);
    for (let x = 0; x < wide; x += 1) {
      const pixel = from + 3 * Math.min(Math.max(low[0] + x, 0), width - 1);
      to.set(rgb.subarray(pixel, pixel + 3), 3 * (y * wide + x));
    }
  }
  return { rgb: to, width: wide, height: tall };
}

/** Sample a square grid with Pillow's bicubic (a = -1), which cuts fractions off. */
function transformed({ rgb, width, height }, [a, b, c, d, e, f], size) {
  const to = new Uint8Array(3 * size * size);
  const columns = new Int32Array(4);
  const values = new Float64Array(4);
  for (let row = 0; row < size; row += 1) {
    for (let column = 0; column < size; column += 1) {
      const [x, y] = [column + 0.5, row + 0.5];
      const sourceX = a * x + b * y + c;
      const sourceY = d * x + e * y + f;
      // The region has pixels to spare, so that no point lies outside it.
      const left = Math.floor(sourceX - 0.5);
      const top = Math.floor(sourceY - 0.5);
      const dx = sourceX - 0.5 - left;
      const dy = sourceY - 0.5 - top;
      for (let tap = 0; tap < 4; tap += 1) {
        columns[tap] = 3 * Math.min(Math.max(left - 1 + tap, 0), width - 1);
      }
      const at = 3 * (row * size + column);
      for (let colour = 0; colour < 3; colour += 1) {
        for (let tap = 0; tap < 4; tap += 1) {
          const line = 3 * width * Math.min(Math.max(top - 1 + tap, 0), height - 1) + colour;
          values[tap] = between(
            rgb[line + columns[0]], rgb[line + columns[1]],
            rgb[line + columns[2]], rgb[line + columns[3]], dx,
          );
        }
        const value = between(values[0], values[1], values[2], values[3], dy);
        to[at + colour] = value <= 0 ? 0 : value >= 255 ? 255 : Math.trunc(value);
      }
    }
  }
  return to;
}

function between(v1, v2, v3, v4, d) {
  const p2 = v3 - v1;
  const p3 = 2 * (v1 - v2) + v3 - v4;
  const p4 = v2 - v1 - v3 + v4;
  return v2 + d * (p2 + d * (p3 + d * p4));
}

/** Average blocks of `finer` x `finer` pixels as Pillow's `reduce`. */
function reduced(rgb, size, finer) {
  const wanted = size / finer;
  const to = new Uint8Array(3 * wanted * wanted);
  const number = finer * finer;
  const multiplier = Math.floor(2 ** 24 / number); // one multiplication in place of a division
  for (let y = 0; y < wanted; y += 1) {
    for (let x = 0; x < wanted; x += 1) {
      for (let colour = 0; colour < 3; colour += 1) {
        let sum = number >> 1;
        for (let dy = 0; dy < finer; dy += 1) {
          let from = 3 * ((y * finer + dy) * size + x * finer) + colour;
          for (let dx = 0; dx < finer; dx += 1, from += 3) sum += rgb[from];
        }
        to[3 * (y * wanted + x) + colour] = Math.imul(sum, multiplier) >>> 24;
      }
    }
  }
  return to;
}
