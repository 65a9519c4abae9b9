/** The device's half of the pair: an aligned crop in, z out. Trust: this browser. */

import { CROP_PX } from "./align.js";
import { freshNormals } from "./random.js";

export class Front {
  /** Take a model's `run` and the card of the device bundle. */
  constructor(run, card) {
    this.run = run;
    this.card = card;
  }

  /** Return z (m, e): a Float64Array of a coupled front, else a Float32Array. Noise is drawn anew. */
  async send(crop, fresh = freshNormals(this.#freshSize())) {
    const inputs = { crops: { type: "uint8", data: crop, dims: [1, CROP_PX, CROP_PX, 3] } };
    if (this.card.fresh_shape.length) {
      inputs.fresh = { type: "float32", data: fresh, dims: [1, ...this.card.fresh_shape] };
    }
    const [z] = await this.run(inputs);
    return z.data;
  }

  #freshSize() {
    const { fresh_shape: shape } = this.card;
    return shape.length ? shape.reduce((product, side) => product * side, 1) : 0;
  }
}
