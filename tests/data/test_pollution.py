"""The pollution of a challenge's training set: copies of a cartoon and of a portrait, and single foreign pictures.

The pictures are what scikit-image ships, and what is drawn here.
"""

import hashlib
import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bctoolkit.data.quality.clean import clean
from bctoolkit.data.quality.inspect import inspect

pytestmark = pytest.mark.slow

Pixels = NDArray[np.uint8]

PHOTOGRAPHS = (
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "color.png",
    "grass.png",
    "gravel.png",
    "horse.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "logo.png",
    "microaneurysms.png",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "phantom.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
    "chessboard_GRAY.png",
)
"""In the wheel of scikit-image; none has to be downloaded."""


MEASURED = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
_, status, used = os.wait4(process.pid, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Runs a command and prints its CPU seconds and peak KiB. Linux counts what the parent held at the start as the child's
own peak, so the parent must be a small one and not the tests' process."""


def photograph(name: str, size: int, crop: float = 1.0, at: float = 0.5) -> Pixels:
    """A square of a shipped picture: the share `crop` of its shorter side, cut at the share `at` of the rest."""
    with Image.open(Path(skimage.__file__).parent / "data" / name) as picture:
        whole = picture.convert("RGB")
    side = int(min(whole.size) * crop)
    left, top = (int((length - side) * at) for length in whole.size)
    square = whole.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))


def portrait(size: int) -> Pixels:
    return photograph("astronaut.png", size, 0.45, 0.2)


def cartoon(size: int, ground: str = "white", face: str = "gold", eyes: str = "black") -> Pixels:
    picture = Image.new("RGB", (200, 200), ground)
    pen = ImageDraw.Draw(picture)
    pen.ellipse((30, 30, 170, 170), fill=face, outline="black", width=4)
    pen.ellipse((65, 75, 85, 100), fill=eyes)
    pen.ellipse((115, 75, 135, 100), fill=eyes)
    pen.arc((65, 90, 135, 145), 20, 160, fill="black", width=5)
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS))


def page(size: int, ground: str, ink: str) -> Pixels:
    picture = Image.new("RGB", (300, 300), ground)
    pen = ImageDraw.Draw(picture)
    for top in range(5, 300, 16):
        pen.text((5, top), f"Line {top} of a page that is no cell", fill=ink)
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS))


def singles(size: int) -> dict[str, Pixels]:
    """Different foreign pictures, each once."""
    rng = np.random.default_rng(0)
    pictures = {name: photograph(name, size) for name in PHOTOGRAPHS}
    pictures |= {f"part of {name}": photograph(name, size, 0.5, 0.3) for name in PHOTOGRAPHS[::2]}
    pictures |= {name: np.full((size, size, 3), value, np.uint8) for name, value in (("black", 0), ("white", 255))}
    pictures["noise"] = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    pictures["blue face"] = cartoon(size, "skyblue", "orange", "darkgreen")
    pictures["dark page"] = page(size, "black", "lightgrey")
    pictures["light page"] = page(size, "white", "navy")
    return pictures


def saved_again(pixels: Pixels, index: int) -> bytes:
    """The picture as a JPEG of another quality, every third one also of another size."""
    side = pixels.shape[0] - (0, 4, -3)[index % 3]
    buffer = io.BytesIO()
    resized = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    resized.save(buffer, "JPEG", quality=60 + index % 37)
    return buffer.getvalue()


