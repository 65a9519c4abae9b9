/** Records as they travel: float32, float16, int8 with one scale for each, fixed32; see WIRE_FORMAT.md. */

const LARGEST_STEP = 127; // -128 is not used: ranges are symmetric
const FIXED_STEPS = 2 ** 32; // of fixed32 on [0, 1)

/** Return records (float arrays of equal length) as bytes, little-endian. */
export function pack(records, dtype) {
  if (!records.every((record) => record.every(Number.isFinite))) {
    throw new Error("A record holds NaN or infinity; take the picture again.");
  }
  const packers = {
    float32: packFloat32, float16: packFloat16, int8: packInt8, fixed32: packFixed32,
  };
  return packers[dtype](records);
}

/** Round float32 to float16, halves to even; returns its 16 bits. */
export function half(value) {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  const bits = view.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  if (size >= 0x477ff000) throw new Error("A number is too large for float16; use float32.");
  // Below the normal range a half counts units of 2^-24; the tie goes to even there as well.
  if (size < 0x38800000) return sign | halfEven(Math.abs(value) * 2 ** 24);
  const kept = (size - 0x38000000) >>> 13;
  const rest = size & 0x1fff;
  const up = rest > 0x1000 || (rest === 0x1000 && (kept & 1) === 1);
  return sign | (kept + (up ? 1 : 0));
}

function halfEven(value) {
  const low = Math.floor(value);
  const rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}

function packFloat32(records) {
  const { bytes, view } = room(4 * total(records));
  records.flatMap((r) => [...r]).forEach((value, i) => view.setFloat32(4 * i, value, true));
  return bytes;
}

function packFloat16(records) {
  const { bytes, view } = room(2 * total(records));
  records.flatMap((r) => [...r]).forEach((value, i) => view.setUint16(2 * i, half(value), true));
  return bytes;
}

function packInt8(records) {
  const { bytes, view } = room(4 * records.length + total(records));
  let at = 4 * records.length;
  records.forEach((record, index) => {
    const largest = record.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const scale = Math.fround(largest / LARGEST_STEP); // rounded first, divided by afterwards
    if (!Number.isFinite(Math.fround(scale * LARGEST_STEP))) {
      throw new Error("A record is too large for int8; use float32.");
    }
    view.setFloat32(4 * index, scale, true);
    for (const value of record) {
      const steps = scale > 0 ? Math.min(Math.floor(Math.abs(value) / scale + 0.5), LARGEST_STEP) : 0;
      view.setInt8(at, value < 0 ? -steps : steps);
      at += 1;
    }
  });
  return bytes;
}

function packFixed32(records) {
  const { bytes, view } = room(4 * total(records));
  records.flatMap((r) => [...r]).forEach((value, i) => {
    if (!(value >= 0 && value <= 1)) {
      throw new Error("fixed32 holds numbers from 0 to 1, these go beyond; use float32.");
    }
    view.setUint32(4 * i, Math.min(Math.floor(value * FIXED_STEPS), FIXED_STEPS - 1), true);
  });
  return bytes;
}

function total(records) {
  return records.reduce((sum, record) => sum + record.length, 0);
}

function room(size) {
  const bytes = new Uint8Array(size);
  return { bytes, view: new DataView(bytes.buffer) };
}
