"""What a model file says of itself, read without the packages that wrote it."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bctoolkit import bundle as bundles
from bctoolkit.documents.formats import FORMATS
from bctoolkit.lazy import attribute
from bctoolkit.manifest import Identity
from bctoolkit.runtime.model_files.identity import identity_of
from bctoolkit.runtime.model_files.properties import onnx_properties, tflite_properties

ZOO = Path(__file__).parents[2] / "exports" / "zoo"
ALL = [f"tiny-{name}-{kind}" for name, row in FORMATS.items() for kind in row.quantizations]
READERS = {"onnx": onnx_properties, "tflite": tflite_properties}


@pytest.mark.parametrize("name", ALL)
def test_every_form_states_what_its_manifest_and_its_golden_file_state(name: str, workspace: Path) -> None:
    opened = bundles.read(workspace / "exports" / "bundles" / name)
    assert opened.manifest.schema >= 2
    assert identity_of(opened, opened.model()) == opened.manifest.identity
    opened.golden()


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_names_its_reader(name: str) -> None:
    assert attribute(FORMATS[name].properties) is READERS[name]


@pytest.fixture(scope="module")
def models() -> dict[str, bytes]:
    return {name: bundles.read(ZOO / f"atto-{name}-int8-dynamic").model() for name in READERS}


@pytest.mark.parametrize("name", READERS)
def test_properties_are_those_that_other_readers_find(name: str, models: dict[str, bytes]) -> None:
    found = READERS[name](models[name])
    assert found["run"] == "atto"
    if name == "onnx":
        onnx = pytest.importorskip("onnx")
        entries = onnx.load_from_string(models[name]).metadata_props
        assert found == {entry.key: entry.value for entry in entries}
    else:
        graph = pytest.importorskip("bctoolkit.export.tflite.graph")
        assert found == graph.Graph(models[name]).properties()


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", [b"", b"\0", b"\xff" * 64, b"a stub, not a model", struct.pack("<I", 2**32 - 1)])
def test_what_cannot_be_read_states_nothing(name: str, content: bytes) -> None:
    assert READERS[name](content) == {}


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
@settings(max_examples=100)
def test_a_damaged_file_raises_nothing(name: str, models: dict[str, bytes], data: st.DataObject) -> None:
    """Damage where the properties are found: the first and the last bytes of a file."""
    model = bytearray(models[name])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.one_of(st.integers(0, 4000), st.integers(-4000, -1)))
        model[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(model)), st.integers(0, 5000)))
    assert isinstance(READERS[name](bytes(model[:cut])), dict)


def test_an_identity_contradicts_only_what_both_state() -> None:
    whole = Identity(("a", "b"), None, "0" * 64)
    assert Identity().contradiction(whole) is None
    assert whole.contradiction(Identity(labels=("a", "b"))) is None
    assert Identity(labels=("b", "a")).contradiction(whole) == "with class 0 called 'b', not 'a'"
    assert Identity(labels=("a",)).contradiction(whole) == "for 1 classes, not 2"
    assert "of the network 111111111111…, not 0000" in str(Identity(source_sha256="1" * 64).contradiction(whole))
