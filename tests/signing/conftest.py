"""A key, and a small bundle that it has signed."""

import shutil
from pathlib import Path

import pytest

from bctoolkit import bundle as bundles
from bctoolkit.signing import PrivateKey, new_key
from tests.support.bundles import SIGNED


@pytest.fixture(scope="session")
def key() -> PrivateKey:
    return new_key()


@pytest.fixture(scope="session")
def other_key() -> PrivateKey:
    return new_key("p384")


@pytest.fixture
def signed(key: PrivateKey, tmp_path: Path) -> Path:
    """A bundle signed by `key`."""
    copy = Path(shutil.copytree(SIGNED, tmp_path / "bundle"))
    bundles.sign(copy, key)
    return copy
