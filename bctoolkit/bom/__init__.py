"""The bill of materials of a bundle, as CycloneDX 1.6 with a model card."""

from bctoolkit.bom.cyclonedx import bill_of_materials

__all__ = ["bill_of_materials"]