def as_it_is(pixels: Pixels, index: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


ENCODINGS = pytest.mark.parametrize("encode", [as_it_is, saved_again], ids=["same-bytes", "saved-again"])


def pollute(
    root: Path, size: int, cartoons: int, portraits: int, alone: int, encode: Callable[[Pixels, int], bytes]
) -> set[str]:
    """Spread copies and single foreign pictures over the class folders of `root`; their names below it."""
    folders = sorted(p for p in root.iterdir() if p.is_dir())
    files = [encode(cartoon(size), i) for i in range(cartoons)]
    files += [encode(portrait(size), i) for i in range(portraits)]
    files += [as_it_is(pixels, 0) for pixels in list(singles(size).values())[:: len(singles(size)) // alone]]
    names = set()
    for index, content in enumerate(files):
        file = folders[index % len(folders)] / f"{index:05d}-x.jpg"
        file.write_bytes(content)
        names.add(file.relative_to(root).as_posix())
    return names


def contents(root: Path) -> dict[str, str]:
    """Every file below `root` with the hash of its content."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def images(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.glob("*/*")}


@ENCODINGS
def test_every_copy_and_single_foreign_picture_goes_and_every_cell_stays(
    own: Path, tmp_path: Path, encode: Callable[[Pixels, int], bytes]
) -> None:
    cells = images(own)
    foreign = pollute(own, 64, cartoons=60, portraits=24, alone=6, encode=encode)
    before = contents(own)
    manifest, _ = clean(str(own), tmp_path / "out")
    assert images(tmp_path / "out") == cells
    assert {entry.image for entry in manifest.removed} == foreign
    assert {entry.reason for entry in manifest.removed} == {"repeated", "foreign"}
    assert contents(own) == before


@pytest.fixture(scope="module")
def every_tenth(real_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tenth of the real cells, of each class. Read only."""
    root = tmp_path_factory.mktemp("every-tenth")
    for folder in sorted(real_images.iterdir()):
        (root / folder.name).mkdir()
        for file in sorted(folder.iterdir())[::10]:
            shutil.copy(file, root / folder.name)
    return root


@pytest.mark.real
@pytest.mark.soak
@ENCODINGS
def test_pollution_among_real_cells(every_tenth: Path, tmp_path: Path, encode: Callable[[Pixels, int], bytes]) -> None:
    """160 copies of a cartoon, 40 of a portrait and single foreign pictures among 1,199 real cells."""
    root = Path(shutil.copytree(every_tenth, tmp_path / "set"))
    cells = images(root)
    foreign = pollute(root, 96, cartoons=160, portraits=40, alone=12, encode=encode)
    clean(str(root), tmp_path / "out")
    remaining = images(tmp_path / "out")
    assert not remaining & foreign
    assert len(cells - remaining) <= 0.002 * len(cells)


@pytest.mark.real
@pytest.mark.soak
def test_the_challenge_s_pollution_at_full_size(real_images: Path, tmp_path: Path) -> None:
    """1,600 copies of a cartoon, 200 of a portrait and single foreign pictures among 11,952 real cells."""
    root = Path(shutil.copytree(real_images, tmp_path / "set"))
    cells = images(root)
    second = {name for name in cells if is_second_set_up(root / name)}
    assert 250 < len(second) < 400
    foreign = pollute(root, 96, cartoons=1600, portraits=200, alone=41, encode=saved_again)
    command = [sys.executable, "-m", "bctoolkit", "data", "clean", str(root), "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", MEASURED, *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    busy, peak = (float(figure) for figure in done.stdout.splitlines()[-1].split())
    remaining = images(tmp_path / "out")
    lost = cells - remaining
    print(f"lost {len(lost)} cells, {len(lost & second)} of the second set-up; {busy:.0f} s of CPU, {peak:.0f} KiB")
    assert not remaining & foreign
    assert len(lost) <= 0.002 * len(cells)
    assert len(lost & second) <= 0.02 * len(second)
    assert busy < 60, "seconds of all cores together: another program's load does not count"
    assert peak < 2 * 2**20, "KiB"


def is_second_set_up(file: Path) -> bool:
    """Whether the background, the brightest quarter of the picture, is not the yellowish one of the first set-up."""
    with Image.open(file) as picture:
        pixels = np.asarray(picture, np.float32).reshape(-1, 3)
    brightness = pixels.mean(1)
    red, _, blue = np.median(pixels[brightness >= np.quantile(brightness, 0.75)], axis=0)
    return bool(red - blue < 12.5)


def test_a_cleaned_set_is_clean(own: Path, tmp_path: Path) -> None:
    pollute(own, 64, cartoons=40, portraits=20, alone=5, encode=as_it_is)
    clean(str(own), tmp_path / "out")
    assert inspect(str(tmp_path / "out")).flagged == {}
