/** The little of deterministic CBOR (RFC 8949) that the header of a message needs. */

/** Encode null, a whole number from 0 to 2^53-1, text, bytes, an array, or a Map in its order. */
export function cbor(value) {
  if (value === null) return Uint8Array.of(0xf6);
  if (typeof value === "number") return head(0, value);
  if (typeof value === "string") {
    const text = new TextEncoder().encode(value);
    return joined([head(3, text.length), text]);
  }
  if (value instanceof Uint8Array) return joined([head(2, value.length), value]);
  if (Array.isArray(value)) return joined([head(4, value.length), ...value.map(cbor)]);
  return joined([head(5, value.size), ...[...value].flat().map(cbor)]);
}

/** Join byte arrays. */
export function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Write a type and a number in the fewest bytes. */
function head(type, number) {
  const first = type << 5;
  if (number < 24) return Uint8Array.of(first | number);
  const [length, code] = [[1, 24], [2, 25], [4, 26], [8, 27]].find(
    ([bytes]) => number < 2 ** (8 * bytes),
  );
  const bytes = new Uint8Array(1 + length);
  bytes[0] = first | code;
  let rest = number;
  for (let at = length; at > 0; at -= 1) {
    bytes[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return bytes;
}
