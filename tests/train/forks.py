"""Runs `bctk` many times in processes of their own, with TensorFlow imported once: each is forked before it computes.

Reads one JSON object per line from standard input, and answers each by one: exit code, standard output and error.
`arguments` are those of `bctk`; the others, all optional, say how the process is to be disturbed:

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

import keras  # noqa: F401
import matplotlib.figure  # noqa: F401
import numpy as np

from bctoolkit import progress
from bctoolkit.cli import main
from bctoolkit.train import fit, stage


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
        stage.learning_curve = lambda *_: os.kill(os.getpid(), job["signal"])


def after_steps(number: int, kind: int) -> None:
    left = [number]

    def step(self: Any, label: str, *_: Any) -> None:
        if label[-1].isdigit():  # "phase 1/2"
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), kind)

    progress.Terminal.step = step  # type: ignore[method-assign]


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

    np.savez = savez


def child(job: dict[str, Any], output: int, errors: int) -> None:
    os.dup2(output, 1)
    os.dup2(errors, 2)
    code: Any = 99
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
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


def run(job: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("output", "errors")]
        with paths[0].open("w") as output, paths[1].open("w") as errors:
            pid = os.fork()
            if not pid:
                child(job, output.fileno(), errors.fileno())
            _, status = os.waitpid(pid, 0)
        return {
            "returncode": os.waitstatus_to_exitcode(status),
            "stdout": paths[0].read_text(),
            "stderr": paths[1].read_text(),
        }


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
