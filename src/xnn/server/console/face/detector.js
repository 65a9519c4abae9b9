/**
 * Find faces in a photograph: the MTCNN cascade of src/xnn/faces/detection/detector.py.
 *
 * The same steps in the same order, so that browser and device cut the same crop. The three nets
 * are `run(values, dims) -> outputs`, so that this file knows nothing of what runs them.
 */

import { AreaSampler } from "./area.js";
import { moved, roundHalfEven, square, suppress, wholePixels } from "./boxes.js";
import { resized } from "./resize.js";

const CELL_PX = 12;
const STRIDE_PX = 2;
const REFINE_PX = 24;
const LANDMARK_PX = 48;
const PROPOSAL_THRESHOLD = Math.fround(0.6); // NumPy compares float32 with it in float32
const REFINEMENT_THRESHOLD = 0.7;
const FACE_THRESHOLD = 0.9;
const MIN_FACE_PX = 20;
const PYRAMID_STEP = 0.709; // sides shrink by this factor: areas halve
const LARGEST_LEVEL_PX = 640; // longest side on which the proposal net runs
const LARGEST_WORK_PX = 2048; // longest side on which anything runs
const MOST_PROPOSALS = 1000; // bounds time on hostile textures
const CENTRALITY = 6; // a face in the corner needs four times the area of one in the middle
const DOUBT = 0.05; // a face whose score is lower than the best by more is not chosen
const SMALL_PX = 200; // a photograph with a shorter side is looked at in twice its size
const WIDTH_MARGIN = 0.43; // of the width, added on each side when a face may fill the frame
const HEIGHT_MARGIN = 0.27;

export class FaceDetector {
  /** Take the nets { proposal, refinement, landmark }. */
  constructor(nets) {
    this.nets = nets;
  }

  /** Return faces [{ box, score, landmarks }], best first; also when one fills the frame. */
  async find(picture) {
    const small = Math.min(picture.width, picture.height) < SMALL_PX;
    const plain = () => this.#cascade(picture, MIN_FACE_PX);
    const padded = () => this.#padded(picture);
    const [first, second] = small ? [padded, plain] : [plain, padded];
    const faces = await first();
    return faces.length ? faces : second();
  }

  async #cascade(picture, minFacePx) {
    const longest = Math.max(picture.width, picture.height);
    if (longest > LARGEST_WORK_PX) {
      const shrink = LARGEST_WORK_PX / longest;
      const faces = await this.#cascade(resized(picture, shrink), minFacePx * shrink);
      return faces.map((face) => mapped(face, (value) => value / shrink));
    }
    const sampler = new AreaSampler(picture);
    const boxes = await this.#propose(sampler, minFacePx);
    return this.#place(sampler, await this.#refine(sampler, boxes));
  }

  /** Look with the edges drawn out, and at a small photograph in twice its size. */
  async #padded(picture) {
    const across = roundHalfEven(WIDTH_MARGIN * picture.width);
    const along = roundHalfEven(HEIGHT_MARGIN * picture.height);
    const scale = Math.min(picture.width, picture.height) < SMALL_PX ? 2 : 1;
    const wide = padded(picture, across, along);
    const faces = await this.#cascade(scale > 1 ? resized(wide, scale) : wide, scale * MIN_FACE_PX);
    const shift = [across, along];
    return faces.map((face) => mapped(face, (value, axis) => value / scale - shift[axis]));
  }

  /** Slide the proposal net over the pyramid of sizes. */
  async #propose(sampler, minFacePx) {
    const longest = Math.max(sampler.height, sampler.width);
    const smallest = Math.max(minFacePx, CELL_PX, (longest * CELL_PX) / LARGEST_LEVEL_PX);
    let scale = CELL_PX / smallest;
    const found = [];
    while (Math.min(sampler.height, sampler.width) * scale >= CELL_PX) {
      const height = Math.trunc(sampler.height * scale + 1);
      const width = Math.trunc(sampler.width * scale + 1);
      const level = sampler.whole(height, width);
      const [face, offsets] = await this.nets.proposal(level, [1, 3, height, width]);
      const likely = proposals(face, offsets, scale);
      const kept = suppress(likely.map((p) => p.box), likely.map((p) => p.score), 0.5);
      found.push(...kept.map((index) => likely[index]));
      scale *= PYRAMID_STEP;
    }
    const kept = suppress(found.map((p) => p.box), found.map((p) => p.score), 0.7);
    return kept
      .slice(0, MOST_PROPOSALS)
      .map((index) => square(moved(found[index].box, found[index].moves, 0)));
  }

  async #refine(sampler, boxes) {
    const sane = wholePixels(boxes, sampler.width, sampler.height);
    if (!sane.length) return [];
    const patches = sampler.patches(sane.map((s) => s.pixels), REFINE_PX);
    const dims = [sane.length, 3, REFINE_PX, REFINE_PX];
    const [face, offsets] = await this.nets.refinement(patches, dims);
    const likely = sane
      .map(({ box }, index) => ({ box, score: face.data[index], moves: row(offsets, index) }))
      .filter(({ score }) => score > REFINEMENT_THRESHOLD);
    const kept = suppress(likely.map((p) => p.box), likely.map((p) => p.score), 0.7);
    return kept.map((index) => square(moved(likely[index].box, likely[index].moves, 1)));
  }

  async #place(sampler, boxes) {
    const sane = wholePixels(boxes, sampler.width, sampler.height);
    if (!sane.length) return [];
    const patches = sampler.patches(sane.map((s) => s.pixels), LANDMARK_PX);
    const dims = [sane.length, 3, LANDMARK_PX, LANDMARK_PX];
    const [face, offsets, points] = await this.nets.landmark(patches, dims);
    const likely = sane
      .map(({ box }, index) => ({
        box: moved(box, row(offsets, index), 1),
        score: face.data[index],
        landmarks: landmarks(box, row(points, index)),
      }))
      .filter(({ score }) => score >= FACE_THRESHOLD);
    const kept = suppress(likely.map((p) => p.box), likely.map((p) => p.score), 0.7, "smaller");
    return kept.map((index) => likely[index]);
  }
}

