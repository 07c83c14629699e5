"""What the tests of the dossier share: a bundle with all that it can have, and what was measured of it."""

from pathlib import Path
from typing import Any

import pytest

from bctoolkit.bench import pipeline
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.evaluate import evaluate
from bctoolkit.progress import Silent
from bctoolkit.recipes import Budget
from tests.conftest import once
from tests.support.acceptance import coloured, noise, ruled_bundle, write_pictures
from tests.support.local_child import do_jobs_locally


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle that has a rule, its report in every respect, and an evaluation of it. Read only."""

    def make(root: Path) -> None:
        ruled_bundle(root / "colours")
        data, foreign = (write_pictures(root / "data", coloured(60, 7)), write_pictures(root / "noise", noise(24)))
        settings = Settings(
            sessions=2, min_runs=24, min_seconds=0.05, warmup_runs=5, warmup_seconds=0.01, threads=1, corrupted=6
        )
        budget = Budget(device="a desk", max_size_mb=0.0001, max_p50_ms=1_000, min_accuracy=0.5)
        with pytest.MonkeyPatch.context() as monkeypatch:
            do_jobs_locally(monkeypatch)
            options: dict[str, Any] = {"data": str(data), "foreign": str(foreign), "budget": budget}
            pipeline.bench([root / "colours"], settings, root / "report", Silent(), **options)
        evaluate(
            root / "colours", str(data), Silent(), part="all", corruptions=True, limit=8, foreign=str(foreign),
            target=root / "evaluation",
        )  # fmt: skip

    return once(tmp_path_factory, "measured", make)
