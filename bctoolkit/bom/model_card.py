"""The model card in a bill of materials: what a model takes and gives, and how often it was right."""

from typing import Any

from bctoolkit.contract import COLOURS, InputContract
from bctoolkit.documents.formats import QUANTIZATIONS
from bctoolkit.manifest import LabelledFigures, Manifest

__all__ = ["model_card"]

Json = dict[str, Any]


def model_card(manifest: Manifest, dataset: str | None) -> Json:
    """CycloneDX's `modelCard`.

    Args:
        manifest: of the bundle.
        dataset: reference to the component that stands for the images; None where nothing is known of them.
    """
    labels = ", ".join(manifest.labels)
    parameters: Json = {
        "approach": {"type": "supervised"},
        "task": "image classification",
        "inputs": [{"format": _input(manifest.input)}],
        "outputs": [{"format": f"float32 array N×{len(manifest.labels)}, the probability of each class: {labels}"}],
    }
    if dataset is not None:
        parameters["datasets"] = [{"ref": dataset}]
    card: Json = {"modelParameters": parameters, "quantitativeAnalysis": {"performanceMetrics": _metrics(manifest)}}
    quantization = QUANTIZATIONS.get(manifest.quantization)
    if quantization is not None:
        card["properties"] = [{"name": "bctoolkit:arithmetic", "value": quantization.summary}]
    return card


def _input(contract: InputContract) -> str:
    """What an app hands over, in words."""
    colours = f", {COLOURS[contract.channels]}" if contract.channels in COLOURS else ""
    size = "×".join(map(str, contract.shape))
    return (
        f"{contract.dtype} array N×{size} ({contract.layout}{colours}), "
        f"values {contract.range[0]}-{contract.range[1]}; centre crop {contract.crop}, resized by {contract.resize}"
    )


def _metrics(manifest: Manifest) -> list[Json]:
    parity, golden = manifest.parity, manifest.golden
    images = f"{parity.count} {golden.images} golden images, against the Keras reference"
    metrics = [
        {"type": "top-1 agreement", "value": f"{parity.top1_agreement:.6g}", "slice": images},
        {"type": "max abs difference of probabilities", "value": f"{parity.max_abs_diff:.6g}", "slice": images},
        {"type": "mean abs difference of probabilities", "value": f"{parity.mean_abs_diff:.6g}", "slice": images},
    ]
    return metrics + ([] if manifest.labelled is None else _labelled(manifest.labelled))


def _labelled(figures: LabelledFigures) -> list[Json]:
    whole = f"{figures.count} images of the {figures.part} part"
    rows = [_proportion("accuracy", figures.accuracy, figures.accuracy_ci95, whole)]
    for name, entry in figures.recall.items():
        images = f"class {name}: {entry.count} images of the {figures.part} part"
        rows.append(_proportion("recall", entry.recall, entry.ci95, images))
    return rows


def _proportion(kind: str, value: float, ci95: tuple[float, float], images: str) -> Json:
    """A share with its exact 95 % interval."""
    low, high = (f"{end:.6g}" for end in ci95)
    interval = {"lowerBound": low, "upperBound": high}
    return {"type": kind, "value": f"{value:.6g}", "slice": images, "confidenceInterval": interval}
