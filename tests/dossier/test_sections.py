"""Sections of what other bundles hold: the zoo, networks that were adapted or made elsewhere, and reports in pairs."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bctoolkit.bench.documents.stored import read
from bctoolkit.bundle import read as read_bundle
from bctoolkit.dossier import write
from bctoolkit.files import sha256_file
from tests.support.bundles import SIGNED, reseal
from tests.support.dossiers import REPORT, edit, report_of, run_of
from tests.support.figures import Page, require_figure, unlinked_numbers

ROOT = Path(__file__).resolve().parents[2]
ZOO = ROOT / "exports" / "zoo"


def dossier(tmp_path: Path, bundle: Path, **options: Any) -> tuple[Page, tuple[str, ...]]:
    """The page, each figure of which has been looked up, and the known limits."""
    limits = write(bundle, tmp_path / "dossier", **options).limits
    page = Page(tmp_path / "dossier")
    for figure in page.figures:
        require_figure(tmp_path / "dossier", figure)
    assert unlinked_numbers(page) == []
    return page, limits


def changed(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of a stored bundle with another manifest."""
    copy = Path(shutil.copytree(SIGNED, tmp_path / "bundle"))
    reseal(copy, change)
    return copy


def test_every_section_is_on_the_page() -> None:
    page = (ROOT / "bctoolkit" / "dossier" / "page.py").read_text()
    for file in (ROOT / "bctoolkit" / "dossier" / "sections").glob("[!_]*.py"):
        assert f"{file.stem}.section(sources)" in page or f"{file.stem}_section.section(sources)" in page


@pytest.mark.parametrize("name", ["atto-onnx-int8-dynamic", "atto-tflite-int8-dynamic"])
def test_the_zoo_has_a_dossier_with_who_signed_it(tmp_path: Path, name: str) -> None:
    page, limits = dossier(tmp_path, ZOO / name, trusted=[ZOO / "zoo.pub.pem"])
    text = re.sub(r"\s+", " ", page.text)
    assert "Signed by the trusted key" in text
    stated = read_bundle(ZOO / name).manifest
    assert stated.labelled is not None
    found = stated.labelled.recall["ig"]
    low, high = found.ci95
    assert re.search(rf"ig *{found.count} *{found.recall:.2%} *{low:.2%} to {high:.2%}", text)
    assert re.search(r"float32 Keras → (onnx|tflite) fp32 *\d{2,3} *100\.00% *9\d\.\d\d% to 100\.00%", text)
    assert ("Integer products: 2" in text) == ("onnx" in name)
    assert not any("is not recorded" in line or "vouches" in line for line in limits)


def test_a_set_that_came_divided_and_its_groups_are_told(tmp_path: Path) -> None:
    run = run_of(SIGNED, tmp_path / "run")
    recipe = run / "recipe.toml"
    recipe.write_text(re.sub(r'^group = ""', "group = 'slide_[0-9]+'", recipe.read_text(), flags=re.MULTILINE))
    edit(run / "run.json", lambda raw: raw.update(recipe_sha256=sha256_file(recipe)))
    edit(run / "run.json", lambda raw: raw["data"].update(split="own"))
    edit(run / "metrics.json", lambda raw: raw.update(groups=17))
    page, limits = dossier(tmp_path, SIGNED, run=run)
    text = re.sub(r"\s+", " ", page.text)
    assert "; as the set came divided; groups by the pattern slide_[0-9]+ of the path, none in two parts; " in text
    assert "17 groups in the test part, over which its interval is" in text
    assert not any("No groups are stated" in line for line in limits)


def test_a_network_that_was_adapted_says_what_it_eats(tmp_path: Path) -> None:
    adaptation = {"scale": "imagenet", "factor": [0.017, 0.018], "offset": [-2.1], "channels": "bgr", "head": "softmax"}
    bundle = changed(tmp_path, lambda raw: raw.update(adaptation=adaptation, keep_float=["stem", "head"]))
    page, _ = dossier(tmp_path, bundle)
    assert "scale imagenet (factor 0.017, 0.018, offset -2.1), channels bgr, head softmax" in page.text
    assert "stem, head" in page.text


