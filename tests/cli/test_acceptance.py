"""What `predict` and `evaluate` say of accepted answers, foreign pictures and another site."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.acceptance import coloured, noise, write_pictures
from tests.support.cli import Bctk

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`known` in class folders, `other` of the same classes but much brighter, and `foreign` of no class."""
    root = tmp_path_factory.mktemp("pictures")
    write_pictures(root / "known", coloured(90, seed=7))
    write_pictures(root / "other", coloured(60, seed=8, brightness=190))
    write_pictures(root / "few", coloured(12, seed=9))
    write_pictures(root / "foreign", noise(25))
    return root


def test_predict_says_clearly_what_is_not_accepted(bctk: Bctk, ruled: Path, bundle: Path, pictures: Path) -> None:
    known, foreign = next((pictures / "known" / "reddish").iterdir()), pictures / "foreign" / "noise" / "000.png"
    lines = bctk("predict", ruled, known, foreign).stdout.splitlines()
    assert lines[0].startswith(f"{known}: reddish  reddish 0.")
    assert lines[1].startswith(f"{foreign}: NOT ACCEPTED, would be ")
    answers = [json.loads(line) for line in bctk("predict", ruled, known, foreign, "--json").stdout.splitlines()]
    assert [answer["accepted"] for answer in answers] == [True, False]
    assert json.loads(bctk("predict", bundle, known, "--json").stdout)["accepted"] is None


def test_evaluate_says_first_whether_the_images_look_alike(bctk: Bctk, ruled: Path, pictures: Path) -> None:
    done = bctk("evaluate", ruled, "--data", pictures / "known", "--foreign", pictures / "foreign")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    site, accuracy = (next(i for i, line in enumerate(lines) if line.startswith(what)) for what in ("site", "accuracy"))
    assert site < accuracy
    assert "these images look like the validation images" in lines[site]
    assert any(line.startswith("accepted ") and "fitted to 90%" in line for line in lines)
    assert any(line.startswith("risk–coverage: ") for line in lines)
    assert f"foreign pictures of {pictures / 'foreign'}: 0 of 25 accepted, 0.00% (0.00%–13.72%)" in lines


def test_another_site_is_told_on_page_and_in_json(bctk: Bctk, ruled: Path, pictures: Path, tmp_path: Path) -> None:
    done = bctk("evaluate", ruled, "--data", pictures / "other", "--out", "report", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    evaluation = json.loads(done.stdout)
    assert evaluation["site"]["outcome"] == "failed"
    assert evaluation["site"]["distance"]["low"] > 0.7
    assert evaluation["accepted"]["coverage"] < 0.1
    page = (tmp_path / "report" / "evaluation.html").read_text()
    assert "these images look DIFFERENT from the validation images" in page
    assert "risk–coverage curve" in page


def test_of_few_images_nothing_is_said(bctk: Bctk, ruled: Path, pictures: Path) -> None:
    done = bctk("evaluate", ruled, "--data", pictures / "few")
    assert "site: 12 images are too few to say whether they look like the validation images; 20 do" in done.stdout


def test_foreign_pictures_need_a_rule_to_refuse_them(refused: Refused, bundle: Path, pictures: Path) -> None:
    line = refused("evaluate", bundle, "--data", pictures / "known", "--foreign", pictures / "foreign")
    assert line == (
        "error: --foreign: tiny-onnx-fp32 has no acceptance rule; give a bundle that was exported with labelled images"
    )


def test_foreign_pictures_that_are_not_there(refused: Refused, ruled: Path, pictures: Path) -> None:
    line = refused("evaluate", ruled, "--data", pictures / "known", "--foreign", "nowhere")
    assert line.startswith("error: nowhere: no such folder or file")


@pytest.mark.parametrize("coverage", ["0", "1", "95", "much"])
def test_a_coverage_is_a_share(bctk: Bctk, coverage: str) -> None:
    assert bctk("export", "--coverage", coverage).returncode == 2
