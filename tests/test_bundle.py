"""A bundle comes back as it was written, and no damage to it goes unnoticed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bctoolkit import bundle as bundles
from bctoolkit.bundle import Bundle, Golden
from bctoolkit.contract import InputContract
from bctoolkit.errors import BundleCorrupt, BundleError, BundleTooNew, RecipeError
from bctoolkit.files import sha256_bytes
from bctoolkit.manifest import Source
from tests.support.bundles import STORED, reseal, write

FILES = ("model.onnx", "golden.npz", "reference.npz", "manifest.json")


def everything(bundle: Bundle) -> None:
    """Read all a bundle holds, as `bctk verify` does."""
    bundle.model()
    bundle.golden()
    bundle.reference()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORED, tmp_path / "bundle"))


@pytest.fixture(scope="module")
def reused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy for tests that put each file back as it was."""
    return Path(shutil.copytree(STORED, tmp_path_factory.mktemp("reused") / "bundle"))


def test_a_bundle_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = write(tmp_path / "one")
    read = bundles.read(tmp_path / "one")
    assert read == written
    assert read.manifest.name == "one"
    assert read.manifest.labels == ("Zelle ü", "b")
    assert read.manifest.input == InputContract(height=6, width=5, dtype="float32", crop=5, resize="nearest")
    assert read.manifest.source == Source("run", "0" * 64, "1" * 64, "")
    assert read.model() == b"a stub, not a model"


