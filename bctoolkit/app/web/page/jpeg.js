// JPEG (ITU-T T.81): the browser decodes it, and this file sees to it that nothing else happens to the numbers.

import { Refused, fromBase64 } from "./bytes.js";
import { orientation } from "./exif.js";
import { MOST_PIXELS } from "./png.js";

const START_OF_SCAN = 0xda;
const END = 0xd9;
const APP1 = 0xe1; // Exif
const APP2 = 0xe2; // colour profiles, further pictures
const MOST_PASSES = 2 ** 30; // pixels × scans: each scan visits all pixels
const EXIF = "Exif\0\0";

export const isJpeg = (bytes) => bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;

const isFrame = (marker) => marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
const isAlone = (marker) => marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7);

/**
 * Decode a JPEG of 8 bits a channel, grey or in colour.
 *
 * @param {Uint8Array} bytes of the file
 * @returns {Promise<{width, height, colours: {channels: 1 | 3, data: Uint8Array}, alpha: null, orientation: number}>}
 */
export async function decodeJpeg(bytes) {
  const { frame, exif, scans, bare } = inspect(bytes);
  if (frame.precision !== 8) throw new Refused(`is a JPEG of ${frame.precision} bits a channel; wanted 8, convert it first`);
  if (frame.components === 4) throw new Refused("is CMYK; wanted grey or RGB, convert it first");
  if (![1, 3].includes(frame.components)) throw new Refused(`is a JPEG of ${frame.components} channels; wanted grey or RGB`);
  const pixels = frame.width * frame.height;
  if (!pixels || pixels > MOST_PIXELS) throw new Refused(`has ${frame.width}×${frame.height} pixels; wanted at most ${MOST_PIXELS}`);
  if (scans * pixels > MOST_PASSES) throw new Refused(`is a JPEG of ${scans} scans; save it again with fewer`);
  const rgba = await pixelsOf(bare);
  if (rgba.width !== frame.width || rgba.height !== frame.height) throw new Refused("came out of the browser's decoder in another size");
  const { width, height, data } = rgba;
  const channels = frame.components;
  const colours = new Uint8Array(pixels * channels);
  for (let i = 0; i < pixels; i++) for (let channel = 0; channel < channels; channel++) colours[i * channels + channel] = data[4 * i + channel];
  return { width, height, colours: { channels, data: colours }, alpha: null, orientation: exif ? orientation(exif) : 1 };
}

/**
 * What the markers say, and the file without what a browser might turn or recolour it by: Chromium turns a picture by
 * its Exif whatever it is asked for. A file that ends before its end marker is refused.
 */
function inspect(bytes) {
  const numbers = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let frame = null;
  let scans = 0;
  const exif = [];
  const bare = [bytes.subarray(0, 2)];
  let at = 2;
  let keptTo = 2;
  for (;;) {
    while (at < bytes.length && (bytes[at] !== 0xff || bytes[at + 1] === 0 || bytes[at + 1] === 0xff || isAlone(bytes[at + 1]))) at++;
    const marker = bytes[at + 1];
    if (marker === END && frame && scans) break;
    if (at + 4 > bytes.length || marker === END) throw new Refused("is a JPEG that is cut short");
    const length = numbers.getUint16(at + 2);
    const content = bytes.subarray(at + 4, at + 2 + length);
    if (isFrame(marker) && !frame && content.length >= 6) {
      frame = { precision: content[0], height: numbers.getUint16(at + 5), width: numbers.getUint16(at + 7), components: content[5] };
    } else if (marker === APP1 && String.fromCharCode(...content.subarray(0, 6)) === EXIF) {
      exif.push(content.subarray(6));
    } else if (marker === START_OF_SCAN) scans++;
    if (marker === APP1 || marker === APP2) {
      bare.push(bytes.subarray(keptTo, at));
      keptTo = at + 2 + length;
    }
    at += 2 + length;
  }
  bare.push(bytes.subarray(keptTo));
  return { frame, scans, exif: joined(exif), bare };
}

function joined(parts) {
  if (parts.length < 2) return parts[0] ?? null;
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (result.set(part, at), at + part.length), 0);
  return result;
}

/** RGBA as the browser decodes the parts of a file. */
async function pixelsOf(parts) {
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  let bitmap;
  try {
    bitmap = await createImageBitmap(new Blob(parts, { type: "image/jpeg" }), options);
  } catch {
    throw new Refused("is a JPEG that this browser cannot decode: damaged, or of a kind it does not know");
  }
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

/**
 * How far this browser's decoder is from the one that training used, on one small picture.
 *
 * @param {{jpeg: string, rgb: string}} sample a JPEG and its pixels, in base64
 * @returns {Promise<number>} largest difference, in grey levels; 0 where they are the same
 */
export async function decoderDifference({ jpeg, rgb }) {
  const { colours } = await decodeJpeg(fromBase64(jpeg));
  return fromBase64(rgb).reduce((worst, value, i) => Math.max(worst, Math.abs(value - colours.data[i])), 0);
}