/** Return the index of the face that the photograph is of: large and near its middle. */
export function mostProminent(faces, width, height) {
  const best = Math.max(...faces.map(({ score }) => score));
  const longest = Math.max(width, height);
  const prominence = faces.map(({ box: [left, top, right, bottom], score }) => {
    if (score < best - DOUBT) return -Infinity;
    const x = ((left + right) / 2 - width / 2) / longest;
    const y = ((top + bottom) / 2 - height / 2) / longest;
    return ((right - left) * (bottom - top)) / (1 + CENTRALITY * (x * x + y * y));
  });
  return prominence.indexOf(Math.max(...prominence));
}

function proposals(face, offsets, scale) {
  const [, rows, columns] = face.dims;
  const plane = rows * columns;
  const likely = [];
  for (let cell = 0; cell < plane; cell += 1) {
    if (face.data[cell] >= PROPOSAL_THRESHOLD) {
      const x = (cell % columns) * STRIDE_PX;
      const y = Math.floor(cell / columns) * STRIDE_PX;
      const corners = [x + 1, y + 1, x + CELL_PX, y + CELL_PX];
      likely.push({
        box: corners.map((value) => Math.floor(value / scale)),
        score: face.data[cell],
        moves: [0, 1, 2, 3].map((side) => offsets.data[side * plane + cell]),
      });
    }
  }
  return likely;
}

function row({ data, dims }, index) {
  const each = data.length / dims[0];
  return data.subarray(index * each, (index + 1) * each);
}

function landmarks([left, top, right, bottom], points) {
  return [0, 1, 2, 3, 4].map((point) => [
    left + (right - left + 1) * points[2 * point] - 1,
    top + (bottom - top + 1) * points[2 * point + 1] - 1,
  ]);
}

/** Apply `change(value, axis)` to every coordinate of a face. */
function mapped(face, change) {
  return {
    ...face,
    box: face.box.map((value, index) => change(value, index % 2)),
    landmarks: face.landmarks.map(([x, y]) => [change(x, 0), change(y, 1)]),
  };
}

function padded({ rgb, width, height }, across, along) {
  const wide = width + 2 * across;
  const tall = height + 2 * along;
  const to = new Uint8Array(3 * wide * tall);
  for (let y = 0; y < tall; y += 1) {
    const from = 3 * width * Math.min(Math.max(y - along, 0), height - 1);
    for (let x = 0; x < wide; x += 1) {
      const pixel = from + 3 * Math.min(Math.max(x - across, 0), width - 1);
      to.set(rgb.subarray(pixel, pixel + 3), 3 * (y * wide + x));
    }
  }
  return { rgb: to, width: wide, height: tall };
}
