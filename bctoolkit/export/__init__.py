"""Export: a trained network becomes checked artifacts, each sealed in a bundle."""

from bctoolkit.export.stage import export

__all__ = ["export"]
