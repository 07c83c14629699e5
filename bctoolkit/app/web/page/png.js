// PNG (ISO/IEC 15948:2004) into the numbers that the file holds: a canvas would mix in transparency, gamma and 8 bits.

import { Refused, inflate } from "./bytes.js";
import { orientation } from "./exif.js";

export const MOST_PIXELS = 2 ** 26;

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const GREY = 0;
const RGB = 2;
const PALETTE = 3;
const CHANNELS = { [GREY]: 1, [RGB]: 3, [PALETTE]: 1, 4: 2, 6: 4 };
const DEPTHS = { [GREY]: [1, 2, 4, 8, 16], [RGB]: [8, 16], [PALETTE]: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };

// Adam7: first column and row of each pass, and the steps between.
const PASSES = [
  [0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2],
];
const WHOLE = [[0, 0, 1, 1]];

export const isPng = (bytes) => SIGNATURE.every((byte, i) => bytes[i] === byte);

/**
 * Decode a PNG.
 *
 * @param {Uint8Array} bytes of the file
 * @returns {Promise<{width, height, colours: {channels: 1 | 3, data}, alpha: TypedArray | null, orientation: number}>}
 *   colours and alpha in 0–255 (Uint8Array), or as stored where they have 16 bits (Uint16Array)
 */
export async function decodePng(bytes) {
  const chunks = readChunks(bytes);
  const header = readHeader(chunks.get("IHDR")?.[0]);
  requireStill(chunks);
  const stored = await samples(header, chunks.get("IDAT"));
  const exif = chunks.get("eXIf");
  const { width, height } = header;
  const turn = exif ? orientation(exif.at(-1)) : 1;
  return { width, height, ...meaning(header, stored, chunks.get("PLTE")?.[0], chunks.get("tRNS")?.[0]), orientation: turn };
}

/** Type → contents. What is broken off behind the pixels is passed over, as other decoders do. */
function readChunks(bytes) {
  const numbers = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks = new Map();
  let previous = "";
  for (let at = 8; at + 12 <= bytes.length && previous !== "IEND"; ) {
    const length = numbers.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const content = bytes.subarray(at + 8, at + 8 + length);
    const isFirstData = type === "IDAT" && (previous === "IDAT" || !chunks.has("IDAT"));
    const isWhole = at + 12 + length <= bytes.length;
    if (!isWhole && type !== "IDAT") break;
    if (isWhole && type[0] < "a" && crc(bytes.subarray(at + 4, at + 8 + length)) !== numbers.getUint32(at + 8 + length)) {
      throw new Refused(`is a damaged PNG: its part ${type} is not what was written`);
    }
    if (type === "fcTL" && !chunks.has("IDAT")) chunks.set("first frame", []);
    if (type !== "IDAT" || isFirstData) chunks.set(type, [...(chunks.get(type) ?? []), content]);
    previous = type;
    at += 12 + length;
  }
  return chunks;
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC[(value ^ byte) & 255] ^ (value >>> 8);
  return ~value >>> 0;
}

function readHeader(content) {
  if (content?.length !== 13) throw new Refused("is a damaged PNG: it has no header");
  const numbers = new DataView(content.buffer, content.byteOffset, 13);
  const [width, height, depth, kind] = [numbers.getUint32(0), numbers.getUint32(4), content[8], content[9]];
  if (!DEPTHS[kind]?.includes(depth) || content[12] > 1 || !width || !height) throw new Refused("is a damaged PNG: its header is none");
  if (width * height > MOST_PIXELS) throw new Refused(`has ${width}×${height} pixels; wanted at most ${MOST_PIXELS}`);
  return { width, height, depth, kind, channels: CHANNELS[kind], passes: content[12] ? PASSES : WHOLE };
}

function requireStill(chunks) {
  const control = chunks.get("acTL")?.[0];
  if (!control || control.length < 4) return;
  const frames = new DataView(control.buffer, control.byteOffset).getUint32(0) + (chunks.has("first frame") ? 0 : 1);
  if (frames > 1) throw new Refused("has more than one frame or page; save the one that counts as a file of its own");
}

/** The numbers as stored, height × width × channels. */
async function samples(header, parts) {
  const { width, height, depth, channels, passes } = header;
  const sizes = passes.map(([x, y, right, down]) => ({
    across: Math.max(Math.ceil((width - x) / right), 0),
    rows: Math.max(Math.ceil((height - y) / down), 0),
  }));
  const rowBytes = sizes.map(({ across }) => Math.ceil((across * depth * channels) / 8));
  const wanted = sizes.reduce((sum, { across, rows }, i) => sum + (across && rows ? rows * (rowBytes[i] + 1) : 0), 0);
  const data = await inflate(new Blob(parts ?? []), "deflate", wanted);
  if (data.length < wanted) throw new Refused("is a PNG that is cut short or damaged");
  const result = depth === 16 ? new Uint16Array(width * height * channels) : new Uint8Array(width * height * channels);
  let at = 0;
  passes.forEach((pass, i) => {
    const { across, rows } = sizes[i];
    if (!across || !rows) return;
    const end = at + rows * (rowBytes[i] + 1);
    unfilter(data.subarray(at, end), rowBytes[i], Math.max((depth * channels) >> 3, 1));
    spread(data.subarray(at, end), rowBytes[i], sizes[i], pass, header, result);
    at = end;
  });
  return result;
}

