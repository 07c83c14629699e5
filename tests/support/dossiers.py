"""Documents as other commands would have stored them, of a bundle that exists."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bctoolkit import bundle as bundles
from bctoolkit import run as runs
from bctoolkit.bench.documents import stored
from bctoolkit.documents import to_json, to_toml
from bctoolkit.files import sha256_file
from bctoolkit.manifest import Manifest
from bctoolkit.recipes import TrainRecipe, read_train_recipe
from tests.support.bundles import SIGNED

__all__ = ["REPORT", "edit", "report_of", "run_of"]

REPORT = SIGNED.with_name("report.json")


def report_of(path: Path, target: Path, **changes: Any) -> Path:
    """The stored report, as if its first result were of this bundle; the others stay of others."""
    manifest, report = bundles.read(path).manifest, stored.read(REPORT).report
    first = report.results[0]
    assert first.parity.labelled is not None
    renamed = dict(zip(first.parity.labelled.recall, manifest.labels, strict=True))
    labelled = msgspec.structs.replace(
        first.parity.labelled,
        recall={renamed[name]: value for name, value in first.parity.labelled.recall.items()},
        class_changes={renamed[name]: value for name, value in first.parity.labelled.class_changes.items()},
    )
    mine = msgspec.structs.replace(
        first,
        format=manifest.format,
        quantization=manifest.quantization,
        model_sha256=manifest.model.sha256,
        parity=msgspec.structs.replace(first.parity, labelled=labelled),
    )
    mine = msgspec.structs.replace(mine, **changes)
    others = [msgspec.structs.replace(each, model_sha256="f" * 64) for each in report.results[1:]]
    target.mkdir(parents=True, exist_ok=True)
    (target / "report.json").write_bytes(to_json(msgspec.structs.replace(report, results=(mine, *others))))
    return target


def run_of(bundle: Path, target: Path) -> Path:
    """The documents of a run that the bundle could have been made of."""
    manifest: Manifest = bundles.read(bundle).manifest
    target.mkdir(parents=True)
    recipe: TrainRecipe = read_train_recipe(Path(__file__).parents[2] / "training" / "recipes" / "smoke.toml")
    (target / runs.RECIPE).write_bytes(to_toml(recipe))
    counts = {part: dict.fromkeys(manifest.labels, size) for part, size in (("train", 70), ("validation", 15))}
    facts = runs.RunFacts(
        name=manifest.source.run,
        model="baseline_cnn",
        parameters=12_345,
        labels=manifest.labels,
        input=manifest.input,
        precision="float32",
        weights="none",
        data=runs.DataFacts("images/", "real", manifest.source.dataset_sha256, counts),
        seconds=12.5,
        model_sha256=manifest.source.model_sha256,
        recipe_sha256=sha256_file(target / runs.RECIPE),
        tools={"keras": "3.15.1"},
        created="2026-01-02T03:04:05+00:00",
    )
    rows = [
        runs.EpochRow(
            phase="head" if epoch < 3 else "all", epoch=epoch, seconds=2.0, waiting_share=0.1, learning_rate=1e-3,
            loss=1 / epoch, accuracy=1 - 0.5 / epoch, val_loss=1.1 / epoch, val_accuracy=1 - 0.6 / epoch,
        )
        for epoch in range(1, 5)
    ]  # fmt: skip
    metrics = runs.TestMetrics(
        count=8, accuracy=1.0, accuracy_ci95=(0.63, 1.0), macro_f1=1.0, ece=0.02,
        recall=dict.fromkeys(manifest.labels, 1.0), confusion=((3, 0, 0), (0, 3, 0), (0, 0, 2)),
    )  # fmt: skip
    for name, document in ((runs.FACTS, facts), (runs.HISTORY, rows), (runs.METRICS, metrics)):
        (target / name).write_bytes(to_json(document))
    return target


def edit(file: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON document in place."""
    raw = json.loads(file.read_bytes())
    change(raw)
    file.write_text(json.dumps(raw))
