"""The line of numpy in which a refusal ends, carried out."""

from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["code_of", "mend_file"]


def code_of(message: object) -> str:
    """What stands behind the last colon of a message."""
    assert "\n" not in str(message)
    code = str(message).rsplit(": ", 1)[1]
    return code[:-1] if code.count(")") > code.count("(") else code  # a bracket around the reason


def mend_file(path: Path, message: object) -> None:
    """Load the arrays of a file, do to them what the message says, and write them back."""
    single = path.suffix == ".npy"
    arrays: dict[str, Any] = {path.stem: np.load(path, allow_pickle=True)} if single else {}
    if not single:
        with np.load(path, allow_pickle=True) as stored:
            arrays = dict(stored)
    exec(code_of(message), {"np": np}, arrays)
    if single:
        np.save(path, arrays[path.stem])
    else:
        np.savez(path, **arrays)
