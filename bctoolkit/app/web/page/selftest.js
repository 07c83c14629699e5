// A few golden images before the first answer: does the engine compute in this browser what was sealed?
// As bctoolkit/runtime/self_test/run.py has it.

import { Refused } from "./bytes.js";

const MOST_IMAGES = 10;
const ROUNDING = 1e-9;

const likeliest = (row) => row.indexOf(row.reduce((most, value) => Math.max(most, value), -Infinity));

/**
 * Ask golden images one at a time.
 *
 * @param {{images: Uint8Array, probabilities: Float32Array, count: number}} golden
 * @param {{max_abs_diff: number, top1_agreement: number}} tolerance
 * @param {(data: Uint8Array) => Promise<Float32Array>} run
 * @returns {Promise<{images: number, maxAbsDiff: number}>}
 */
export async function selfTest(golden, tolerance, run) {
  const classes = golden.probabilities.length / golden.count;
  const size = golden.images.length / golden.count;
  const rows = Array.from({ length: golden.count }, (_, i) => golden.probabilities.subarray(i * classes, (i + 1) * classes));
  const chosen = choose(rows);
  let worst = 0;
  let agreeing = 0;
  for (const index of chosen) {
    const answer = await run(golden.images.subarray(index * size, (index + 1) * size));
    const difference = largestDifference(rows[index], answer);
    worst = Math.max(worst, difference);
    const told = rows[index][likeliest(answer)];
    agreeing += Math.max(...rows[index]) - told <= tolerance.max_abs_diff;
  }
  const disagreeing = Math.trunc((1 - tolerance.top1_agreement) * golden.count);
  const isClose = worst <= tolerance.max_abs_diff;
  if (!isClose || agreeing / chosen.length < 1 - disagreeing / chosen.length - ROUNDING) {
    throw new Refused(
      `The self-test on ${chosen.length} golden images failed: the answers are up to ${worst.toPrecision(2)} from the reference's ` +
        `(allowed: ${tolerance.max_abs_diff}), and ${agreeing} of ${chosen.length} classes agree. This browser does not compute what was sealed; try another one`,
    );
  }
  return { images: chosen.length, maxAbsDiff: worst };
}

function largestDifference(reference, answer) {
  if (answer.length !== reference.length) throw new Refused(`The model answers ${answer.length} numbers for ${reference.length} classes; use a bundle whose files belong together`);
  if (!answer.every(Number.isFinite)) throw new Refused("The self-test failed: the model answers with what is no number");
  return reference.reduce((worst, value, i) => Math.max(worst, Math.abs(value - answer[i])), 0);
}

/** Positions of those of which the reference is least sure, of one likeliest class after the other. */
function choose(rows) {
  const leastSure = rows.map((row, index) => ({ index, sure: Math.max(...row), class: likeliest(row) })).sort((a, b) => a.sure - b.sure);
  const seen = new Map();
  for (const each of leastSure) {
    each.round = seen.get(each.class) ?? 0;
    seen.set(each.class, each.round + 1);
  }
  return leastSure.sort((a, b) => a.round - b.round).slice(0, MOST_IMAGES).map(({ index }) => index);
}
