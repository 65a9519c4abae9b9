/** Read binary PGM (P5) and PPM (P6) of one byte a value: the format of the ORL face set. */

const LARGEST_SIDE = 20_000;

/** Return the picture; throws a sentence for the user when the bytes are no such file. */
export function readNetpbm(bytes) {
  const colours = bytes[1] === 0x36 ? 3 : 1;
  let at = 2;
  const [width, height, most] = [0, 1, 2].map(() => {
    const { value, next } = readNumber(bytes, at);
    at = next;
    return value;
  });
  const sane = [width, height].every((side) => side >= 1 && side <= LARGEST_SIDE);
  const values = bytes.subarray(at + 1); // one white space ends the header
  if (!sane || most !== 255 || values.length < colours * width * height) {
    throw new Error("The PGM or PPM file is cut short or of an unusual kind. Save it as PNG.");
  }
  const rgb = new Uint8Array(3 * width * height);
  for (let index = 0; index < rgb.length; index += 1) {
    rgb[index] = values[colours === 3 ? index : Math.floor(index / 3)];
  }
  return { rgb, width, height };
}

function readNumber(bytes, start) {
  let at = start;
  while (at < bytes.length && !isDigit(bytes[at])) {
    if (bytes[at] === 0x23) while (at < bytes.length && bytes[at] !== 0x0a) at += 1; // a comment
    else at += 1;
  }
  let value = 0;
  while (at < bytes.length && isDigit(bytes[at]) && value < 1e6) {
    value = 10 * value + bytes[at] - 0x30;
    at += 1;
  }
  return { value, next: at };
}

function isDigit(byte) {
  return byte >= 0x30 && byte <= 0x39;
}
