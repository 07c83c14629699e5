"""The run folder: what training leaves and export reads.

::

    training/runs/<name>/
      model.keras           the trained network
      recipe.toml           the resolved recipe; `bctk train --recipe` takes it back
      run.json              what was trained on what, with hashes and versions
      history.json          every epoch's figures
      metrics.json          the test part's figures
      split.npz             which image, by hash, belongs to which part
      history.csv  tensorboard/  the epochs' figures for other tools
      learning_curve.png  confusion_matrix.png
"""

from pathlib import Path
from typing import Literal

from msgspec import field

from bctoolkit.contract import ImageKind, InputContract
from bctoolkit.documents import Document, read_json
from bctoolkit.documents.names import class_names_fault, name_fault
from bctoolkit.errors import ExportError

__all__ = [
    "FACTS",
    "HISTORY",
    "METRICS",
    "MODEL",
    "RECIPE",
    "DataFacts",
    "EpochRow",
    "RunFacts",
    "TestMetrics",
    "read",
    "read_metrics",
]

MODEL, RECIPE, FACTS, HISTORY, METRICS, SPLIT = (
    "model.keras",
    "recipe.toml",
    "run.json",
    "history.json",
    "metrics.json",
    "split.npz",
)

OTHERS = (
    *(MODEL, RECIPE, HISTORY, METRICS, SPLIT, "history.csv", "tensorboard"),
    *("learning_curve.png", "confusion_matrix.png", "quantization"),
)
"""What a run folder holds besides its facts; `quantization` is an export's."""


class DataFacts(Document, frozen=True):
    """The images a run was trained on."""

    source: str
    kind: ImageKind
    sha256: str
    counts: dict[str, dict[str, int]]
    """Part → class → number of images."""
    split: Literal["own", "content"] = "content"
    """Whether the set came divided, or was divided by its images' content."""
    group: str = ""
    """Pattern on paths that tells what images belong to; empty where it was not stated, and of a table with groups."""


class RunFacts(Document, frozen=True, kw_only=True):
    """`run.json`."""

    schema: int = 1
    name: str
    model: str
    parameters: int
    labels: tuple[str, ...]
    input: InputContract
    precision: str
    """The Keras dtype policy that trained it."""
    weights: str
    """What the network started from, as text."""
    data: DataFacts
    seconds: float
    """Seconds of all training steps together."""
    waiting_seconds: float = 0.0
    """Those of them that were spent waiting for batches."""
    model_sha256: str
    recipe_sha256: str
    tools: dict[str, str] = field(default_factory=dict)
    created: str

    def __post_init__(self) -> None:
        """Refuse names that could be paths or steer a terminal, and labels that stand twice."""
        for key, fault in (("name", name_fault(self.name)), ("labels", class_names_fault(self.labels))):
            if fault is not None:
                raise ValueError(f"{key}: {fault}")


class EpochRow(Document, frozen=True, kw_only=True):
    """A row of `history.json`: one epoch."""

    phase: str
    """The phase's name in the recipe."""
    epoch: int
    """The epoch's number, counted from 1 over all phases."""
    seconds: float
    """Seconds of its training steps."""
    waiting_share: float
    """Share of them that was spent waiting for batches."""
    learning_rate: float
    """The rate of its last step."""
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float


class TestMetrics(Document, frozen=True, kw_only=True):
    """`metrics.json`: the trained network on the test part."""

    __test__ = False  # not a test class, whatever its name

    schema: int = 1
    split: str = "test"
    count: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    """Exact binomial interval; over groups where there are such, see `statistics.clustered`."""
    groups: int | None = None
    """How many groups the images come from; None where that is not known."""
    macro_f1: float
    ece: float
    recall: dict[str, float | None]
    confusion: tuple[tuple[int, ...], ...]
    """Rows are the true class, columns the predicted one, in the order of the labels."""


def read(folder: Path) -> RunFacts:
    """Read `run.json` of a run folder.

    Raises:
        ExportError: the file is missing or not what it should be.
    """
    path = folder / FACTS
    return read_json(path, RunFacts, ExportError, "train the run again")


def read_metrics(folder: Path) -> TestMetrics | None:
    """Read `metrics.json` of a run folder; None for a run that was not finished with a test.

    Raises:
        ExportError: the file is not what it should be.
    """
    path = folder / METRICS
    return read_json(path, TestMetrics, ExportError, "train the run again") if path.is_file() else None
