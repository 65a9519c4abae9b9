/** Boxes [left, top, right, bottom]: overlap, correction, rounding; as in faces/detection/detector.py. */

/**
 * Return the indices of the boxes to keep, best first: the best of every heap of overlapping ones.
 * Ends belong to the box. `overlap` is a fraction of the union, or of the smaller box.
 */
export function suppress(boxes, scores, overlap, of = "union") {
  let order = scores.map((_, index) => index).sort((a, b) => scores[b] - scores[a] || a - b);
  const areas = boxes.map(([left, top, right, bottom]) => (right - left + 1) * (bottom - top + 1));
  const kept = [];
  while (order.length) {
    const [best, ...others] = order;
    kept.push(best);
    order = others.filter((other) => {
      const shared = sharedArea(boxes[best], boxes[other]);
      const whole =
        of === "smaller"
          ? Math.min(areas[best], areas[other])
          : areas[best] + areas[other] - shared;
      return shared <= overlap * whole;
    });
  }
  return kept;
}

function sharedArea(a, b) {
  const across = Math.min(a[2], b[2]) - Math.max(a[0], b[0]) + 1;
  const along = Math.min(a[3], b[3]) - Math.max(a[1], b[1]) + 1;
  return Math.max(across, 0) * Math.max(along, 0);
}

/** Move a box by what a net said, in sides of the box. */
export function moved([left, top, right, bottom], moves, extraPx) {
  const across = right - left + extraPx;
  const along = bottom - top + extraPx;
  return [
    left + moves[0] * across,
    top + moves[1] * along,
    right + moves[2] * across,
    bottom + moves[3] * along,
  ];
}

/** Return the square about the same middle. */
export function square([left, top, right, bottom]) {
  const longest = Math.max(right - left, bottom - top);
  const x = left + (right - left - longest) / 2;
  const y = top + (bottom - top - longest) / 2;
  return [x, y, x + longest, y + longest];
}

/** Round boxes, and drop those without a pixel, outside the picture or absurdly large. */
export function wholePixels(boxes, width, height) {
  const largest = 2 * Math.max(width, height);
  const sane = [];
  for (const box of boxes) {
    const [left, top, right, bottom] = box.map(roundHalfEven);
    const fits = (low, high, far) => high > low && high > 0 && low < far && high - low <= largest;
    if (fits(left, right, width) && fits(top, bottom, height)) {
      sane.push({ box, pixels: [left, top, right, bottom] });
    }
  }
  return sane;
}

/** Round as NumPy and Python do: halves to the even neighbour. */
export function roundHalfEven(value) {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}
