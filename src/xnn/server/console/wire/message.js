/**
 * A message as bytes, by WIRE_FORMAT.md: prefix, CBOR header, numbers, CRC-32, HMAC-SHA256.
 *
 * Bit for bit what src/xnn/wire/codec.py makes of the same message; tests compare the vectors.
 */

import { cbor, joined } from "./cbor.js";
import { pack } from "./numbers.js";

export const MEDIA_TYPE = "application/vnd.xnn.records";
const VERSION = 1;
const API_KEY = /^xnn_[0-9a-f]{12}_([A-Za-z0-9_-]{43})$/;

/** Say whether a text has the form of an API key. */
export function isApiKey(text) {
  return API_KEY.test(text);
}

/** Derive the key of the tags from an API key: HKDF-SHA256 of its secret, not to be exported. */
export async function macKey(apiKey) {
  const [, secret] = API_KEY.exec(apiKey);
  return macKeyOf(fromBase64Url(secret));
}

/** The same from the 32 bytes of the secret. */
export async function macKeyOf(secret) {
  const base = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveKey"]);
  const info = new TextEncoder().encode("xnn wire v1");
  return crypto.subtle.deriveKey(
    { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info },
    base,
    { name: "HMAC", hash: "SHA-256", length: 256 },
    false,
    ["sign"],
  );
}

/**
 * Return a new request: a name of its own, a nonce and this computer's time.
 * `records` are arrays of m * e floats, `shape` is [m, e].
 */
export function compose({ records, shape, scheme, bundleId, dtype, keyId = null }) {
  return renew({ records, shape, scheme, bundleId, dtype, keyId, requestId: hex(random(16)) });
}

/** Return the same request to be sent once more: the old bytes sent twice would be a replay. */
export function renew(message) {
  return { ...message, nonce: random(16), timestampMs: Date.now() };
}

/** Return a message as it travels; `key` from `macKey`. */
export async function encode(message, key) {
  const header = headerOf(message);
  const payload = pack(message.records, message.dtype);
  const prefix = new Uint8Array(12);
  const view = new DataView(prefix.buffer);
  prefix.set(new TextEncoder().encode("XNNW"));
  prefix[4] = VERSION;
  view.setUint16(6, header.length, true);
  view.setUint32(8, payload.length, true);
  const body = joined([prefix, header, payload]);
  const content = joined([body, crc32(body)]);
  const tag = new Uint8Array(await crypto.subtle.sign("HMAC", key, content));
  return joined([content, tag]);
}

function headerOf(message) {
  const [m, e] = message.shape;
  // In the order of deterministic CBOR: short names first.
  return cbor(
    new Map([
      ["dtype", message.dtype],
      ["nonce", message.nonce],
      ["shape", [message.records.length, m, e]],
      ["key_id", message.keyId],
      ["scheme", message.scheme],
      ["bundle_id", fromHex(message.bundleId)],
      ["request_id", fromHex(message.requestId)],
      ["timestamp_ms", message.timestampMs],
    ]),
  );
}

/** CRC-32 as in PNG, little-endian. */
function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  const sum = new Uint8Array(4);
  new DataView(sum.buffer).setUint32(0, ~crc >>> 0, true);
  return sum;
}

function random(size) {
  return crypto.getRandomValues(new Uint8Array(size));
}

/** Bytes as hexadecimal digits. */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Hexadecimal digits as bytes. */
export function fromHex(text) {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function fromBase64Url(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}
