"""The shelves a user works on: `training/`, `exports/`, `benchmarks/`, and how commands find things on them.

A workspace is the current folder. Built-in recipes are known by name everywhere: those of the workspace come first,
then those that come with the package.
"""

import shutil
from pathlib import Path

from bctoolkit.errors import ExportError, RecipeError
from bctoolkit.files import atomic_folder, copy_files, require_readable, without_empty_folders

__all__ = ["SHELVES", "Workspace", "create", "shipped"]

SHELVES: dict[str, tuple[str, str]] = {
    "training": ("recipes", "runs"),
    "exports": ("recipes", "bundles"),
    "benchmarks": ("budgets", "reports"),
}
"""Shelf → the folder of declared inputs, the folder a command fills."""

IGNORED = "data/\nruns/\nbundles/\nreports/\n.cache/\n"


def shipped() -> Path:
    """The folder that holds the shelves that come with the package: inside a wheel, or the source checkout."""
    package = Path(__file__).parent
    inside = package / "shelves"
    return inside if inside.is_dir() else package.parent


class Workspace:
    """The shelves under one folder."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or Path()
        self.runs = self.root / "training" / "runs"
        self.bundles = self.root / "exports" / "bundles"
        self.prediction_cache = self.root / "exports" / ".cache"
        self.reports = self.root / "benchmarks" / "reports"
        self.data = self.root / "training" / "data"

    def declared(self, shelf: str, name: str) -> Path:
        """The TOML file of a recipe or budget given by name or by path.

        Raises:
            RecipeError: there is none; the message names those that exist.
        """
        if name.endswith(".toml") or "/" in name:
            if not Path(name).is_file():
                raise RecipeError(f"no such file: {name}")
            return Path(name)
        files = self._declared(shelf)
        if name not in files:
            kind = SHELVES[shelf][0].removesuffix("s")
            raise RecipeError(f"unknown {kind} {name!r}; {kind}s: {', '.join(sorted(files))}; or give a .toml file")
        return files[name]

    def _declared(self, shelf: str) -> dict[str, Path]:
        folder = SHELVES[shelf][0]
        files: dict[str, Path] = {}
        for root in (shipped(), self.root):
            files |= {path.stem: path for path in sorted((root / shelf / folder).glob("*.toml"))}
        return files

    def default_data(self) -> str | None:
        """The workspace's own images, if there are any: class folders, `.npy` files, or a single `.npz`."""
        if not self.data.is_dir():
            return None
        if any(self.data.glob("*.npy")) or any(path.is_dir() for path in self.data.iterdir()):
            return str(self.data)
        archives = list(self.data.glob("*.npz"))
        return str(archives[0]) if len(archives) == 1 else None

    def unfinished_run(self, name: str | None) -> Path:
        """The run that `bctk train --resume` continues: the one of that name, or the one started last.

        Raises:
            RecipeError: there is no unfinished run.
        """
        return self.runs / name if name is not None else _newest_unfinished(self.runs, "run")

    def unfinished_report(self) -> Path:
        """The report that `bctk bench --resume` continues: the one started last.

        Raises:
            RecipeError: there is no unfinished report.
        """
        return _newest_unfinished(self.reports, "report")

    def model(self, name: str | None) -> Path:
        """What `bctk export` is asked to export: a finished run by path or name, a model, or the newest run.

        A model is a file, whatever it holds, or the folder of a SavedModel.

        Raises:
            ExportError: there is no such run or file.
        """
        require_readable(self.runs)
        finished = sorted(self.runs.glob("[!.]*/model.keras"), key=lambda path: path.stat().st_mtime)
        if name is None:
            if not finished:
                raise ExportError(f"no finished run in {self.runs}; make one with: bctk train --data PATH")
            return finished[-1].parent
        for candidate in (Path(name), self.runs / name):
            if any((candidate / file).is_file() for file in ("model.keras", "saved_model.pb")):
                return candidate
        if Path(name).exists() and not Path(name).is_dir():
            return Path(name)
        if name.endswith((".keras", ".h5", ".hdf5")):
            raise ExportError(f"{name}: no such file")
        if Path(name).is_dir():
            raise ExportError(f"{name}: holds neither a finished run (model.keras) nor a SavedModel (saved_model.pb)")
        names = ", ".join(path.parent.name for path in finished) or "none"
        raise ExportError(f"no finished run {name!r}; runs in {self.runs}: {names}")


def _newest_unfinished(shelf: Path, what: str) -> Path:
    require_readable(shelf)
    folders = sorted(shelf.glob(".*.unfinished"), key=lambda path: path.stat().st_mtime)
    targets = [path.with_name(path.name[1:].removesuffix(".unfinished")) for path in folders]
    unfinished = [target for target in targets if not target.exists()]
    if not unfinished:
        raise RecipeError(f"--resume: no unfinished {what} in {shelf}")
    return unfinished[-1]


def create(root: Path) -> list[Path]:
    """Make the three shelves in `root` and fill them with the shipped recipes and budgets.

    Raises:
        RecipeError: one of the shelves already exists; nothing is changed.
    """
    existing = [shelf for shelf in SHELVES if (root / shelf).exists()]
    if existing:
        raise RecipeError(f"{root / existing[0]} already exists; choose an empty folder")
    created: list[Path] = []
    with without_empty_folders(root):
        try:
            for shelf, (declared, _) in SHELVES.items():
                with atomic_folder(root / shelf, "README.md", ()) as folder:
                    copy_files(shipped() / shelf / declared, folder / declared)
                    shutil.copyfile(shipped() / shelf / "README.md", folder / "README.md")
                    (folder / ".gitignore").write_text(IGNORED)
                created.append(root / shelf)
        except BaseException:
            for made in created:
                shutil.rmtree(made, ignore_errors=True)
            raise
    return created
