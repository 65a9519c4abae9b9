/** Fresh normal numbers from the operating system's generator, never from a seeded one. */

const BLOCK = 4096; // 32-bit words at once; getRandomValues gives at most 65,536 bytes

/** Return `count` standard normal numbers (polar method, Marsaglia and Bray 1964). */
export function freshNormals(count) {
  const normals = new Float32Array(count);
  let have = 0;
  while (have < count) {
    const uniform = uniforms();
    for (let index = 0; index < uniform.length && have < count; index += 2) {
      const [u, v] = [uniform[index], uniform[index + 1]];
      const radius = u * u + v * v;
      if (radius > 0 && radius < 1) {
        const factor = Math.sqrt((-2 * Math.log(radius)) / radius);
        normals[have] = u * factor;
        if (have + 1 < count) normals[have + 1] = v * factor;
        have += 2;
      }
    }
  }
  return normals;
}

/** Return numbers in (-1, 1) of 53 random bits each. */
function uniforms() {
  const words = crypto.getRandomValues(new Uint32Array(BLOCK));
  return Float64Array.from({ length: BLOCK / 2 }, (_, index) => {
    const high = words[2 * index] * 2 ** 21;
    const low = words[2 * index + 1] >>> 11;
    return (high + low + 0.5) * 2 ** -52 - 1;
  });
}
