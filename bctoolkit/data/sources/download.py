"""Download a public data set; each comes with its licence and whom to cite.

Neither pooch nor Keras's `get_file` takes up a broken download where it ended, and these files are large; the standard
library can, so no package is needed for it.
"""

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from bctoolkit import __version__
from bctoolkit.data.sources.arrays import class_names_file
from bctoolkit.errors import DatasetError
from bctoolkit.files import atomic_file, in_use, without_empty_folders
from bctoolkit.progress import Progress
from bctoolkit.untrusted.files import open_regular

__all__ = ["SETS", "Release", "fetch"]

CHUNK = 2**16
TIMEOUT = 60
"""Seconds without a byte after which a connection counts as broken."""
SLOWEST = 2**16
"""Bytes in so many seconds; a server that sends fewer keeps one waiting for days."""
BESIDE_PIXELS = 2**20
"""Bytes of labels and headers in a file."""

MB = 10**6
PARTIAL = ".partial"


@dataclass(frozen=True)
class Release:
    """A published set: one `.npz` per image size."""

    url: str
    """Where a file is, with `{file}` for its name."""
    files: dict[int, tuple[str, str]]
    """Height and width of the images → the file's name, and its MD5 as the publisher gives it."""
    classes: tuple[str, ...]
    """Names of the labels 0, 1, …, which the file itself does not hold."""
    images: int
    licence: str
    citations: tuple[str, ...]

    def most_bytes(self, size: int) -> int:
        """What a file can have at most: it holds its pixels packed."""
        return self.images * size * size * 3 + BESIDE_PIXELS


SETS = {
    "bloodmnist": Release(
        # Address and sums as in the `medmnist` package, 3.0.2, info.py.
        url="https://zenodo.org/records/10519652/files/{file}?download=1",
        files={
            28: ("bloodmnist.npz", "7053d0359d879ad8a5505303e11de1dc"),
            64: ("bloodmnist_64.npz", "2b94928a2ae4916078ca51e05b6b800b"),
            128: ("bloodmnist_128.npz", "adace1e0ed228fccda1f39692059dd4c"),
            224: ("bloodmnist_224.npz", "b718ff6835fcbdb22ba9eacccd7b2601"),
        },
        # MedMNIST's order; the short names are the folders of the original images (`ig`: immature granulocytes).
        classes=(
            "basophil",
            "eosinophil",
            "erythroblast",
            "ig",
            "lymphocyte",
            "monocyte",
            "neutrophil",
            "platelet",
        ),
        images=17_092,
        licence="CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
        citations=(
            "Yang et al., MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D biomedical image "
            "classification, Scientific Data 10, 41 (2023), doi:10.1038/s41597-022-01721-8",
            "Acevedo et al., A dataset of microscopic peripheral blood cell images for development of automatic "
            "recognition systems, Data in Brief 30, 105474 (2020), doi:10.1016/j.dib.2020.105474",
        ),
    )
}


def fetch(release: Release, size: int, folder: Path, progress: Progress, mirror: str | None = None) -> Path:
    """Download the file of one image size into `folder`, with the class names beside it.

    What an interrupted download has left, hidden, in `folder` is taken up again. The file gets its name only after its
    MD5 has been compared with the published one; one that is there already is kept if it is right.

    Args:
        release: what to fetch.
        size: height and width of the images, a key of `release.files`.
        folder: made if it is not there.
        progress: shows how far the download is.
        mirror: the http(s) address of a folder that holds the same files, instead of the publisher's.

    Returns:
        The `.npz`, which `bctoolkit.data.sources.load` takes.

    Raises:
        DatasetError: the file cannot be had, is not the published one, or cannot be written.
        RecipeError: another process is fetching it.
    """
    name, md5 = release.files[size]
    target, partial = folder / name, folder / f".{name}{PARTIAL}"
    if os.path.lexists(target):
        if _md5(target) != md5:
            raise DatasetError(f"{target}: exists, but its MD5 is not the published {md5}; move it away")
        progress.say(f"{target} is already there and whole")
        _write_names(class_names_file(target), release.classes)
        return target
    url = _address(release, name, mirror)
    with without_empty_folders(folder), _opened(partial) as file, in_use(partial):
        _download(url, file, release.most_bytes(size), partial, progress)
        received = _md5(partial)
        if received != md5:
            partial.unlink()
            what = f"its MD5 is {received}, published is {md5}"
            raise DatasetError(f"{url}: {what}; what was fetched is removed, try again")
        _write_names(class_names_file(target), release.classes)
        with _on_disk(target):
            os.replace(partial, target)
    return target


