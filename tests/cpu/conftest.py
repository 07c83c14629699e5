"""Programs run as on another class of CPU."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bctoolkit.runtime.saturation import engine_saturates

RunPython = Callable[..., str]


@pytest.fixture(scope="session")
def without_vnni(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which a program finds AVX2, but neither AVX-512 nor VNNI: this machine's own, or a mask."""
    if engine_saturates():
        return dict(os.environ)
    compiler = shutil.which("cc")
    if platform.machine() != "x86_64" or sys.platform != "linux" or compiler is None:
        pytest.skip("to leave CPU features out takes Linux on x86-64 and a C compiler")
    library = tmp_path_factory.mktemp("mask") / "cpuid_mask.so"
    source = Path(__file__).with_name("cpuid_mask.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    tried = subprocess.run([sys.executable, "-c", ""], env=environment, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"CPU features cannot be left out: {tried.stderr.strip()}")
    return environment


@pytest.fixture(scope="session")
def run_python() -> RunPython:
    """Run a script in a process of its own, with `env` as environment, and return what it prints."""

    def run(script: str, *arguments: object, env: dict[str, str] | None = None) -> str:
        command = [sys.executable, "-c", script, *map(str, arguments)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
