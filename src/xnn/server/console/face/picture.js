/** From a file or a camera frame to upright RGB bytes, as src/xnn/faces/photograph.py. */

import { readNetpbm } from "./netpbm.js";

const MAX_PIXELS = 50_000_000; // as on the device: more is refused before it is unpacked to RGB
const PREVIEW_PX = 720;

/** Open a File or Blob; throws a sentence for the user when it is no picture. */
export async function openPicture(file) {
  const head = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  if (head[0] === 0x50 && (head[1] === 0x35 || head[1] === 0x36)) {
    return readNetpbm(new Uint8Array(await file.arrayBuffer())); // browsers do not read PGM
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new Error(
      "This file is no picture that the browser can read. Use JPEG, PNG, WebP, GIF, BMP or PGM.",
    );
  }
  return pixelsOf(bitmap);
}

/** Take the pixels of an ImageBitmap over white, and close it. */
export function pixelsOf(bitmap) {
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) {
    bitmap.close();
    throw new Error(`The picture has ${width}x${height} pixels; the limit is 50 million.`);
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const rgb = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    rgb[to] = data[from];
    rgb[to + 1] = data[from + 1];
    rgb[to + 2] = data[from + 2];
  }
  return { rgb, width, height };
}

/** Return a small ImageBitmap of a picture, to show beside what leaves. */
export async function preview({ rgb, width, height }) {
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    data[to] = rgb[from];
    data[to + 1] = rgb[from + 1];
    data[to + 2] = rgb[from + 2];
  }
  const scale = Math.min(1, PREVIEW_PX / Math.max(width, height));
  return createImageBitmap(new ImageData(data, width, height), {
    resizeWidth: Math.max(1, Math.round(width * scale)),
    resizeHeight: Math.max(1, Math.round(height * scale)),
    resizeQuality: "high",
  });
}
