"""Thousands of damaged files, under sanitizers: each is read as in Python or refused in one line."""

import hashlib
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bctoolkit.app.cpp.project import write_project
from bctoolkit.contract import InputContract, prepare_bytes
from bctoolkit.errors import InputMismatch
from tests.app.cpp.machine import SANITIZED, ZOO, App, Unavailable, compile_alone
from tests.conftest import once

pytestmark = pytest.mark.soak

IMAGES = ZOO / "vectors" / "images"
CONTRACT = InputContract(height=24, width=20, white=4095)
LANCZOS = 3


@pytest.fixture(scope="session")
def harness(tmp_path_factory: pytest.TempPathFactory) -> App:
    """`harness.cpp`, built once."""

    def make(folder: Path) -> None:
        write_project(ZOO / "atto-onnx-int8-dynamic", folder / "project")
        source = Path(__file__).with_name("harness.cpp")
        compile_alone(source, folder / "project", folder / "harness", "-O1", "-g", *SANITIZED)

    try:
        folder = once(tmp_path_factory, "cpp-harness", make)
    except Unavailable as reason:
        pytest.skip(str(reason))
    return App(folder / "harness", folder / "project" / "bundle")


def counts(harness: App, *words: object) -> tuple[int, int]:
    """How many were taken and refused."""
    done = harness.run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    taken, _, refused, _ = done.stdout.split()
    return int(taken), int(refused)


@pytest.mark.parametrize("seed", range(2))
def test_damaged_pictures(seed: int, harness: App) -> None:
    taken, refused = counts(harness, "mutate", seed, 3000, *sorted(IMAGES.iterdir()))
    assert taken + refused == 3000
    assert min(taken, refused) > 100


@pytest.mark.parametrize("seed", range(2))
def test_damaged_bundles(seed: int, harness: App, ruled: Path, tmp_path: Path) -> None:
    scratch = shutil.copytree(ruled, tmp_path / "scratch")
    taken, refused = counts(harness, "bundles", seed, 2000, ruled, scratch)
    assert taken + refused == 2000
    assert min(taken, refused) > 10


def damaged(rng: np.random.Generator, count: int) -> Iterator[bytes]:
    """Files of the vectors with one or two bytes changed, taken out, put in, or with their end cut off."""
    files = [path.read_bytes() for path in sorted(IMAGES.iterdir()) if path.stat().st_size > 100]
    for index in rng.integers(len(files), size=count):
        content = bytearray(files[index])
        for kind, place, value in zip(rng.integers(5, size=2), rng.random(2), rng.integers(256, size=2), strict=True):
            if not content:
                break
            at = int(place * len(content))
            if kind < 2:
                content[at] = value if kind else content[at] ^ 1 << value % 8
            elif kind == 2:
                content[at:at] = bytes([value])
            else:
                del content[at : at + 1 + value % 8 if kind == 3 else len(content)]
        yield bytes(content) or b"\0"


@pytest.mark.parametrize("seed", range(2))
def test_damaged_pictures_are_what_python_makes_of_them(seed: int, harness: App, tmp_path: Path) -> None:
    files = []
    for number, content in enumerate(damaged(np.random.default_rng(seed), 1500)):
        files.append(tmp_path / f"{number:04}")
        files[-1].write_bytes(content)
    sizes = (CONTRACT.height, CONTRACT.width, CONTRACT.channels, 0, LANCZOS, CONTRACT.white)
    done = harness.run("prepare", *sizes, *files)
    assert (done.returncode, done.stderr) == (0, "")
    outcomes = Counter[str]()
    for file, line in zip(files, done.stdout.splitlines(), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                wanted = hashlib.sha256(prepare_bytes(file.read_bytes(), CONTRACT, "file").tobytes()).hexdigest()
            except InputMismatch:
                wanted = "refused"
        here = "refused" if line.startswith("refused") else line
        outcomes["alike" if here == wanted else "refused in one" if "refused" in (here, wanted) else "otherwise"] += 1
    assert outcomes["otherwise"] <= 5, outcomes  # versions of libjpeg guess what is missing in ways of their own
    assert outcomes["refused in one"] <= 100, outcomes  # libpng is stricter with checksums and ends than Pillow
    assert outcomes["alike"] >= 1350, outcomes
