"""Tables that list images: what is read, what is refused in one line, and that groups stay together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, load, split
from bctoolkit.data.groups import grouped
from bctoolkit.data.quality.inspect import inspect
from bctoolkit.errors import DatasetError
from bctoolkit.recipes import Split
from tests.support.progress import Recorder

MakeImages = Callable[..., NDArray[np.uint8]]

NAMES = [f"patient_{i // 4:02}/cell {i:03}.png" for i in range(120)]
LABELS = ["right" if i % 3 else "left" for i in range(120)]


@pytest.fixture
def pictures(make_images: MakeImages, tmp_path: Path) -> Path:
    """A hundred and twenty images in folders of patients, not of classes."""
    root = tmp_path / "set"
    for name, image in zip(NAMES, make_images(120), strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / name)
    return root


def lines(delimiter: str = ",", header: str = "file,class,group", extra: str = "") -> str:
    rows = [header, *(f"{n},{c},{n[:10]}{extra}" for n, c in zip(NAMES, LABELS, strict=True))]
    return "\n".join(rows).replace(",", delimiter) + "\n"


def read(
    root: Path, content: str | bytes, contract: InputContract, name: str = "table.csv"
) -> tuple[Dataset, list[str]]:
    (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    progress = Recorder()
    return load(str(root / name), contract, progress), progress.lines


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (lines(), "table.csv"),
        (lines(";"), "table.csv"),
        (lines("\t"), "TABLE.TSV"),
        ("\ufeff" + lines(header="Filename,Label,Patient ID").replace("\n", "\r\n"), "table.csv"),
        (lines(header="path,cell_type,slide,note", extra=",\xe4").encode("cp1252"), "table.csv"),
        (lines().replace("/", "\\"), "table.csv"),
    ],
)
def test_a_table_is_read_whatever_it_was_written_by(
    pictures: Path, eight: InputContract, content: str | bytes, name: str
) -> None:
    dataset, told = read(pictures, content, eight, name)
    assert dataset.classes == ("left", "right")
    assert dataset.files is not None
    assert dataset.groups is not None
    by_file = {str(Path(file).relative_to(pictures)): i for i, file in enumerate(dataset.files)}
    assert [dataset.classes[dataset.labels[by_file[each]]] for each in NAMES] == LABELS
    assert [dataset.groups[by_file[each]] for each in NAMES] == [each[:10] for each in NAMES]
    assert told == [f"{pictures}: has 30 groups; none is divided between parts"]


def test_no_group_is_divided(pictures: Path, eight: InputContract) -> None:
    dataset, _ = read(pictures, lines(), eight)
    parts = split(dataset, Split())
    assert dataset.groups is not None
    groups = [{*dataset.groups[part]} for part in (parts.train, parts.validation, parts.test)]
    assert all(groups)
    assert sum(map(len, groups)) == 30
    without = split(load_plain(dataset), Split())
    assert {*without.train} != {*parts.train}


def load_plain(dataset: Dataset) -> Dataset:
    from dataclasses import replace

    return replace(dataset, groups=None)


def test_a_column_of_parts_is_the_split(pictures: Path, eight: InputContract) -> None:
    where = ["train", "Val", "TEST"]
    rows = [
        "file,class,split",
        *(f"{n},{c},{where[i % 9 // 3]}" for i, (n, c) in enumerate(zip(NAMES, LABELS, strict=True))),
    ]
    dataset, told = read(pictures, "\n".join(rows), eight)
    parts = split(dataset, Split())
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [42, 39, 39]
    assert "comes divided" in told[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("file,class\n", "lists no file"),
        ("name,klass\na,b\n", "no column file and none class among name, klass"),
        (
            "file,class\n../x.png,left\nb.png,left\n",
            r"line 2: ../x.png lies outside the table's folder, and 1 lines more",
        ),
        ("file,class\n/etc/passwd,left\n", "lies outside"),
        ("file,class\nabsent.png,left\n", "absent.png is not there; files are looked for beside the table"),
        (f"file,class\n{NAMES[0]},\n", "line 2 has no class"),
        ("file,class\n,left\n", "line 2 has no file"),
        (f"file,class,split\n{NAMES[0]},left,holdout\n", "'holdout' is no part; wanted train, val or test"),
        (f"file,class,group\n{NAMES[0]},left,\n", "line 2 has no group"),
        (f"file,class\n{NAMES[0]},left\n{NAMES[0]},right\n", "stands in line 2 as left and in line 3 as right"),
        ('file,class\n"a.png,left\n', "cannot be read as a table"),
        ("file,class\n\0,left\n", "is no table of text"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_line(
    pictures: Path, eight: InputContract, content: str, message: str
) -> None:
    with pytest.raises(DatasetError, match=message) as told:
        read(pictures, content, eight)
    assert "\n" not in str(told.value)


def test_a_link_out_of_the_folder_is_like_any_file_of_a_class_folder(pictures: Path, eight: InputContract) -> None:
    """Who can put a link there can put the picture there: links are followed, as in class folders."""
    (pictures / "link.png").symlink_to(pictures / NAMES[1])
    dataset, _ = read(pictures, f"file,class\n{NAMES[0]},left\nlink.png,right\n", eight)
    assert len(dataset) == 2


def test_a_line_that_is_there_twice_counts_once(pictures: Path, eight: InputContract) -> None:
    dataset, told = read(pictures, lines() + f"{NAMES[0]},{LABELS[0]},{NAMES[0][:10]}\n", eight)
    assert len(dataset) == 120
    assert told[-1].endswith("1 lines name a file again, which counts once")


def test_a_table_can_be_inspected(pictures: Path) -> None:
    (pictures / "table.csv").write_text(lines())
    assert inspect(str(pictures / "table.csv"), Recorder()).count == 120


def test_groups_come_from_a_pattern_on_paths(pictures: Path, eight: InputContract) -> None:
    dataset, _ = read(pictures, lines(header="file,class,note"), eight)
    assert dataset.groups is None
    named = grouped(dataset, r"patient_(\d+)/").groups
    assert named is not None
    assert set(named) == {f"{i:02}" for i in range(30)}
    with pytest.raises(DatasetError, match="--group slide is not found in 120 of 120 paths, as patient_"):
        grouped(dataset, "slide")
    with pytest.raises(ValueError, match="is no regular expression"):
        Split(group="(")
