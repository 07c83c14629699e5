"""Training: a recipe and a set of images become a run folder."""

from bctoolkit.train.start import look, resume, train

__all__ = ["look", "resume", "train"]
