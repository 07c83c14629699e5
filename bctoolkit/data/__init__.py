"""Images with labels: loading, splitting by content, and the synthetic set that needs no data at hand."""

from bctoolkit.data.dataset import PARTS, Dataset
from bctoolkit.data.sources.load import load, load_pictures, load_synthetic, load_unlabelled
from bctoolkit.data.split import Parts, split

__all__ = ["PARTS", "Dataset", "Parts", "load", "load_pictures", "load_synthetic", "load_unlabelled", "split"]
