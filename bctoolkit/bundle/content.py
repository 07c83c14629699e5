"""What a bundle is made of, and what its files are called."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import ImageKind, InputContract
from bctoolkit.documents.adopted import Adopted
from bctoolkit.documents.preprocessing import Adaptation
from bctoolkit.documents.quantization import GateResult
from bctoolkit.manifest import IntegerProducts, LabelledFigures, Manifest, ParityStep, Processor, Source
from bctoolkit.statistics.acceptance import AcceptanceRule
from bctoolkit.statistics.metrics import Parity

__all__ = ["MANIFEST", "SEAL", "STATED", "BundleContent", "Golden", "Reference"]

GOLDEN, REFERENCE, CALIBRATION, VALIDATION = "golden.npz", "reference.npz", "calibration.npz", "validation.npz"
MANIFEST, SEAL, BOM = "manifest.json", "manifest.json.sha256", "bom.cdx.json"


@dataclass(frozen=True)
class Golden:
    """Images with the float32 Keras reference's probabilities, fixed at export."""

    images: NDArray[np.uint8]
    """N × height × width × channels."""
    probabilities: NDArray[np.float32]
    """N × classes."""
    labels: NDArray[np.int64]
    """N true classes; -1 where unknown."""
    kind: ImageKind = "real"


@dataclass(frozen=True)
class Reference:
    """The reference's probabilities of the test part, so that a device can pair predictions without Keras."""

    hashes: NDArray[np.uint8]
    """N × 32: SHA-256 of each image's decoded pixels."""
    probabilities: NDArray[np.float32]
    """N × classes."""
    kind: ImageKind = "real"


@dataclass(frozen=True, kw_only=True)
class BundleContent:
    """All that `write` puts into a bundle."""

    format: str
    """A key of `FORMATS`."""
    quantization: str
    """One of the format's quantizations."""
    model: bytes
    """The artifact."""
    input: InputContract
    """What the artifact takes."""
    labels: tuple[str, ...]
    """The classes, in the order of the artifact's outputs."""
    golden: Golden
    reference: Reference | None
    """None where the test part is unknown or is not to travel."""
    source: Source
    tools: dict[str, str]
    """Package → version, of what wrote the artifact."""
    parity: Parity
    """The artifact against the reference on the golden images."""
    created: str
    """ISO 8601 time in UTC."""
    licence: str = ""
    """Of the images that the network was trained on."""
    labelled: LabelledFigures | None = None
    """How often the artifact was right, where labelled images are known."""
    gate: GateResult | None = None
    """What an integer form loses on the validation part."""
    parity_steps: tuple[ParityStep, ...] = ()
    calibration: NDArray[np.uint8] | None = None
    """N × 32, SHA-256 of the pixels of each image that set the ranges."""
    keep_float: tuple[str, ...] = ()
    """Layers that an integer form computes in float."""
    integer_products: IntegerProducts | None = None
    """Of an ONNX file, and whether every CPU adds them up exactly."""
    adaptation: Adaptation | None = None
    """What was written into the graph around the network."""
    cpu: Processor | None = None
    """That the artifact was checked on."""
    inputs_sha256: str = ""
    """Of all that decides the artifact."""
    adopted: Adopted | None = None
    """The file that it was made of, where that was made elsewhere."""
    acceptance: AcceptanceRule | None = None
    """None where there were too few labelled validation images."""


STATED = {field.name for field in fields(BundleContent)} & set(Manifest.__struct_fields__)
STATED -= {"model", "golden", "reference", "calibration", "acceptance"}
"""Fields of a content that its manifest holds as they are; of the others it says in which file they lie."""
