/** The one place that knows onnxruntime-web: from bytes of a model to a function. */

import * as ort from "../vendor/ort.wasm.min.mjs";

const vendor = new URL("../vendor/", import.meta.url).href;
ort.env.wasm.wasmPaths = {
  mjs: `${vendor}ort-wasm-simd-threaded.mjs`,
  wasm: `${vendor}ort-wasm-simd-threaded.wasm`,
};
// One thread: this runs in a worker of its own already, and gives the same bits on every machine.
ort.env.wasm.numThreads = 1;

/** Return `run(inputs) -> [{ data, dims }]` of an ONNX model; inputs by name, outputs in order. */
export async function openModel(bytes) {
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  return async (inputs) => {
    const tensors = Object.fromEntries(
      session.inputNames.map((name, index) => {
        const { type, data, dims } = inputs[name] ?? inputs[index];
        return [name, new ort.Tensor(type, data, dims)];
      }),
    );
    const outputs = await session.run(tensors);
    return session.outputNames.map((name) => ({
      data: outputs[name].data,
      dims: outputs[name].dims,
    }));
  };
}

/** Return a net of the detector: `net(values, dims) -> outputs`. */
export async function openNet(bytes) {
  const run = await openModel(bytes);
  return (data, dims) => run([{ type: "float32", data, dims }]);
}
