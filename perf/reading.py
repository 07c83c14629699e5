"""Reading a set of images: how fast, and with how much memory, beside Pillow alone.

usage: python -m perf.reading [--count N] [--rounds N] [--only TEXT] [--page FILE]

Of each kind a folder of --count files is written, drawn cells of which each is there twenty times as a link. It is read
in turns, each in a process of its own: by `bctoolkit.data.load`, which hashes every image and prepares it in as many
threads as there are CPUs, and by Pillow, `Image.open(file).convert("RGB").resize(…)` in as many threads. Seconds begin
when everything is imported; memory is the most that was resident, less what was before. Ratios are medians of rounds.
With --page the table is written into a page, between its two marks.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, __version__

from bctoolkit.contract import InputContract
from bctoolkit.data import load
from bctoolkit.data.sources.synthetic import draw
from bctoolkit.system import cpu_name, usable_cpus
from bctoolkit.system.counters import peak_rss
from bctoolkit.vectors import png
from perf.pages import write_table
from perf.turns import if_busy, others_load

COPIES = 20
SIDE, LARGE = 96, 360
CONTRACT = InputContract(height=SIDE, width=SIDE, white=4095)

Save = Callable[[NDArray[np.uint8], Path], None]


def by_pillow(kind: str, **options: Any) -> Save:
    """A picture saved by Pillow."""
    return lambda pixels, path: Image.fromarray(pixels).save(path, kind, **options)


def deep_png(pixels: NDArray[np.uint8], path: Path) -> None:
    """RGB of 16 bits a channel, with the 12 of a camera."""
    path.write_bytes(png.encode(pixels.astype(np.int64) * 16, png.RGB, 16))


def deep_tiff(pixels: NDArray[np.uint8], path: Path) -> None:
    """Grey of 16 bits, with the 12 of a camera."""
    Image.fromarray(pixels[..., 1].astype(np.uint16) * 16).save(path, "TIFF")


class Kind(NamedTuple):
    """A kind of file."""

    side: int
    suffix: str
    save: Save | None
    """None for one archive of arrays."""


KINDS = {
    f"JPEG, {SIDE} pixels": Kind(SIDE, ".jpg", by_pillow("JPEG", quality=92)),
    f"JPEG, {LARGE} pixels": Kind(LARGE, ".jpg", by_pillow("JPEG", quality=92)),
    "PNG, 8 bits": Kind(SIDE, ".png", by_pillow("PNG")),
    "PNG, 16 bits": Kind(SIDE, ".png", deep_png),
    "TIFF, grey, 16 bits": Kind(SIDE, ".tif", deep_tiff),
    "BMP": Kind(SIDE, ".bmp", by_pillow("BMP")),
    "WebP": Kind(SIDE, ".webp", by_pillow("WEBP", quality=90)),
    ".npz, uint8": Kind(SIDE, ".npz", None),
}


def write_set(root: Path, kind: Kind, count: int) -> Path:
    """A set of so many images: class folders, or an archive. Returns what to load."""
    distinct = max(8, count // COPIES)
    pixels, labels, classes = draw(per_class=-(-distinct // 8), seed=0, size=kind.side)
    if kind.save is None:
        rows = np.arange(count) % len(pixels)
        np.savez(root / "set.npz", images=pixels[rows], labels=labels[rows])
        return root / "set.npz"
    for place, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = root / classes[label]
        folder.mkdir(exist_ok=True)
        first = folder / f"{place:06}{kind.suffix}"
        kind.save(image, first)
        for copy in range(place + len(pixels), count, len(pixels)):
            os.link(first, folder / f"{copy:06}{kind.suffix}")
    return root


def read_by_us(source: Path) -> int:
    """As training does it; returns how many images there are."""
    return len(load(str(source), CONTRACT))


def read_by_pillow(source: Path) -> int:
    """As a loop of one's own does it, in threads."""
    size = (SIDE, SIDE)
    if source.suffix == ".npz":
        with np.load(source) as arrays:
            pictures: list[Any] = list(arrays["images"])
            labels = arrays["labels"]
        images = np.empty((len(labels), *CONTRACT.shape), np.uint8)

        def read(place: int) -> None:
            images[place] = np.asarray(Image.fromarray(pictures[place]).resize(size, Image.Resampling.LANCZOS))

    else:
        pictures = [path for folder in sorted(source.iterdir()) for path in sorted(folder.iterdir())]
        images = np.empty((len(pictures), *CONTRACT.shape), np.uint8)

        def read(place: int) -> None:
            with Image.open(pictures[place]) as picture:
                images[place] = np.asarray(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS))

    with ThreadPoolExecutor(usable_cpus()) as pool:
        list(pool.map(read, range(len(pictures))))
    return len(images)


READERS = {"ours": read_by_us, "Pillow": read_by_pillow}


class Turn(NamedTuple):
    """What one process measured."""

    seconds: float
    cpu_seconds: float
    peak: int
    """Bytes."""


def child(reader: str, source: Path, count: int) -> None:
    """Read the set once, and print what it took."""
    for plugin in ("Jpeg", "Png", "Tiff", "Bmp", "WebP"):
        __import__(f"PIL.{plugin}ImagePlugin")
    before, begun, used = peak_rss(), time.perf_counter(), time.process_time()
    assert READERS[reader](source) == count
    print(json.dumps(Turn(time.perf_counter() - begun, time.process_time() - used, peak_rss() - before)))


def turn(reader: str, source: Path, count: int) -> Turn:
    """A process that reads the set once."""
    command = [sys.executable, "-m", "perf.reading", "--child", reader, str(source), "--count", str(count)]
    return Turn(*json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def row(name: str, turns: dict[str, list[Turn]], count: int) -> str:
    """A line of the table."""
    ours, pillow = turns["ours"], turns["Pillow"]
    ratio = statistics.median(a.seconds / b.seconds for a, b in zip(ours, pillow, strict=True))
    cpu = statistics.median(a.cpu_seconds / b.cpu_seconds for a, b in zip(ours, pillow, strict=True))
    rates = (f"{count / statistics.median(each.seconds for each in group):,.0f}" for group in (ours, pillow))
    peaks = (f"{max(each.peak for each in group) / 2**20:,.0f}" for group in (ours, pillow))
    return f"| {' | '.join((name, *rates, f'{ratio:.2f}', f'{cpu:.2f}', *peaks))} |"


def main() -> int:
    """Write, read in turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", metavar="TEXT", help="kinds whose name holds it")
    parser.add_argument("--page", type=Path, help="write the table into it, e.g. docs/preprocessing.md")
    parser.add_argument("--child", nargs=2, metavar=("READER", "SET"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]), options.count)
        return 0
    rows, loads = list[str](), list[float]()
    for name, kind in KINDS.items():
        if options.only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            source = write_set(Path(folder), kind, options.count)
            loads.append(others_load())
            turns: dict[str, list[Turn]] = {reader: [] for reader in READERS}
            for number in range(options.rounds):
                for reader in sorted(READERS, reverse=number % 2 == 1):
                    turns[reader].append(turn(reader, source, options.count))
        rows.append(row(name, turns, options.count))
        print(rows[-1], flush=True)
    lines = [
        f"{cpu_name()}, {usable_cpus()} threads, Pillow {__version__}, {options.count:,} images of each kind, "
        f"medians of {options.rounds} rounds.{if_busy(loads)}",
        "",
        "| kind | images/s | Pillow alone | time over Pillow's | CPU time over Pillow's | peak MiB | Pillow alone |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]
    content = "\n".join(lines)
    print(content)
    if options.page:
        write_table(options.page, "perf.reading", content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