def test_a_bundle_that_was_made_elsewhere_says_so(tmp_path: Path) -> None:
    adopted = {"file": "theirs.onnx", "sha256": "a" * 64, "producer": "pytorch"}
    page, limits = dossier(tmp_path, changed(tmp_path, lambda raw: raw.update(adopted=adopted)))
    assert f"theirs.onnx by pytorch, SHA-256 {'a' * 64}" in page.text
    assert any(line.startswith("The artifact was made elsewhere") for line in limits)


def test_figures_of_the_validation_part_alone_are_optimistic(tmp_path: Path) -> None:
    _, limits = dossier(tmp_path, changed(tmp_path, lambda raw: raw["labelled"].update(part="validation")))
    assert any("they are optimistic" in line for line in limits)


def test_a_class_without_images_is_told(tmp_path: Path) -> None:
    empty = {"recall": 0.0, "count": 0, "ci95": [0.0, 1.0]}
    _, limits = dossier(tmp_path, changed(tmp_path, lambda raw: raw["labelled"]["recall"].update(bluish=empty)))
    assert "Class bluish was measured on no image." in limits


def test_products_that_can_saturate_are_told(tmp_path: Path) -> None:
    products = {"count": 3, "columns": 30, "saturating": 2}
    page, limits = dossier(tmp_path, changed(tmp_path, lambda raw: raw.update(integer_products=products)))
    assert any("can saturate on x86 without VNNI" in line for line in limits)
    assert "Integer products: 3 with 30 output columns" in page.text


def test_classes_that_regressed_are_told(tmp_path: Path) -> None:
    parity = read(REPORT).report.results[0].parity
    report = report_of(SIGNED, tmp_path / "report")
    assert parity.labelled is not None
    edit(
        report / "report.json",
        lambda raw: raw["results"][0]["parity"]["labelled"].update(regressed_classes=["greenish"]),
    )
    _, limits = dossier(tmp_path, SIGNED, reports=[report])
    assert any("Recall has fallen beyond chance" in line and "greenish" in line for line in limits)


def test_corruptions_in_pairs_say_what_is_lost(measured: Path, tmp_path: Path) -> None:
    """What a report holds where the float bundle was measured beside this one."""
    copy = Path(shutil.copytree(measured / "report", tmp_path / "report"))
    change = {"count": 6, "regressed": 2, "improved": 1, "drop": 1 / 6, "ci95": [-0.1, 0.4]}

    def pair(raw: dict[str, Any]) -> None:
        robustness = raw["results"][0]["parity"]["labelled"]["robustness"]
        robustness.update(
            baseline="colours-fp32", drop=0.021, drop_ci95=[0.01, 0.03], clean_drop=0.001,
            relative_corruption_drop=0.02, relative_corruption_drop_ci95=[0.005, 0.035],
        )  # fmt: skip
        robustness["corruptions"]["hue"]["severe"]["change"] = change

    edit(copy / "report.json", pair)
    page, limits = dossier(tmp_path, measured / "colours", reports=[copy])
    text = re.sub(r"\s+", " ", page.text)
    assert "relative to colours-fp32 2.10 points lost (1.00 to 3.00)" in text
    assert "16.67 points lost, -10.00 to 40.00" in text
    assert not any(line.startswith("Not measured under corruptions") for line in limits)


def test_a_result_without_labelled_images_names_its_provider(tmp_path: Path) -> None:
    first = read(REPORT).report.results[0]
    parity = msgspec.structs.replace(first.parity, labelled=None)
    report = report_of(SIGNED, tmp_path / "report", provider="cuda", parity=parity)
    page, _ = dossier(tmp_path, SIGNED, reports=[report])
    assert "on cuda with 2 threads" in re.sub(r"\s+", " ", page.text)
