"""Every command once as a user starts it: in an interpreter of its own, which has imported nothing yet."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from bctoolkit.cli import cli
from tests.support.cli import commands, fresh_bctk

ELSEWHERE = {
    "train": "the fixture `workspace`",
    "export": "the fixture `workspace`",
    "bench": "the fixture `failed_bench`",
    "data fetch": "tests/cli/test_fetch.py",
    "sign": "tests/cli/test_signing.py",
    "dossier": "tests/cli/test_dossier.py",
    "app cpp": "tests/app/cpp",
    "app web": "tests/app/web",
    "demo": "below",
}
CASES: dict[str, tuple[tuple[str, ...], str]] = {
    "adopt": (("{bundle}/model.onnx", "--reference", "{run}", "--out", "adopted"), "adopted/model-onnx-fp32"),
    "init": (("mine",), "next: bctk train"),
    "data inspect": (("{images}",), "120 images"),
    "data clean": (("{images}", "--out", "cleaned"), "120"),
    "evaluate": (("{bundle}", "--data", "{images}", "--limit", "2"), "tiny-onnx-fp32: a bundle on 2 real images of "),
    "compare": (("{report}", "{report}"), "tiny-onnx-fp32"),
    "choose": (("{report}",), "tiny-onnx-fp32"),
    "predict": (("{bundle}", "{images}/left/000.png"), "000.png: "),
    "verify": (("{bundle}",), "verified"),
    "keygen": (("--out", "lab"), "lab.pub.pem: the public key"),
    "vectors": (("{bundle}", "--out", "vectors"), "64 files, 11 of them to be refused"),
}


def test_no_command_is_missing_here() -> None:
    assert set(commands(cli)) == ELSEWHERE.keys() | CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_a_command_works(
    name: str,
    bundle: Path,
    workspace: Path,
    class_folders: Path,
    failed_bench: tuple[CompletedProcess[str], Path],
    tmp_path: Path,
) -> None:
    arguments, expected = CASES[name]
    run = workspace / "training" / "runs" / "tiny"
    paths = {"bundle": bundle, "run": run, "images": class_folders, "report": failed_bench[1] / "report"}
    done = fresh_bctk(*name.split(), *(argument.format(**paths) for argument in arguments), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


@pytest.mark.soak
def test_the_demo_goes_the_whole_way(tmp_path: Path) -> None:
    done = fresh_bctk("demo", cwd=tmp_path, timeout=1200)
    assert done.returncode == 0, done.stderr
    [folder] = (tmp_path / "benchmarks" / "reports").iterdir()
    results = json.loads((folder / "report.json").read_text())["results"]
    assert len(results) == 4
    assert all(result["parity"]["golden"]["top1_agreement"] > 0.9 for result in results)
    assert " of its size" in done.stdout
    assert done.stdout.splitlines()[-1] == "  bctk bench --data images/"
