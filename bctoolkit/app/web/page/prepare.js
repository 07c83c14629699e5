// From an image file to exactly the array that the model takes: docs/preprocessing.md, step by step.

import { Refused } from "./bytes.js";
import { turned } from "./exif.js";
import { decodeJpeg, isJpeg } from "./jpeg.js";
import { decodePng, isPng } from "./png.js";
import { resized } from "./resample.js";

const DEEPEST = 65535;
const USUAL_WHITES = [1023, 4095, 16383, DEEPEST]; // of cameras with 10, 12, 14 and 16 bits
const MOST_BYTES = 2 ** 29;
const SCALE_TOLERANCE = 10; // a picture's shorter side may differ by one in so many from the one that the contract states

const OTHERS = [
  ["GIF", "GIF8"],
  ["BMP", "BM"],
  ["TIFF", "II*\0"],
  ["TIFF", "MM\0*"],
  ["WebP", "RIFF"],
];

/**
 * Decode, turn, crop and resize an image file.
 *
 * @param {Uint8Array} bytes of the file
 * @param {object} contract the manifest's `input`
 * @returns {Promise<{width: number, height: number, channels: number, data: Uint8Array}>} values 0–255
 */
export async function prepare(bytes, contract) {
  const upright = await decode(bytes, contract);
  const cropped = centre(upright, contract);
  const coloured = cropped.channels === contract.channels ? cropped : contract.channels === 1 ? inGrey(cropped) : inColour(cropped);
  if (coloured.width === contract.width && coloured.height === contract.height) return coloured;
  return resized(coloured, contract.width, contract.height, contract.resize);
}

/** The pixels as they are to be seen: 8 bits, opaque, upright; grey or RGB. */
async function decode(bytes, contract) {
  if (![1, 3].includes(contract.channels)) throw new Refused(`is an image file, and the model wants ${contract.channels} channels`);
  const picture = await decoderOf(bytes)(bytes);
  const { width, height, alpha } = picture;
  const { channels } = picture.colours;
  const colours = inEightBits(picture.colours.data, contract.white ?? null);
  const data = alpha ? overWhite(colours, inEightBits(alpha, DEEPEST), channels) : colours;
  return turned({ width, height, channels, data }, picture.orientation);
}

function decoderOf(bytes) {
  if (bytes.length > MOST_BYTES) throw new Refused(`has ${bytes.length} bytes; wanted at most ${MOST_BYTES}`);
  if (isPng(bytes)) return decodePng;
  if (isJpeg(bytes)) return decodeJpeg;
  const start = String.fromCharCode(...bytes.subarray(0, 4));
  const other = OTHERS.find(([, beginning]) => start.startsWith(beginning));
  if (other) throw new Refused(`is a ${other[0]}; this page reads PNG and JPEG, convert it first`);
  throw new Refused(bytes.length ? "is no picture: neither PNG nor JPEG" : "is empty");
}

function inEightBits(values, white) {
  if (values instanceof Uint8Array) return values;
  const largest = values.reduce((most, value) => Math.max(most, value), 0);
  if (white === null) {
    const likely = USUAL_WHITES.find((usual) => largest <= usual);
    throw new Refused(`has 16 bits a channel and values up to ${largest}; the bundle does not say which is white, likely ${likely}`);
  }
  if (largest > white) throw new Refused(`holds the value ${largest}, above the ${white} that the bundle says is white`);
  return Uint8Array.from(values, (value) => Math.floor((value * 255 + (white >> 1)) / white));
}

function overWhite(colours, alpha, channels) {
  return colours.map((colour, i) => {
    const opaque = alpha[Math.floor(i / channels)];
    return Math.floor((colour * opaque + 255 * (255 - opaque) + 127) / 255);
  });
}

/** ITU-R 601-2 luma, as Pillow's mode L rounds it. */
function inGrey({ width, height, data }) {
  const grey = new Uint8Array(width * height);
  for (let i = 0; i < grey.length; i++) grey[i] = (19595 * data[3 * i] + 38470 * data[3 * i + 1] + 7471 * data[3 * i + 2] + 0x8000) >> 16;
  return { width, height, channels: 1, data: grey };
}

function inColour({ width, height, data }) {
  const colours = new Uint8Array(3 * data.length);
  for (let i = 0; i < colours.length; i++) colours[i] = data[Math.floor(i / 3)];
  return { width, height, channels: 3, data: colours };
}

function centre(picture, contract) {
  if (contract.crop === "none") return picture;
  const { width, height, channels, data } = picture;
  const side = sideOfCentre(width, height, contract);
  const top = (height - side) >> 1;
  const left = (width - side) >> 1;
  const result = new Uint8Array(side * side * channels);
  for (let y = 0; y < side; y++) {
    const from = ((top + y) * width + left) * channels;
    result.set(data.subarray(from, from + side * channels), y * side * channels);
  }
  return { width: side, height: side, channels, data: result };
}

/** Pixels of the square that is cut out of the centre of a picture. */
function sideOfCentre(width, height, { crop, picture = null }) {
  const shorter = Math.min(width, height);
  if (crop === "square") return shorter;
  const has = `has ${width}×${height} pixels`;
  if (picture !== null) {
    if (width === height && shorter <= crop) return shorter; // prepared already
    if (Math.abs(shorter - picture) * SCALE_TOLERANCE > picture)
      throw new Refused(`${has}; the network knows the centre ${crop}×${crop} of pictures of about ${picture} pixels: give those, at that scale, or such centres cut out`);
  }
  if (crop > shorter) throw new Refused(`${has}, less than the contract's crop of ${crop}×${crop}`);
  return crop;
}
