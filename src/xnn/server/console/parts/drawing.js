/** Pictures on canvases: the photograph with its face, the crop, and the numbers that leave. */

import { CROP_PX } from "../face/align.js";
import { h } from "./dom.js";

/** Draw the photograph with the chosen face and its five landmarks. */
export function photographOf({ preview, width, height, box, landmarks }) {
  const canvas = h("canvas", {
    width: preview.width, height: preview.height, role: "img",
    "aria-label": box ? "Your photograph with the face that was found" : "Your photograph; no face was found",
  });
  const context = canvas.getContext("2d");
  context.drawImage(preview, 0, 0);
  if (!box) return canvas;
  const [across, along] = [preview.width / width, preview.height / height];
  const line = Math.max(2, preview.width / 180);
  context.lineWidth = line;
  context.strokeStyle = "#2dd4bf";
  context.fillStyle = "#2dd4bf";
  const [left, top, right, bottom] = box;
  context.strokeRect(left * across, top * along, (right - left) * across, (bottom - top) * along);
  for (const [x, y] of landmarks) {
    context.beginPath();
    context.arc(x * across, y * along, 1.4 * line, 0, 7);
    context.fill();
  }
  return canvas;
}

/** Draw the aligned crop. */
export function cropOf({ crop }) {
  const canvas = h("canvas", {
    width: CROP_PX, height: CROP_PX, role: "img", "aria-label": "The face, aligned to 112 by 112 pixels",
  });
  const data = new Uint8ClampedArray(4 * CROP_PX * CROP_PX).fill(255);
  for (let from = 0, to = 0; from < crop.length; from += 3, to += 4) data.set(crop.subarray(from, from + 3), to);
  canvas.getContext("2d").putImageData(new ImageData(data, CROP_PX, CROP_PX), 0, 0);
  return canvas;
}

/** Draw z: one cell for each number, blue below zero, orange above, by standard deviations. */
export function numbersOf(z, [m, e]) {
  const columns = m > 1 ? e : Math.ceil(Math.sqrt(2 * e));
  const rows = Math.ceil((m * e) / columns);
  const canvas = h("canvas", {
    width: columns, height: rows, role: "img", class: "numbers",
    "aria-label": `The ${m * e} numbers that leave, as colours`,
  });
  const rms = Math.sqrt(z.reduce((sum, value) => sum + value * value, 0) / z.length) || 1;
  const data = new Uint8ClampedArray(4 * columns * rows);
  z.forEach((value, index) => data.set(colourOf(value / rms), 4 * index));
  canvas.getContext("2d").putImageData(new ImageData(data, columns, rows), 0, 0);
  return canvas;
}

function colourOf(deviations) {
  const strength = Math.min(Math.abs(deviations) / 2.5, 1);
  const end = deviations < 0 ? [37, 99, 235] : [234, 88, 12];
  return [...end.map((colour) => Math.round(245 + (colour - 245) * strength)), 255];
}
