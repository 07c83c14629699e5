"""Which images belong together, told by a pattern on the names of their files."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from bctoolkit.data.dataset import Dataset
from bctoolkit.errors import DatasetError

__all__ = ["grouped"]


def grouped(dataset: Dataset, pattern: str) -> Dataset:
    """A set whose images know their groups.

    Args:
        dataset: loaded from files.
        pattern: a regular expression that is looked for in each file's path below the set's folder, with `/` between
            folders; its first group, or all of the match, names the image's group. Empty leaves the set as it is.

    Raises:
        DatasetError: the images have no files, or some of their paths do not match.
    """
    if not pattern:
        return dataset
    if dataset.files is None:
        raise DatasetError(f"{dataset.source}: its images have no names for --group {pattern}; groups come from files")
    root, compiled = Path(dataset.source), re.compile(pattern)
    names = [_below(root, Path(file)) for file in dataset.files]
    matches = [compiled.search(name) for name in names]
    unmatched = [name for name, match in zip(names, matches, strict=True) if match is None]
    if unmatched:
        raise DatasetError(
            f"{dataset.source}: --group {pattern} is not found in {len(unmatched):,} of {len(names):,} paths, as "
            f"{unmatched[0]}"
        )
    groups = [match[1] if compiled.groups else match[0] for match in matches if match]
    return replace(dataset, groups=np.array([group or "" for group in groups], object))


def _below(root: Path, file: Path) -> str:
    return (file.relative_to(root) if file.is_relative_to(root) else file).as_posix()
