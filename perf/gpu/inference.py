"""One form of a network in one engine on one provider: parity with float32 Keras, latency, what really ran.

usage: python -m perf.gpu.inference write FOLDER MODEL SIDE          the network in every form, and Keras's answers
       python -m perf.gpu.inference run FOLDER FORMAT ENGINE PROVIDER FORM RUNS    prints a `Check` as JSON
       python -m perf.gpu.inference refuse FOLDER FORMAT ENGINE PROVIDER           likewise, where no GPU is to be seen
"""

import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS, engine_for
from bctoolkit.errors import BctkError, MissingExtra, ProviderUnavailable
from bctoolkit.lazy import attribute
from bctoolkit.statistics.metrics import limit_violations, parity
from perf.gpu.document import Check

IMAGES, CLASSES, THREADS, WARM_UP = 16, 8, 2, 10


def write(folder: Path, model_name: str, side: int) -> None:
    """Export a network with drawn weights in every form of every format."""
    import keras

    from bctoolkit import networks
    from bctoolkit.contract import InputContract
    from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
    from bctoolkit.export.keras_graph.twin import fold, freeze

    keras.utils.set_random_seed(0)
    model = networks.build(model_name, CLASSES, (side, side, 3), layer_scale=0.5)
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    np.savez(folder / "golden.npz", images=images, probabilities=np.asarray(model(images.astype(np.float32))))
    twin, contract = fold(freeze(model)), InputContract(height=side, width=side)
    for row in FORMATS.values():
        exporter = attribute(row.exporter)(twin, ExportSettings(contract))
        for form in row.quantizations:
            content = exporter.convert(form, QuantizationSettings(images=images))
            (folder / f"{form}{row.suffix}").write_bytes(content)


def opened(folder: Path, format_name: str, engine: str, provider: str, form: str) -> Any:
    """The runtime's own adapter around a form."""
    content = (folder / f"{form}{FORMATS[format_name].suffix}").read_bytes()
    return attribute(engine_for(format_name, engine).backend)(content, provider, THREADS)


def run(folder: Path, format_name: str, engine: str, provider: str, form: str, runs: int) -> Check:
    """Whether a form's answers are within its tolerance there, and how long one takes."""
    name = f"{form} {format_name} in {engine} on {provider}"
    try:
        backend = opened(folder, format_name, engine, provider, form)
    except (ProviderUnavailable, MissingExtra) as problem:
        return Check(name=name, outcome="not run", reason=str(problem))
    except BctkError as problem:
        return Check(name=name, outcome="failed", reason=str(problem))
    with np.load(folder / "golden.npz") as golden:
        images, reference = golden["images"], golden["probabilities"]
    singles = [images[i : i + 1] for i in range(len(images))]
    observed = np.concatenate([backend.run(image) for image in singles])
    broken = limit_violations(reference, observed, QUANTIZATIONS[form].tolerance)
    times = []
    for number in range(WARM_UP + runs):
        begin = time.perf_counter()
        backend.run(singles[number % len(singles)])
        times.append(time.perf_counter() - begin)
    placed, measured = backend.placement(), parity(reference, observed)
    figures: dict[str, float | list[float] | str] = {
        "p50_ms": float(np.median(times[WARM_UP:])) * 1000,
        "max_abs_diff": float(measured.max_abs_diff),
        "top1_agreement": float(measured.top1_agreement),
        "ran_on": backend.provider,
        "operators": "not told"
        if placed is None
        else ", ".join(f"{n} by {who}" for who, n in placed.operators.items()),
    }
    return Check(name=name, outcome="failed" if broken else "passed", reason="; ".join(broken), figures=figures)


def refuse(folder: Path, format_name: str, engine: str, provider: str) -> Check:
    """Whether a provider that is not there is refused, rather than replaced by the CPU."""
    name = f"{engine} refuses {provider} where it sees no GPU"
    try:
        backend = opened(folder, format_name, engine, provider, "fp32")
    except MissingExtra as problem:
        return Check(name=name, outcome="not run", reason=str(problem))
    except ProviderUnavailable as problem:
        return Check(name=name, outcome="passed", figures={"message": str(problem)})
    except BctkError as problem:
        return Check(name=name, outcome="failed", reason=f"not refused as unavailable, but failed: {problem}")
    return Check(name=name, outcome="failed", reason=f"it was opened, and says that it runs on {backend.provider}")


def main() -> None:
    """Do one of the three."""
    kind, folder, *rest = sys.argv[1:]
    if kind == "write":
        write(Path(folder), rest[0], int(rest[1]))
        return
    name, engine, provider, *more = rest
    if kind == "run":
        found = run(Path(folder), name, engine, provider, more[0], int(more[1]))
    else:
        found = refuse(Path(folder), name, engine, provider)
    print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main()
