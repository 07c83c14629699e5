// Resizing as docs/preprocessing.md has it, which is how Pillow does it: weights in 22 bits, across and then down, 8 bits
// in between.

const BITS = 22;

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

function cubic(x) {
  const distance = Math.abs(x);
  if (distance < 1) return (1.5 * distance - 2.5) * distance * distance + 1;
  if (distance < 2) return ((distance - 5) * distance + 8) * distance * -0.5 + 2;
  return 0;
}

const FILTERS = {
  bilinear: { reach: 1, weight: (x) => Math.max(1 - Math.abs(x), 0) },
  bicubic: { reach: 2, weight: cubic },
  lanczos: { reach: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/**
 * A picture in another size.
 *
 * @param {{width: number, height: number, channels: number, data: Uint8Array}} picture
 * @param {number} width
 * @param {number} height
 * @param {"nearest" | "bilinear" | "bicubic" | "lanczos"} method
 */
export function resized(picture, width, height, method) {
  if (method === "nearest") return nearest(picture, width, height);
  const filter = FILTERS[method];
  const wide = picture.width === width ? picture : across(picture, width, filter);
  return wide.height === height ? wide : down(wide, height, filter);
}

/** For each pixel that comes out: the first that goes in, and the weights of it and those after it. */
function kernels(before, after, { reach, weight }) {
  const scale = before / after;
  const stretch = Math.max(scale, 1);
  return Array.from({ length: after }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - reach * stretch + 0.5), 0);
    const end = Math.min(Math.trunc(centre + reach * stretch + 0.5), before);
    const weights = [];
    let sum = 0;
    for (let x = first; x < end; x++) {
      weights.push(weight((x - centre + 0.5) * (1 / stretch)));
      sum += weights.at(-1);
    }
    const fixed = weights.map((w) => (sum === 0 ? w : w / sum) * 2 ** BITS).map((w) => Math.trunc(w < 0 ? w - 0.5 : w + 0.5));
    return { first, weights: Int32Array.from(fixed) };
  });
}

const clipped = (sum) => Math.min(Math.max(sum >> BITS, 0), 255);

function across({ width, height, channels, data }, wanted, filter) {
  const result = new Uint8Array(wanted * height * channels);
  const all = kernels(width, wanted, filter);
  let to = 0;
  for (let y = 0; y < height; y++) {
    for (const { first, weights } of all) {
      for (let channel = 0; channel < channels; channel++) {
        let sum = 1 << (BITS - 1);
        let from = (y * width + first) * channels + channel;
        for (const weight of weights) {
          sum += data[from] * weight;
          from += channels;
        }
        result[to++] = clipped(sum);
      }
    }
  }
  return { width: wanted, height, channels, data: result };
}

function down({ width, height, channels, data }, wanted, filter) {
  const row = width * channels;
  const result = new Uint8Array(row * wanted);
  let to = 0;
  for (const { first, weights } of kernels(height, wanted, filter)) {
    for (let column = 0; column < row; column++) {
      let sum = 1 << (BITS - 1);
      let from = first * row + column;
      for (const weight of weights) {
        sum += data[from] * weight;
        from += row;
      }
      result[to++] = clipped(sum);
    }
  }
  return { width, height: wanted, channels, data: result };
}

/** Where each pixel comes from; the steps are added up, as Pillow adds them, and not multiplied. */
function sources(before, after) {
  const step = before / after;
  const positions = [];
  for (let at = step * 0.5; positions.length < after; at += step) positions.push(Math.min(Math.trunc(at), before - 1));
  return positions;
}

function nearest({ width, height, channels, data }, wide, high) {
  const result = new Uint8Array(wide * high * channels);
  const columns = sources(width, wide);
  let to = 0;
  for (const y of sources(height, high)) {
    for (const x of columns) {
      const from = (y * width + x) * channels;
      for (let channel = 0; channel < channels; channel++) result[to++] = data[from + channel];
    }
  }
  return { width: wide, height: high, channels, data: result };
}
