"""What several commands share."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bctoolkit.errors import BctkError, RecipeError
from bctoolkit.escaping.text import ESCAPED
from bctoolkit.lazy import is_installed, missing
from bctoolkit.progress import Terminal

if TYPE_CHECKING:
    from bctoolkit.bench.documents.stored import StoredReport

__all__ = [
    "quiet_engines",
    "refuse_beside_resume",
    "report_path",
    "require_extras",
    "run_path",
    "stamp",
    "stored_reports",
]


EXTRAS: dict[str, tuple[str, ...]] = {
    "train": ("tensorflow", "keras", "PIL", "matplotlib", "scipy", "tomli_w"),
    "export": ("tensorflow", "keras", "PIL", "onnx", "tf2onnx", "onnxruntime", "ai_edge_litert"),
    "images": ("PIL",),
    "data": ("PIL", "scipy", "rich"),
    "bench": ("psutil", "scipy", "rich", "PIL", "matplotlib"),
    "sign": ("cryptography",),
}
"""What each command imports besides bctoolkit's own dependencies."""


def require_extras(*extras: str) -> None:
    """Check before any work that everything the commands import is installed, or say what to install.

    Raises:
        MissingExtra: a package is missing.
    """
    for extra in extras:
        for module in EXTRAS[extra]:
            if not is_installed(module):
                raise missing(module, extra)


def stamp() -> str:
    """The local time as part of a folder's name."""
    return datetime.now().strftime("%Y%m%d-%H%M%S")


def refuse_beside_resume(context: click.Context, allowed: tuple[str, ...], what: str) -> None:
    """Refuse every option but `allowed`: what is resumed has them already.

    Args:
        context: of the command.
        allowed: names of parameters besides `resume`.
        what: what continues, as "the run".

    Raises:
        RecipeError: another parameter stands on the command line.
    """
    for parameter in context.command.params:
        name = str(parameter.name)
        explicit = context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
        if explicit and name not in ("resume", *allowed):
            option = parameter.opts[0] if isinstance(parameter, click.Option) else (parameter.metavar or name.upper())
            option = option.strip("[].")
            raise RecipeError(f"{option} cannot go with --resume: {what} continues as it was started")


def stored_reports(names: tuple[str, ...]) -> "list[list[StoredReport]]":
    """The reports of these folders, files, or names in `benchmarks/reports`: of each one for every machine.

    Raises:
        RecipeError: one is none.
    """
    from bctoolkit.bench.documents.stored import read_all

    return [read_all(report_path(name)) for name in names]


def report_path(name: str) -> Path:
    """A report's folder or file by path, or by its name in `benchmarks/reports`."""
    from bctoolkit.workspace import Workspace

    return _on_shelf(Workspace().reports, name)


def run_path(name: str) -> Path:
    """A run's folder by path, or by its name in `training/runs`."""
    from bctoolkit.workspace import Workspace

    return _on_shelf(Workspace().runs, name)


def _on_shelf(shelf: Path, name: str) -> Path:
    there = shelf / name
    return there if there.exists() and not Path(name).exists() else Path(name)


@contextlib.contextmanager
def quiet_engines() -> Iterator[Terminal]:
    """Keep what TensorFlow and the engines chatter off the terminal, and yield a progress that still reaches it.

    Their native code writes to file descriptor 2 whatever Python's settings are, so that descriptor is pointed at a
    file meanwhile. With `--debug` a crash prints what the file holds. `BCTK_VERBOSE=1` lets everything through.
    """
    if os.environ.get("BCTK_VERBOSE"):
        yield Terminal()
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    sys.stderr.flush()
    original, encoding = os.dup(2), getattr(sys.stderr, "encoding", None) or "utf-8"
    with tempfile.TemporaryFile() as chatter, os.fdopen(original, "w", encoding=encoding, errors=ESCAPED) as screen:
        os.dup2(chatter.fileno(), 2)
        try:
            yield Terminal(screen)
        except (BctkError, KeyboardInterrupt):
            raise
        except Exception:
            if _debugging():
                chatter.seek(0)
                screen.write(chatter.read().decode(errors="replace"))
            raise
        finally:
            sys.stderr.flush()
            screen.flush()
            os.dup2(original, 2)


def _debugging() -> bool:
    context = click.get_current_context(silent=True)
    settings = context and context.find_object(dict)
    return bool(settings and settings.get("debug"))
