"""A ConvNeXt that is built and traced in no time, beside those of `bctoolkit.networks`."""

import pytest

from bctoolkit.documents.networks import CONVNEXT, Depths

__all__ = ["MINI", "add_mini"]

MINI = Depths((1, 1, 2, 1), (8, 16, 24, 32))
"""Its layers have the names of any other's: four stages, one of two blocks."""


def add_mini(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `build` know it as `convnext_mini`."""
    monkeypatch.setitem(CONVNEXT, "convnext_mini", MINI)
