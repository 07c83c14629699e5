"""What the tests of several machines share: sshd on loopback, and settings that are over soon."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bctoolkit.bench.documents.settings import Settings
from tests.support.sshd import Sshd


@pytest.fixture
def short() -> Settings:
    return Settings(sessions=2, min_runs=10, min_seconds=0.3, warmup_runs=5, warmup_seconds=0.01, threads=1)


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    server = Sshd(tmp_path / "sshd")
    yield server
    server.stop()
