"""Training: a recipe and a set of images become a run folder."""

from bctoolkit.train.stage import train

__all__ = ["train"]
