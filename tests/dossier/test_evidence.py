"""A figure and where it stands, for any document; lists of hashes for any name; a disk that is full."""

import html
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bctoolkit.dossier import write
from bctoolkit.dossier.evidence import UNKNOWN, Evidence, SourceFile
from bctoolkit.dossier.forms import megabytes, milliseconds, points
from bctoolkit.dossier.plots import Scale
from bctoolkit.dossier.write import sums
from bctoolkit.files import sha256_bytes
from tests.support.bundles import SIGNED
from tests.support.figures import at

KEYS = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Cn")), max_size=8)
DOCUMENTS = st.recursive(
    st.integers() | st.floats(allow_nan=False, allow_infinity=False) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    else:
        yield path


@given(DOCUMENTS)
def test_a_figure_says_where_it_stands_whatever_the_names(document: Any) -> None:
    evidence = Evidence(SourceFile("a.json", b"", "a document"), document)
    for path in leaves(document):
        markup = evidence.figure(str, *path)
        found = re.fullmatch(r'<data value="([^"]*)" data-file="a\.json" data-at="([^"]*)">[^<]*</data>', markup)
        assert found is not None, markup
        value, pointer = map(html.unescape, found.groups())
        stands = at(document, pointer)
        assert stands == evidence.get(*path)
        assert json.loads(value) == stands
        inner = evidence.within(*path[:1]).figure(str, *path[1:])
        assert inner == markup


@pytest.mark.parametrize("path", [("b",), ("a", 2), ("a", "x"), ("a", 0, "x")])
def test_what_is_not_there_is_not_known(path: tuple[str | int, ...]) -> None:
    evidence = Evidence(SourceFile("a.json", b"", "a document"), {"a": [1, 2]})
    assert evidence.get(*path) is None
    assert evidence.figure(str, *path) == evidence.interval(str, *path) == UNKNOWN


def test_lists_of_hashes_hold_names_that_break_lines(tmp_path: Path) -> None:
    names = ("plain", "two words", "line\nbreak", "back\\slash", "\\n", "return\r", "*star")
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    content = sums({name: sha256_bytes(name.encode()) for name in names})
    done = subprocess.run(["sha256sum", "-c"], input=content, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"OK") == len(names)


def test_a_full_disk_leaves_nothing(full_disk: Callable[[int], AbstractContextManager[None]], tmp_path: Path) -> None:
    with full_disk(4096), pytest.raises(OSError, match="dossier"):
        write(SIGNED, tmp_path / "out" / "dossier")
    assert not (tmp_path / "out").exists()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_scale_holds_what_is_drawn_on_it(values: list[float]) -> None:
    scale = Scale.around(values, within=(0.0, 1.0), line=0.5)
    assert all(scale.low <= value <= scale.high for value in (*values, 0.5))
    drawn = [scale.at(value) for value in sorted(values)]
    assert drawn == sorted(drawn)
    assert all(0 <= x <= 200 for x in drawn)


def test_small_figures_keep_their_digits_and_zero_has_no_sign() -> None:
    assert [milliseconds(value) for value in (0.008852, 2.4444, 126.0)] == ["0.00885", "2.44", "126.00"]
    assert [megabytes(value) for value in (602, 3_717_914)] == ["0.000602 MB", "3.718 MB"]
    assert [points(value) for value in (-0.00001, 0.0125)] == ["0.00", "1.25"]