@contextmanager
def _opened(partial: Path) -> Iterator[BinaryIO]:
    """Open what has been fetched so far, to be added to; what somebody else has put there is never followed."""
    with _on_disk(partial), ExitStack() as stack:
        partial.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        file = stack.enter_context(os.fdopen(os.open(partial, flags, 0o666), "ab", buffering=0))
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise DatasetError(f"{partial}: is a link, or no file; remove it")
        kept = stack.pop_all()
    with kept:
        try:
            yield file
        finally:
            if not os.fstat(file.fileno()).st_size:
                partial.unlink(missing_ok=True)


def _address(release: Release, name: str, mirror: str | None) -> str:
    if mirror is None:
        return release.url.format(file=name)
    parts = urlsplit(mirror)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise DatasetError(f"--mirror {mirror}: not an http(s) address")
    return f"{mirror.rstrip('/')}/{name}"


class _Redirects(HTTPRedirectHandler):
    """Follows from http to http or https, and from https to https alone: never to a file, to ftp, or to the open."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Refuse another kind of address."""
        allowed = ("https",) if req.type == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in allowed:
            fp.close()
            raise DatasetError(
                f"{req.full_url}: leads on to {newurl[:200]}, which is no {' or '.join(allowed)} address"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(url: str, file: BinaryIO, most: int, partial: Path, progress: Progress) -> None:
    """Bring `file` to its full length, from where it ends if the server can do that."""
    size = os.fstat(file.fileno()).st_size
    headers = {"User-Agent": f"bctoolkit/{__version__}"} | ({"Range": f"bytes={size}-"} if size else {})
    try:
        with build_opener(_Redirects).open(Request(url, headers=headers), timeout=TIMEOUT) as response:
            if response.status != 206:
                file.truncate(0)
            _receive(response, file, most, partial, progress)
    except HTTPError as problem:
        problem.close()
        if problem.code == 416 and size:  # nothing comes after the end; the MD5 tells whether it is the right one
            return
        raise DatasetError(f"{url}: the server answers {problem.code} {problem.reason}") from None
    except (OSError, HTTPException, ValueError) as problem:  # ValueError: an address that is none
        cause = problem.reason if isinstance(problem, URLError) else problem
        reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        raise DatasetError(f"{url}: {reason}; run the same command again to go on, or give a --mirror") from None


def _receive(response: HTTPResponse, file: BinaryIO, most: int, partial: Path, progress: Progress) -> None:
    """Write what the server sends behind what there is."""
    done, label = os.fstat(file.fileno()).st_size, f"fetching {partial.name[1:].removesuffix(PARTIAL)}"
    length = response.headers["Content-Length"]
    total = done + int(length) if length and length.isdecimal() else None
    _require_size(response, total or done, most)
    since, before = time.monotonic(), done
    while chunk := response.read1(CHUNK):
        done += len(chunk)
        _require_size(response, done, most)
        with _on_disk(partial):
            while chunk:
                chunk = chunk[file.write(chunk) :]
        progress.step(label, done // MB, -(-(total or done + MB) // MB), "MB")
        if time.monotonic() - since > TIMEOUT:
            if done - before < SLOWEST:
                raise DatasetError(
                    f"{response.url}: {done - before:,} bytes in {TIMEOUT} s; run the same command again to go on, "
                    "or give a --mirror"
                )
            since, before = time.monotonic(), done
    progress.step(label, 1, 1)
    if total is not None and done < total:
        raise DatasetError(
            f"{response.url}: the connection ended after {done:,} of {total:,} bytes; "
            "run the same command again to go on from there"
        )


def _require_size(response: HTTPResponse, size: int, most: int) -> None:
    if size > most:
        raise DatasetError(
            f"{response.url}: sends {size:,} bytes, the file has at most {most:,}; give another --mirror"
        )


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    """Keep a disk's failures apart from the network's, which are OSErrors too."""
    try:
        yield
    except OSError as problem:
        where = problem.filename or path
        raise DatasetError(f"{where}: cannot be written ({problem.strerror})") from None


def _write_names(path: Path, names: tuple[str, ...]) -> None:
    with _on_disk(path):
        atomic_file(path, ("\n".join(names) + "\n").encode())


def _md5(path: Path) -> str:
    """The checksum that the publisher gives."""
    with open_regular(path, DatasetError) as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()  # type: ignore[arg-type]
