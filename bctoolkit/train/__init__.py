"""Training: a recipe and a set of images become a run folder."""

from bctoolkit.train.pipeline import dry_run, preview, resume, train

__all__ = ["dry_run", "preview", "resume", "train"]
