// The files beside the page; in the single-file form they stand in the page itself, compressed.

import { Refused, fromBase64, inflate, sha256 } from "./bytes.js";

const FOLDER = ["engine/", "bundle/"];
const used = new Set();

const embedded = (name) => document.getElementById(`file:${name}`);

/** Whether everything stands in one file. */
export const isSingleFile = () => embedded("settings.json") !== null;

/** Names of the files that were read, for whoever keeps them. */
export const usedFiles = () => [...used];

/**
 * The content of a file.
 *
 * @param {string} name relative to the page, one of those that the page was written with
 */
export async function read(name) {
  used.add(name);
  const element = embedded(name);
  if (element) return inflate(new Blob([fromBase64(element.textContent)]), "gzip", Number(element.dataset.bytes));
  let response;
  try {
    response = await fetch(name);
  } catch {
    throw new Refused(`${shown(name)} cannot be fetched: there is no connection, and nothing was kept of an earlier visit`);
  }
  if (!response.ok) throw new Refused(`${shown(name)} is missing where this page is served (${response.status})`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Like `read`, of a file whose hash is known. */
export async function readChecked(name, digest, remedy) {
  const bytes = await read(name);
  if ((await sha256(bytes)) !== digest) throw new Refused(`${shown(name)} is not the file that was written: its SHA-256 differs; ${remedy}`);
  return bytes;
}

/** An address under which a file of code can be loaded. */
export async function address(name) {
  used.add(name);
  if (!isSingleFile()) return new URL(name, document.baseURI).href;
  return `${URL.createObjectURL(new Blob([await read(name)], { type: "text/javascript" }))}#${name}`; // LiteRT.js wants an end in .js
}

export const readJson = (bytes, name) => {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new Refused(`${shown(name)} cannot be read: it is no JSON`);
  }
};

function shown(name) {
  const folder = FOLDER.find((each) => name.startsWith(each)) ?? "";
  return name.slice(folder.length);
}
