// Which way up a picture is to be shown: Exif's Orientation (CIPA DC-008-2019, 4.6.4), and nothing else of Exif.

const TAG = 0x0112;
const SHORT = 3;
const ENTRY_BYTES = 12;

/**
 * The orientation that an Exif block states, 1 to 8; whatever is missing or damaged counts as 1.
 *
 * @param {Uint8Array} block a TIFF header and its first directory, without `Exif\0\0`
 */
export function orientation(block) {
  if (block.length < 10) return 1;
  const numbers = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const start = String.fromCharCode(...block.subarray(0, 4));
  if (start !== "II*\0" && start !== "MM\0*") return 1;
  const little = start[0] === "I";
  const at = numbers.getUint32(4, little);
  if (at + 2 > block.length) return 1;
  const last = Math.min(at + 2 + numbers.getUint16(at, little) * ENTRY_BYTES, block.length - ENTRY_BYTES + 1);
  for (let entry = at + 2; entry < last; entry += ENTRY_BYTES) {
    if (numbers.getUint16(entry, little) !== TAG) continue;
    const isShort = numbers.getUint16(entry + 2, little) === SHORT && numbers.getUint32(entry + 4, little) === 1;
    const value = numbers.getUint16(entry + 8, little);
    return isShort && value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

/**
 * A picture as it is to be shown.
 *
 * @param {{width: number, height: number, channels: number, data: Uint8Array}} picture as stored
 * @param {number} value 1 to 8
 */
export function turned(picture, value) {
  if (value === 1) return picture;
  const { width, height, channels, data } = picture;
  const swapped = value >= 5;
  const upsideDown = [3, 4, 7, 8].includes(value);
  const mirrored = [2, 3, 6, 7].includes(value);
  const across = swapped ? height : width;
  const down = swapped ? width : height;
  const result = new Uint8Array(data.length);
  let to = 0;
  for (let y = 0; y < down; y++) {
    const sourceY = upsideDown ? down - 1 - y : y;
    for (let x = 0; x < across; x++) {
      const sourceX = mirrored ? across - 1 - x : x;
      const from = channels * (swapped ? sourceX * width + sourceY : sourceY * width + sourceX);
      for (let channel = 0; channel < channels; channel++) result[to++] = data[from + channel];
    }
  }
  return { width: across, height: down, channels, data: result };
}
