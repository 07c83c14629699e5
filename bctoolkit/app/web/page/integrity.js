// The bundle, file by file as it was sealed and, where a key is trusted, as it was signed.

import { Refused, sha256 } from "./bytes.js";
import { read, readJson } from "./files.js";
import { readNpz } from "./npz.js";
import { featureCount } from "./features.js";
import { verifySignature } from "./signature.js";

const SCHEMA = 2;
const MANIFEST = "manifest.json";
const SEAL = "manifest.json.sha256";
const REMEDY = "copy the bundle again and write this page anew";

/** The files that a bundle may name; a manifest chooses among them and never makes an address of its own. */
const KNOWN = ["model.onnx", "model.tflite", "golden.npz", "reference.npz", "calibration.npz", "validation.npz", "bom.cdx.json"];

/**
 * Read a bundle and check each file of it.
 *
 * @param {{trusted: object[], most_labels: number}} settings that the page was written with
 * @param {(words: string) => void} tell what is being done
 * @returns {Promise<{manifest, model, golden, validation, manifestDigest, signedBy}>} signedBy: the key's hint, or null
 */
export async function readBundle(settings, tell) {
  tell("Reading the manifest");
  const sealed = await read(`bundle/${MANIFEST}`);
  const manifest = readManifest(sealed);
  const manifestDigest = await sha256(sealed);
  const seal = new TextDecoder().decode(await read(`bundle/${SEAL}`)).split(/\s/)[0];
  if (seal !== manifestDigest) throw new Refused(`${MANIFEST} is not as it was sealed: its SHA-256 differs from the one in ${SEAL}; ${REMEDY}`);
  const signature = settings.trusted.length ? await verifySignature(await signatureFile(), settings.trusted) : null;
  if (signature) requireSigned(signature.files, manifest, { [MANIFEST]: manifestDigest, [SEAL]: await sha256(await read(`bundle/${SEAL}`)) });
  const contents = {};
  for (const { file, sha256: digest } of entries(manifest)) {
    tell(`Checking ${file}`);
    contents[file] = await read(`bundle/${file}`);
    if ((await sha256(contents[file])) !== digest) throw new Refused(`${file} is not the file that the manifest names: its SHA-256 differs; ${REMEDY}`);
  }
  const golden = await readGolden(manifest, contents);
  return { manifest, model: contents[manifest.model.file], golden, validation: await readValidation(manifest, contents), manifestDigest, signedBy: signature?.hint ?? null };
}

async function signatureFile() {
  try {
    return await read("bundle/model.sig");
  } catch (problem) {
    if (!(problem instanceof Refused)) throw problem;
    throw new Refused("The bundle is not signed: it holds no model.sig; use a bundle signed by the key that this page trusts");
  }
}

function readManifest(bytes) {
  const manifest = readJson(bytes, MANIFEST);
  if (manifest?.schema > SCHEMA) throw new Refused(`The bundle has schema ${manifest.schema}, this page reads up to ${SCHEMA}; write it with a newer bctoolkit`);
  const { model, input, labels, golden } = manifest ?? {};
  const isWhole = model?.file && golden?.file && Array.isArray(labels) && labels.length && labels.every((label) => typeof label === "string");
  const sizes = [input?.height, input?.width, input?.channels, golden?.count];
  if (!isWhole || !sizes.every((size) => Number.isInteger(size) && size > 0)) throw new Refused(`${MANIFEST} is no manifest of a bundle; ${REMEDY}`);
  if (!["uint8", "float32"].includes(input.dtype)) throw new Refused(`The model takes ${input.dtype}; this page knows uint8 and float32`);
  if (!manifest.acceptance !== !manifest.validation) throw new Refused(`${MANIFEST} holds half an acceptance rule; ${REMEDY}`);
  for (const { file } of entries(manifest)) {
    if (!KNOWN.includes(file)) throw new Refused(`${MANIFEST} names a file that is no part of a bundle; ${REMEDY}`);
  }
  return manifest;
}

function entries({ model, golden, reference, calibration, validation, bom }) {
  return [model, golden, reference, calibration, validation, bom].filter(Boolean);
}

/** Refuse a signature over other files than those that are here. */
function requireSigned(signed, manifest, present) {
  for (const { file, sha256: digest } of entries(manifest)) present[file] = digest;
  for (const [name, digest] of signed) {
    if (!(name in present)) throw new Refused(`${JSON.stringify(name)} was signed and is missing; use the bundle as it was signed`);
    if (present[name] !== digest) throw new Refused(`${name} was changed after the bundle was signed; use the bundle as it was signed`);
  }
  for (const name of Object.keys(present)) {
    if (!signed.has(name)) throw new Refused(`${name} was added after the bundle was signed; use the bundle as it was signed`);
  }
}

async function readGolden({ schema, golden, input, labels, source }, contents) {
  const { count, file } = golden;
  const wanted = {
    images: { type: "|u1", shape: [count, input.height, input.width, input.channels] },
    probabilities: { type: "<f4", shape: [count, labels.length] },
    ...(schema > 1 && { identity: { type: "|u1", shape: [null] } }),
  };
  const arrays = await readNpz(contents[file], wanted, file);
  if (arrays.identity) requireSame(readJson(arrays.identity, file), { labels, input, source_sha256: source?.model_sha256 }, file);
  return { ...arrays, count };
}

/** What a file states of itself has to be what the manifest says; what it does not state is not compared. */
function requireSame(stated, expected, file) {
  for (const [field, value] of Object.entries(expected)) {
    const there = stated?.[field];
    if (there === undefined || there === null || sameValue(there, value)) continue;
    throw new Refused(`${file} was made for another bundle: its ${field.replace("_sha256", "")} is not the manifest's; use a bundle whose files belong together`);
  }
}

function sameValue(one, other) {
  if (one === null || other === null || typeof one !== "object" || typeof other !== "object") return (one ?? null) === (other ?? null);
  return [...new Set([...Object.keys(one), ...Object.keys(other)])].every((key) => sameValue(one[key] ?? null, other[key] ?? null));
}

async function readValidation({ validation, input }, contents) {
  if (!validation) return null;
  const wanted = { features: { type: "<f2", shape: [validation.count, featureCount(input.channels)] } };
  return readNpz(contents[validation.file], wanted, validation.file);
}
