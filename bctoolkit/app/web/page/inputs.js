// The ways a picture comes in: chosen, dropped, pasted, photographed.

const $ = (id) => document.getElementById(id);

/**
 * Hand on each picture that somebody gives.
 *
 * @param {(file: Blob, name: string) => void} take
 */
export function listen(take) {
  for (const input of [$("file"), $("photograph")]) {
    input.disabled = false;
    input.addEventListener("change", () => {
      if (input.files[0]) take(input.files[0], input.files[0].name);
      input.value = ""; // the same file may be chosen again
    });
  }
  listenToDrops(take);
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (file) take(file, file.name || "the pasted picture");
  });
  offerCamera(take);
}

function listenToDrops(take) {
  const mark = (isOver) => $("drop").classList.toggle("over", isOver);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    mark(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? mark(false));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    const [file] = event.dataTransfer?.files ?? [];
    if (file) take(file, file.name);
  });
}

/** Phones have an app for it; elsewhere the page shows what the camera sees. */
function offerCamera(take) {
  const isPhone = matchMedia("(pointer: coarse)").matches;
  $("photograph-row").hidden = !isPhone;
  $("camera-row").hidden = isPhone || !navigator.mediaDevices?.getUserMedia;
  $("camera").disabled = false;
  $("camera").addEventListener("click", () => openCamera(take));
  $("leave").addEventListener("click", closeCamera);
  $("shoot").addEventListener("click", async () => take(await frame(), "the camera's picture"));
}

async function openCamera(take) {
  try {
    $("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await $("video").play();
  } catch (problem) {
    take(null, `The camera cannot be used: ${problem.message}`);
    return;
  }
  $("viewfinder").hidden = false;
  $("shoot").focus();
}

function closeCamera() {
  for (const track of $("video").srcObject?.getTracks() ?? []) track.stop();
  $("video").srcObject = null;
  $("viewfinder").hidden = true;
  $("camera").focus();
}

/** What the camera sees now, without loss. */
async function frame() {
  const { videoWidth: width, videoHeight: height } = $("video");
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").drawImage($("video"), 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
