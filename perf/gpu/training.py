"""Training in float16 with loss scaling beside float32: the same network, batches and seed.

usage: python -m perf.gpu.training MODEL SIDE STEPS   prints a `Check` as JSON
"""

import sys
import time

import msgspec
import numpy as np

from perf.gpu.document import Check

BATCH, CLASSES, RATE = 16, 8, 1e-4
LIMIT = 0.05
"""How far a float16 loss may be from float32's, as a share of it."""


def losses(model_name: str, side: int, steps: int, precision: str) -> tuple[list[float], float]:
    """The loss of each step, and milliseconds of the median step after the first two, which compile."""
    import keras

    from bctoolkit import networks
    from bctoolkit.recipes import Phase, TrainRecipe
    from bctoolkit.train.optimizer import optimizer_for
    from bctoolkit.train.step import TrainStep

    keras.utils.set_random_seed(0)
    model = networks.build(model_name, CLASSES, (side, side, 3), layer_scale=0.1, policy=precision)
    phases = (Phase("all", 1, RATE, ("*",)),)
    recipe = TrainRecipe(model=model_name, precision=precision, phases=phases)  # type: ignore[arg-type]
    optimizer = optimizer_for(model, recipe)
    optimizer.learning_rate = RATE
    step = TrainStep(model, optimizer, recipe, np.ones(CLASSES, np.float32))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, side, side, 3)).astype(np.float32)
    labels = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, BATCH)]
    found, times = [], []
    for _ in range(steps):
        begin = time.perf_counter()
        found.append(float(step.run(images, labels)[0]))
        times.append(time.perf_counter() - begin)
    return found, float(np.median(times[2:])) * 1000


def check(model_name: str, side: int, steps: int) -> Check:
    """Whether float16 learns as float32 does."""
    (whole, whole_ms), (half, half_ms) = (
        losses(model_name, side, steps, precision) for precision in ("float32", "mixed_float16")
    )
    apart = max(abs(a - b) / a for a, b in zip(whole, half, strict=True))
    holds = bool(np.isfinite(half).all()) and apart <= LIMIT and half[-1] < half[0]
    reason = (
        "" if holds else f"float16's losses are up to {apart:.1%} from float32's (limit {LIMIT:.0%}), or do not fall"
    )
    return Check(
        name=f"training {model_name} in float16 with loss scaling, {steps} steps",
        outcome="passed" if holds else "failed",
        reason=reason,
        figures={
            "float32_losses": whole,
            "float16_losses": half,
            "largest_share_apart": apart,
            "float32_step_ms": whole_ms,
            "float16_step_ms": half_ms,
        },
    )


if __name__ == "__main__":
    print(msgspec.json.encode(check(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))).decode())
