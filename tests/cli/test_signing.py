"""Keys, signing and trust from the command line."""

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Refused
from tests.support.bundles import SIGNED, SIGNED_BY
from tests.support.cli import Bctk, fresh_bctk


def test_a_bundle_is_signed_and_trusted_as_a_user_does_it(tmp_path: Path) -> None:
    shutil.copytree(SIGNED, tmp_path / "bundle")
    for arguments, expected in (
        (("keygen", "--out", "keys/lab"), "next: bctk export --sign keys/lab.key.pem"),
        (("sign", "bundle", "--key", "keys/lab.key.pem"), "bundle: signed"),
        (("verify", "bundle", "--trusted", "keys/lab.pub.pem"), "signature: by the trusted key"),
    ):
        done = fresh_bctk(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


def test_an_export_signs_its_bundles_reused_ones_too(workspace: Path, bctk: Bctk, tmp_path: Path) -> None:
    shutil.copytree(workspace, tmp_path, dirs_exist_ok=True)
    assert bctk("keygen", "--curve", "p384").returncode == 0
    options = ("--format", "onnx", "--format", "tflite")
    done = bctk("export", "tiny", *options, "--sign", "signing.key.pem")
    assert done.returncode == 0, done.stderr
    for path in done.stdout.splitlines()[:2]:
        verified = bctk("verify", path, "--trusted", "signing.pub.pem")
        assert "signature: by the trusted key" in verified.stdout
        assert "the same in manifest, model." in verified.stdout


@pytest.mark.parametrize("trusted", [(SIGNED_BY,), ("missing.pem",)])
@pytest.mark.parametrize("command", ["verify", "predict"])
def test_an_unsigned_bundle_is_refused_where_a_key_is_trusted(
    command: str, trusted: tuple[Path, ...], bundle: Path, class_folders: Path, refused: Refused
) -> None:
    image = [class_folders / "left" / "000.png"] if command == "predict" else []
    line = refused(command, bundle, *image, *(word for key in trusted for word in ("--trusted", key)))
    assert "not signed: it holds no model.sig" in line or "missing.pem: no such file" in line


@pytest.mark.parametrize("command", ["export", "adopt", "sign"])
def test_a_key_that_cannot_sign_is_refused_before_any_work(
    command: str, bundle: Path, workspace: Path, refused: Refused
) -> None:
    run = workspace / "training" / "runs" / "tiny"
    arguments = {
        "export": ("export", run, "--sign", SIGNED_BY),
        "adopt": ("adopt", bundle / "model.onnx", "--reference", run, "--sign", SIGNED_BY),
        "sign": ("sign", bundle, "--key", SIGNED_BY),
    }
    assert "is a public key, which can only check signatures" in refused(*arguments[command])


def test_a_signature_that_nobody_asks_about_is_said_to_be_unchecked(bctk: Bctk) -> None:
    done = bctk("verify", SIGNED)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "signature: model.sig is not checked, as no key is --trusted"
    assert "the same in manifest, model.onnx, golden.npz" in done.stdout
