"""Damage bundles, TFLite files and images, and count what becomes of them.

python -m tests.fuzz --bundles 10000 --models 1000 --images 1000 --out docs/fuzzing.md
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import ai_edge_litert.interpreter  # noqa: F401
import cryptography.hazmat.primitives.asymmetric.ec
import cryptography.hazmat.primitives.serialization  # noqa: F401
import numpy as np
import onnxruntime  # noqa: F401
from PIL import Image

import bctoolkit.runtime
import bctoolkit.runtime.on_litert
import bctoolkit.runtime.on_onnxruntime
import bctoolkit.signing.keys
from bctoolkit.bundle import Golden
from bctoolkit.contract import InputContract
from tests.fuzz.bundles import damage_bundle, replace_file
from tests.fuzz.images import damaged_image
from tests.fuzz.models import damaged_tflite
from tests.fuzz.report import Tally, write
from tests.fuzz.runner import Outcome, run
from tests.fuzz.sandbox import Sandbox
from tests.support.bundles import SIGNED, SIGNED_BY, STORED
from tests.support.bundles import write as write_bundle

TFLITE = Path(__file__).parents[1] / "stored" / "partly-delegated.tflite"


def tflite_bundle(target: Path) -> Path:
    """A bundle of the stored TFLite file, with its own answers as the reference's, which a child computes."""
    pid = os.fork()
    if pid == 0:
        images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
        parts = {
            "format": "tflite",
            "quantization": "fp32",
            "model": TFLITE.read_bytes(),
            "input": InputContract(height=32, width=32),
            "labels": ("a", "b", "c", "d"),
        }
        golden = Golden(images, np.full((6, 4), 0.25, np.float32), np.full(6, -1))
        draft = write_bundle(target.with_name("draft"), **parts, golden=golden)
        told = bctoolkit.runtime.load(draft.path, self_test="never").predict_each(images)
        write_bundle(target, **parts, golden=Golden(images, told, golden.labels))
        os._exit(0)
    os.waitpid(pid, 0)
    return target


class Cases:
    """Each case is a number, from which all its chances follow.

    Args:
        sandbox: where it takes place.
        originals: whole bundles.
        keep: where the files of those that must not happen are kept.
    """

    def __init__(self, sandbox: Sandbox, originals: list[Path], keep: Path) -> None:
        self._sandbox, self._originals, self._keep = sandbox, originals, keep
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(
            sandbox.root / "cell.png"
        )
        sandbox.intrusions()

    def bundle(self, number: int) -> Outcome:
        """A damaged bundle, verified or used to predict, and at times its signature asked for."""
        rng = np.random.default_rng((1, number))
        original = self._originals[number % len(self._originals)]
        self._fill(original)
        damage_bundle(rng, self._sandbox.slot)
        slot = str(self._sandbox.slot)
        command = (
            ["predict", slot, str(self._sandbox.root / "cell.png")] if rng.integers(0, 3) == 0 else ["verify", slot]
        )
        if original == SIGNED and rng.integers(0, 2):
            command += ["--trusted", str(SIGNED_BY)]
        return run(self._sandbox, *command)

    def model(self, number: int) -> Outcome:
        """A damaged TFLite file in a bundle that is whole."""
        rng = np.random.default_rng((2, number))
        self._fill(self._originals[-1])
        replace_file(self._sandbox.slot, "model.tflite", damaged_tflite(rng, TFLITE.read_bytes()))
        return run(self._sandbox, "verify", str(self._sandbox.slot))

    def image(self, number: int) -> Outcome:
        """A damaged image for a bundle that is whole."""
        self._clear()
        self._sandbox.slot.mkdir()
        path = self._sandbox.slot / "cell.png"
        path.write_bytes(damaged_image(np.random.default_rng((3, number))))
        return run(self._sandbox, "predict", str(STORED), str(path))

    def keep(self, name: str) -> None:
        """Keep what a case was made of."""
        with contextlib.suppress(OSError, shutil.Error):
            shutil.copytree(self._sandbox.slot, self._keep / name, symlinks=True, dirs_exist_ok=True)

    def _fill(self, original: Path) -> None:
        self._clear()
        shutil.copytree(original, self._sandbox.slot)

    def _clear(self) -> None:
        shutil.rmtree(self._sandbox.slot, ignore_errors=True)


def worker(options: argparse.Namespace, share: int, folder: Path) -> Tally:
    """Every `options.workers`-th case, from the one numbered `share` on."""
    originals = [STORED, SIGNED, tflite_bundle(folder / "originals" / "tflite")]
    cases = Cases(Sandbox(folder / "sandbox"), originals, options.keep)
    kinds: dict[str, tuple[int, Callable[[int], Outcome]]] = {
        "bundles": (options.bundles, cases.bundle),
        "TFLite files": (options.models, cases.model),
        "images": (options.images, cases.image),
    }
    tally = Tally({kind: Counter() for kind in kinds})
    for kind, (count, case) in kinds.items():
        for number in range(options.start + share, options.start + count, options.workers):
            outcome = case(number)
            tally.add(kind, number, outcome)
            if outcome.fault or outcome.contained:
                print(f"{kind} {number}: {outcome.fault or outcome.rule}", flush=True)
                cases.keep(f"{kind.replace(' ', '-')}-{number}")
    return tally


def in_workers(options: argparse.Namespace, folder: Path) -> Tally:
    """The cases, in so many processes at once."""
    pids = []
    for share in range(options.workers):
        pid = os.fork()
        if pid == 0:
            try:
                tally = worker(options, share, folder / str(share))
                (folder / f"{share}.json").write_text(json.dumps(tally.stored()))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)  # the folder is the parent's
        pids.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    if any(codes):
        raise SystemExit(f"workers ended with {codes}")
    return Tally.together([_read(folder / f"{share}.json") for share in range(options.workers)])


def _read(path: Path) -> Tally:
    return Tally.read(json.loads(path.read_text()))


def main() -> int:
    """Run so many cases of each kind; exit code 1 where something must not have happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    for kind in ("bundles", "models", "images"):
        parser.add_argument(f"--{kind}", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="Number of the first case.")
    parser.add_argument("--workers", type=int, default=1, help="Processes.")
    parser.add_argument("--tally", type=Path, help="JSON file in which the cases of several runs are added up.")
    parser.add_argument("--out", type=Path, help="Markdown file for the table of rules.")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir(), "bctk-fuzz-faults"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bctk-fuzz-") as temporary:
        tally = in_workers(options, Path(temporary))
    if options.tally is not None:
        tally = Tally.together([tally, *([_read(options.tally)] if options.tally.exists() else [])])
        options.tally.write_text(json.dumps(tally.stored()))
    if options.out is not None:
        write(options.out, tally)
    print(json.dumps({"cases": tally.sizes, "faults": tally.faults, "contained": tally.contained}))
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
