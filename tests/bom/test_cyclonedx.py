"""The bill of materials: true to the manifest, the same for the same, and valid CycloneDX."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.bom import bill_of_materials
from bctoolkit.documents.adopted import Adopted
from bctoolkit.errors import BundleCorrupt
from bctoolkit.manifest import ArrayFile, Manifest, Source
from tests.support.bundles import SIGNED, write

REASON = "the official schema is not installed (pip install 'cyclonedx-python-lib[json-validation]')"


@pytest.fixture
def manifest() -> Manifest:
    return bundles.read(SIGNED).manifest


def with_everything(manifest: Manifest) -> Manifest:
    """Of an adopted file, with the fields that few manifests have."""
    adopted = Adopted("torch.onnx", "7" * 64, "pytorch 2", "float32 throughout")
    calibration = ArrayFile("calibration.npz", "8" * 64, 5)
    return msgspec.structs.replace(manifest, adopted=adopted, keep_float=("stem", "head"), calibration=calibration)


def dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from dictionaries(each)


def test_a_bundle_carries_the_bill_of_its_manifest() -> None:
    opened = bundles.read(SIGNED)
    without = msgspec.structs.replace(opened.manifest, bom=None)
    assert json.loads((SIGNED / "bom.cdx.json").read_bytes()) == bill_of_materials(without)


def test_it_is_sealed_with_the_bundle(tmp_path: Path) -> None:
    opened = write(tmp_path / "one")
    (tmp_path / "one" / "bom.cdx.json").write_text("{}")
    with pytest.raises(BundleCorrupt, match=r"bom\.cdx\.json: SHA-256 differs"):
        opened.check()


def test_the_same_bundle_has_the_same_bill_at_any_time(tmp_path: Path) -> None:
    one, other = (write(tmp_path / day / "a", created=f"2026-01-0{day}T00:00:00+00:00") for day in "12")
    changed = write(tmp_path / "3" / "a", model=b"another stub")
    bills = [(bundle.path / "bom.cdx.json").read_bytes() for bundle in (one, other, changed)]
    numbers = [json.loads(bill)["serialNumber"] for bill in bills]
    assert bills[0] == bills[1]
    assert numbers[0] != numbers[2]
    assert all(re.fullmatch(r"urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", number) for number in numbers)


def test_it_says_what_the_manifest_says(manifest: Manifest) -> None:
    bill = bill_of_materials(manifest)
    model, parts = bill["metadata"]["component"], {part["bom-ref"]: part for part in bill["components"]}
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": manifest.model.sha256}]
    assert {"name": "bctoolkit:quantization", "value": "fp32"} in model["properties"]
    assert parts["network"]["hashes"][0]["content"] == manifest.source.model_sha256
    assert parts["golden.npz"]["hashes"][0]["content"] == manifest.golden.sha256
    assert parts["dataset"]["licenses"] == [{"license": {"name": "CC0-1.0"}}]
    tools = bill["metadata"]["tools"]["components"]
    assert {tool["name"]: tool["version"] for tool in tools} == manifest.tools
    parameters = model["modelCard"]["modelParameters"]
    assert parameters["datasets"] == [{"ref": "dataset"}]
    assert "reddish, greenish, bluish" in parameters["outputs"][0]["format"]
    assert "uint8 array N×16×16×3" in parameters["inputs"][0]["format"]


def test_figures_have_their_images_and_their_interval(manifest: Manifest) -> None:
    metrics = bill_of_materials(manifest)["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]
    recalls = [metric for metric in metrics["performanceMetrics"] if metric["type"] == "recall"]
    assert [metric["slice"] for metric in recalls] == [
        "class reddish: 3 images of the test part",
        "class greenish: 3 images of the test part",
        "class bluish: 2 images of the test part",
    ]
    assert recalls[0]["confidenceInterval"] == {"lowerBound": "0.292402", "upperBound": "1"}


def test_what_is_not_known_is_left_out(manifest: Manifest) -> None:
    bare = msgspec.structs.replace(manifest, licence="", labelled=None, source=Source("run", ""), tools={})
    bill = bill_of_materials(bare)
    model = bill["metadata"]["component"]
    assert not {"dataset", "adopted"} & {part["bom-ref"] for part in bill["components"]}
    assert "datasets" not in model["modelCard"]["modelParameters"]
    kinds = {metric["type"] for metric in model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]}
    assert not {"accuracy", "recall"} & kinds
    assert all(value not in ("", None, []) for each in dictionaries(bill["components"]) for value in each.values())


def test_every_reference_leads_to_a_component(manifest: Manifest) -> None:
    bill = bill_of_materials(with_everything(manifest))
    named = [each["bom-ref"] for each in dictionaries(bill) if "bom-ref" in each]
    used = {each["ref"] for each in dictionaries(bill) if "ref" in each}
    used |= {ref for entry in bill["dependencies"] for ref in entry.get("dependsOn", [])}
    assert used == set(named)


@pytest.mark.parametrize("full", [False, True])
def test_it_is_valid_against_the_official_schema(manifest: Manifest, full: bool) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json", reason=REASON)
    pytest.importorskip("jsonschema", reason=REASON)
    schema = pytest.importorskip("cyclonedx.schema", reason=REASON)
    bill = json.dumps(bill_of_materials(with_everything(manifest) if full else manifest))
    assert validation.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(bill) is None
