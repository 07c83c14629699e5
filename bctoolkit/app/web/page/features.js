// How a picture looks, in a few numbers, and how far that is from stored ones: as bctoolkit/statistics/image_features.py
// and neighbours.py have it.

const BLOCKS = 12;
const RINGS = [0.35, 0.7, 1];
const MOST_COLOURS = 4;
const FLAT = 0.25;
const NEAREST = 3;
const LEAST_SPREAD = 0.1;

export const featureCount = (channels) => 2 * (RINGS.length + 1) * (channels <= MOST_COLOURS ? channels : 1) + 2;

/**
 * Features of one image.
 *
 * @param {{width: number, height: number, channels: number, data: Uint8Array}} picture
 * @returns {Float32Array} `featureCount(channels)` numbers
 */
export function imageFeatures(picture) {
  const { width, height, channels, data } = picture.channels <= MOST_COLOURS ? picture : meanChannel(picture);
  const [means, spreads] = inRings(blockMeans(data, width, height, channels), width, height, channels);
  const plane = Float32Array.from({ length: width * height }, (_, i) => data[i * channels + (channels >> 1)]);
  const across = steepness(plane, width, height, 1, 0);
  const down = steepness(plane, width, height, 0, 1);
  return Float32Array.from([...means, ...spreads, Math.log(across + FLAT) / 2, Math.log(down + FLAT) / 2]);
}

function meanChannel({ width, height, channels, data }) {
  const mean = Float32Array.from({ length: width * height }, (_, i) => {
    return data.subarray(i * channels, (i + 1) * channels).reduce((sum, value) => sum + value, 0) / channels;
  });
  return { width, height, channels: 1, data: mean };
}

function blockMeans(data, width, height, channels) {
  const across = Math.min(BLOCKS, width);
  const down = Math.min(BLOCKS, height);
  const sums = new Float64Array(down * across * channels);
  const counts = new Float64Array(down * across);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const block = Math.floor((y * down) / height) * across + Math.floor((x * across) / width);
      counts[block]++;
      for (let channel = 0; channel < channels; channel++) sums[block * channels + channel] += data[(y * width + x) * channels + channel];
    }
  }
  return Float32Array.from(sums, (sum, i) => sum / counts[Math.floor(i / channels)]);
}

/** Mean and standard deviation of the blocks in each ring, ring by ring, of each channel. */
function inRings(blocks, width, height, channels) {
  const across = Math.min(BLOCKS, width);
  const down = Math.min(BLOCKS, height);
  const place = (i, count) => (count > 1 ? -1 + (2 * i) / (count - 1) : 0);
  const rings = RINGS.length + 1;
  const counts = new Float64Array(rings);
  const sums = new Float64Array(rings * channels);
  const squares = new Float64Array(rings * channels);
  for (let block = 0; block < across * down; block++) {
    const distance = Math.hypot(place(Math.floor(block / across), down), place(block % across, across));
    const ring = RINGS.filter((radius) => radius <= distance).length;
    counts[ring]++;
    for (let channel = 0; channel < channels; channel++) {
      const value = blocks[block * channels + channel];
      sums[ring * channels + channel] += value;
      squares[ring * channels + channel] += Math.fround(value * value);
    }
  }
  const share = (sum, i) => Math.fround(sum / Math.max(counts[Math.floor(i / channels)], 1));
  const means = sums.map(share);
  const spreads = squares.map((sum, i) => Math.sqrt(Math.max(share(sum, i) - means[i] * means[i], 0)));
  return [means, spreads];
}

/** Mean square of the steps from each pixel to the next. */
function steepness(plane, width, height, right, down) {
  let sum = 0;
  for (let y = 0; y + down < height; y++) {
    for (let x = 0; x + right < width; x++) {
      const step = plane[(y + down) * width + x + right] - plane[y * width + x];
      sum += step * step;
    }
  }
  return sum / Math.max((width - right) * (height - down), 1);
}

/** Stored pictures, by their features: says how far another is from the third nearest of them. */
export class Neighbours {
  /**
   * @param {Float32Array} features N × F
   * @param {number} length F
   */
  constructor(features, length) {
    const count = features.length / length;
    const column = (i) => Array.from({ length: count }, (_, n) => features[n * length + i]);
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / count;
    const columns = Array.from({ length }, (_, i) => column(i));
    this.centre = columns.map(mean);
    this.scale = columns.map((values, i) => {
      const variance = mean(values.map((value) => (value - this.centre[i]) ** 2));
      return 1 / Math.max(Math.sqrt(variance), LEAST_SPREAD);
    });
    this.points = Array.from({ length: count }, (_, n) => this.standardized(features.subarray(n * length, (n + 1) * length)));
  }

  standardized(features) {
    return Float64Array.from(features, (value, i) => (value - this.centre[i]) * this.scale[i]);
  }

  distance(features) {
    const point = this.standardized(features);
    const squared = this.points.map((other) => other.reduce((sum, value, i) => sum + (value - point[i]) ** 2, 0));
    return Math.sqrt(squared.sort((a, b) => a - b)[NEAREST - 1]);
  }
}
