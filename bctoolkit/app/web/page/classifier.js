// A bundle that has been checked, opened and tested: file in, answer out.

import { AcceptanceRule } from "./acceptance.js";
import { Refused } from "./bytes.js";
import { openModel } from "./engines.js";
import { read, readJson } from "./files.js";
import { readBundle } from "./integrity.js";
import { decoderDifference } from "./jpeg.js";
import { prepare } from "./prepare.js";
import { selfTest } from "./selftest.js";

const ROUNDING = 0.01; // how far beyond 0 and 1 a probability may lie: outputs of few bits are rounded
const DECODER_CHECK = "decoder-check.json";

/**
 * Check the bundle, open its model and test it; nothing is served that fails.
 *
 * @param {boolean} webgpu whether the graphics processor is to compute
 * @param {(words: string) => void} tell what is being done
 */
export async function load(webgpu, tell) {
  if (!self.crypto?.subtle || !self.DecompressionStream) {
    throw new Refused("This page needs a browser of 2023 or later and https:// or localhost, where files can be checked");
  }
  const settings = readJson(await read("settings.json"), "settings.json");
  const bundle = await readBundle(settings, tell);
  const jpegDifference = await decoderDifference(readJson(await read(DECODER_CHECK), DECODER_CHECK));
  tell("Opening the model");
  const model = await openModel(bundle.model, bundle.manifest.input, settings.engine, webgpu);
  tell("Asking golden images");
  const test = await selfTest(bundle.golden, settings.tolerance, model.run);
  return new Classifier(settings, bundle, model, { ...test, jpegDifference });
}

class Classifier {
  constructor(settings, bundle, model, test) {
    const { manifest, validation } = bundle;
    this.labels = manifest.labels;
    this.input = manifest.input;
    this.rule = validation && new AcceptanceRule(manifest.acceptance, validation.features, manifest.input.channels);
    this.model = model;
    this.info = { settings, manifest, manifestDigest: bundle.manifestDigest, signedBy: bundle.signedBy, provider: model.provider, threads: model.threads, test };
  }

  /**
   * Classify an image file.
   *
   * @param {Uint8Array} bytes
   * @returns {Promise<{label, picture, raw, probabilities, accepted, judged, milliseconds: {model, whole}}>}
   *   probabilities: calibrated where the bundle has a rule; accepted: null where it has none
   */
  async classify(bytes) {
    const start = performance.now();
    const picture = await prepare(bytes, this.input);
    const asked = performance.now();
    const raw = await this.model.run(picture.data);
    const answered = performance.now();
    if (raw.length !== this.labels.length || !raw.every((p) => p >= -ROUNDING && p <= 1 + ROUNDING)) throw new Refused("got an answer from the model that is no probability per class");
    const judged = this.rule?.judge(picture, raw) ?? null;
    const label = this.labels[raw.indexOf(Math.max(...raw))];
    const milliseconds = { model: answered - asked, whole: performance.now() - start };
    return { label, picture, raw, probabilities: judged?.probabilities ?? raw, accepted: judged?.accepted ?? null, judged, milliseconds };
  }
}
