"""How far float32 is from float64, network by network: the reference, its twins, our artifacts; and what is refused.

usage: python -m perf.float32 [--kinds NAME,…] [--seeds N] [--formats onnx,tflite]

Every network is honest, so every alarm is a false one. The error is that of the median image (`metrics.logit_errors`),
the ratio that of a form's error to the reference's; the table shows the median and the largest over the seeds.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import FORMATS, engine_for
from bctoolkit.export.checks.conditioning import Conditioning, conditioning
from bctoolkit.export.checks.constants import altered_constant, altered_weight
from bctoolkit.export.checks.introspection import INTROSPECTORS
from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
from bctoolkit.export.keras_network import KerasNetwork
from bctoolkit.lazy import attribute
from bctoolkit.progress import Silent
from perf.draw import pictures
from perf.kinds import KINDS, drawn

COUNT = 16


def alarms(
    network: KerasNetwork, known: Conditioning, formats: list[str], size: int, seed: int, ratios: dict[str, float]
) -> Iterator[str]:
    """What the judgement says against each form of an honest network; adds the form's ratio to `ratios`."""
    images = pictures(COUNT, size, seed + 100)
    before = network.reference
    for twin in network.twins:
        observed = twin.predict(images, "", Silent())
        ratios[twin.name] = known.error(observed).typical / known.reference.typical
        yield from (f"{twin.name}: {words}" for words in known.violations(observed))
        altered = altered_weight(before.weights(), twin.weights())
        if altered:
            yield f"{twin.name}: {altered}"
        before = twin
    for name in formats:
        exporter = network.exporter(name, ExportSettings(InputContract(height=size, width=size)))
        model = exporter.convert("fp32", QuantizationSettings())
        engine = engine_for(name)
        backend = attribute(engine.backend)(model, engine.providers[0], 1)
        observed = np.concatenate([backend.run(images[i : i + 1]) for i in range(COUNT)])
        ratios[name] = known.error(observed).typical / known.reference.typical
        yield from (f"{name}: {words}" for words in known.violations(observed))
        altered = altered_constant(before.weights(), INTROSPECTORS[name].constants(model))
        if altered:
            yield f"{name}: {altered}"


def main() -> int:
    """Print a line per kind; exit code 1 where an honest network was refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--formats", default=",".join(FORMATS))
    options = parser.parse_args()
    formats = options.formats.split(",")
    refused = 0
    print(
        "| network | exact | seeds | error of float32 Keras | … of the folded twin | … of ONNX | … of TFLite | alarms |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for kind in options.kinds.split(","):
        own, rows, said, methods = [], [], [], set()
        for seed in range(options.seeds):
            begin = time.perf_counter()
            model = drawn(kind, seed)
            size = model.input_shape[1]
            network, images = KerasNetwork(model), pictures(COUNT, size, seed + 100)
            reference = network.reference.predict(images, "", Silent())
            exact = network.float64(images)
            known = conditioning(reference, exact, lambda: network.rounded(images), np.arange(COUNT))  # noqa: B023
            ratios: dict[str, float] = {}
            said += [f"{kind} {seed}: {words}" for words in alarms(network, known, formats, size, seed, ratios)]
            own.append(known.reference.typical)
            rows.append(ratios)
            methods.add(known.method)
            print(f"{kind} {seed}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
            keras.backend.clear_session()
        cells = [
            f"× {np.median(column):.2f} (≤ {max(column):.2f})"
            for column in ([row.get(name, np.nan) for row in rows] for name in ("folded twin", "onnx", "tflite"))
        ]
        errors = f"{np.median(own):.1e} ({min(own):.1e} … {max(own):.1e})"
        print(
            f"| {kind} | {'/'.join(methods)} | {len(rows)} | {errors} | {' | '.join(cells)} | {len(said)} |", flush=True
        )
        print("\n".join(said), file=sys.stderr, flush=True)
        refused += len(said)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
