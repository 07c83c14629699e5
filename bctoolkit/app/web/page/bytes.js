// Bytes: hashes, base64, decompression that stops at a limit.

/** What a user can mend, in one line; anything else that is thrown is a bug. */
export class Refused extends Error {}

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** SHA-256 in hexadecimal. */
export async function sha256(bytes) {
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

/** The bytes of base64; of text that is none a `DOMException`. */
export function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

export function toBase64(bytes) {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

/**
 * Decompress until `most` bytes are there, and no further: what follows them is not looked at.
 *
 * @param {Blob} packed the compressed bytes
 * @param {"deflate" | "deflate-raw" | "gzip"} format
 * @param {number} most of the bytes that come out
 * @returns {Promise<Uint8Array>} at most `most` bytes; fewer where the data ends or is damaged before
 */
export async function inflate(packed, format, most) {
  const reader = packed.stream().pipeThrough(new DecompressionStream(format)).getReader();
  const result = new Uint8Array(most);
  let length = 0;
  try {
    while (length < most) {
      const { done, value } = await reader.read();
      if (done) break;
      result.set(value.subarray(0, most - length), length);
      length += value.length;
    }
  } catch (problem) {
    if (!(problem instanceof TypeError)) throw problem; // a TypeError: the data is damaged from here on
  }
  reader.cancel().catch(() => {});
  return result.subarray(0, Math.min(length, most));
}
