// numpy's .npz: a zip archive of .npy files, read into typed arrays.
// The forms: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT,
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

import { Refused, inflate } from "./bytes.js";

const END_OF_DIRECTORY = 0x06054b50;
const IN_DIRECTORY = 0x02014b50;
const STORED = 0;
const DEFLATED = 8;
const MOST_HEADER = 1024; // bytes of a .npy before its numbers

const TYPES = {
  "|u1": Uint8Array,
  "<f4": Float32Array,
  "<f2": Uint16Array, // bits, see `fromHalf`
};

const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/**
 * Arrays out of a .npz.
 *
 * @param {Uint8Array} bytes of the file
 * @param {Object<string, {type: string, shape: (number | null)[]}>} wanted name → what the array has to be; null: any length
 * @param {string} source what to call the file
 * @returns {Promise<Object<string, TypedArray>>} name → the numbers, in C order
 */
export async function readNpz(bytes, wanted, source) {
  const entries = directory(bytes, source);
  const arrays = {};
  for (const [name, spec] of Object.entries(wanted)) {
    const entry = entries.get(`${name}.npy`);
    if (!entry) throw new Refused(`${source}: holds no array ${name}`);
    arrays[name] = await readArray(bytes, entry, spec, `${source}: ${name}`);
  }
  return arrays;
}

function directory(bytes, source) {
  const numbers = view(bytes);
  let end = bytes.length - 22;
  while (end >= 0 && numbers.getUint32(end, true) !== END_OF_DIRECTORY) end--;
  if (end < 0) throw new Refused(`${source}: is no zip archive`);
  const entries = new Map();
  let at = numbers.getUint32(end + 16, true);
  for (let left = numbers.getUint16(end + 10, true); left > 0; left--) {
    if (at + 46 > end || numbers.getUint32(at, true) !== IN_DIRECTORY) throw new Refused(`${source}: is damaged`);
    const nameLength = numbers.getUint16(at + 28, true);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    entries.set(name, {
      method: numbers.getUint16(at + 10, true),
      packed: numbers.getUint32(at + 20, true),
      size: numbers.getUint32(at + 24, true),
      at: numbers.getUint32(at + 42, true),
    });
    at += 46 + nameLength + numbers.getUint16(at + 30, true) + numbers.getUint16(at + 32, true);
  }
  return entries;
}

async function readArray(bytes, entry, spec, what) {
  const Type = TYPES[spec.type];
  const known = spec.shape.every((length) => length !== null);
  const values = known ? spec.shape.reduce((product, length) => product * length, 1) : entry.size;
  const most = Math.min(entry.size, MOST_HEADER + values * Type.BYTES_PER_ELEMENT);
  const content = await unpacked(bytes, entry, most, what);
  const { start, shape } = header(content, spec.type, what);
  const fits = shape.length === spec.shape.length && shape.every((n, i) => spec.shape[i] === null || spec.shape[i] === n);
  if (!fits) throw new Refused(`${what} has the shape ${shape.join("×")}; wanted ${spec.shape.join("×")}`);
  const size = shape.reduce((product, length) => product * length, 1) * Type.BYTES_PER_ELEMENT;
  if (start + size !== entry.size || content.length < entry.size) throw new Refused(`${what} is cut short`);
  return new Type(content.slice(start, start + size).buffer);
}

async function unpacked(bytes, entry, most, what) {
  if (entry.at + 30 > bytes.length) throw new Refused(`${what} is damaged`);
  const numbers = view(bytes);
  const start = entry.at + 30 + numbers.getUint16(entry.at + 26, true) + numbers.getUint16(entry.at + 28, true);
  const packed = bytes.subarray(start, start + entry.packed);
  if (entry.method === STORED) return packed;
  if (entry.method === DEFLATED) return inflate(new Blob([packed]), "deflate-raw", most);
  throw new Refused(`${what} is compressed in a way that is not read here`);
}

function header(content, type, what) {
  const text = new TextDecoder("latin1").decode(content.subarray(0, MOST_HEADER));
  if (content[0] !== 0x93 || text.slice(1, 6) !== "NUMPY" || content.length < 12) throw new Refused(`${what} is no array of numpy's`);
  const numbers = view(content);
  const start = content[6] === 1 ? 10 + numbers.getUint16(8, true) : 12 + numbers.getUint32(8, true);
  const found = text.slice(0, start).match(/'descr': '([^']+)', 'fortran_order': (\w+), 'shape': \(([\d, ]*)\)/);
  if (!found || found[1] !== type || found[2] !== "False") throw new Refused(`${what} is no array of ${type} in C order`);
  const shape = found[3].split(",").filter((part) => part.trim()).map(Number);
  return { start, shape };
}

/** The number that 16 bits stand for (IEEE 754 binary16). */
export function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
}
