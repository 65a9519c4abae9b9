/**
 * Shrink any box of a picture by averaging areas: src/xnn/faces/detection/area.py, number for number.
 *
 * A picture is everywhere { rgb, width, height }: rgb has 3 bytes for each pixel, row by row.
 */

const CENTRE = 127.5; // the grey that the nets see as zero; also what lies outside the picture
const SCALE = 1 / 128;

export class AreaSampler {
  /** Sum all rectangles from the top left corner once, modulo 2^32. */
  constructor({ rgb, width, height }) {
    this.width = width;
    this.height = height;
    this.stride = 3 * (width + 1);
    const sums = new Uint32Array(this.stride * (height + 1));
    for (let y = 0; y < height; y += 1) {
      let [red, green, blue] = [0, 0, 0];
      let from = 3 * width * y;
      let to = this.stride * (y + 1) + 3;
      for (let x = 0; x < width; x += 1, from += 3, to += 3) {
        red += rgb[from];
        green += rgb[from + 1];
        blue += rgb[from + 2];
        sums[to] = sums[to - this.stride] + red;
        sums[to + 1] = sums[to + 1 - this.stride] + green;
        sums[to + 2] = sums[to + 2 - this.stride] + blue;
      }
    }
    this.sums = sums;
  }

  /** Return the whole picture at another size as float32 (3, height, width). */
  whole(height, width) {
    const values = new Float32Array(3 * height * width);
    const rows = cells(0, this.height, height);
    this.#average(rows, cells(0, this.width, width), values, 0);
    return values;
  }

  /**
   * Return square patches as float32 (boxes, 3, size, size); outside the picture counts as grey.
   * Boxes are whole numbers [left, top, right, bottom], the last two past the end.
   */
  patches(boxes, size) {
    const each = 3 * size * size;
    const values = new Float32Array(boxes.length * each);
    boxes.forEach(([left, top, right, bottom], index) => {
      this.#average(cells(top, bottom, size), cells(left, right, size), values, index * each);
    });
    return values;
  }

  #average(rows, columns, values, offset) {
    const { sums, stride } = this;
    const clippedRows = rows.map((row) => row.map((edge) => clip(edge, this.height)));
    const clippedColumns = columns.map((column) => column.map((edge) => clip(edge, this.width)));
    const plane = rows.length * columns.length;
    let to = offset;
    for (let y = 0; y < rows.length; y += 1) {
      const tall = rows[y][1] - rows[y][0];
      const [top, bottom] = clippedRows[y];
      for (let x = 0; x < columns.length; x += 1, to += 1) {
        const [left, right] = clippedColumns[x];
        const scale = SCALE / (tall * (columns[x][1] - columns[x][0]));
        const grey = CENTRE * ((bottom - top) * (right - left));
        for (let colour = 0; colour < 3; colour += 1) {
          const low = 3 * left + colour;
          const high = 3 * right + colour;
          const sum =
            (sums[bottom * stride + high] -
              sums[top * stride + high] -
              sums[bottom * stride + low] +
              sums[top * stride + low]) >>>
            0;
          values[to + colour * plane] = (sum - grey) * scale;
        }
      }
    }
  }
}

/** Divide a range into cells that cover it; neighbours share a pixel where they must. */
function cells(start, end, number) {
  const length = end - start;
  return Array.from({ length: number }, (_, index) => [
    start + Math.floor((index * length) / number),
    start + Math.ceil(((index + 1) * length) / number),
  ]);
}

function clip(value, high) {
  return Math.min(Math.max(value, 0), high);
}
