// The two engines behind one seam: a model's bytes in, and a function from an image's numbers to probabilities out.

import { Refused } from "./bytes.js";
import { address, readChecked } from "./files.js";

const MOST_THREADS = 4;
const ERRORS = 3; // ONNX Runtime's severity
const REMEDY = "write this page anew";

const reason = (problem) => String(problem?.message ?? problem).replace(/\s+/g, " ").slice(0, 300);

/** Threads that this page may use: without the two headers of docs/browser.md it is one. */
const usableThreads = () => (self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1);

/**
 * Open a model.
 *
 * @param {Uint8Array} model content of its file
 * @param {object} input the manifest's
 * @param {{name: string, files: object}} engine what the page was written with: role → {name, sha256}
 * @param {boolean} webgpu whether the graphics processor is to compute
 * @returns {Promise<{run: (data: Uint8Array) => Promise<Float32Array>, provider: string, threads: number}>}
 */
export async function openModel(model, input, engine, webgpu) {
  if (webgpu && !(await navigator.gpu?.requestAdapter())) throw new Refused("This browser offers no graphics processor (WebGPU); leave the box unticked");
  try {
    return await OPENERS[engine.name](model, input, engine.files, webgpu);
  } catch (problem) {
    if (problem instanceof Refused) throw problem;
    throw new Refused(`${engine.name} cannot open the model in this browser: ${reason(problem)}`);
  }
}

const OPENERS = { "onnxruntime-web": openOnnx, "@litertjs/core": openTflite };

const checked = ({ name, sha256 }) => readChecked(name, sha256, REMEDY);

const numbers = (data, input) => (input.dtype === "uint8" ? Uint8Array.from(data) : Float32Array.from(data));

async function openOnnx(model, input, files, webgpu) {
  const [code, wasm] = webgpu ? [files.gpu_code, files.gpu_wasm] : [files.code, files.wasm];
  await checked(code);
  const runtime = await import(await address(code.name));
  runtime.env.logLevel = "error";
  runtime.env.wasm.wasmBinary = (await checked(wasm)).buffer;
  runtime.env.wasm.numThreads = usableThreads();
  const session = await runtime.InferenceSession.create(model, { executionProviders: [webgpu ? "webgpu" : "wasm"], logSeverityLevel: ERRORS });
  const run = async (data) => {
    const image = new runtime.Tensor(input.dtype, numbers(data, input), [1, input.height, input.width, input.channels]);
    const answers = await session.run({ [session.inputNames[0]]: image });
    return Float32Array.from(await answers[session.outputNames[0]].getData());
  };
  return { run, provider: webgpu ? "webgpu, and wasm for what it lacks" : "wasm", threads: runtime.env.wasm.numThreads };
}

async function openTflite(model, input, files, webgpu) {
  await checked(files.code);
  const runtime = await import(await address(files.code.name));
  const isFast = await runtime.supportsFeature("relaxedSimd");
  const threads = isFast && files.threaded ? usableThreads() : 1;
  const kind = threads > 1 ? "threaded" : isFast && files.fast ? "fast" : "compatible";
  await checked(files[kind]);
  const script = await address(files[kind].name);
  const quiet = () => {}; // it tells the console of each step; what fails is thrown
  self.Module = { wasmBinary: await checked(files[`${kind}_wasm`]), mainScriptUrlOrBlob: script, print: quiet, printErr: quiet };
  await runtime.loadLiteRt(script);
  const accelerator = webgpu ? "webgpu" : "wasm";
  const compiled = await runtime.loadAndCompile(model, { accelerator, cpuOptions: { numThreads: threads } });
  if (compiled.options.accelerator !== accelerator) throw new Refused("The graphics processor takes none of this model; leave the box unticked");
  const run = async (data) => {
    const image = new runtime.Tensor(numbers(data, input), [1, input.height, input.width, input.channels]);
    const [answer] = await compiled.run([image]);
    const values = Float32Array.from(await answer.data());
    image.delete();
    answer.delete();
    return values;
  };
  return { run, provider: compiled.isFullyAccelerated || !webgpu ? accelerator : `${accelerator}, and wasm for what it lacks`, threads };
}