/** Undo the filter of each row, in place (section 9). */
function unfilter(data, rowBytes, step) {
  const zeros = new Uint8Array(rowBytes);
  let above = zeros;
  for (let start = 0; start < data.length; start += rowBytes + 1) {
    const row = data.subarray(start + 1, start + 1 + rowBytes);
    const predict = PREDICTIONS[data[start]];
    if (!predict) throw new Refused("is a damaged PNG: a row is stored in no known way");
    predict(row, above, step);
    above = row;
  }
}

const PREDICTIONS = [
  () => {},
  (row, above, step) => {
    for (let i = step; i < row.length; i++) row[i] += row[i - step];
  },
  (row, above) => {
    for (let i = 0; i < row.length; i++) row[i] += above[i];
  },
  (row, above, step) => {
    for (let i = 0; i < row.length; i++) row[i] += ((i < step ? 0 : row[i - step]) + above[i]) >> 1;
  },
  (row, above, step) => {
    for (let i = 0; i < row.length; i++) row[i] += i < step ? above[i] : paeth(row[i - step], above[i], above[i - step]);
  },
];

function paeth(left, above, corner) {
  const byLeft = Math.abs(above - corner);
  const byAbove = Math.abs(left - corner);
  const byCorner = Math.abs(left + above - 2 * corner);
  if (byLeft <= byAbove && byLeft <= byCorner) return left;
  return byAbove <= byCorner ? above : corner;
}

/** Put the numbers of a pass where they belong. */
function spread(data, rowBytes, { across, rows }, [x0, y0, right, down], { width, depth, channels }, result) {
  for (let y = 0; y < rows; y++) {
    const start = y * (rowBytes + 1) + 1;
    for (let x = 0; x < across; x++) {
      const to = ((y0 + y * down) * width + x0 + x * right) * channels;
      for (let channel = 0; channel < channels; channel++) {
        const index = x * channels + channel;
        if (depth === 16) result[to + channel] = (data[start + 2 * index] << 8) | data[start + 2 * index + 1];
        else if (depth === 8) result[to + channel] = data[start + index];
        else {
          const bit = index * depth;
          result[to + channel] = (data[start + (bit >> 3)] >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
        }
      }
    }
  }
}

/** What the numbers stand for: colours, and how opaque each pixel is. */
function meaning({ depth, kind, channels }, stored, palette, transparency) {
  if (kind === PALETTE) return looked(stored, palette, transparency);
  const white = 2 ** depth - 1;
  const most = depth === 16 ? 65535 : 255;
  const values = depth < 8 ? stored.map((value) => (value * 255) / white) : stored;
  if (channels === 2 || channels === 4) return apart(values, channels);
  const colours = { channels, data: values };
  if (!transparency || transparency.length < 2 * channels) return { colours, alpha: null };
  const numbers = new DataView(transparency.buffer, transparency.byteOffset);
  const key = Array.from({ length: channels }, (_, i) => ((numbers.getUint16(2 * i) & white) * most) / white);
  const alpha = new values.constructor(values.length / channels).fill(most);
  for (let i = 0; i < alpha.length; i++) {
    if (key.every((value, channel) => values[i * channels + channel] === value)) alpha[i] = 0;
  }
  return { colours, alpha };
}

function looked(stored, palette, transparency) {
  if (!palette) throw new Refused("is a damaged PNG: it has no palette");
  const data = new Uint8Array(stored.length * 3);
  const alpha = transparency ? new Uint8Array(stored.length) : null;
  stored.forEach((index, i) => {
    for (let channel = 0; channel < 3; channel++) data[3 * i + channel] = palette[3 * index + channel] ?? 0;
    if (alpha) alpha[i] = transparency[index] ?? 255;
  });
  return { colours: { channels: 3, data }, alpha };
}

function apart(values, channels) {
  const count = values.length / channels;
  const data = new values.constructor(count * (channels - 1));
  const alpha = new values.constructor(count);
  for (let i = 0; i < count; i++) {
    for (let channel = 0; channel < channels - 1; channel++) data[i * (channels - 1) + channel] = values[i * channels + channel];
    alpha[i] = values[(i + 1) * channels - 1];
  }
  return { colours: { channels: channels - 1, data }, alpha };
}
