"""What goes to a machine: our code, packages, bundles, images and what has been measured already, packed.

::

    bctk-fleet-XXXX/
      code/bctoolkit/      the very package that runs here
      environment/         a virtual environment, where the interpreter there lacks something
      bundles/0/NAME/      the files that the manifest names
      images/              labelled-0.images.npy, labelled-0.labels.npy, …
      job.json             what to measure
      journal/             the checkpoint
      events, lock, log
      tmp/, cache/         what any program there would put elsewhere
"""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

import bctoolkit
from bctoolkit.bench.checkpoint import Request
from bctoolkit.bench.configurations import image_contract
from bctoolkit.bench.launcher.predictions import paired_rows
from bctoolkit.bench.measuring import ImageSets
from bctoolkit.bundle import MANIFEST, Bundle
from bctoolkit.bundle.content import SEAL
from bctoolkit.contract import ImageKind, InputContract
from bctoolkit.data import Dataset
from bctoolkit.data.stores import save_npy
from bctoolkit.errors import DatasetError
from bctoolkit.signing import SIGNATURE

__all__ = [
    "CACHE",
    "CODE",
    "ENVIRONMENT",
    "JOB",
    "JOURNAL",
    "TEMPORARY",
    "Job",
    "StoredImages",
    "pack_code",
    "pack_job",
    "remote_bundle",
    "stored_images",
]

CODE, ENVIRONMENT, JOB, JOURNAL, IMAGES = "code", "environment", "job.json", "journal", "images"
TEMPORARY, CACHE = "tmp", "cache"
COMPRESSION = 1
"""Of gzip: most of an archive are weights and machine code, and devices are slow."""


class StoredImages(msgspec.Struct, frozen=True):
    """A set of images beside the job; its arrays go by its name."""

    name: str
    contract: int
    """Position among the contracts of the bundles, each counted once."""
    classes: tuple[str, ...]
    source: str
    kind: ImageKind


class Job(msgspec.Struct, frozen=True):
    """What a machine is to measure."""

    request: Request
    labelled: tuple[StoredImages, ...] = ()
    foreign: tuple[StoredImages, ...] = ()


def remote_bundle(number: int, bundle: Bundle) -> str:
    """Where a bundle lies in the temporary folder; the last part is its own name, which messages say."""
    return f"bundles/{number}/{bundle.path.absolute().name}"


def stored_images(bundles: list[Bundle], images: ImageSets, folder: Path) -> tuple[tuple[StoredImages, ...], ...]:
    """Write the images that a machine needs into a folder: of labelled ones those that are judged.

    Returns:
        What a job says of them: the labelled and the foreign ones.
    """
    numbers = {contract: number for number, contract in enumerate(dict.fromkeys(map(image_contract, bundles)))}

    def store(label: str, contract: InputContract, dataset: Dataset) -> StoredImages:
        name = f"{label}-{numbers[contract]}"
        save_npy(folder / f"{name}.images.npy", dataset.images)
        np.save(folder / f"{name}.labels.npy", dataset.labels)
        np.save(folder / f"{name}.hashes.npy", dataset.hashes)
        return StoredImages(name, numbers[contract], dataset.classes, dataset.source, dataset.kind)

    labelled = tuple(
        store("labelled", contract, _judged(dataset, [each for each in bundles if image_contract(each) == contract]))
        for contract, dataset in images.labelled.items()
    )
    foreign = tuple(store("foreign", contract, dataset) for contract, dataset in images.foreign.items())
    return labelled, foreign


def pack_code(archive: Path, site: tuple[str, Path] | None) -> Path:
    """Write an archive of our code and, where they are not there already, of packages.

    Args:
        archive: where to.
        site: where packages go in the temporary folder, and their folder here.
    """
    with tarfile.open(archive, "w:gz", compresslevel=COMPRESSION) as tar:
        for path in _code():
            tar.add(path, f"{CODE}/{path.relative_to(_package().parent).as_posix()}", recursive=False)
        for name in (TEMPORARY, CACHE):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o700
            tar.addfile(entry)
        if site is not None:
            tar.add(site[1], site[0])
    return archive


def pack_job(archive: Path, bundles: list[Bundle], job: Job, images: Path, journal: Path) -> Path:
    """Write an archive of a job and what it needs.

    Args:
        archive: where to.
        bundles: whose files go along.
        job: what to measure.
        images: the folder of `stored_images`.
        journal: the parts that are measured already.
    """
    with tarfile.open(archive, "w:gz", compresslevel=COMPRESSION) as tar:
        for number, bundle in enumerate(bundles):
            for name in (*bundle.files, MANIFEST, SEAL, SIGNATURE):
                if (bundle.path / name).is_file():
                    tar.add((bundle.path / name).resolve(), f"{remote_bundle(number, bundle)}/{name}")
        for path in sorted(images.iterdir()):
            tar.add(path, f"{IMAGES}/{path.name}")
        for path in sorted(journal.glob("[!.]*-*")):
            tar.add(path, f"{JOURNAL}/{path.name}")
        content = msgspec.json.encode(job)
        entry = tarfile.TarInfo(JOB)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return archive


def _package() -> Path:
    return Path(bctoolkit.__file__).parent


def _code() -> Iterator[Path]:
    return (path for path in sorted(_package().rglob("*")) if path.is_file() and path.suffix != ".pyc")


def _judged(dataset: Dataset, bundles: list[Bundle]) -> Dataset:
    """The images that at least one bundle is judged on."""
    rows = set[int]()
    for bundle in bundles:
        rows |= {*paired_rows(bundle, dataset.in_order_of(bundle.manifest.labels))[0].tolist()}
    if not rows:
        raise DatasetError(f"{dataset.source}: holds no image that a bundle can be judged on")
    return dataset.take(np.array(sorted(rows)))
