"""A training step of ConvNeXtSmall on this CPU: ours beside the stock Keras application and PyTorch, turn by turn.

usage: python -m perf.train_step [--data PATH] [--rounds N] [--torch-python PATH]

All train every weight with AdamW on 96×96 images; ours is the step `bctk train` takes, in float32 and, where the CPU
multiplies bfloat16 in hardware, in mixed_bfloat16. The PyTorch rows need an interpreter that has torch. Last, the
recipe `convnext_small` is trained for some steps of each phase, fed by its own pipeline, to see how long it waits.
Prints milliseconds per image, and ratios beside the limits the project holds itself to.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bctoolkit.recipes import Phase, TrainRecipe, read_train_recipe
from bctoolkit.train.precision import policy
from perf.turns import answer, in_turns, ratio

ROOT = Path(__file__).resolve().parents[1]
STOCK, TORCH = "stock Keras application", "PyTorch, bfloat16"
STOCK_BATCH, TORCH_BATCH = 16, 32
STOCK_LIMIT, TORCH_LIMIT, WAITING_LIMIT = 5.0, 1.0, 0.03
EVERYTHING = Phase("everything", 1, 1e-4, ("*",))
RECIPE = ROOT / "training" / "recipes" / "convnext_small.toml"
FED_STEPS = 20


def our_step(recipe: TrainRecipe, phase: Phase, classes: int) -> Any:
    """What `bctoolkit.train.fit` runs for each batch of a phase."""
    import keras
    import numpy as np

    from bctoolkit.networks import build
    from bctoolkit.train.fit import unfreeze
    from bctoolkit.train.optimizer import optimizer_for
    from bctoolkit.train.step import TrainStep

    keras.utils.set_random_seed(0)
    model = build(recipe.model, classes, dropout=recipe.dropout, layer_scale=1.0, policy=recipe.precision)
    unfreeze(model, phase)
    optimizer = optimizer_for(model, recipe)
    optimizer.learning_rate = phase.learning_rate
    return TrainStep(model, optimizer, recipe, np.ones(classes, np.float32)).run


def child(case: Any, batch: int) -> None:
    """Build one network and train it step by step on request."""
    import keras
    import numpy as np
    import tensorflow as tf

    from perf.peers import stock_classifier

    rng = np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, (batch, 96, 96, 3)), tf.float32)
    labels = tf.one_hot(rng.integers(0, 8, batch), 8)
    if case == STOCK:
        model = stock_classifier()
        model.compile(keras.optimizers.AdamW(1e-4), "categorical_crossentropy", jit_compile=False)
        answer(lambda: model.train_on_batch(images, labels), warm_up=2)
    else:
        recipe = TrainRecipe(phases=(EVERYTHING,), precision=case, dropout=0.0)
        step = our_step(recipe, EVERYTHING, classes=8)
        answer(lambda: float(step(images, labels)[0]), warm_up=2)


def fed(source: str) -> None:
    """Train each phase of the recipe on its own batches; print for each the seconds per step, and of these waiting."""
    import numpy as np

    from bctoolkit.data import load
    from bctoolkit.train.batches import training_batches

    recipe = read_train_recipe(RECIPE, (f"precision={policy('auto')}",))
    dataset = load(source, recipe.input)
    figures = {}
    for phase in recipe.phases:
        step = our_step(recipe, phase, len(dataset.classes))
        batches = iter(training_batches(dataset, np.arange(len(dataset)), recipe, 0))
        float(step(*next(batches))[0])
        waiting, begin = 0.0, time.perf_counter()
        for _ in range(FED_STEPS):
            asked = time.perf_counter()
            batch = next(batches)
            waiting += time.perf_counter() - asked
            float(step(*batch)[0])
        figures[phase.name] = ((time.perf_counter() - begin) / FED_STEPS, waiting / FED_STEPS)
    print(json.dumps(figures))


def race(batch: int, commands: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Take turns with one step each; print milliseconds per image."""
    times = in_turns(commands, rounds, runs=1, sittings=1)  # a step takes a minute to compile
    print(f"all weights, batch {batch}, {rounds} rounds in turns of one step")
    for case, samples in times.items():
        print(f"  {case:28} {statistics.median(samples) / batch:7.1f} ms/image")
    return times


def command(case: str, batch: int) -> list[str]:
    """This script as the child of one case of ours or Keras's."""
    return [sys.executable, "-m", "perf.train_step", "--child", case, "--batch", str(batch)]


def beside_stock(rounds: int) -> bool:
    """Ours and the stock application; whether the better of ours keeps the limit."""
    ours = list(dict.fromkeys(["float32", policy("auto")]))
    times = race(STOCK_BATCH, {case: command(case, STOCK_BATCH) for case in (STOCK, *ours)}, rounds)
    ratios = {case: ratio(times, STOCK, case) for case in ours}
    for case, value in ratios.items():
        print(f"  {STOCK} / ours {case}: {value:.2f}×")
    return report("better of these", max(ratios.values()), STOCK_LIMIT)


def beside_torch(rounds: int, python: str) -> bool:
    """Ours and PyTorch, both in bfloat16; whether ours keeps the limit."""
    if subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode:
        print(f"{TORCH}: not run, {python} has no torch; name one that has with --torch-python")
        return True
    ours = "mixed_bfloat16"
    commands = {TORCH: [python, "-m", "perf.peers_torch", str(TORCH_BATCH)], ours: command(ours, TORCH_BATCH)}
    times = race(TORCH_BATCH, commands, rounds)
    return report(f"{TORCH} / ours {ours}", ratio(times, TORCH, ours), TORCH_LIMIT)


def waiting(source: str) -> bool:
    """Ours fed by the recipe's pipeline; whether no phase waits longer than the limit."""
    done = subprocess.run(
        [sys.executable, "-m", "perf.train_step", "--fed", "--data", source],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures = json.loads(done.stdout.splitlines()[-1])
    print(f"recipe {RECIPE.stem} with its augmentation on {source}, {FED_STEPS} steps of each phase")
    for name, (seconds, idle) in figures.items():
        print(
            f"  {name:28} {seconds * 1000 / TORCH_BATCH:7.1f} ms/image, waits for data {idle / seconds:.1%} of the time"
        )
    worst = max(idle / seconds for seconds, idle in figures.values())
    print(f"  limit {WAITING_LIMIT:.0%}: {'holds' if worst <= WAITING_LIMIT else 'MISSED'}")
    return worst <= WAITING_LIMIT


def report(what: str, value: float, limit: float) -> bool:
    """Print a ratio beside its lower limit; whether it is kept."""
    print(f"  {what}: {value:.2f}× (limit {limit:.1f}×: {'holds' if value >= limit else 'MISSED'})")
    return value >= limit


def main() -> int:
    """Take turns, feed, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="synthetic", help="images to feed, as `bctk train --data` takes them")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--torch-python", default=sys.executable, help="a Python interpreter that has torch")
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--fed", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.batch)
    elif options.fed:
        fed(options.data)
    else:
        print("one training step of ConvNeXtSmall at 96×96 pixels")
        kept = [beside_stock(options.rounds), beside_torch(options.rounds, options.torch_python), waiting(options.data)]
        return int(not all(kept))
    return 0


if __name__ == "__main__":
    sys.exit(main())
