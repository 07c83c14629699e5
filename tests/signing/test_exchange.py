"""What of a bundle that was tampered with is noticed by which check: the table in docs/signing.md, row by row.

Hashes are always made to fit, as whoever exchanges a file can do.
"""

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit.errors import BctkError, BundleCorrupt, BundleUntrusted
from bctoolkit.files import sha256_bytes
from bctoolkit.manifest import Source
from bctoolkit.runtime import load
from bctoolkit.runtime.on_onnxruntime import open_model
from bctoolkit.signing import PrivateKey
from bctoolkit.statistics.metrics import limit_violations
from tests.support.bundles import SIGNED, STORED, reseal, write

TABLE = Path(__file__).parents[2] / "docs" / "signing.md"


class Case(NamedTuple):
    change: Callable[[Path], object]
    refusal: str | None
    """What `load` and `verify` say without a key; None where they cannot know."""


def manifest(**values: Any) -> Callable[[Path], object]:
    return lambda folder: reseal(folder, lambda raw: raw.update(values))


def contract(**values: Any) -> Callable[[Path], object]:
    return lambda folder: reseal(folder, lambda raw: raw["input"].update(values))


def file(folder: Path, name: str, content: bytes) -> None:
    """Put another file in the place of one, and its hash into the manifest."""
    entry = "golden" if name == "golden.npz" else "model"
    (folder / name).write_bytes(content)
    reseal(folder, lambda raw: raw[entry].update(sha256=sha256_bytes(content)))


def other(folder: Path) -> bundles.Bundle:
    """The bundle of another network of the same form."""
    opened = bundles.read(SIGNED)
    model = opened.model().replace(b"0" * 64, b"9" * 64)
    source = Source("another", "9" * 64)
    parts = {name: getattr(opened.manifest, name) for name in ("input", "labels", "quantization")}
    return write(folder.parent / "other", model=model, source=source, golden=opened.golden(), **parts)


def other_model(folder: Path) -> None:
    file(folder, "model.onnx", other(folder).model())


def other_golden(folder: Path) -> None:
    file(folder, "golden.npz", (other(folder).path / "golden.npz").read_bytes())


def arrays_of(folder: Path) -> dict[str, NDArray[Any]]:
    with np.load(folder / "golden.npz") as stored:
        return dict(stored)


def npz(arrays: dict[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes any keyword for a switch
    return buffer.getvalue()


def golden(folder: Path, **changes: NDArray[Any]) -> None:
    """Put other arrays into the golden file."""
    file(folder, "golden.npz", npz(arrays_of(folder) | changes))


def other_answers(folder: Path) -> None:
    golden(folder, probabilities=np.roll(arrays_of(folder)["probabilities"], 1, axis=1))


def faulty_model(folder: Path) -> None:
    """A damaged weight, and golden answers that were computed with it."""
    content = (folder / "model.onnx").read_bytes()
    weight = np.float32(0.1).tobytes()
    assert weight in content
    file(folder, "model.onnx", content.replace(weight, np.float32(0.4).tobytes(), 1))
    images = arrays_of(folder)["images"]
    answers = open_model((folder / "model.onnx").read_bytes(), "cpu", 1).run(images)
    assert not np.allclose(answers, arrays_of(folder)["probabilities"], atol=0.01)
    golden(folder, probabilities=answers)


def whole(folder: Path) -> None:
    made = other(folder)
    shutil.rmtree(folder)
    shutil.copytree(made.path, folder)


def swapped_everywhere(folder: Path) -> None:
    """Two labels exchanged in manifest, model file and golden file alike."""
    content = (folder / "model.onnx").read_bytes()
    file(folder, "model.onnx", content.replace(b'"reddish","greenish"', b'"greenish","reddish"'))
    identity = arrays_of(folder)["identity"].tobytes().replace(b'"reddish","greenish"', b'"greenish","reddish"')
    golden(folder, identity=np.frombuffer(identity, np.uint8))
    manifest(labels=["greenish", "reddish", "bluish"])(folder)


DEVIATES = "answers deviate"

CASES = {
    "labels swapped in the manifest": Case(
        manifest(labels=["greenish", "reddish", "bluish"]), "class 0 called 'reddish', not 'greenish'"
    ),
    "another crop in the manifest": Case(contract(crop="none"), "for crop square, not none"),
    "another resize in the manifest": Case(contract(resize="bilinear"), "for resize lanczos, not bilinear"),
    "the model file of another network": Case(other_model, "of the network 999999999999…, not 0000"),
    "the golden file of another network": Case(other_golden, "of the network 999999999999…, not 0000"),
    "golden answers alone": Case(other_answers, DEVIATES),
    "a faulty model, with golden answers recomputed from it": Case(faulty_model, None),
    "labels swapped in manifest, model and golden file": Case(swapped_everywhere, None),
    "another network's whole bundle": Case(whole, None),
}


@pytest.mark.parametrize("name", CASES)
def test_what_was_exchanged_is_refused_by_signature(name: str, signed: Path, key: PrivateKey) -> None:
    signature = (signed / "model.sig").read_bytes()
    CASES[name].change(signed)
    (signed / "model.sig").write_bytes(signature)
    with pytest.raises(BundleUntrusted):
        load(signed, trusted_keys=[key.public.pem])


def deviates(folder: Path) -> bool:
    """Whether `load` or `verify` notice that the answers are others than the golden ones."""
    stored, limits = bundles.read(folder).golden(), bundles.read(folder).manifest.tolerance
    try:
        observed = load(folder).predict_each(stored.images)
    except BctkError:
        return True
    return bool(limit_violations(stored.probabilities, observed, limits))


@pytest.mark.parametrize("name", CASES)
def test_without_a_key_it_is_refused_where_the_files_contradict_each_other(name: str, signed: Path) -> None:
    change, refusal = CASES[name]
    change(signed)
    if refusal is None:
        bundles.read(signed).golden()
        load(signed)
        return
    if refusal == DEVIATES:
        assert deviates(signed)
        return
    with pytest.raises(BundleCorrupt, match=re.escape(refusal)) as caught:
        load(signed) and bundles.read(signed).golden()
    assert "use a bundle whose files belong together" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_table_in_the_documents_has_these_rows() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    told = {name: by for name, by, signature in rows if signature == "refused"}
    assert told.keys() == CASES.keys()
    for name, case in CASES.items():
        expected = {None: "not noticed", DEVIATES: "refused: answers deviate"}.get(
            case.refusal, "refused: files disagree"
        )
        assert told[name] == expected, name


def test_a_bundle_of_schema_1_states_nothing_beside_its_manifest(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(STORED, tmp_path / "bundle"))
    manifest(labels=["greenish", "reddish", "bluish"])(copy)
    load(copy)
    bundles.read(copy).golden()


def test_a_golden_file_of_schema_2_has_to_say_what_it_was_made_for(signed: Path) -> None:
    without = {name: array for name, array in arrays_of(signed).items() if name != "identity"}
    file(signed, "golden.npz", npz(without))
    with pytest.raises(BundleCorrupt, match=r"golden\.npz"):
        bundles.read(signed).golden()
