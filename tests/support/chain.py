"""An honest export of a run, step by step, for faults to be planted in."""

import dataclasses

import keras
import pytest

from bctoolkit.documents.formats import QUANTIZATIONS
from bctoolkit.errors import ParityFailed
from bctoolkit.export.checks.conditioning import Conditioning, Limits
from bctoolkit.export.checks.parity_chain import Variant, compare, compare_float32
from bctoolkit.export.exporter import Exporter
from bctoolkit.export.keras_network import keras_form
from bctoolkit.export.plan import Job
from bctoolkit.export.variants import artifact_variant, form_variant
from bctoolkit.manifest import ParityStep

__all__ = ["Chain"]


@dataclasses.dataclass(frozen=True)
class Chain:
    """An honest export of a run, step by step."""

    job: Job
    network: keras.Model
    frozen: keras.Model
    folded: keras.Model
    original: Variant
    """The float32 reference, on all check images."""
    frozen_twin: Variant
    folded_twin: Variant
    exporters: dict[str, Exporter]
    conditioning: Conditioning

    def keras(self, name: str, model: keras.Model) -> Variant:
        return form_variant(self.job, keras_form(name, model))

    def artifact(self, name: str, kind: str, model: bytes) -> Variant:
        return artifact_variant(self.job, (name, kind), model, self.folded_twin)

    def fault(self, before: Variant, after: Variant, kind: str = "fp32") -> str:
        """The message of a comparison that must fail."""
        with pytest.raises(ParityFailed) as caught:
            self.compare(before, after, kind)
        return str(caught.value)

    def compare(self, before: Variant, after: Variant, kind: str = "fp32") -> ParityStep:
        """As the export compares them."""
        images = self.job.check_images
        if kind == "fp32":
            return compare_float32(before, after, self.conditioning, images, bisect=True)
        limits = Limits(QUANTIZATIONS[kind].tolerance, QUANTIZATIONS[kind].logit_error)
        return compare(before, after, limits, images, bisect=True)
