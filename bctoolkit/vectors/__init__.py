"""Conformance vectors: image files, the arrays they become, and what bundles answer to these.

::

    DIR/
      images/00-….jpg   small files of every kind that has to be read, and some that have to be refused
      inputs.npz        `images`, N × height × width × channels uint8: the arrays of those that are read, in order
      vectors.json      the contract, what each file is, its SHA-256, and each bundle's answers

Whoever writes the conversion of docs/preprocessing.md again, in another language, holds it against them; so does
`bctk verify BUNDLE --vectors DIR` with this implementation.
"""

from bctoolkit.vectors.checking import Comparison, compare, read_vectors
from bctoolkit.vectors.document import Answers, Case, Vectors
from bctoolkit.vectors.writing import write

__all__ = ["Answers", "Case", "Comparison", "Vectors", "compare", "read_vectors", "write"]
