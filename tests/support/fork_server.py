"""Runs `bctk` many times in processes of their own, with TensorFlow and the engines imported once: each is a fork.

A fork is made before anything has computed, so that no thread of an engine is lost in it. Reads one JSON object per
line from standard input and answers each by one. A *start* has `arguments` (of `bctk`), `cwd`, `environment` and
`timeout` (seconds, after which the process is sent SIGALRM), and is answered by `pid`. A *wait* has `pid`, and is
answered by `returncode`, `stdout` and `stderr`. A start may also say how a training is to be disturbed:

    save_seconds   how often training checkpoints itself
    signal         sent by the process to itself,
    at_step        … after so many training steps, or
    in_save        … in the middle of writing its so-many-th checkpoint, or
    in_finish      … in the middle of writing the run folder
    most_bytes     no file may become larger
"""

import io
import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import ai_edge_litert.interpreter  # noqa: F401
import keras  # noqa: F401
import matplotlib.figure  # noqa: F401
import numpy as np
import onnx  # noqa: F401
import onnxruntime  # noqa: F401
import scipy.ndimage
import scipy.stats  # noqa: F401

import bctoolkit.bench.pipeline
import bctoolkit.data.quality.inspect
import bctoolkit.evaluate.pipeline
import bctoolkit.export.build  # noqa: F401
from bctoolkit import progress
from bctoolkit.cli import main
from bctoolkit.data.sources.synthetic import draw
from bctoolkit.train import fit, trainer


def disturb(job: dict[str, Any]) -> None:
    if "save_seconds" in job:
        fit.SAVE_SECONDS = job["save_seconds"]
    if "most_bytes" in job:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["most_bytes"], job["most_bytes"]))
    if "at_step" in job:
        after_steps(job["at_step"], job["signal"])
    if "in_save" in job:
        within_save(job["in_save"], job["signal"])
    if "in_finish" in job:
        vars(trainer)["learning_curve"] = lambda *_: os.kill(os.getpid(), job["signal"])


def after_steps(number: int, kind: int) -> None:
    left = [number]

    def step(self: Any, label: str, *_: Any) -> None:
        if label[-1].isdigit():  # "phase 1/2"
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), kind)

    progress.Terminal.step = step  # type: ignore[method-assign, assignment]


def within_save(number: int, kind: int) -> None:
    left, original = [number], np.savez

    def savez(file: Any, **arrays: Any) -> None:
        left[0] -= 1
        if left[0]:
            original(file, **arrays)
            return
        whole = io.BytesIO()
        original(whole, **arrays)
        file.write(whole.getvalue()[: len(whole.getvalue()) // 2])
        file.flush()
        os.kill(os.getpid(), kind)

    np.savez = savez  # type: ignore[assignment]


def child(job: dict[str, Any], output: Path, errors: Path) -> None:
    """Be `bctk`: never returns."""
    code: Any = 99
    try:
        for number, path, mode in ((0, os.devnull, os.O_RDONLY), (1, output, os.O_WRONLY), (2, errors, os.O_WRONLY)):
            os.dup2(os.open(path, mode | os.O_CREAT), number)
        os.environ.clear()
        os.environ.update(job["environment"])
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
        signal.alarm(job["timeout"])
        os.chdir(job["cwd"])
        disturb(job)
        main(job["arguments"])
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve(folder: Path) -> None:
    files: dict[int, tuple[Path, Path]] = {}
    for count, line in enumerate(sys.stdin):
        job = json.loads(line)
        answer: dict[str, Any]
        if "pid" in job:
            _, status = os.waitpid(job["pid"], 0)
            output, errors = files.pop(job["pid"])
            answer = {
                "returncode": os.waitstatus_to_exitcode(status),
                "stdout": output.read_text(),
                "stderr": errors.read_text(),
            }
            output.unlink()
            errors.unlink()
        else:
            paths = folder / f"{count}.output", folder / f"{count}.errors"
            for path in paths:
                path.touch()
            pid = os.fork()
            if not pid:
                child(job, *paths)
            files[pid] = paths
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        draw(per_class=120, seed=0)
        tempfile.tempdir = temporary  # a child ends without tidying up after TensorFlow
        serve(Path(temporary))
