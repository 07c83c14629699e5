"""One training step of ConvNeXtSmall on this CPU: our network beside the stock Keras application, turn by turn.

usage: python benchmarks/versus/train_step.py [--batch N] [--rounds N]

Both train all weights with AdamW on 96×96 images; ours in float32 and, where the CPU multiplies bfloat16 in hardware,
in mixed_bfloat16. Prints milliseconds per image and ratios beside the limit the project holds itself to.
"""

import argparse
import os
import statistics
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))

from turns import answer, in_turns, ratio

from bctoolkit.train.precision import policy

LIMIT = 4.0


def child(case: str, batch: int) -> None:
    """Build one network and train it step by step on request."""
    import keras
    import numpy as np
    from peers import stock_classifier

    from bctoolkit.networks import build

    keras.utils.set_random_seed(0)
    model = stock_classifier() if case == "stock" else build("convnext_small", 8, policy=case)
    model.compile(keras.optimizers.AdamW(1e-4), "categorical_crossentropy", jit_compile=False)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, 96, 96, 3)).astype(np.float32)
    labels = np.eye(8, dtype=np.float32)[rng.integers(0, 8, batch)]
    answer(lambda: model.train_on_batch(images, labels), warm_up=1)


def main() -> int:
    """Take turns, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--child", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        child(given.child, given.batch)
        return 0
    cases = ["stock", *dict.fromkeys(["float32", policy("auto")])]
    commands = {case: [sys.executable, __file__, "--child", case, "--batch", str(given.batch)] for case in cases}
    times = in_turns(commands, given.rounds, runs=1)
    print(f"training step of ConvNeXtSmall, batch {given.batch}, {given.rounds} rounds in turns of one step")
    for case, medians in times.items():
        name = "stock Keras application" if case == "stock" else f"ours, {case}"
        print(f"  {name:28} {statistics.median(medians) / given.batch:7.1f} ms/image")
    missed = 0
    for case in cases[1:]:
        value = ratio(times, "stock", case)
        missed += value < LIMIT
        print(f"  stock / ours {case}: {value:.1f}× (limit {LIMIT:.0f}×: {'holds' if value >= LIMIT else 'MISSED'})")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
