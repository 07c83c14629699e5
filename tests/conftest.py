"""Shared fixtures: tiny real networks, tiny real bundles, and the command line as a user calls it."""

import fcntl
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, load
from bctoolkit.data.dataset import content_hash
from bctoolkit.data.sources.synthetic import draw
from tests.support.cli import Bctk, ForkServer

# A shared machine stalls at times; a slow example is no failure.
settings.register_profile("shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-machine")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell ignores Ctrl-C for what it starts in the background, children inherit that, and tests send it to theirs.
    signal.signal(signal.SIGINT, signal.default_int_handler)

REAL_IMAGES = Path(__file__).resolve().parents[2] / "shared" / "data" / "pbc96"
"""Real blood-cell images, where a checkout has them beside it."""


@pytest.fixture(scope="session", autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's cache folder: an empty one, also for the commands that tests start. Matplotlib keeps its own."""
    os.environ.setdefault("MPLCONFIGDIR", str(Path.home() / ".cache" / "matplotlib"))
    folder = tmp_path_factory.mktemp("cache")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def real_images() -> Path:
    if not REAL_IMAGES.is_dir():
        pytest.skip(f"the real blood-cell images are not at {REAL_IMAGES}")
    return REAL_IMAGES


@pytest.fixture(scope="session")
def real_cells(real_images: Path) -> Dataset:
    """All of them, as 96×96 pixels. Read only."""
    return load(str(real_images), InputContract())


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Started by the first test that needs it."""
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture
def bctk(fork_server: ForkServer, tmp_path: Path) -> Bctk:
    """Run `bctk` in a process of its own, forked from one that has TensorFlow imported, in an empty folder."""
    return partial(fork_server.run, cwd=tmp_path)


def picture(rng: np.random.Generator, size: int = 40) -> NDArray[np.uint8]:
    """A smooth random picture, so that JPEG and resizing keep it recognizable."""
    coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def write_class_folders(root: Path, classes: tuple[str, ...], per_class: int, size: int = 40) -> Path:
    """A data set of random pictures in class folders, told apart by a tint."""
    rng = np.random.default_rng(0)
    for position, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(per_class):
            pixels = picture(rng, size) // 2
            pixels[..., position % 3] += np.uint8(100)
            Image.fromarray(pixels).save(root / name / f"{index:03d}.png")
    return root


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first process of the test run to need it makes, and the others share. Read only."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, finished = base / name, base / f"{name}.finished"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            folder.mkdir()
            make(folder)
            finished.touch()
    return folder


@pytest.fixture(scope="session")
def class_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once(tmp_path_factory, "images", lambda root: write_class_folders(root / "set", CLASSES, 40)) / "set"


def hashes_of(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([np.frombuffer(content_hash(image), np.uint8) for image in images])


@pytest.fixture(scope="session")
def cells() -> Dataset:
    """Twenty-four drawn cells of 48 pixels. Read only."""
    images, labels, classes = draw(per_class=3, seed=1, size=48)
    return Dataset(images, labels, classes, hashes_of(images), "synthetic", "synthetic")


CLASSES = ("left", "right", "up")
TINY_RECIPE = """
model = "baseline_cnn"
precision = "float32"
batch_size = 16
input = { height = 32, width = 32 }

[[phases]]
name = "head"
epochs = 1
learning_rate = 1e-3

[[phases]]
name = "all"
epochs = 1
learning_rate = 1e-3
unfreeze = ["*"]
"""


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory, class_folders: Path, fork_server: ForkServer) -> Path:
    """A workspace with a run `tiny` and its four bundles, made through the command line. Read only."""

    def make(root: Path) -> None:
        (root / "tiny.toml").write_text(TINY_RECIPE)
        for arguments in (
            ("train", "--recipe", "tiny.toml", "--data", class_folders, "--name", "tiny"),
            ("export", "tiny", "--format", "onnx", "--format", "tflite", "--quantize", "all"),
            ("export", "tiny", "--format", "tflite", "--quantize", "w8a16"),
        ):
            done = fork_server.run(*arguments, cwd=root)
            assert done.returncode == 0, done.stderr

    return once(tmp_path_factory, "workspace", make)


@pytest.fixture(scope="session")
def bundle(workspace: Path) -> Path:
    """A small ONNX fp32 bundle. Read only."""
    return workspace / "exports" / "bundles" / "tiny-onnx-fp32"


@pytest.fixture(scope="session")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of three colours that knows which of its answers to accept. Read only."""
    from tests.support.acceptance import ruled_bundle

    return once(tmp_path_factory, "ruled", lambda root: ruled_bundle(root / "colours")) / "colours"


@pytest.fixture
def ruled_copy(ruled: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(ruled, tmp_path / "copy"))


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """As if the disk were full once a file has so many bytes: the system refuses to write on, and Python raises."""

    @contextmanager
    def files_no_larger_than(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return files_no_larger_than


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--share 0/2`: of the selected tests' files every second one, from the first on; `1/2` the others."""
    parser.addoption(
        "--share", type=_share, default=(0, 1), metavar="K/N", help="run one of N equal shares of the files"
    )


def _share(text: str) -> tuple[int, int]:
    part, whole = (int(number) for number in text.split("/"))
    if not 0 <= part < whole:
        raise ValueError(text)
    return part, whole


def pytest_itemcollected(item: pytest.Item) -> None:
    """What starts commands, needs their results or reads all real images is slow."""
    if {"fork_server", "workspace", "real_images"} & set(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the share asked for, and begin with the files that take longest, so that two processes end together.

    Otherwise the order stays random. The first process makes the workspace meanwhile: files that need it are left to it
    until others have been done.
    """
    part, whole = config.getoption("share")
    kept = set(sorted({item.path for item in items})[part::whole])
    if left_out := [item for item in items if item.path not in kept]:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.path in kept]
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    waiting = {item.path for item in items if "workspace" in getattr(item, "fixturenames", ())}
    first = next((item.path for item in items if item.path in waiting), None)
    items.sort(key=lambda item: (item.path != first, item.path not in slow, item.path in waiting))
