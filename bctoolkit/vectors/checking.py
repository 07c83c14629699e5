"""Holding this implementation against vectors, which may be anybody's."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import prepare_bytes
from bctoolkit.documents import read_json
from bctoolkit.errors import InputMismatch, VectorsError
from bctoolkit.files import sha256_bytes
from bctoolkit.manifest import Manifest
from bctoolkit.untrusted.arrays import ArraySpec, read_npz
from bctoolkit.untrusted.files import read_bounded
from bctoolkit.vectors.document import ARRAYS, VECTORS, Case, Vectors

__all__ = ["Comparison", "compare", "read_vectors"]

MOST_IMAGE, MOST_ARRAYS = 2**24, 2**28
"""Bytes of an image file, and of all arrays, packed and unpacked."""

REMEDY = "write it again with: bctk vectors"

Answer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Comparison:
    """What came out, in lines to print."""

    lines: tuple[str, ...]
    faults: tuple[str, ...]
    """What does not agree; none where all does."""


def read_vectors(folder: Path) -> tuple[Vectors, NDArray[np.uint8]]:
    """The document and the arrays of a folder of vectors.

    Raises:
        VectorsError: it is none, or damaged.
    """
    vectors = read_json(folder / VECTORS, Vectors, VectorsError, REMEDY)
    content = read_bounded(folder / ARRAYS, MOST_ARRAYS, VectorsError, within=folder)
    wanted = {"images": ArraySpec((vectors.count, *vectors.input.shape), "|u1")}
    return vectors, read_npz(content, wanted, str(folder / ARRAYS), VectorsError, most=MOST_ARRAYS)["images"]


def compare(folder: Path, manifest: Manifest, answer: Answer) -> Comparison:
    """Convert the files of a folder of vectors, ask the bundle, and say what differs.

    Args:
        folder: of the vectors.
        manifest: of the bundle.
        answer: its probabilities of a batch of one, 1 × classes.

    Raises:
        VectorsError: they are no vectors of this bundle, or a file of them is damaged.
    """
    vectors, arrays = read_vectors(folder)
    sealed = vectors.bundles.get(manifest.name)
    if sealed is None or sealed.model_sha256 != manifest.model.sha256:
        names = ", ".join(vectors.bundles)
        raise VectorsError(f"{folder}: holds answers of {names}, not of this {manifest.name}; {REMEDY}")
    if (vectors.input, vectors.labels) != (manifest.input, manifest.labels):
        raise VectorsError(f"{folder}: made for another contract or other labels than {manifest.name}; {REMEDY}")
    contents = [_content(folder, case) for case in vectors.cases]
    lines, faults = [f"vectors: {len(contents)} files are as written"], list[str]()
    _compare_conversion(vectors, contents, arrays, lines, faults)
    raw = [
        None if case.array is None else answer(arrays[case.array : case.array + 1].astype(manifest.input.dtype))[0]
        for case in vectors.cases
    ]
    wanted = [None if each is None else np.array(each) for each in sealed.answers]
    _compare_answers(vectors, raw, wanted, sealed.tolerance, lines, faults)
    return Comparison(tuple(lines), tuple(faults))


def _content(folder: Path, case: Case) -> bytes:
    content = read_bounded(folder / case.file, MOST_IMAGE, VectorsError, within=folder)
    if sha256_bytes(content) != case.sha256:
        raise VectorsError(f"{folder / case.file}: SHA-256 differs from the one in {VECTORS}; copy the vectors again")
    return content


def _compare_conversion(
    vectors: Vectors, contents: list[bytes], arrays: NDArray[np.uint8], lines: list[str], faults: list[str]
) -> None:
    same = refused = 0
    for case, content in zip(vectors.cases, contents, strict=True):
        try:
            array = prepare_bytes(content, vectors.input, case.file)
        except InputMismatch as problem:
            refused += case.refused is not None
            if case.refused is None:
                faults.append(f"{case.file} ({case.what}) is refused: {problem}")
            continue
        if case.array is None:
            faults.append(f"{case.file} ({case.what}) is read, but has to be refused: {case.refused}")
        elif (differing := int((array != arrays[case.array]).sum())) == 0:
            same += 1
        else:
            far = int(np.abs(array.astype(int) - arrays[case.array].astype(int)).max())
            faults.append(f"{case.file} ({case.what}): {differing} values differ, by up to {far}")
    lines.append(f"arrays: {same} of {vectors.count} are the same, bit by bit")
    lines.append(f"refusals: {refused} of {len(vectors.cases) - vectors.count} files are refused")


def _compare_answers(
    vectors: Vectors,
    raw: list[NDArray[np.float32] | None],
    wanted: list[NDArray[np.float64] | None],
    tolerance: float,
    lines: list[str],
    faults: list[str],
) -> None:
    same, widest = 0, 0.0
    for case, one, other in zip(vectors.cases, raw, wanted, strict=True):
        if one is None or other is None:
            continue
        here, there = vectors.labels[one.argmax()], vectors.labels[other.argmax()]
        same += here == there
        if here != there:
            faults.append(f"{case.file} ({case.what}) is {here}, but {there} in the vectors")
        widest = max(widest, float(np.abs(one - other).max()))
    lines.append(f"labels: {same} of {vectors.count} are the same")
    lines.append(f"probabilities: max |Δp| {widest:.1e}, allowed {tolerance:.1e}")
    if widest > tolerance:
        faults.append(f"max |Δp| {widest:.1e} is more than {tolerance:.1e}")
