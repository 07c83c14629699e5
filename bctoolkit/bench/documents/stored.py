"""Reports on disk, read back."""

import os
from dataclasses import dataclass
from pathlib import Path

from bctoolkit.bench.documents.fleet import DEVICES, Fleet
from bctoolkit.bench.documents.predictions import Predictions
from bctoolkit.bench.documents.report import PREDICTIONS, REPORT, Report, Result
from bctoolkit.documents import decode_json, parse
from bctoolkit.documents.base import MOST_JSON
from bctoolkit.errors import RecipeError
from bctoolkit.untrusted.files import read_bounded

__all__ = ["SCHEMA", "StoredReport", "read", "read_all"]


SCHEMA = 1


@dataclass(frozen=True)
class StoredReport:
    """A report and where it was read from."""

    name: str
    report: Report
    folder: Path
    content: bytes = b""
    """Of `report.json`, as it was read."""

    def predictions(self, result: Result) -> Predictions | None:
        """What a bundle predicts for each image; None where only `report.json` was kept."""
        path = self.folder / PREDICTIONS / f"{result.target}.npz"
        return Predictions.read(path) if os.path.lexists(path) else None


def read(path: Path) -> StoredReport:
    """Read a report folder, or its `report.json` alone.

    Raises:
        RecipeError: it is none, or of several machines, or was written by a later version.
    """
    reports = read_all(path)
    if len(reports) > 1:
        names = ", ".join(each.name for each in reports)
        raise RecipeError(f"{path}: holds the reports of several machines; name one in its folder {DEVICES}: {names}")
    return reports[0]


def read_all(path: Path) -> list[StoredReport]:
    """Read the report of each machine in a report folder, or in its `report.json` alone.

    Raises:
        RecipeError: it is none, or was written by a later version.
    """
    file, remedy = path / REPORT if path.is_dir() else path, f"give a report folder, or its {REPORT}"
    try:
        content = read_bounded(file, MOST_JSON, RecipeError)
    except RecipeError as problem:
        raise RecipeError(f"{problem}; {remedy}") from None
    raw = decode_json(content, str(file), RecipeError, remedy)
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise RecipeError(f"{file}: schema {schema}, this bctoolkit reads up to {SCHEMA}; upgrade bctoolkit")
    if isinstance(raw, dict) and DEVICES in raw:
        fleet = parse(Fleet, raw, str(file), RecipeError)
        return [StoredReport(each.name, each.report, file.parent / DEVICES / each.name) for each in fleet.devices]
    name = file.parent.absolute().name if file.name == REPORT else file.stem
    return [StoredReport(name, parse(Report, raw, str(file), RecipeError), file.parent, content)]
