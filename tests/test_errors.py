"""The error tree is drawn once, in words, and must stay true."""

import inspect
import pickle
import re

import pytest

from bctoolkit import errors
from bctoolkit.errors import BctkError, ExportError, FormsRefused, SelfTestFailed


def drawn_tree() -> dict[str, str]:
    """Class → parent, read from the drawing in the module's docstring."""
    block = inspect.cleandoc(errors.__doc__ or "").split("::\n", 1)[1]
    found: dict[str, str] = {}
    ancestors: dict[int, str] = {}
    for line in block.splitlines():
        match = re.match(r"    ((?:[│├└─ ]{4})*)([A-Z]\w+)", line)
        if match is None:
            continue
        depth = len(match[1]) // 4
        ancestors[depth] = match[2]
        found[match[2]] = ancestors[depth - 1] if depth else "Exception"
    return found


def defined_tree() -> dict[str, str]:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__]
    return {c.__name__: c.__bases__[0].__name__ for c in classes}


def test_the_drawing_shows_every_class_under_its_parent() -> None:
    assert drawn_tree() == defined_tree()


def test_all_names_every_class() -> None:
    assert sorted(errors.__all__) == sorted(defined_tree())


def test_every_error_is_caught_by_the_root() -> None:
    assert all(issubclass(getattr(errors, name), BctkError) for name in errors.__all__)


def test_no_error_is_caught_by_a_handler_for_python_s_own() -> None:
    own = (ValueError, TypeError, OSError, RuntimeError, LookupError)
    assert not [name for name in errors.__all__ if issubclass(getattr(errors, name), own)]


def test_every_class_says_what_it_is_for() -> None:
    assert all((getattr(errors, name).__doc__ or "").strip() for name in errors.__all__)


MADE_OF: dict[type[BctkError], tuple[object, ...]] = {
    FormsRefused: (("a bundle",), (ExportError("one"), ExportError("two"))),
    SelfTestFailed: ("wrong answers", ("colours",)),
}
"""What the errors are made of that take more than a message."""


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_comes_out_of_another_process_as_it_was(name: str) -> None:
    kind = getattr(errors, name)
    error = kind(*MADE_OF.get(kind, ("a message",)))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert repr(vars(copy)) == repr(vars(error))
