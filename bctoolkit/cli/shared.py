"""What several commands share."""

import contextlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime

from bctoolkit.errors import BctkError
from bctoolkit.lazy import missing
from bctoolkit.progress import Terminal

__all__ = ["quiet_engines", "require_all", "stamp"]


def require_all(extra: str, *modules: str) -> None:
    """Check that everything a stage imports is installed, or say what to install.

    Raises:
        MissingExtra: a package is missing.
    """
    for module in modules:
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise missing(module, extra)


def stamp() -> str:
    """The local time as part of a folder's name."""
    return datetime.now().strftime("%Y%m%d-%H%M%S")


@contextlib.contextmanager
def quiet_engines() -> Iterator[Terminal]:
    """Keep what TensorFlow and the engines chatter off the terminal, and yield a progress that still reaches it.

    Their native code writes to file descriptor 2 whatever Python's settings are, so that descriptor is pointed at a
    file meanwhile. A crash prints what the file holds. `BCTK_VERBOSE=1` lets everything through.
    """
    if os.environ.get("BCTK_VERBOSE"):
        yield Terminal()
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as chatter, os.fdopen(original, "w", encoding="utf-8", errors="replace") as screen:
        os.dup2(chatter.fileno(), 2)
        try:
            yield Terminal(screen)
        except (BctkError, KeyboardInterrupt):
            raise
        except Exception:
            chatter.seek(0)
            screen.write(chatter.read().decode(errors="replace"))
            raise
        finally:
            sys.stderr.flush()
            screen.flush()
            os.dup2(original, 2)
