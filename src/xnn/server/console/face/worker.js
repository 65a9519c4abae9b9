/**
 * The worker in which photographs are read, aligned and turned into z.
 *
 * It has no API key and sends nothing: files of the bundle and pictures come by message, z goes back
 * to the page by message. Only api.js talks to the network.
 */

import { align } from "./align.js";
import { FaceDetector, mostProminent } from "./detector.js";
import { Front } from "./front.js";
import { openPicture, pixelsOf, preview } from "./picture.js";
import { openModel, openNet } from "./runtime.js";

const NETS = ["proposal", "refinement", "landmark"];
let detector = null;
let front = null;

const methods = {
  /** Open the nets. `files` holds bytes by name, verified by the page. */
  async load({ files, card, frontName }) {
    const nets = {};
    for (const name of NETS) nets[name] = await openNet(files[`detector-${name}.onnx`]);
    detector = new FaceDetector(nets);
    front = new Front(await openModel(files[frontName]), card);
    return { value: null };
  },

  /** Turn a file or a frame into z, with what happened on the way. */
  async capture({ file, frame }) {
    const clock = stopwatch();
    const picture = frame ? pixelsOf(frame) : await openPicture(file);
    clock.lap("read");
    const faces = await detector.find(picture);
    clock.lap("find");
    const shown = await preview(picture);
    const { width, height } = picture;
    if (!faces.length) return { value: { preview: shown, width, height, faces: 0 }, give: [shown] };
    const face = faces[mostProminent(faces, width, height)];
    clock.skip();
    const crop = align(picture, face.landmarks);
    clock.lap("align");
    const z = (await front.send(crop)).slice();
    clock.lap("front");
    const value = {
      preview: shown, width, height, faces: faces.length, crop, z, times: clock.times,
      box: face.box, score: face.score, landmarks: face.landmarks,
    };
    return { value, give: [shown, crop.buffer, z.buffer] };
  },
};

function stopwatch() {
  let last = performance.now();
  const times = {};
  return {
    times,
    skip: () => { last = performance.now(); },
    lap(name) {
      const now = performance.now();
      times[name] = now - last;
      last = now;
    },
  };
}

// One at a time and in order: two runs of one session at once are refused by the runtime.
let queue = Promise.resolve();
self.addEventListener("message", ({ data: { id, method, argument } }) => {
  queue = queue.then(async () => {
    try {
      const { value, give = [] } = await methods[method](argument);
      self.postMessage({ id, value }, give);
    } catch (error) {
      self.postMessage({ id, error: String(error?.message ?? error) });
    }
  });
});
