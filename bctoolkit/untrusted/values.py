"""JSON and TOML of others, as plain values of bounded depth and size."""

import math
import tomllib
from collections.abc import Iterable
from typing import Any

import msgspec

__all__ = ["DEEPEST", "OutOfBounds", "from_json", "from_toml"]

DEEPEST = 32
"""Lists and tables within each other; our own documents take fewer than ten."""

LARGEST = 2**63
"""Beyond the largest whole number: what 64 bits with a sign hold."""


class OutOfBounds(ValueError):
    """Values that are well written, but nested or numbered beyond what is taken."""


def from_json(content: bytes) -> Any:
    """Decode JSON.

    Raises:
        ValueError: not JSON, nested deeper than `DEEPEST`, or a whole number beyond 64 bits; the message is one line.
    """
    try:
        value = msgspec.json.decode(content)
    except RecursionError:
        raise _too_deep() from None
    except msgspec.DecodeError as problem:
        raise ValueError(_one_line(problem)) from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    return _plain(value)


def from_toml(content: bytes) -> dict[str, Any]:
    """Decode TOML.

    Raises:
        ValueError: not TOML, nested deeper than `DEEPEST`, a whole number beyond 64 bits, or one that is not finite;
            the message is one line.
    """
    try:
        value = tomllib.loads(content.decode("utf-8"))
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except tomllib.TOMLDecodeError as problem:
        raise ValueError(_one_line(problem)) from None
    except ValueError as problem:  # int() of thousands of digits
        raise OutOfBounds(_one_line(problem)) from None
    return dict(_plain(value))


def _plain(value: Any) -> Any:
    """Return `value` if it is nested and numbered within bounds, level by level."""
    level: list[Any] = [value]
    for _ in range(DEEPEST + 1):
        level = [inner for outer in level for inner in _inner(outer)]
        if not level:
            return value
    raise _too_deep()


def _inner(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list):
        return value
    if isinstance(value, int) and not -LARGEST <= value < LARGEST:
        raise OutOfBounds("a whole number of more than 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise OutOfBounds(f"a number that is {value}")
    return ()


def _too_deep() -> OutOfBounds:
    return OutOfBounds(f"nested deeper than {DEEPEST} levels")


def _one_line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:200]
