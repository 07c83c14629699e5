"""Evaluation: a run or a bundle on labelled images, clean and corrupted → `evaluation.json` and a page."""

from bctoolkit.evaluate.pipeline import evaluate
from bctoolkit.evaluate.subject import locate

__all__ = ["evaluate", "locate"]
