"""Evaluate stage: a run or a bundle on labelled images, clean and corrupted → `evaluation.json` and a page."""

from bctoolkit.evaluate.stage import evaluate
from bctoolkit.evaluate.subject import locate

__all__ = ["evaluate", "locate"]
