"""A classifier and the processes around it: a fork is told, loads its own, and ends as any process does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ZOO = Path(__file__).parents[2] / "exports" / "zoo"

FORK = """
import os, pathlib, sys
from bctoolkit.errors import BackendError
from bctoolkit.runtime import load

paths = sorted(pathlib.Path(sys.argv[1]).glob("atto-*/"))
opened = [load(path, threads=2) for path in paths]
for classifier in opened:
    classifier.warm_up()
if os.fork() == 0:
    for path, classifier in zip(paths, opened):
        try:
            classifier.warm_up()
        except BackendError as problem:
            print(problem, flush=True)
        with load(path, threads=2) as own:
            own.warm_up()
            print(own.info().engine, own.info().self_test.outcome, flush=True)
        classifier.close()
    sys.exit(0)  # not os._exit: the engines of the parent are taken down too
status = os.wait()[1]
for classifier in opened:
    classifier.warm_up()
print("ended with", status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_is_refused_the_parent_s_engines_and_may_open_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORK, ZOO], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1::2] == ["onnxruntime remembered", "litert remembered"]
    assert all("this is a fork of it" in line for line in lines[:4:2])
    assert lines[4:] == ["ended with 0"]
