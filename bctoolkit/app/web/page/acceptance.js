// Which answers to rely on, and how sure they are: bctoolkit/statistics/acceptance.py, see docs/abstention.md.

import { Neighbours, featureCount, imageFeatures } from "./features.js";
import { fromHalf } from "./npz.js";

const TINY = 1e-34; // probability that counts for any smaller one

/** A bundle's rule, as its manifest states it. */
export class AcceptanceRule {
  /**
   * @param {object} stated the manifest's `acceptance`
   * @param {Uint16Array} features N × F in half precision, of the validation file
   * @param {number} channels of the model's input
   */
  constructor(stated, features, channels) {
    this.stated = stated;
    this.neighbours = new Neighbours(Float32Array.from(features, fromHalf), featureCount(channels));
  }

  /**
   * Calibrate an answer, and decide whether to accept it.
   *
   * @param {object} picture that the model was given
   * @param {Float32Array} raw what it answered
   */
  judge(picture, raw) {
    const probabilities = tempered(raw, this.stated.temperature);
    const distance = Math.fround(this.neighbours.distance(imageFeatures(picture)));
    const isSure = Math.max(...probabilities) >= this.stated.min_confidence;
    const isAlike = distance <= this.stated.max_distance;
    return { probabilities, distance, accepted: isSure && isAlike, isSure, isAlike };
  }
}

/** Probabilities as a softmax at another temperature would give them. */
function tempered(probabilities, temperature) {
  const raised = Array.from(probabilities, (p) => Math.max(p, TINY) ** (1 / temperature));
  const sum = raised.reduce((total, value) => total + value, 0);
  return Float32Array.from(raised, (value) => value / sum);
}
