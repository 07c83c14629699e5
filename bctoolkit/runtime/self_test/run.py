"""A few golden images before the first answer is served: does the engine compute on this machine what was sealed?

It asks for nothing that `bctk verify` does not: where this refuses, verify refuses too.
"""

from collections import Counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bctoolkit import __version__
from bctoolkit.bundle import Bundle
from bctoolkit.documents import to_json
from bctoolkit.documents.formats import Tolerance
from bctoolkit.errors import SelfTestFailed
from bctoolkit.files import sha256_bytes
from bctoolkit.runtime.backends import Backend
from bctoolkit.runtime.info import ClassifierInfo, SelfTest
from bctoolkit.runtime.self_test.diagnosis import diagnose
from bctoolkit.runtime.self_test.remembered import PassedTest, has_passed, remember
from bctoolkit.statistics.metrics import Probabilities, limit_violations
from bctoolkit.system import cpu_features, cpu_name

__all__ = ["MOST_IMAGES", "SelfTestMode", "ask", "choose", "run_self_test"]

SelfTestMode = Literal["once", "always", "never"]
"""*Once*: unless it has passed on this machine before, with the same bundle, engine, provider, threads and CPU."""

MOST_IMAGES = 10
ROUNDING = 1e-9
"""Of a share of images."""


def run_self_test(mode: SelfTestMode, bundle: Bundle, backend: Backend, here: ClassifierInfo) -> SelfTest:
    """Test an opened model unless its answers are known to be right here.

    Args:
        mode: when to test.
        bundle: where it comes from.
        backend: the opened model.
        here: what runs it here.

    Raises:
        SelfTestFailed: an answer leaves the limits of the bundle's form.
    """
    if mode == "never":
        return SelfTest(outcome="not run")
    test = PassedTest(
        manifest_sha256=sha256_bytes(to_json(bundle.manifest)),
        info=here,
        cpu=cpu_name(),
        cpu_features=cpu_features(),
        bctoolkit=__version__,
    )
    if mode == "once" and has_passed(test):
        return SelfTest(outcome="remembered")
    result = ask(bundle, backend, here)
    remember(test)
    return result


def ask(bundle: Bundle, backend: Backend, here: ClassifierInfo) -> SelfTest:
    """Ask an opened model a few golden images, one at a time as a device does.

    Raises:
        SelfTestFailed: an answer leaves the limits of the bundle's form.
    """
    golden, manifest = bundle.golden(), bundle.manifest
    chosen = choose(golden.probabilities)
    reference, images = golden.probabilities[chosen], golden.images[chosen].astype(manifest.input.dtype)
    observed = _answers(backend, manifest.input.check(images))
    limits = _limits(manifest.tolerance, len(golden.images), len(chosen))
    violations = _violations(reference, observed, limits)
    if not violations:
        worst = float(np.abs(observed - reference).max())
        return SelfTest(outcome="passed", images=len(chosen), max_abs_diff=worst)
    causes = diagnose(reference, observed, limits.max_abs_diff, manifest, here)
    raise SelfTestFailed(
        f"{bundle.path}: not served, for its self-test on {len(chosen)} golden images failed: {'; '.join(violations)}; "
        f"likely cause: {'; '.join(cause.words for cause in causes)}; all images are tested by: bctk verify",
        tuple(cause.key for cause in causes),
    )


def _answers(backend: Backend, images: NDArray[Any]) -> NDArray[np.float32]:
    return np.concatenate([backend.run(images[i : i + 1]) for i in range(len(images))])


def _violations(reference: Probabilities, observed: NDArray[np.float32], limits: Tolerance) -> list[str]:
    if observed.shape != reference.shape:
        return [f"answers of shape {observed.shape} instead of {reference.shape}"]
    return limit_violations(reference, observed, limits)


def choose(probabilities: Probabilities) -> NDArray[np.intp]:
    """Which images to ask: those of which the reference is least sure, of one likeliest class after the other.

    A fault shows in them first. Of 575 faults planted in the zoo's ONNX file (a tensor zeroed, negated, shuffled,
    doubled or half zeroed) all 31 golden images show 170 beyond the limits, these ten 161, and the ten of which the
    reference is surest 98.

    Args:
        probabilities: the reference's, N × classes.

    Returns:
        Positions of at most `MOST_IMAGES` images.
    """
    least_sure = np.argsort(probabilities.max(1), kind="stable")
    seen = Counter[int]()
    rounds = []
    for likeliest in probabilities[least_sure].argmax(1).tolist():
        rounds.append(seen[likeliest])
        seen[likeliest] += 1
    return least_sure[np.argsort(rounds, kind="stable")][:MOST_IMAGES]


def _limits(tolerance: Tolerance, golden: int, chosen: int) -> Tolerance:
    """What a few of the golden images must keep so that no bundle is refused that keeps `tolerance` on all of them.

    As many may disagree as might among all. Their mean |Δp| says nothing of that of all.
    """
    disagreeing = int((1 - tolerance.top1_agreement) * golden)
    return tolerance._replace(mean_abs_diff=np.inf, top1_agreement=1 - disagreeing / chosen - ROUNDING)
