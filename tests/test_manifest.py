"""`manifest.json`: its names are contract, and what an export says in it comes back."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.documents.formats import QUANTIZATIONS
from bctoolkit.errors import BundleCorrupt
from bctoolkit.manifest import Float32Error, Manifest, ParityStep
from tests.support.bundles import STORED, write


def test_the_manifest_has_the_names_that_are_contract() -> None:
    raw = json.loads((STORED / "manifest.json").read_bytes())
    names = "schema name format quantization model input labels golden reference source tools parity created"
    assert list(raw) == names.split()
    assert {"file", "sha256", "bytes"} <= set(raw["model"])
    assert {"height", "width", "channels", "layout", "dtype", "range", "crop", "resize"} <= set(raw["input"])
    assert {"file", "sha256", "count"} <= set(raw["golden"])
    assert {"run", "model_sha256", "dataset_sha256", "recipe_sha256"} <= set(raw["source"])
    assert {"max_abs_diff", "mean_abs_diff", "top1_agreement"} <= set(raw["parity"])


def test_a_new_manifest_has_the_fields_of_the_stored_one(tmp_path: Path) -> None:
    write(tmp_path / "one")
    new, old = (json.loads((folder / "manifest.json").read_bytes()) for folder in (tmp_path / "one", STORED))
    added = {"calibration", "keep_float", "cpu", "integer_products", "adaptation", "adopted", "links", "inputs_sha256"}
    added |= {"bom", "licence", "labelled", "gate"}
    added |= {"acceptance", "validation"}
    assert [name for name in new if name not in added] == list(old), (
        "a changed manifest needs a new schema number and a stored copy of it"
    )
    assert added <= {field.encode_name for field in msgspec.structs.fields(Manifest) if not field.required}


def test_what_an_export_tells_of_its_making_comes_back(tmp_path: Path) -> None:
    step = ParityStep(name="a → b", count=4, top1_agreement=1, max_abs_diff=1e-7, mean_abs_diff=1e-8, logit_error=1e-7)
    hashes = np.random.default_rng(1).integers(0, 256, (5, 32), dtype=np.uint8)
    bundle = write(
        tmp_path / "one", parity_steps=(step,), calibration=hashes, keep_float=("stem",), inputs_sha256="2" * 64
    )
    manifest = bundles.read(tmp_path / "one").manifest
    assert (manifest.parity_steps, manifest.keep_float, manifest.inputs_sha256) == ((step,), ("stem",), "2" * 64)
    stored = bundle.calibration()
    assert stored is not None
    assert np.array_equal(stored, hashes)
    bundle.check()
    (tmp_path / "one" / "calibration.npz").write_bytes(b"damaged")
    with pytest.raises(BundleCorrupt, match="calibration"):
        bundle.check()


def test_what_float32_cannot_hold_widens_the_tolerance_of_a_bundle(tmp_path: Path) -> None:
    """Of a well-conditioned network, and of a bundle of an earlier version, it is that of the form."""
    held = Float32Error(typical=1e-3, worst=2e-3, max_abs_diff=1e-3)
    step = ParityStep(name="a → b", count=4, top1_agreement=1, max_abs_diff=1e-3, mean_abs_diff=1e-4, logit_error=1e-3)
    told = msgspec.structs.replace(step, exact="float64", error=held, reference_error=held, allowed_abs_diff=0.02)
    limits = QUANTIZATIONS["fp32"].tolerance
    assert write(tmp_path / "old", quantization="fp32", parity_steps=(step,)).manifest.tolerance == limits
    well = msgspec.structs.replace(told, allowed_abs_diff=1e-4)
    assert write(tmp_path / "well", quantization="fp32", parity_steps=(well,)).manifest.tolerance == limits
    badly = write(tmp_path / "badly", quantization="fp32", parity_steps=(well, told)).manifest
    assert badly.parity_steps == (well, told)
    assert badly.tolerance == pytest.approx((0.02, 200 * limits.mean_abs_diff, 1.0))
