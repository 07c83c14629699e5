"""Signatures of ours are those of the package `model-signing`, and the other way round."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from bctoolkit import bundle as bundles
from bctoolkit.signing import SIGNATURE, new_key, read_public_keys, write_pair
from tests.support.bundles import SIGNED, SIGNED_BY

REASON = "the package model-signing is not installed (pip install model-signing pyopenssl)"


def test_a_bundle_signed_by_the_package_is_trusted() -> None:
    opened = bundles.read(SIGNED, [SIGNED_BY])
    assert opened.signed_by == read_public_keys([SIGNED_BY])[0].hint
    opened.check()


@pytest.fixture
def package() -> Any:
    pytest.importorskip("OpenSSL", reason=REASON)
    return pytest.importorskip("model_signing", reason=REASON)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("curve", ["p256", "p384"])
def test_each_verifies_what_the_other_signed(curve: str, package: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(SIGNED, tmp_path / "bundle"))
    private, public, signature = tmp_path / "key.pem", tmp_path / "pub.pem", folder / SIGNATURE
    key = new_key(curve)
    write_pair(key, private, public)

    bundles.sign(folder, key)
    verifier = package.verifying.Config().use_elliptic_key_verifier(public_key=public)
    verifier.verify(folder, signature)
    (folder / "added").touch()
    with pytest.raises(ValueError, match="Extra files found"):
        verifier.verify(folder, signature)
    (folder / "added").unlink()

    signature.unlink()
    signer = package.signing.Config().use_elliptic_key_signer(private_key=private)
    signer.set_hashing_config(package.hashing.Config().set_ignored_paths(paths=[signature]))
    signer.sign(folder, signature)
    assert bundles.read(folder, [public]).signed_by == key.public.hint