def test_arrays_come_back_bit_for_bit_in_their_dtypes(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    golden = Golden(
        rng.integers(0, 256, (3, 6, 5, 3), dtype=np.uint8),
        np.array([[1, 0], [np.nextafter(np.float32(0.5), np.float32(1)), 0.5], [1e-38, 1]], np.float32),
        np.array([0, -1, 1]),
        "synthetic",
    )
    read = write(tmp_path / "one", golden=golden).golden()
    assert read.kind == "synthetic"
    for name in ("images", "probabilities", "labels"):
        before, after = getattr(golden, name), getattr(read, name)
        assert before.dtype == after.dtype
        assert np.array_equal(before, after)


def test_the_reference_is_optional(tmp_path: Path) -> None:
    assert write(tmp_path / "one", reference=None).reference() is None
    assert not (tmp_path / "one" / "reference.npz").exists()
    kept = write(tmp_path / "two").reference()
    assert kept is not None
    assert kept.hashes.shape == (9, 32)


def test_a_bundle_holds_the_documented_files_and_no_others(tmp_path: Path) -> None:
    write(tmp_path / "one")
    assert {path.name for path in (tmp_path / "one").iterdir()} == {*FILES, "bom.cdx.json", "manifest.json.sha256"}
    write(tmp_path / "two", format="tflite", reference=None)
    expected = {"model.tflite", "golden.npz", "bom.cdx.json", "manifest.json", "manifest.json.sha256"}
    assert {path.name for path in (tmp_path / "two").iterdir()} == expected


def test_an_earlier_bundle_is_replaced_whole(tmp_path: Path) -> None:
    write(tmp_path / "one")
    write(tmp_path / "one", format="tflite", model=b"other", reference=None)
    assert bundles.read(tmp_path / "one").model() == b"other"
    assert not (tmp_path / "one" / "model.onnx").exists()


def test_the_seal_is_what_sha256sum_checks(copy: Path) -> None:
    digest, name = (copy / "manifest.json.sha256").read_text().split()
    assert name == "manifest.json"
    assert digest == sha256_bytes((copy / name).read_bytes())


def test_a_stored_bundle_of_schema_1_keeps_loading() -> None:
    stored = bundles.read(STORED)
    assert stored.manifest.schema == 1
    assert stored.manifest.labels == ("reddish", "greenish", "bluish")
    assert stored.manifest.input == InputContract(height=16, width=16)
    golden, reference = stored.golden(), stored.reference()
    assert golden.images.shape == (8, 16, 16, 3)
    assert golden.labels.tolist() == golden.probabilities.argmax(1).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert golden.kind == "synthetic"
    assert reference is not None
    assert reference.hashes.shape == (8, 32)


def test_a_stored_bundle_of_schema_1_keeps_answering_as_it_did() -> None:
    pytest.importorskip("onnxruntime")
    from bctoolkit.runtime import load

    golden = bundles.read(STORED).golden()
    assert np.allclose(load(STORED).predict(golden.images).probabilities, golden.probabilities, atol=1e-6)


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_one_flipped_bit_is_noticed_wherever_it_is(reused: Path, name: str, data: st.DataObject) -> None:
    content = (STORED / name).read_bytes()
    spoilt = bytearray(content)
    position = data.draw(st.integers(0, len(content) - 1), "position")
    spoilt[position] ^= 1 << data.draw(st.integers(0, 7), "bit")
    try:
        (reused / name).write_bytes(spoilt)
        with pytest.raises(BundleError) as caught:
            everything(bundles.read(reused))
    finally:
        (reused / name).write_bytes(content)
    assert str(reused) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_byte_of_the_manifest_is_guarded(reused: Path) -> None:
    content = (STORED / "manifest.json").read_bytes()
    try:
        for position in range(len(content)):
            spoilt = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
            (reused / "manifest.json").write_bytes(spoilt)
            with pytest.raises(BundleCorrupt):
                bundles.read(reused)
    finally:
        (reused / "manifest.json").write_bytes(content)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "change", [lambda c: c[:-1], lambda c: c + b"\n", lambda _: b""], ids=["cut", "longer", "empty"]
)
def test_a_cut_or_lengthened_file_is_noticed(copy: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    (copy / name).write_bytes(change((copy / name).read_bytes()))
    with pytest.raises(BundleCorrupt, match=name):
        everything(bundles.read(copy))


@pytest.mark.parametrize("name", [*FILES, "manifest.json.sha256"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=name):
        everything(bundles.read(copy))


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xff", b"0" * 64, b"no hash"])
def test_a_damaged_seal_is_noticed(copy: Path, content: bytes) -> None:
    (copy / "manifest.json.sha256").write_bytes(content)
    with pytest.raises(BundleCorrupt, match=r"manifest\.json\.sha256"):
        bundles.read(copy)


def test_a_file_swapped_with_that_of_another_bundle_is_noticed(copy: Path, tmp_path: Path) -> None:
    write(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "golden.npz", copy / "golden.npz")
    with pytest.raises(BundleCorrupt, match=r"golden\.npz: SHA-256 differs"):
        bundles.read(copy).golden()


def test_the_remedy_for_damage_is_told(copy: Path) -> None:
    (copy / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(BundleCorrupt, match=r"model\.onnx: SHA-256 differs from the manifest's; copy the bundle again"):
        bundles.read(copy).model()


def test_a_later_schema_is_answered_with_upgrade_whatever_else_it_changed(copy: Path) -> None:
    reseal(copy, lambda raw: raw.update(schema=99, novelty={"a": 1}, labels="elsewhere"))
    with pytest.raises(BundleTooNew, match="schema 99, this bctoolkit reads up to 2; upgrade bctoolkit"):
        bundles.read(copy)


@pytest.mark.parametrize(
    "name", ["../model.onnx", "/etc/hostname", "sub/model.onnx", "./model.onnx", "..", ".", "", "a\0b", "x" * 5000]
)
@pytest.mark.parametrize("entry", ["model", "golden", "reference"])
def test_a_manifest_cannot_name_a_file_outside_the_bundle(copy: Path, entry: str, name: str) -> None:
    (copy.parent / "model.onnx").write_bytes((STORED / "model.onnx").read_bytes())
    reseal(copy, lambda raw: raw[entry].update(file=name))
    with pytest.raises(BundleCorrupt):
        everything(bundles.read(copy))


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.pop("labels"),
        lambda raw: raw.update(labels=[1, 2, 3]),
        lambda raw: raw.update(novelty=1),
        lambda raw: raw.update(name="../../../x"),
        lambda raw: raw.update(name="/x"),
        lambda raw: raw.update(labels=[raw["labels"][0], *raw["labels"][:-1]]),
        lambda raw: raw.update(labels=["a\x1b[2J", *raw["labels"][1:]]),
        lambda raw: raw.update(schema="1"),
        lambda raw: raw["input"].update(dtype="float16"),
        lambda raw: raw["input"].update(mean=0.5),
        lambda raw: raw["model"].pop("sha256"),
        lambda raw: raw.update(golden=None),
    ],
)
def test_a_sealed_manifest_that_does_not_fit_the_schema_is_refused(
    copy: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    reseal(copy, change)
    with pytest.raises(BundleCorrupt, match=r"manifest\.json: "):
        bundles.read(copy)


def test_a_format_of_a_later_version_is_answered_with_the_known_ones(copy: Path) -> None:
    reseal(copy, lambda raw: raw.update(format="coreml"))
    with pytest.raises(BundleError, match="unknown format 'coreml'; formats: onnx, tflite"):
        bundles.read(copy)


def test_a_quantization_of_a_later_version_is_answered_with_the_known_ones(copy: Path) -> None:
    reseal(copy, lambda raw: raw.update(quantization="int4"))
    with pytest.raises(BundleError, match="unknown quantization 'int4'; quantizations: fp32"):
        bundles.read(copy)


def resealed_npz(copy: Path, **arrays: Any) -> None:
    with (copy / "golden.npz").open("wb") as file:
        np.savez(file, **arrays)
    digest = sha256_bytes((copy / "golden.npz").read_bytes())
    reseal(copy, lambda raw: raw["golden"].update(sha256=digest))


def test_a_sealed_npz_without_its_arrays_is_refused(copy: Path) -> None:
    resealed_npz(copy, images=np.zeros(1))
    with pytest.raises(BundleCorrupt, match=r"golden\.npz: 'images': 1 float64; wanted 8×16×16×3 uint8"):
        bundles.read(copy).golden()


def test_a_pickle_in_a_sealed_npz_is_never_loaded(copy: Path) -> None:
    resealed_npz(copy, images=np.array([{"a": 1}], object), probabilities=np.zeros((1, 3)), labels=np.zeros(1))
    with pytest.raises(BundleCorrupt, match=r"golden\.npz: 'images': .* objects, which are never loaded"):
        bundles.read(copy).golden()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"{} {}"])
