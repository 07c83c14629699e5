"""The dossier: what is known of a bundle on one page for whoever must sign, with the files that it is read from."""

from bctoolkit.dossier.write import write

__all__ = ["write"]
