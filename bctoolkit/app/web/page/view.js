// What the page shows. Everything that comes from a file is put in as text.

const $ = (id) => document.getElementById(id);

const percent = (p) => `${(100 * p).toFixed(2)} %`;

export const tell = (words) => ($("status").textContent = words);

/** Nothing is classified from here on. */
export function showFailure(words) {
  tell("Not ready: nothing is classified.");
  $("failure").textContent = words;
  $("failure").hidden = false;
}

/** A picture that cannot be classified. */
export function showRefusal(words) {
  $("result").hidden = $("refused").hidden = false;
  $("answer").hidden = true;
  $("refused").textContent = words;
}

export function showAnswer(answer, name, jpegDifference) {
  $("result").hidden = $("answer").hidden = false;
  $("refused").hidden = true;
  draw(answer.picture);
  $("label").textContent = answer.accepted === false ? `Not accepted: would be ${answer.label}` : answer.label;
  $("accepted").textContent = verdict(answer);
  $("accepted").className = { true: "yes", false: "no", null: "" }[answer.accepted];
  $("caption").textContent = `Probabilities of ${name}, ${answer.judged ? "calibrated" : "as the model gives them"}`;
  $("rows").replaceChildren(...rows(answer));
  $("latency").textContent = `${answer.milliseconds.model.toFixed(1)} ms in the model, ${answer.milliseconds.whole.toFixed(1)} ms from the file to the answer`;
  $("decoder").hidden = !(jpegDifference && answer.isJpeg);
  $("decoder").textContent = `This browser decodes JPEG otherwise than in training, by up to ${jpegDifference} of 255 levels: a PNG has the same numbers everywhere.`;
}

function verdict({ accepted, judged, probabilities }) {
  const sure = percent(Math.max(...probabilities));
  if (accepted === null) return `${sure}; the bundle has no rule of which answers to accept`;
  if (accepted) return `${sure}, accepted`;
  const reasons = [
    !judged.isAlike && "the picture is unlike those the model was validated on",
    !judged.isSure && "the model is less sure than it nearly always is of those",
  ];
  return `${sure}; ${reasons.filter(Boolean).join(", and ")}`;
}

function rows({ probabilities, labels }) {
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
  return order.map((index) => {
    const row = document.createElement("tr");
    const name = document.createElement("th");
    name.scope = "row";
    name.textContent = labels[index];
    const value = document.createElement("td");
    value.textContent = percent(probabilities[index]);
    const bar = document.createElement("span");
    bar.className = "bar";
    bar.style.width = `${100 * Math.min(Math.max(probabilities[index], 0), 1)}%`;
    const cell = document.createElement("td");
    cell.append(bar);
    row.append(name, value, cell);
    return row;
  });
}

function draw({ width, height, channels, data }) {
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let channel = 0; channel < 3; channel++) image.data[4 * i + channel] = data[i * channels + (channels === 1 ? 0 : channel)];
    image.data[4 * i + 3] = 255;
  }
  Object.assign($("seen"), { width, height });
  $("seen").getContext("2d").putImageData(image, 0, 0);
}

/** What was checked before the first answer. */
export function showFacts({ settings, manifest, manifestDigest, signedBy, provider, threads, test }) {
  const { engine } = settings;
  const jpeg = test.jpegDifference ? `up to ${test.jpegDifference} of 255 levels from training's` : "as in training, bit by bit";
  const facts = {
    Bundle: `${manifest.name}: ${manifest.format}, ${manifest.quantization}, ${(manifest.model.bytes / 1e6).toFixed(1)} MB`,
    "Trained on": manifest.licence ? `images under ${manifest.licence}` : "",
    Files: `all as sealed; manifest ${manifestDigest}`,
    Signature: signedBy ? `by the trusted key ${signedBy}` : "not checked: this page was written without a trusted key",
    Engine: `${engine.name} ${engine.version}, ${provider}, ${threads} ${threads === 1 ? "thread" : "threads"}`,
    "Self-test": `${test.images} golden images, at most ${test.maxAbsDiff.toPrecision(2)} from the reference's probabilities`,
    "JPEG decoder": jpeg,
    Written: `by bctoolkit ${settings.bctoolkit}`,
  };
  for (const [name, value] of Object.entries(facts)) addFact(name, value);
  $("checks").hidden = false;
}

export function addFact(name, value) {
  if (!value) return;
  const [term, text] = [document.createElement("dt"), document.createElement("dd")];
  term.textContent = name;
  text.textContent = value;
  $("facts").append(term, text);
}