def test_a_manifest_that_is_no_json_is_refused(copy: Path, content: bytes) -> None:
    (copy / "manifest.json").write_bytes(content)
    with pytest.raises(BundleCorrupt, match=r"manifest\.json: not readable as JSON"):
        bundles.read(copy)


@pytest.mark.parametrize("content", [b"[]", b"null", b'"text"'])
def test_a_sealed_manifest_that_is_no_object_is_refused(copy: Path, content: bytes) -> None:
    (copy / "manifest.json").write_bytes(content)
    (copy / "manifest.json.sha256").write_text(f"{sha256_bytes(content)}  manifest.json\n")
    with pytest.raises(BundleCorrupt, match=r"manifest\.json: Expected"):
        bundles.read(copy)


def test_a_missing_folder_is_distinguished_from_one_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"absent: no such folder"):
        bundles.read(tmp_path / "absent")
    with pytest.raises(BundleError, match=r"not a bundle: it holds no manifest\.json"):
        bundles.read(tmp_path)


def test_a_file_is_no_bundle(copy: Path) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        bundles.read(copy / "model.onnx")


def test_a_path_may_be_text(copy: Path) -> None:
    assert bundles.read(str(copy)) == bundles.read(copy)


def test_newest_are_the_bundles_of_the_run_exported_last(tmp_path: Path) -> None:
    def add(name: str, run: str, day: int) -> Path:
        source = Source(run, "0" * 64)
        return write(tmp_path / name, source=source, created=f"2026-01-{day:02d}T00:00:00+00:00").path

    add("old-onnx", "old", 1)
    later = [add("new-a", "new", 2), add("new-b", "new", 4)]
    add("mid-onnx", "mid", 3)
    shutil.copytree(later[0], tmp_path / ".new-c.partial-1")
    (tmp_path / "no-bundle").mkdir()
    assert bundles.newest(tmp_path) == later


def test_without_a_bundle_the_way_to_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no bundle in .*; make one with: bctk export --format onnx"):
        bundles.newest(tmp_path)


@pytest.mark.parametrize("name", ["golden", "parity"])
def test_a_manifest_cannot_be_changed_in_memory(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(bundles.read(STORED).manifest, name, None)


def test_a_write_that_fails_at_the_manifest_leaves_no_half_bundle(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write(tmp_path / "one", tools={"keras": object()})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(RecipeError, match="one"):
        write(tmp_path / "one")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["holiday.jpg"]
