/** The device bundle in the browser: fetched from the service, verified, opened in the worker. */

import { Pipeline } from "./face/pipeline.js";
import { hex } from "./wire/message.js";

const CARD = "device.json";
const DETECTOR = ["proposal", "refinement", "landmark"].map((net) => `detector-${net}.onnx`);

/**
 * Fetch what the browser needs and open it.
 *
 * The digests on the card show damage and files that do not belong together. They are no defence
 * against whoever serves the page: see the page on privacy.
 *
 * @param api the service.
 * @param info answer of `GET /v1/bundle`: the card must be of the same pair.
 * @param onprogress called with (bytes so far, file being read).
 */
export async function openDeviceBundle(api, info, { int8 = false, onprogress = () => {} } = {}) {
  const sealed = JSON.parse(new TextDecoder().decode(await api.deviceFile(CARD)));
  const { card, files: digests } = sealed;
  if (card.front_id !== info.bundle_id) {
    throw new Error("The device bundle belongs to another service. Serve the two that belong together.");
  }
  const frontName = int8 ? "front-int8.onnx" : "front.onnx";
  const files = {};
  let total = 0;
  for (const name of [...DETECTOR, frontName]) {
    if (!(name in digests)) {
      throw new Error(`The device bundle has no ${name}. Export it again with this version.`);
    }
    files[name] = await api.deviceFile(name, (bytes) => {
      total += bytes;
      onprogress(total, name);
    });
    await verify(name, files[name], digests[name]);
  }
  const pipeline = new Pipeline();
  await pipeline.load({ files, card, frontName });
  return { card, pipeline, hasInt8: "front-int8.onnx" in digests, int8, bytes: total };
}

async function verify(name, bytes, wanted) {
  const found = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
  if (found !== wanted) {
    throw new Error(`${name} was damaged or altered on its way: its digest differs. Reload the page.`);
  }
}
