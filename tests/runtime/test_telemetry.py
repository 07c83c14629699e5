"""No engine talks to anyone: opening a bundle and predicting with it makes no network call and writes no file."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bctoolkit.documents.formats import FORMATS

ZOO = Path(__file__).parents[2] / "exports" / "zoo"

PREDICT = """
import sys, time
from bctoolkit import bundle
from bctoolkit.runtime import load
load(sys.argv[1]).predict(bundle.read(sys.argv[1]).golden().images[:2])
time.sleep(1)  # whatever a thread in the background would do
"""


@pytest.mark.parametrize("name", FORMATS)
def test_a_prediction_opens_no_connection_and_leaves_no_file(name: str, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    home, trace = tmp_path / "home", tmp_path / "trace"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ORT_", "XDG_"))}
    command = [sys.executable, "-c", PREDICT, str(ZOO / f"atto-{name}-int8-dynamic")]
    traced = [strace, "-f", "-qq", "-e", "trace=network", "-o", str(trace), *command] if strace else command
    done = subprocess.run(traced, env={**environment, "HOME": str(home)}, capture_output=True, text=True, check=False)
    if strace and "ptrace" in done.stderr:  # not allowed in this container
        strace = None
        subprocess.run(command, env={**environment, "HOME": str(home)}, check=True)
    else:
        assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) == []
    if strace is None:
        pytest.skip("files were looked for; to see network calls takes strace")
    calls = [line for line in trace.read_text().splitlines() if not re.search(r"AF_UNIX|socketpair|SIG|exited", line)]
    assert calls == []
