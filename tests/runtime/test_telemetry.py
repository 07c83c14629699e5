"""No engine talks to anyone: opening a bundle, its self-test and predicting make no network call and leave no file."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ZOO = Path(__file__).parents[2] / "exports" / "zoo"
GUARD = Path(__file__).with_name("network_guard.c")

PREDICT = """
import importlib.util, pathlib, sys, time
from bctoolkit import bundle
from bctoolkit.documents.formats import lookup
from bctoolkit.runtime import load
for path in pathlib.Path(sys.argv[1]).glob("atto-*/"):
    for mode in ("once", "always"):
        with load(path, self_test=mode) as classifier:
            assert classifier.info().self_test.outcome == "passed"
            classifier.predict(bundle.read(path).golden().images[:2])
    for engine in list(lookup(bundle.read(path).manifest.format).engines)[1:]:
        if engine != "openvino" or importlib.util.find_spec("openvino"):
            with load(path, engine=engine, self_test="always") as classifier:
                classifier.predict(bundle.read(path).golden().images[:2])
assert {"onnxruntime", "ai_edge_litert"} <= set(sys.modules)
time.sleep(1)  # whatever a thread in the background would do
"""
CONNECT = """
import socket
try: socket.create_connection(("127.0.0.1", 9), timeout=1)
except OSError: pass
"""
LOOK_UP = """
import socket
try: socket.getaddrinfo("telemetry.invalid", 443)
except OSError: pass
"""

Watch = Callable[..., list[str]]


def run(script: str, *arguments: object, prefix: tuple[object, ...] = (), env: dict[str, str]) -> str:
    """Run a script as a user without settings, and return what it says of itself on standard error."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ORT_", "XDG_"))}
    command = [str(part) for part in (*prefix, sys.executable, "-c", script, *arguments)]
    done = subprocess.run(command, env=kept | env, capture_output=True, text=True, timeout=300, check=False)
    if prefix and "ptrace" in done.stderr:
        pytest.skip("this container lets nobody trace")
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture
def traced(tmp_path: Path) -> Watch:
    """Every network system call, of whatever thread or child."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("there is no strace")

    def watch(script: str, *arguments: object, **environment: str) -> list[str]:
        prefix = (strace, "-f", "-qq", "-e", "trace=network", "-o", tmp_path / "trace")
        run(script, *arguments, prefix=prefix, env=environment)
        lines = (tmp_path / "trace").read_text().splitlines()
        return [line for line in lines if not re.search(r"AF_UNIX|socketpair|SIG|exited", line)]

    return watch


@pytest.fixture
def guarded(tmp_path: Path) -> Watch:
    """Every socket and look-up that goes through the C library; they are refused."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("to stand between a program and its C library takes Linux and a C compiler")
    library, told = tmp_path / "guard.so", tmp_path / "told"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, GUARD, "-ldl"], check=True)

    def watch(script: str, *arguments: object, **environment: str) -> list[str]:
        guard = {"LD_PRELOAD": str(library), "NETWORK_GUARD": str(told)}
        run(script, *arguments, env=environment | guard)
        return told.read_text().splitlines() if told.exists() else []

    return watch


@pytest.fixture(params=[pytest.param("traced", marks=pytest.mark.soak), "guarded"])
def watch(request: pytest.FixtureRequest) -> Watch:
    """Either way of seeing what a script does on the network."""
    found: Watch = request.getfixturevalue(request.param)
    return found


def test_no_engine_opens_a_connection_or_leaves_a_file(watch: Watch, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    assert watch(PREDICT, ZOO, HOME=str(home)) == []
    files = {path.relative_to(home).parent.as_posix() for path in home.rglob("*") if path.is_file()}
    assert files == {".cache/bctoolkit/self-tests"}


@pytest.mark.parametrize("script", [CONNECT, LOOK_UP], ids=["connection", "look-up"])
def test_a_connection_would_be_seen(watch: Watch, script: str) -> None:
    assert watch(script) != []
