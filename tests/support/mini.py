"""A ConvNeXt that is built and traced in no time, beside those of `bctoolkit.networks`."""

from importlib import import_module

import pytest

from bctoolkit.networks import NETWORKS
from bctoolkit.networks.build import CONVNEXT, Depths

__all__ = ["MINI", "add_mini"]

MINI = Depths((1, 1, 2, 1), (8, 16, 24, 32))
"""Its layers have the names of any other's: four stages, one of two blocks."""


def add_mini(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `build` know it as `convnext_mini`."""
    monkeypatch.setitem(CONVNEXT, "convnext_mini", MINI)
    monkeypatch.setattr(import_module("bctoolkit.networks.build"), "NETWORKS", (*NETWORKS, "convnext_mini"))
