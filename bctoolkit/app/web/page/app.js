// The page: checks and opens the bundle, then answers pictures one after the other.

import { Refused } from "./bytes.js";
import { load } from "./classifier.js";
import { isSingleFile, usedFiles } from "./files.js";
import { listen } from "./inputs.js";
import { isJpeg } from "./jpeg.js";
import { addFact, showAnswer, showFacts, showFailure, showRefusal, tell } from "./view.js";

const WEBGPU = "webgpu";
const KEPT = "bctk";

const inWords = (problem) => (problem instanceof Refused ? problem.message : `Something unforeseen happened: ${problem?.message ?? problem}`);

/** The classifier, once it is ready; null where it failed. */
export const ready = start();

async function start() {
  const began = performance.now();
  try {
    const classifier = await load(new URLSearchParams(location.search).has(WEBGPU), tell);
    showFacts(classifier.info);
    offerWebgpu(classifier.info.settings);
    listen((file, name) => take(classifier, file, name));
    tell(`Ready after ${((performance.now() - began) / 1000).toFixed(1)} s: choose a picture.`);
    keep(classifier.info.settings);
    return classifier;
  } catch (problem) {
    showFailure(inWords(problem));
    return null;
  }
}

let turn = Promise.resolve();

/** Pictures are answered in the order in which they came. */
function take(classifier, file, name) {
  turn = turn.then(async () => {
    try {
      if (file === null) throw new Refused(name);
      tell(`Looking at ${name}`);
      const bytes = new Uint8Array(await file.arrayBuffer());
      const answer = await classifier.classify(bytes);
      showAnswer({ ...answer, labels: classifier.labels, isJpeg: isJpeg(bytes) }, name, classifier.info.test.jpegDifference);
      tell("Ready: choose another picture.");
    } catch (problem) {
      showRefusal(file === null ? name : problem instanceof Refused ? `${name} ${problem.message}` : inWords(problem));
      tell("Ready: choose another picture.");
    }
  });
}

function offerWebgpu({ engine }) {
  const box = document.getElementById(WEBGPU);
  document.getElementById("webgpu-row").hidden = !engine.webgpu || !navigator.gpu;
  box.checked = new URLSearchParams(location.search).has(WEBGPU);
  box.addEventListener("change", () => (location.search = box.checked ? WEBGPU : ""));
}

/** Keep what was used, so that the page opens without a network the next time. */
async function keep({ page }) {
  const without = "Without a network";
  if (isSingleFile()) return addFact(without, "yes: all is in this file");
  try {
    const registration = await navigator.serviceWorker.register("sw.js");
    const cache = await caches.open(`${KEPT} ${registration.scope}`);
    const names = [...new Set([...page, ...usedFiles()])];
    await cache.addAll(names);
    for (const request of await cache.keys()) {
      if (!names.some((name) => new URL(name, document.baseURI).href === request.url)) await cache.delete(request);
    }
    await navigator.serviceWorker.ready;
    addFact(without, "yes: this browser has kept all that it needs");
  } catch (problem) {
    addFact(without, `no: this browser keeps nothing (${problem.message})`);
  }
}
