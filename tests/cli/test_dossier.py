"""`bctk dossier`, as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from tests.support.bundles import SIGNED, SIGNED_BY
from tests.support.cli import Bctk, fresh_bctk
from tests.support.figures import Page, require_figure, unlinked_numbers

Refused = Callable[..., str]


def test_a_bundle_its_report_and_its_run_by_name(
    bctk: Bctk, workspace: Path, failed_bench: tuple[CompletedProcess[str], Path], tmp_path: Path
) -> None:
    bundle, report = workspace / "exports" / "bundles" / "tiny-onnx-fp32", failed_bench[1] / "report"
    done = bctk("dossier", bundle, report, "--run", "tiny", "--out", tmp_path / "dossier", cwd=workspace)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"page: {tmp_path / 'dossier' / 'dossier.html'}"
    page = Page(tmp_path / "dossier")
    for figure in page.figures:
        require_figure(tmp_path / "dossier", figure)
    assert unlinked_numbers(page) == []
    document = json.loads((tmp_path / "dossier" / "dossier.json").read_bytes())
    assert {"run.json", "recipe.toml", "history.json", "metrics.json"} <= {file["file"] for file in document["files"]}
    assert any("max_size_mb is failed" in line for line in document["limits"])


def test_a_fresh_interpreter_without_any_measurement(tmp_path: Path) -> None:
    done = fresh_bctk("dossier", SIGNED, "--trusted", SIGNED_BY, "--out", "dossier", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "not measured on any device: bctk bench BUNDLE --data PATH" in done.stdout.splitlines()
    assert "signed by a trusted key" in done.stdout
    assert (tmp_path / "dossier" / "dossier.html").is_file()


def test_an_earlier_dossier_is_replaced(bctk: Bctk, tmp_path: Path) -> None:
    for _ in range(2):
        assert bctk("dossier", SIGNED, "--out", "dossier").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["dossier"]


def test_a_report_of_another_bundle(refused: Refused, failed_bench: tuple[CompletedProcess[str], Path]) -> None:
    line = refused("dossier", SIGNED, failed_bench[1] / "report", "--out", "dossier")
    assert "is not of this bundle but of tiny-onnx-fp32" in line


def test_what_is_no_bundle(refused: Refused) -> None:
    assert refused("dossier", "nowhere", "--out", "dossier") == "error: nowhere: no such folder"


def test_wrong_usage_is_exit_code_2(bctk: Bctk) -> None:
    assert bctk("dossier", SIGNED).returncode == 2
    assert bctk("dossier", "--out", "x").returncode == 2
