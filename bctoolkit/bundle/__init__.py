"""The bundle: the one folder that goes to a device and can check itself there.

::

    <name>/
      model.onnx | model.tflite   the artifact
      golden.npz                  images (N×H×W×C uint8), labels, the Keras reference's probabilities (float32)
      reference.npz               optional: the reference's probabilities of the test part, keyed by image hash
      calibration.npz             optional: which images of the training part set the ranges, by hash
      bom.cdx.json                the bill of materials, for tools that read CycloneDX
      validation.npz              optional: features of validation images, and how sure the artifact is of each
      manifest.json               what all this is, with the SHA-256 of each file
      manifest.json.sha256        the manifest's own, in the format of `sha256sum -c`
      model.sig                   optional: a signature over all others

A bundle is written once and whole, then only read. Nothing is handed on before its hash has been checked.
"""

from bctoolkit.bundle.content import MANIFEST, BundleContent, Golden, Reference
from bctoolkit.bundle.opened import Bundle, newest, read
from bctoolkit.bundle.writing import sign, write

__all__ = [
    "MANIFEST",
    "Bundle",
    "BundleContent",
    "Golden",
    "Reference",
    "newest",
    "read",
    "sign",
    "write",
]
