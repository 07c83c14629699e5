"""Settings as one writes them in one word of a command line: `1/127.5,-1`, `96x128`, `cat,dog`, `labels.txt`."""

import re
from pathlib import Path
from typing import Any, get_args

from bctoolkit.documents.preprocessing import Preset, require_labels
from bctoolkit.errors import RecipeError
from bctoolkit.untrusted.files import read_bounded
from bctoolkit.untrusted.values import from_json

__all__ = ["pattern_fault", "read_labels", "read_prepared", "read_scale", "read_size"]

MOST_BYTES = 4 * 2**20
"""Of a file of labels."""

NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)(?:/(\d+\.?\d*))?", re.ASCII | re.IGNORECASE)
"""A decimal number, or one over another."""


def pattern_fault(text: str) -> str | None:
    """Why a text is no regular expression; None where it is one."""
    try:
        re.compile(text)
    except re.error as problem:
        return f"{text!r} is no regular expression ({problem})"
    return None


def read_scale(text: str, option: str = "--scale") -> str | list[float]:
    """A preset's name, or factor and offset: `0-1`, `1/127.5,-1`.

    Raises:
        RecipeError: neither.
    """
    presets = get_args(Preset)
    if text in presets:
        return text
    matches = [NUMBER.fullmatch(part.strip()) for part in text.split(",")]
    if len(matches) == 2 and all(matches):
        numbers = [_quotient(*match.groups()) for match in matches if match]
        if None not in numbers:
            return [number for number in numbers if number is not None]
    raise RecipeError(
        f"{option} {text}: wanted {', '.join(presets)}, or FACTOR,OFFSET such as 1/127.5,-1; numbers per channel go "
        "into a recipe"
    )


def _quotient(above: str, below: str | None) -> float | None:
    divisor = float(below or 1)
    return float(above) / divisor if divisor else None


def read_size(text: str) -> int | list[int]:
    """One side of a square, or height and width: `96`, `96x128`.

    Raises:
        RecipeError: neither.
    """
    match = re.fullmatch(r"(\d{1,5})(?:[x×](\d{1,5}))?", text, re.ASCII)
    if match is None or "0" in {side.lstrip("0") or "0" for side in match.groups() if side}:
        raise RecipeError(f"--size {text}: wanted pixels, as 96, or height and width, as 96x128")
    height, width = match.groups()
    return int(height) if width is None else [int(height), int(width)]


def read_prepared(text: str) -> tuple[int, int]:
    """How images were made from a microscope's pictures: `centre 200 of 360`.

    Returns:
        Side of the centre, and shorter side of the pictures, in pixels.

    Raises:
        RecipeError: it says something else, or the centre is larger than the picture.
    """
    match = re.fullmatch(r"cent(?:re|er) (\d{1,5}) of (\d{1,5})", " ".join(text.lower().split()), re.ASCII)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise RecipeError(
            f"--prepared {text[:80]!r}: wanted the side of the centre that was cut out, and the pictures' shorter "
            "side in pixels, as 'centre 200 of 360'"
        )
    return int(match[1]), int(match[2])


def read_labels(text: str) -> list[str]:
    """Names of classes, from a file of one a line or of a JSON list, or as they stand here, with commas between.

    Raises:
        RecipeError: a file that cannot be read, is too large or holds something else; names that are no labels.
    """
    path = Path(text)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # too long for a name, or no name at all
        is_file = False
    if not is_file and "," not in text:
        raise RecipeError(f"--labels {text[:200]}: no such file; give a file of one name a line, or names as a,b,c")
    labels = _from_file(path) if is_file else [name.strip() for name in text.split(",")]
    try:
        require_labels(labels)
    except ValueError as problem:
        raise RecipeError(f"--labels {text[:80]}: {str(problem).removeprefix('labels: ')}") from None
    return labels


def _from_file(path: Path) -> Any:
    try:
        content = read_bounded(path, MOST_BYTES, RecipeError)
    except RecipeError as problem:
        raise RecipeError(f"--labels {problem}") from None
    try:
        lines = content.decode("utf-8-sig").strip()
        if not lines.startswith(("[", "{")):
            return [line.strip() for line in lines.splitlines()]
        listed = from_json(lines.encode())
    except UnicodeDecodeError:
        raise RecipeError(f"--labels {path}: not UTF-8 text; write one name a line") from None
    except ValueError:
        raise RecipeError(
            f"--labels {path}: begins as JSON but is none; write a list of names, or one a line"
        ) from None
    if not isinstance(listed, list):
        raise RecipeError(f"--labels {path}: holds a JSON object; wanted a list of names in the order of the outputs")
    return listed
