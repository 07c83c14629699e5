"""`vectors.json`: what the files of a folder of vectors are, and what comes of them."""

import re
from typing import Annotated

from msgspec import Meta

from bctoolkit.contract import InputContract
from bctoolkit.documents import Document
from bctoolkit.documents.names import class_names_fault, name_fault

__all__ = ["ARRAYS", "IMAGES", "VECTORS", "Answers", "Case", "Vectors"]

VECTORS, ARRAYS, IMAGES = "vectors.json", "inputs.npz", "images"
MOST_CASES, MOST_BUNDLES = 1000, 100
FILE = re.compile(rf"{IMAGES}/[0-9a-z][0-9a-z._-]{{0,99}}")
SHA256 = re.compile("[0-9a-f]{64}")

Probability = Annotated[float, Meta(ge=-1.0, le=2.0)]
"""Eight-bit answers do not quite stay within 0 to 1."""


class Case(Document, frozen=True, kw_only=True):
    """One image file."""

    file: str
    """Its path in the folder, with `/`."""
    sha256: str
    what: str
    """In words."""
    refused: str | None
    """Why it has to be refused; None where it has to be read."""
    array: Annotated[int, Meta(ge=0)] | None
    """The position of its array; None where it is refused."""

    def __post_init__(self) -> None:
        """Refuse what could lead out of the folder, and a case of two minds."""
        if not FILE.fullmatch(self.file):
            raise ValueError(f"file: {self.file[:100]!r} is no plain name in {IMAGES}/")
        if not SHA256.fullmatch(self.sha256):
            raise ValueError(f"sha256: {self.sha256[:100]!r} is no SHA-256 in hexadecimal")
        if (self.refused is None) == (self.array is None):
            raise ValueError(f"{self.file}: wanted either a reason why it is refused, or the position of its array")


class Answers(Document, frozen=True, kw_only=True):
    """What one bundle answers to the arrays, each on its own."""

    model_sha256: str
    format: str
    quantization: str
    tolerance: Annotated[float, Meta(ge=0.0, le=1.0)]
    """Largest |Δp| by which another engine or machine may differ."""
    answers: tuple[tuple[Probability, ...] | None, ...]
    """Of each case the model's own probabilities, not calibrated; None where the file is refused."""
    accepted: tuple[bool | None, ...]
    """Of each case what the bundle's acceptance rule says; None where there is no answer or no rule."""


class Vectors(Document, frozen=True, kw_only=True):
    """`vectors.json`."""

    schema: Annotated[int, Meta(ge=1, le=1)] = 1
    input: InputContract
    labels: tuple[str, ...]
    bundles: dict[str, Answers]
    """By the bundle's name."""
    cases: tuple[Case, ...]

    def __post_init__(self) -> None:
        """Refuse cases, arrays, labels and answers that do not go together."""
        if not 1 <= len(self.cases) <= MOST_CASES or not 1 <= len(self.bundles) <= MOST_BUNDLES:
            raise ValueError(f"{len(self.cases)} cases of {len(self.bundles)} bundles; wanted at least one of each")
        faults = [class_names_fault(self.labels), *map(name_fault, self.bundles)]
        for fault in filter(None, faults):
            raise ValueError(fault)
        positions = [case.array for case in self.cases if case.array is not None]
        if positions != list(range(len(positions))):
            raise ValueError("cases: their arrays are not numbered in order")
        if len({case.file for case in self.cases}) < len(self.cases):
            raise ValueError("cases: a file is there twice")
        for name, answers in self.bundles.items():
            self._require_answers(name, answers)

    def _require_answers(self, name: str, answers: Answers) -> None:
        if not len(answers.answers) == len(answers.accepted) == len(self.cases):
            raise ValueError(f"bundles.{name}: not one answer for each of {len(self.cases)} cases")
        for case, answer in zip(self.cases, answers.answers, strict=True):
            if (answer is None) != (case.array is None) or (answer is not None and len(answer) != len(self.labels)):
                raise ValueError(f"bundles.{name}: its answer to {case.file} does not fit the case or the labels")

    @property
    def count(self) -> int:
        """Arrays there are."""
        return sum(case.array is not None for case in self.cases)
