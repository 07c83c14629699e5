"""Whatever becomes of a model, the user gets one line and an exit code."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from bctoolkit.bench.launcher.process import Child
from bctoolkit.bench.worker.jobs import Done, Predict
from bctoolkit.errors import BackendError
from bctoolkit.supervision.child import reason
from bctoolkit.supervision.time_limit import time_limit
from tests.support.bundles import STORED, replace_model
from tests.support.cli import Bctk, fresh_bctk

BEGIN = """
import os, signal, sys, time
from bctoolkit.errors import BackendError
from bctoolkit.supervision.child import go_on_in_child
from bctoolkit.supervision.time_limit import time_limit
try:
    go_on_in_child()
except BackendError as problem:
    sys.exit(f"error: {problem}")
"""


def started(lines: str) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", BEGIN + lines], stdout=pipe, stderr=pipe, text=True)


def ended(lines: str) -> tuple[int, str, str]:
    process = started(lines)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_child_that_ends_as_it_should_is_as_if_there_were_none(code: int) -> None:
    assert ended(f"print('said'); print('warned', file=sys.stderr); sys.exit({code})") == (code, "said\n", "warned\n")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL])
def test_a_crash_is_one_line(number: signal.Signals) -> None:
    line = f"error: the model crashed its engine ({number.name}); do not use this bundle here\n"
    assert ended(f"os.kill(os.getpid(), {int(number)})") == (1, "", line)


def test_a_lack_of_memory_is_told_from_a_crash() -> None:
    assert "likely out of memory" in ended("os.kill(os.getpid(), signal.SIGKILL)")[2]


def test_a_model_without_end_is_ended() -> None:
    """The child sleeps in one call of C, which nothing in its process can interrupt."""
    lines = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})\nwith time_limit(1): time.sleep(60)"
    line = "error: the model gave no answer within the time limit; allow more with --time-limit\n"
    assert ended(lines) == (1, "", line)


def test_time_that_is_not_used_up_ends_nothing() -> None:
    assert ended("with time_limit(1): pass\ntime.sleep(1.5); print('done')") == (0, "done\n", "")


def test_a_process_of_somebody_else_is_never_ended() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(1):
        assert signal.alarm(0) == 0
    assert signal.getsignal(signal.SIGALRM) is before


def test_what_ends_the_parent_ends_the_child() -> None:
    process = started("print(os.getpid(), flush=True); time.sleep(60)")
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.terminate()
    assert process.wait(timeout=30) == -signal.SIGTERM
    deadline = time.monotonic() + 30
    while os.path.exists(f"/proc/{child}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{child}")
    process.communicate()


def slow_model() -> bytes:
    """The stored classifier behind products that take minutes."""
    model = onnx.load_model_from_string((STORED / "model.onnx").read_bytes())
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array([4096, 4096]), "many"))
    nodes = [
        helper.make_node("Cast", [graph.input[0].name], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["floats"], ["one"], keepdims=0),
        helper.make_node("Expand", ["one", "many"], ["p0"]),
        *(helper.make_node("MatMul", [f"p{i}", f"p{i}"], [f"p{i + 1}"]) for i in range(2000)),
        helper.make_node("ReduceMax", ["p2000"], ["most"], keepdims=0),
        helper.make_node("Clip", ["most", "zero", "zero"], ["nothing"]),
    ]
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), "zero"))
    last = graph.node[-1]
    nodes.append(helper.make_node("Add", ["inner", "nothing"], list(last.output)))
    last.output[:] = ["inner"]
    graph.node.extend(nodes)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def slow_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return replace_model(tmp_path_factory.mktemp("slow") / "bundle", slow_model())


@pytest.mark.slow
def test_predict_and_verify_give_a_model_no_longer_than_its_time(slow_bundle: Path, bctk: Bctk, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "cell.png")
    for arguments in (("predict", slow_bundle, "cell.png"), ("verify", slow_bundle)):
        done = bctk(*arguments, "--threads", 1, "--time-limit", 1)
        assert done.returncode == 1
        assert done.stderr == "error: the model gave no answer within the time limit; allow more with --time-limit\n"


def test_a_benchmark_gives_a_model_no_longer_than_its_time(slow_bundle: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.zeros((1, 16, 16, 3), np.uint8))
    job = Predict(str(slow_bundle), 1, None, str(tmp_path / "x"), str(tmp_path / "images.npy"), first_answer_seconds=2)
    with Child(job) as child, pytest.raises(BackendError, match="bundle: the model gave no answer within the time"):
        child.result(Done)


def test_every_signal_has_words() -> None:
    assert all(reason(number) for number in signal.valid_signals() if number < signal.SIGRTMIN)


def test_a_supervised_command_answers_as_without(tmp_path: Path) -> None:
    """In an interpreter of its own, as a user starts it."""
    done = fresh_bctk("verify", STORED, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("verified\n")
