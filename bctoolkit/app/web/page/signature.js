// model.sig: a Sigstore bundle with a DSSE envelope around an in-toto statement, in the form of OpenSSF Model Signing 1.0
// (docs/signing.md). What is accepted is what bctoolkit/signing accepts.

import { Refused, fromBase64, hex, sha256, toBase64 } from "./bytes.js";

const PAYLOAD = "application/vnd.in-toto+json";
const MEDIA = "application/vnd.dev.sigstore.bundle.v0.3+json";
const STATEMENT = "https://in-toto.io/Statement/v1";
const PREDICATE = "https://model_signing/signature/v1.0";
const LARGEST = 1_000_000;
const CURVES = { "P-256": { hash: "SHA-256", bytes: 32 }, "P-384": { hash: "SHA-384", bytes: 48 } };
const REMEDY = "use the bundle as it was signed";

const fault = (what) => new Refused(`model.sig ${what}; ${REMEDY}`);

/**
 * Check a signature with the keys that are trusted.
 *
 * @param {Uint8Array} content of model.sig
 * @param {{pem: string, curve: "P-256" | "P-384"}[]} trusted public keys
 * @returns {Promise<{hint: string, files: Map<string, string>}>} SHA-256 of the key's PEM, and of each signed file by name
 */
export async function verifySignature(content, trusted) {
  const envelope = decode(content);
  const hints = await Promise.all(trusted.map(({ pem }) => sha256(new TextEncoder().encode(pem))));
  const key = trusted[hints.indexOf(envelope.hint)];
  if (!key) throw new Refused(`model.sig is by the key ${envelope.hint.slice(0, 16)}…, which this page does not trust`);
  if (!(await isSignedBy(key, envelope))) throw fault("was changed: the key did not sign this content");
  return { hint: envelope.hint, files: await filesOf(envelope.payload) };
}

function decode(content) {
  if (content.length > LARGEST) throw fault("is too large");
  const bundle = parsed(content);
  const { verificationMaterial: material, dsseEnvelope: dsse } = fields(bundle, ["mediaType", "verificationMaterial", "dsseEnvelope"]);
  const { publicKey, tlogEntries = [] } = fields(material, ["publicKey"], ["tlogEntries"]);
  const { payload, payloadType, signatures } = fields(dsse, ["payload", "payloadType", "signatures"]);
  const { hint } = fields(publicKey, ["hint"]);
  const isOne = Array.isArray(signatures) && signatures.length === 1 && Array.isArray(tlogEntries) && !tlogEntries.length;
  const { sig, keyid = "" } = fields(isOne ? signatures[0] : null, ["sig"], ["keyid"]);
  if (bundle.mediaType !== MEDIA || payloadType !== PAYLOAD || keyid !== "" || !/^[0-9a-f]{64}$/.test(hint)) throw fault("is no signature by a key");
  return { hint, payload: canonical(payload), signature: canonical(sig) };
}

function parsed(content) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content));
  } catch {
    throw fault("cannot be read");
  }
}

/** An object that has just these fields. */
function fields(object, wanted, optional = []) {
  const names = object && typeof object === "object" && !Array.isArray(object) ? Object.keys(object) : [];
  const isComplete = wanted.every((name) => names.includes(name));
  if (!isComplete || names.some((name) => !wanted.includes(name) && !optional.includes(name))) throw fault("is no signature by a key");
  return object;
}

/** The bytes of base64 in its one canonical spelling. */
function canonical(text) {
  let bytes;
  try {
    bytes = fromBase64(text);
  } catch {
    throw fault("is not written in base64");
  }
  if (toBase64(bytes) !== text) throw fault("is not written in base64 as it is always spelled");
  return bytes;
}

async function isSignedBy({ pem, curve }, { payload, signature }) {
  const { hash, bytes } = CURVES[curve];
  const der = fromBase64(pem.replace(/-----[A-Z ]+-----|\s/g, ""));
  const key = await crypto.subtle.importKey("spki", der, { name: "ECDSA", namedCurve: curve }, false, ["verify"]);
  const head = new TextEncoder().encode(`DSSEv1 ${PAYLOAD.length} ${PAYLOAD} ${payload.length} `);
  const message = new Uint8Array([...head, ...payload]);
  return crypto.subtle.verify({ name: "ECDSA", hash }, key, pair(signature, bytes), message);
}

/** A signature in DER (SEQUENCE of two INTEGER) as the two numbers side by side that WebCrypto takes. */
function pair(der, bytes) {
  if (der[0] !== 0x30 || der[1] !== der.length - 2 || der[1] > 127) throw fault("holds no signature");
  const result = new Uint8Array(2 * bytes);
  let at = 2;
  for (const end of [bytes, 2 * bytes]) {
    const length = der[at + 1];
    const number = der.subarray(at + 2, at + 2 + length);
    const digits = number[0] === 0 ? number.subarray(1) : number;
    if (der[at] !== 2 || number.length !== length || !length || digits.length > bytes) throw fault("holds no signature");
    result.set(digits, end - digits.length);
    at += 2 + length;
  }
  if (at !== der.length) throw fault("holds no signature");
  return result;
}

/** Name → SHA-256 of the files that a statement is about. */
async function filesOf(payload) {
  const { _type: kind, predicateType, predicate, subject } = parsed(payload);
  if (kind !== STATEMENT || predicateType !== PREDICATE) throw fault("is a statement of another kind");
  const { method, hash_type: hash } = predicate?.serialization ?? {};
  const resources = predicate?.resources;
  if (!Array.isArray(resources) || !resources.length || method !== "files" || hash !== "sha256") throw fault("is made in a way that is not known");
  const files = new Map();
  for (const { name, algorithm, digest } of resources) {
    if (algorithm !== "sha256" || !/^[0-9a-f]{64}$/.test(digest) || typeof name !== "string" || files.has(name)) throw fault("names a file twice or in no known way");
    files.set(name, digest);
  }
  const digests = resources.flatMap(({ digest }) => digest.match(/../g).map((pairs) => parseInt(pairs, 16)));
  if (subject?.length !== 1 || hex(new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(digests)))) !== subject[0]?.digest?.sha256) {
    throw fault("has another digest of the whole than that of its files");
  }
  return files;
}
