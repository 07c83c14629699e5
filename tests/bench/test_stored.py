"""Reports that others wrote: names that are no paths, figures one can divide by, predictions that fit each other."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bctoolkit.bench.documents.predictions import Predictions
from bctoolkit.bench.documents.report import Report
from bctoolkit.bench.documents.stored import read
from bctoolkit.documents import to_json
from bctoolkit.errors import RecipeError


@pytest.mark.parametrize("name", ["../../elsewhere", "/etc/x", "a\x1b[2J", ""])
@pytest.mark.parametrize("key", ["bundle", "target", "key"])
def test_a_report_of_others_names_no_path(report: Report, tmp_path: Path, key: str, name: str) -> None:
    """Its predictions are looked for by that name."""
    raw = json.loads(to_json(report))
    raw["results"][0][key] = name
    (tmp_path / "report.json").write_text(json.dumps(raw))
    with pytest.raises(RecipeError, match=rf"report\.json: {key}: "):
        read(tmp_path)


@pytest.mark.parametrize("field", ["p50", "mean"])
@pytest.mark.parametrize("value", [0, -1.5, 1e300])
def test_a_report_of_others_divides_by_no_zero(report: Report, tmp_path: Path, field: str, value: float) -> None:
    raw = json.loads(to_json(report))
    raw["results"][0]["latency_ms"][field] = value
    (tmp_path / "report.json").write_text(json.dumps(raw))
    with pytest.raises(RecipeError, match=field):
        read(tmp_path)


SPOILT: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "no observations": lambda arrays: {"golden": arrays["golden"], "labels": arrays["labels"]},
    "fewer labels": lambda arrays: arrays | {"labels": arrays["labels"][:-1]},
    "a label of no class": lambda arrays: arrays | {"labels": arrays["labels"] + 7},
    "another reference": lambda arrays: arrays | {"reference": arrays["golden"]},
    "a sample of no image": lambda arrays: arrays | {"sample": np.array([99]), "corrupted": np.zeros((1, 2, 3), "i2")},
    "text": lambda arrays: arrays | {"golden": np.array(["a"])},
    "something else": lambda arrays: arrays | {"evil": np.zeros(3)},
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_predictions_of_others_fit_each_other(tmp_path: Path, spoil: str) -> None:
    arrays = {
        "golden": np.ones((2, 3), np.float32),
        "hashes": np.zeros((4, 32), np.uint8),
        "labels": np.array([0, 1, 2, 0]),
        "observed": np.ones((4, 3), np.float32),
    }
    np.savez(tmp_path / "fine.npz", **arrays)  # type: ignore[arg-type]
    assert Predictions.read(tmp_path / "fine.npz").labelled is not None
    np.savez(tmp_path / "spoilt.npz", **SPOILT[spoil](arrays))
    with pytest.raises(RecipeError, match=r"spoilt\.npz"):
        Predictions.read(tmp_path / "spoilt.npz")
