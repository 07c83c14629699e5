"""Another laboratory's classes in the words of a network: which is which, which is left out, which is foreign."""

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bctoolkit.data import Dataset
from bctoolkit.documents import Document, parse, read_toml, to_toml
from bctoolkit.errors import RecipeError
from bctoolkit.files import atomic_file

__all__ = ["FOREIGN", "IGNORE", "MappedSite", "SiteMap", "map_site", "read_site_map", "write_template"]

IGNORE, FOREIGN = "ignore", "foreign"
"""Instead of a class: images to be left out; cells that the network does not know, so that it should accept none."""


class SiteMap(Document, frozen=True):
    """`map.toml`."""

    classes: dict[str, str]
    """A class of the site → one of the network's, `ignore` or `foreign`; a class of the same name need not be there."""


@dataclass(frozen=True)
class MappedSite:
    """A set in the network's words."""

    dataset: Dataset
    """The images of classes that the network knows, with labels in the order of its own."""
    foreign: Dataset | None
    """Those that are foreign to it, by the site's classes."""
    mapped: dict[str, str]
    """Each class of the site → what it was taken for."""


def read_site_map(path: Path) -> SiteMap:
    """Read a map.

    Raises:
        RecipeError: not TOML, or something else than a table `classes` of names.
    """
    return parse(SiteMap, read_toml(path, RecipeError), str(path), RecipeError)


def write_template(path: Path, classes: tuple[str, ...], labels: tuple[str, ...]) -> None:
    """Write a map to be filled in: classes of the same name as they are, of the others the closest name as a proposal.

    Raises:
        RecipeError: the file exists.
    """
    if path.exists():
        raise RecipeError(f"{path}: exists; give the name of a new file")
    same = {name.casefold(): name for name in labels}
    close = {name: difflib.get_close_matches(name.casefold(), same, 1) for name in classes}
    proposed = SiteMap({name: same[found[0]] if found else IGNORE for name, found in close.items()})
    head = (
        f"# A class of the site = one of the network's, or {IGNORE!r}, or {FOREIGN!r}: cells it does not know.\n"
        f"# The network's: {', '.join(labels)}\n"
    )
    atomic_file(path, head.encode() + to_toml(proposed))


def map_site(dataset: Dataset, site_map: SiteMap, labels: tuple[str, ...], source: Path) -> MappedSite:
    """Give the images of a set a network's labels.

    Args:
        dataset: with the site's classes.
        site_map: see `SiteMap`.
        labels: the network's classes.
        source: of the map, for messages.

    Raises:
        RecipeError: a class that the set or the network has not, one of the set's that is neither in the map nor the
            network's, or a map that leaves nothing.
    """
    for name in site_map.classes:
        if name not in dataset.classes:
            raise RecipeError(f"{source}: {dataset.source} has no class {name!r}{_closest(name, dataset.classes)}")
    for name in site_map.classes.values():
        if name not in (*labels, IGNORE, FOREIGN):
            raise RecipeError(
                f"{source}: the network has no class {name!r}{_closest(name, (*labels, IGNORE, FOREIGN))}"
            )
    taken = {name: site_map.classes.get(name, name) for name in dataset.classes}
    for name, meant in taken.items():
        if meant not in (*labels, IGNORE, FOREIGN):
            raise RecipeError(
                f"{source}: class {name!r} of {dataset.source} is none of the network's; map it to one of them, or to "
                f"{IGNORE!r} or {FOREIGN!r}"
            )
    position = np.array([labels.index(taken[name]) if taken[name] in labels else -1 for name in dataset.classes])
    known = np.flatnonzero(position[dataset.labels] >= 0)
    if not len(known):
        raise RecipeError(f"{source}: leaves no image of {dataset.source}; map a class to one of the network's")
    is_foreign = np.array([taken[name] == FOREIGN for name in dataset.classes])[dataset.labels]
    images = dataset.take(known)
    images = replace(images, labels=position[images.labels], classes=labels)
    return MappedSite(images, dataset.take(np.flatnonzero(is_foreign)) if is_foreign.any() else None, taken)


def _closest(name: str, names: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, names, 1, 0.4)
    return f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(names[:20])}"
