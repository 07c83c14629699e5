"""Reports on disk, read back."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bctoolkit.bench.analysis.parity import Answered
from bctoolkit.bench.documents.report import ANSWERS, REPORT, Report, Result
from bctoolkit.documents import parse
from bctoolkit.errors import RecipeError

__all__ = ["SCHEMA", "Stored", "read"]

SCHEMA = 1


@dataclass(frozen=True)
class Stored:
    """A report and where it was read from."""

    name: str
    report: Report
    folder: Path

    def answers(self, result: Result) -> Answered | None:
        """What a bundle said of each image; None where only `report.json` was kept."""
        swept = len(self.report.settings.providers) > 1
        name = f"{result.bundle}@{result.provider}" if swept else result.bundle
        path = self.folder / ANSWERS / f"{name}.npz"
        return Answered.read(path) if path.is_file() else None


def read(path: Path) -> Stored:
    """Read a report folder, or its `report.json` alone.

    Raises:
        RecipeError: it is none, or was written by a later version.
    """
    file = path / REPORT if path.is_dir() else path
    try:
        raw: Any = json.loads(file.read_bytes())
    except OSError as problem:
        raise RecipeError(f"{file}: {problem.strerror}; give a report folder, or its {REPORT}") from None
    except ValueError:
        raise RecipeError(f"{file}: not JSON; give a report folder, or its {REPORT}") from None
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise RecipeError(f"{file}: schema {schema}, this bctoolkit reads up to {SCHEMA}; upgrade bctoolkit")
    name = file.parent.absolute().name if file.name == REPORT else file.stem
    return Stored(name, parse(Report, raw, str(file), RecipeError), file.parent)
