"""Export: a trained network becomes checked artifacts, each sealed in a bundle."""

from bctoolkit.export.pipeline import dry_run, export

__all__ = ["dry_run", "export"]
