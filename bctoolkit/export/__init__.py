"""Export: a trained network becomes checked artifacts, each sealed in a bundle."""

from bctoolkit.export.pipeline import export

__all__ = ["export"]
