"""The JPEG files of the vectors."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.vectors.drawing import Size, drawn
from bctoolkit.vectors.files import ImageFile
from bctoolkit.vectors.metadata import colour_profile, exif

__all__ = ["jpegs"]


def jpegs(size: Size) -> Iterator[ImageFile]:
    """Files that have to be read, then files that have to be refused.

    Args:
        size: width and height of those whose size does not matter.
    """
    yield from _kinds(size)
    yield from _sizes(size)
    yield from _marked(size)
    yield from _refused()


def _kinds(size: Size) -> Iterator[ImageFile]:
    for sampling in ("4:2:0", "4:2:2", "4:4:4"):
        slug = f"jpeg-{sampling.replace(':', '')}"
        yield _file(slug, f"baseline, chroma {sampling}", *size(131, 97), subsampling=sampling)
    yield _file(
        "jpeg-low-quality", "baseline, quality 25, chroma 4:2:0", *size(99, 123), quality=25, subsampling="4:2:0"
    )
    yield _file("jpeg-progressive", "progressive, chroma 4:2:0", *size(115, 101), progressive=True, subsampling="4:2:0")
    yield _file("jpeg-restarts", "restart marker after each row of blocks", *size(105, 111), restart_marker_rows=1)
    yield _file("jpeg-rgb", "RGB stored as such (Adobe transform 0)", *size(103, 117), keep_rgb=True)
    yield _file("jpeg-grey", "one component", *size(101, 127), grey=True)


def _sizes(size: Size) -> Iterator[ImageFile]:
    yield _file("jpeg-one-pixel", "one pixel", 1, 1)
    yield _file("jpeg-small", "smaller than most inputs", *size(23, 17), subsampling="4:2:0")
    yield _file("jpeg-fits", "of an input's size", *size(96, 96), subsampling="4:2:0")
    yield _file("jpeg-wide", "much wider than high", *size(301, 61), subsampling="4:2:0")
    yield _file("jpeg-large", "larger than most inputs", 523, 411, quality=60, subsampling="4:2:0")


def _marked(size: Size) -> Iterator[ImageFile]:
    yield _file(
        "jpeg-profile", "with an ICC profile, which is not applied", *size(121, 109), icc_profile=colour_profile()
    )
    for turn in range(1, 9):
        what = f"Exif orientation {turn}"
        yield _file(f"jpeg-orientation-{turn}", what, *size(97, 141), turn, exif=exif(turn), subsampling="4:2:0")
    yield _file("jpeg-big-endian-exif", "Exif orientation 6, big-endian", *size(97, 141), exif=exif(6, big_endian=True))
    yield _file(
        "jpeg-cut-exif", "Exif cut off within its directory, which counts as none", *size(97, 141), exif=exif(6)[:20]
    )
    yield _file("jpeg-orientation-9", "Exif orientation 9, which counts as none", *size(97, 141), exif=exif(9))
    width, height = size(117, 103)
    what = f"RGB JPEG, bytes behind its end, which do not count, {width}×{height}"
    yield ImageFile("jpeg-trailing-bytes", "jpg", what, _encoded(drawn(width, height), quality=90) + bytes(99))


def _refused() -> Iterator[ImageFile]:
    inks = (np.dstack([drawn(61, 59), drawn(61, 59, 1)]) * 255).astype(np.uint8)
    cmyk = Image.merge("CMYK", [Image.fromarray(inks[..., ink]) for ink in range(4)])
    yield ImageFile("jpeg-cmyk", "jpg", "CMYK JPEG, 61×59", _saved(cmyk))
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
