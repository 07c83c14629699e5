"""What a classifier says of itself."""

from typing import Literal

from bctoolkit.contract import InputContract
from bctoolkit.documents import Document

__all__ = ["ClassifierInfo", "SelfTest"]


class SelfTest(Document, frozen=True, kw_only=True):
    """What is known of the answers to golden images on this machine."""

    outcome: Literal["passed", "remembered", "not run"]
    """*Remembered*: passed earlier, with the same bundle, engine, provider, threads and CPU."""
    images: int = 0
    """Golden images that were asked now."""
    max_abs_diff: float | None = None
    """Largest |Δp| of these from the reference's probabilities."""


class ClassifierInfo(Document, frozen=True, kw_only=True):
    """What is opened, and what runs it; a bundle's fields are None of a classifier that was made without one."""

    bundle: str | None = None
    """Its name."""
    model_sha256: str | None = None
    """Of its model file, 64 hexadecimal digits."""
    format: str | None = None
    """Of its model file: `"onnx"` or `"tflite"`."""
    quantization: str | None = None
    """Its numeric form, e.g. `"int8-dynamic"`."""
    engine: str | None = None
    """What computes, e.g. `"onnxruntime"`."""
    engine_version: str | None = None
    """Of the engine's package."""
    provider: str
    """What it runs on, read back from the engine, and so are the threads."""
    threads: int
    """That the engine computes with."""
    labels: tuple[str, ...]
    """The classes, in the order of the model's outputs."""
    input: InputContract
    """What the model takes."""
    self_test: SelfTest = SelfTest(outcome="not run")
    """Whether golden images were asked before the first answer."""
