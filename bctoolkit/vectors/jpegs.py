"""The JPEG files of the vectors."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.vectors.drawing import drawn
from bctoolkit.vectors.files import ImageFile
from bctoolkit.vectors.metadata import colour_profile, exif

__all__ = ["jpegs"]


def jpegs() -> Iterator[ImageFile]:
    """Files that have to be read, then files that have to be refused."""
    yield from _kinds()
    yield from _sizes()
    yield from _marked()
    yield from _refused()


def _kinds() -> Iterator[ImageFile]:
    for sampling in ("4:2:0", "4:2:2", "4:4:4"):
        slug = f"jpeg-{sampling.replace(':', '')}"
        yield _file(slug, f"baseline, chroma {sampling}", 131, 97, subsampling=sampling)
    yield _file("jpeg-low-quality", "baseline, quality 25, chroma 4:2:0", 99, 123, quality=25, subsampling="4:2:0")
    yield _file("jpeg-progressive", "progressive, chroma 4:2:0", 115, 101, progressive=True, subsampling="4:2:0")
    yield _file("jpeg-restarts", "restart marker after each row of blocks", 105, 111, restart_marker_rows=1)
    yield _file("jpeg-rgb", "RGB stored as such (Adobe transform 0)", 103, 117, keep_rgb=True)
    yield _file("jpeg-grey", "one component", 101, 127, grey=True)


def _sizes() -> Iterator[ImageFile]:
    yield _file("jpeg-one-pixel", "one pixel", 1, 1)
    yield _file("jpeg-small", "smaller than most inputs", 23, 17, subsampling="4:2:0")
    yield _file("jpeg-fits", "of an input's size", 96, 96, subsampling="4:2:0")
    yield _file("jpeg-wide", "much wider than high", 301, 61, subsampling="4:2:0")
    yield _file("jpeg-large", "larger than most inputs", 523, 411, quality=60, subsampling="4:2:0")


def _marked() -> Iterator[ImageFile]:
    yield _file("jpeg-profile", "with an ICC profile, which is not applied", 121, 109, icc_profile=colour_profile())
    for turn in range(1, 9):
        what = f"Exif orientation {turn}"
        yield _file(f"jpeg-orientation-{turn}", what, 97, 141, turn, exif=exif(turn), subsampling="4:2:0")
    yield _file("jpeg-big-endian-exif", "Exif orientation 6, big-endian", 97, 141, exif=exif(6, big_endian=True))
    yield _file("jpeg-cut-exif", "Exif cut off within its directory, which counts as none", 97, 141, exif=exif(6)[:20])
    yield _file("jpeg-orientation-9", "Exif orientation 9, which counts as none", 97, 141, exif=exif(9))
    whole = _encoded(drawn(117, 103), quality=90)
    yield ImageFile(
        "jpeg-trailing-bytes", "jpg", "RGB JPEG, bytes behind its end, which do not count, 117×103", whole + bytes(99)
    )


def _refused() -> Iterator[ImageFile]:
    cmyk = (np.dstack([drawn(61, 59), drawn(61, 59, 1)[..., :1]]) * 255).astype(np.uint8)
    yield ImageFile("jpeg-cmyk", "jpg", "CMYK JPEG, 61×59", _saved(Image.fromarray(cmyk, "CMYK")))
    whole = _encoded(drawn(119, 107))
    yield ImageFile("jpeg-cut", "jpg", "RGB JPEG, cut off at half of its bytes, 119×107", whole[: len(whole) // 2])


def _file(
    slug: str, what: str, width: int, height: int, number: int = 0, *, grey: bool = False, **options: Any
) -> ImageFile:
    kind = "grey JPEG" if grey else "RGB JPEG"
    content = _encoded(drawn(width, height, number), grey=grey, **options)
    return ImageFile(slug, "jpg", f"{kind}, {what}, {width}×{height}", content)


def _encoded(picture: NDArray[np.float64], *, grey: bool = False, **options: Any) -> bytes:
    image = Image.fromarray((picture * 255).round().astype(np.uint8))
    return _saved(image.convert("L") if grey else image, **options)


def _saved(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **({"quality": 88} | options))
    return buffer.getvalue()
