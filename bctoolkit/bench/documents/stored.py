"""Reports on disk, read back."""

from dataclasses import dataclass
from pathlib import Path

from bctoolkit.bench.documents.predictions import Answered
from bctoolkit.bench.documents.report import ANSWERS, REPORT, Report, Result, Settings
from bctoolkit.documents import decode_json, parse
from bctoolkit.errors import RecipeError

__all__ = ["SCHEMA", "Stored", "answers_name", "read", "samples_name"]


SCHEMA = 1


def answers_name(bundle: str, provider: str | None, settings: Settings) -> str:
    """The name, without its ending, of the file that holds a bundle's answers on a provider."""
    return f"{bundle}@{provider}" if len(settings.providers) > 1 else bundle


def samples_name(bundle: str, provider: str | None, threads: int, settings: Settings) -> str:
    """The name under which the raw samples of a bundle on a provider, with so many threads, are kept."""
    return answers_name(bundle, provider, settings) + (f"@{threads}" if settings.sweep else "")


@dataclass(frozen=True)
class Stored:
    """A report and where it was read from."""

    name: str
    report: Report
    folder: Path

    def answers(self, result: Result) -> Answered | None:
        """What a bundle said of each image; None where only `report.json` was kept."""
        name = answers_name(result.bundle, result.provider, self.report.settings)
        path = self.folder / ANSWERS / f"{name}.npz"
        return Answered.read(path) if path.is_file() else None


def read(path: Path) -> Stored:
    """Read a report folder, or its `report.json` alone.

    Raises:
        RecipeError: it is none, or was written by a later version.
    """
    file = path / REPORT if path.is_dir() else path
    try:
        content = file.read_bytes()
    except OSError as problem:
        raise RecipeError(f"{file}: {problem.strerror}; give a report folder, or its {REPORT}") from None
    raw = decode_json(content, str(file), RecipeError, f"give a report folder, or its {REPORT}")
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise RecipeError(f"{file}: schema {schema}, this bctoolkit reads up to {SCHEMA}; upgrade bctoolkit")
    name = file.parent.absolute().name if file.name == REPORT else file.stem
    return Stored(name, parse(Report, raw, str(file), RecipeError), file.parent)
