"""What the fuzzers of files that come to a desk share: hostile values, changes to trees and bytes, and the oracle.

`make soak` runs a few hundred cases; BCTK_FUZZ=N runs N of each, BCTK_FUZZ=FROM:TO those of these seeds. A case is its
seed, which a failure names.
"""

import os
import random
import re
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from bctoolkit.errors import BctkError

__all__ = ["cases", "changed_bytes", "changed_tree", "outcome", "report"]

SECONDS, WAITING = 10, 60
"""Of the processor, and by the clock, which a busy machine may stop for a while."""
WRITES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "shutil.rmtree", "os.truncate"}

HOSTILE: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2**31, 2**63 - 1, 10**12, 0.5, -1e308, 1e-320),
    *("", " ", "a\nb", "a\x1b[2J", "a\u202eb", "../../x", "/etc/passwd", "a/b", "x" * 10_000, "$x^{", "[/]", "=1+1"),
    *("os.system", "__lambda__", "Lambda", "keras.src.utils.file_utils", "none", "all", "nan"),
    *([], {}, [[]], {"a": 1}, [0] * 1000, [None], ["a", "a"]),
)


class _TooLong(BaseException):
    """Not an Exception: nothing may take it for a damaged file."""


def cases(few: int) -> Iterator[tuple[int, random.Random]]:
    """Seeds and what to draw from."""
    for seed in range(*map(int, os.environ.get("BCTK_FUZZ", str(few)).split(":"))):
        yield seed, random.Random(seed)


def changed_tree(tree: Any, draw: random.Random, extra: tuple[Any, ...] = ()) -> Any:
    """A copy in which one to three values are others, gone, moved, repeated or nested."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        tree = _changed(tree, draw, (*HOSTILE, *extra))
    return tree


def _changed(tree: Any, draw: random.Random, values: tuple[Any, ...]) -> Any:
    if isinstance(tree, dict) and tree and draw.random() < 0.9:
        key = draw.choice(sorted(tree, key=str))
        rest = {name: value for name, value in tree.items() if name != key}
        match draw.randrange(10):
            case 0:
                return rest
            case 1:
                return rest | {f"{key}_": tree[key]}
            case 2:
                return tree | {key: tree[draw.choice(sorted(tree, key=str))]}
            case _:
                return tree | {key: _changed(tree[key], draw, values)}
    if isinstance(tree, list) and tree and draw.random() < 0.9:
        at = draw.randrange(len(tree))
        match draw.randrange(8):
            case 0:
                return tree[:at] + tree[at + 1 :]
            case 1:
                return tree + [tree[at]] * draw.choice((1, 100))
            case _:
                return [*tree[:at], _changed(tree[at], draw, values), *tree[at + 1 :]]
    if draw.random() < 0.1:
        return _nested(tree, draw.choice((2, 40, 400)))
    if isinstance(tree, int) and not isinstance(tree, bool) and draw.random() < 0.5:
        return draw.choice((tree - 1, tree + 1, -tree, tree * 10**6, tree * 10**12))
    return draw.choice(values)


def _nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def changed_bytes(content: bytes, draw: random.Random) -> bytes:
    """Some bytes flipped, cut off, replaced, inserted or repeated."""
    if not content:
        return b"\0"
    data, at = bytearray(content), draw.randrange(len(content))
    match draw.randrange(5):
        case 0:
            for _ in range(draw.choice((1, 4, 64))):
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        case 1:
            del data[at:]
        case 2:
            data[at : at + draw.randrange(100)] = draw.randbytes(draw.randrange(100))
        case 3:
            data[at:at] = data[: draw.randrange(len(data))]
        case _:
            data[at : at + 8] = draw.choice((b"\xff" * 8, bytes(8), b"\x7f" + b"\xff" * 7))
    return bytes(data)


@contextmanager
def _watched(allowed: Path) -> Iterator[None]:
    """Refuse to be in the block for long, or to write outside a folder."""

    def late(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    clocks = {signal.SIGALRM: (signal.ITIMER_REAL, WAITING), signal.SIGPROF: (signal.ITIMER_PROF, SECONDS)}
    before = {number: signal.signal(number, late) for number in clocks}
    for clock, seconds in clocks.values():
        signal.setitimer(clock, seconds)
    _allowed.append(allowed)
    try:
        yield
    finally:
        _allowed.pop()
        for number, (clock, _) in clocks.items():
            signal.setitimer(clock, 0)
            signal.signal(number, before[number])


_allowed: list[Path] = []
_outside: list[str] = []


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if not _allowed or (event in ("os.remove", "os.rmdir") and arguments[-1] != -1):  # within a folder that is open
        return
    writes = event in WRITES or (event == "open" and _is_write(arguments))
    if writes and isinstance(arguments[0], str | bytes | os.PathLike):
        path = Path(os.path.abspath(os.fsdecode(arguments[0])))
        parent = Path(os.path.realpath(path.parent))
        if not (parent / path.name).is_relative_to(_allowed[-1]) and parent != Path("/dev"):
            _outside.append(f"{event} {arguments[0]!r}")


def _is_write(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


sys.addaudithook(_look)


def outcome(seed: int, call: Callable[[], object], allowed: Path) -> str:
    """What a case ends in: `read`, or the rule that refused it; anything else is a failure.

    Args:
        seed: of the case.
        call: reads what was made of it.
        allowed: where it may write.
    """
    _outside.clear()
    try:
        with warnings.catch_warnings(), _watched(allowed.resolve()):
            warnings.simplefilter("ignore")
            call()
        said = "read"
    except BctkError as problem:
        said = str(problem)
        assert "\n" not in said, (seed, said)
        assert len(said) < 6000, (seed, said)
    except _TooLong:
        raise AssertionError(f"seed {seed}: no end after {SECONDS} s") from None
    except Exception as problem:
        raise AssertionError(f"seed {seed}: {type(problem).__name__}: {problem}") from problem
    assert not _outside, (seed, _outside)
    return said


def report(said: Counter[str], rules: dict[str, str]) -> dict[str, int]:
    """How many cases each rule refused, by the first of the patterns that a message fits; prints it too."""
    counts: Counter[str] = Counter()
    for message, count in said.items():
        counts[next((rule for rule, pattern in rules.items() if re.search(pattern, message)), "other")] += count
        if not any(re.search(pattern, message) for pattern in rules.values()):
            print("other:", message[:200])
    for rule, count in counts.most_common():
        print(f"{count:6d} {rule}")
    return dict(counts)
