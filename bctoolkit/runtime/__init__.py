"""The runtime that goes into a device app: numpy, msgspec and one inference engine, no training framework.

>>> from bctoolkit.runtime import load                       # doctest: +SKIP
>>> classifier = load("exports/bundles/atto-onnx-fp32")      # doctest: +SKIP
>>> classifier.predict(images).labels                        # doctest: +SKIP
"""

from bctoolkit.contract import InputContract, prepare
from bctoolkit.runtime.backends import Backend, StubBackend
from bctoolkit.runtime.classifier import Classifier, Picture, Prediction, load
from bctoolkit.runtime.info import ClassifierInfo, SelfTest
from bctoolkit.runtime.self_test.run import SelfTestMode
from bctoolkit.signing import TrustedKey

__all__ = [
    "Backend",
    "Classifier",
    "ClassifierInfo",
    "InputContract",
    "Picture",
    "Prediction",
    "SelfTest",
    "SelfTestMode",
    "StubBackend",
    "TrustedKey",
    "load",
    "prepare",
]
