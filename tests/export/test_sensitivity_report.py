"""The report of a quantization: what is written, and that it says what happened."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from bctoolkit.documents import to_json
from bctoolkit.documents.quantization import Gate
from bctoolkit.export.checks.gate import check_gate
from bctoolkit.export.checks.judgement import Judgement
from bctoolkit.export.sensitivity.report import QuantizationReport, markdown, write_report
from bctoolkit.export.sensitivity.search import LayerSensitivity, MixedPrecisionResult, Ranking

GATE = Gate()


def result(lost: int) -> Judgement:
    labels = np.arange(2000) % 2
    reference = np.eye(2, dtype=np.float32)[labels]
    observed = reference.copy()
    observed[: 2 * lost : 2] = reference[1]
    return Judgement(check_gate(labels, reference, observed, ("ant", "bee"), GATE))


@pytest.fixture
def mixed() -> MixedPrecisionResult:
    layers = (LayerSensitivity("head", 0.3), LayerSensitivity("expand", 0.1), LayerSensitivity("project", 0.0))
    ranking = Ranking(layers=layers, images=128, seconds=3.5)
    return MixedPrecisionResult(b"", result(1), frozenset({"head"}), result(40), ranking)


def test_a_report_is_written_as_document_page_and_picture(tmp_path: Path, mixed: MixedPrecisionResult) -> None:
    report = write_report(tmp_path, "tiny-onnx-int8", GATE, mixed)
    assert {path.name for path in tmp_path.iterdir()} == {f"tiny-onnx-int8.{kind}" for kind in ("json", "md", "png")}
    stored = (tmp_path / "tiny-onnx-int8.json").read_bytes()
    assert msgspec.json.decode(stored, type=QuantizationReport) == report
    with Image.open(tmp_path / "tiny-onnx-int8.png") as picture:
        assert picture.width > 500
    assert to_json(report) == stored


def test_the_page_shows_before_and_after_and_the_ranking(tmp_path: Path, mixed: MixedPrecisionResult) -> None:
    page = markdown(write_report(tmp_path, "tiny-onnx-int8", GATE, mixed))
    assert "| nothing returned to float | failed | 2.00% |" in page
    assert "| layers in float: 1 | passed | 0.05% |" in page
    assert "| 1 | head | 3.00e-01 | 75.0% | float |" in page
    assert "| 3 | project | 0.00e+00 | 0.0% | int8 |" in page
    assert "on 128 images" in page


def test_without_a_ranking_there_is_no_picture(tmp_path: Path) -> None:
    alike = result(0)
    write_report(tmp_path, "tiny", GATE, MixedPrecisionResult(b"", alike, frozenset(), alike, None))
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md"}
    page = (tmp_path / "tiny.md").read_text()
    assert "layers in float" not in page
    assert page.endswith("|\n")


def test_reasons_are_listed(tmp_path: Path) -> None:
    failing = result(40)
    write_report(tmp_path, "tiny", GATE, MixedPrecisionResult(b"", failing, frozenset(), failing, None))
    page = (tmp_path / "tiny.md").read_text()
    assert all(f"- {reason}" in page for reason in failing.reasons)


def test_what_was_too_far_from_the_reference_is_shown_with_labelled_images_or_without(
    tmp_path: Path, mixed: MixedPrecisionResult
) -> None:
    far = ("max |Δp| 6.2e-01 > 0.5",)
    labelled = replace(mixed, first=replace(result(0), violations=far))
    page = markdown(write_report(tmp_path, "tiny", GATE, labelled))
    assert "| nothing returned to float | too far from the reference | 0.00% |" in page
    assert f"- {far[0]}" in page
    unlabelled = replace(mixed, first=Judgement(None, far), final=Judgement(None))
    page = markdown(write_report(tmp_path, "tiny", GATE, unlabelled))
    assert "No labelled validation images are known" in page
    assert "| nothing returned to float | too far from the reference | – | – | – |" in page
    assert "| layers in float: 1 | passed | – | – | – |" in page
