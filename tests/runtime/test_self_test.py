"""The self-test: what is refused and why, what is not, and what of it is remembered."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit.bundle import Bundle, Golden
from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS
from bctoolkit.errors import BackendError, SelfTestFailed
from bctoolkit.manifest import Processor
from bctoolkit.runtime import ClassifierInfo, SelfTest, load
from bctoolkit.runtime.on_onnxruntime import OnnxRuntimeBackend
from bctoolkit.runtime.self_test import diagnosis, run
from bctoolkit.runtime.self_test.diagnosis import CAUSES, diagnose
from bctoolkit.runtime.self_test.remembered import MOST_KEPT
from bctoolkit.runtime.self_test.run import MOST_IMAGES, ask, choose
from bctoolkit.statistics.metrics import limit_violations
from bctoolkit.system import cpu_features
from tests.support.bundles import STORED, write

ZOO = Path(__file__).parents[2] / "exports" / "zoo"
LABELS = ("a", "b", "c", "d")
SURE = np.full((4, 4), 0.01, np.float32) + np.eye(4, dtype=np.float32) * np.float32(0.96)
TOOLS = {"onnxruntime": "1.32.0"}
Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Answers:
    """A backend that knows the images by their content."""

    provider = "cpu"
    threads = 1

    def __init__(self, images: NDArray[Any], answers: NDArray[np.float32]) -> None:
        self._answers = {image.tobytes(): answer for image, answer in zip(images, answers, strict=True)}
        self.asked: list[int] = []

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.asked.append(len(batch))
        return np.stack([self._answers[image.tobytes()] for image in batch])

    def placement(self) -> None:
        """There are no operators."""


def sealed(folder: Path, probabilities: NDArray[np.float32], **changes: Any) -> Bundle:
    count, classes = probabilities.shape
    images = np.random.default_rng(0).integers(0, 256, (count, 6, 5, 3), dtype=np.uint8)
    labels = tuple(f"class {i}" for i in range(classes)) if classes != len(LABELS) else LABELS
    golden = Golden(images, probabilities, np.full(count, -1))
    return write(folder / "bundle", golden=golden, labels=labels, tools=TOOLS, **changes)


def here(bundle: Bundle, **changes: Any) -> ClassifierInfo:
    usual: dict[str, Any] = {"engine": "onnxruntime", "engine_version": "1.32.0", "provider": "cpu", "threads": 1}
    return ClassifierInfo(labels=bundle.manifest.labels, input=bundle.manifest.input, **(usual | changes))


def asked(bundle: Bundle, answers: NDArray[np.float32], **changes: Any) -> SelfTest:
    golden = bundle.golden()
    images = golden.images.astype(bundle.manifest.input.dtype)
    return ask(bundle, Answers(images, answers), here(bundle, **changes))


def test_right_answers_pass_and_say_how_right_they_are(tmp_path: Path) -> None:
    result = asked(sealed(tmp_path, SURE), SURE + np.float32(0.005))
    assert (result.outcome, result.images) == ("passed", 4)
    assert result.max_abs_diff == pytest.approx(0.005, abs=1e-6)


def test_images_are_asked_one_at_a_time_and_ten_at_the_most(tmp_path: Path) -> None:
    bundle = sealed(tmp_path, np.tile(SURE, (5, 1)))
    backend = Answers(bundle.golden().images.astype(np.float32), np.tile(SURE, (5, 1)))
    ask(bundle, backend, here(bundle))
    assert backend.asked == [1] * MOST_IMAGES == [1] * 10


@pytest.mark.parametrize(
    ("change", "cause", "words"),
    [
        (lambda p: p * np.nan, "not finite", "NaN or infinity"),
        (lambda p: np.where(p > 0.5, np.inf, p), "not finite", "NaN or infinity"),
        (lambda p: p * 0, "all zero", "every probability is zero"),
        (lambda p: np.tile(p[:1], (4, 1)), "constant", "every image gets the same answer"),
        (lambda p: np.log(p), "no probabilities", "some values lie outside 0 to 1: -4.6"),
        (lambda p: p[:, [1, 0, 2, 3]], "labels", "'a' is 'b', 'b' is 'a'"),
        (lambda p: p[:, [1, 2, 3, 0]], "labels", "'a' is 'b', 'b' is 'c', 'c' is 'd' …"),
        (lambda p: p[:, :3], "shape", r"the answers have another shape than the labels: \(3,\) for 4 labels"),
        (lambda p: 1 - p, "kernel", CAUSES["kernel"]),
    ],
    ids=["nan", "infinity", "zero", "constant", "logits", "two swapped", "turned", "shape", "kernel"],
)
def test_the_answers_show_what_is_wrong_with_them(tmp_path: Path, change: Change, cause: str, words: str) -> None:
    bundle = sealed(tmp_path, SURE)
    with pytest.raises(
        SelfTestFailed, match=f"not served, .* 4 golden images failed: .*likely cause: .*{words}"
    ) as told:
        asked(bundle, change(SURE).astype(np.float32))
    assert told.value.causes == (cause,)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("wrong", [[0], [0, 1], [2, 3]])
def test_some_wrong_answers_are_enough(tmp_path: Path, wrong: list[int]) -> None:
    answers = SURE.copy()
    answers[wrong] = answers[wrong][:, ::-1] * 0.5
    with pytest.raises(SelfTestFailed) as told:
        asked(sealed(tmp_path, SURE), answers)
    assert told.value.causes == ("kernel",)


OTHER_CPU = Processor("Another CPU", ("avx2", "an_unknown_set"))


def test_what_differs_on_this_machine_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "cpu_features", lambda: ("avx2", "fma"))
    bundle = sealed(tmp_path, SURE, cpu=OTHER_CPU)
    with pytest.raises(SelfTestFailed) as told:
        asked(bundle, 1 - SURE, engine_version="1.20.1", provider="openvino")
    assert told.value.causes == ("provider", "engine version", "cpu")
    assert "openvino here, cpu when it was sealed" in str(told.value)
    assert "onnxruntime 1.20.1 here, 1.32.0 when it was sealed" in str(told.value)
    assert "this CPU is without an_unknown_set and with fma, unlike the one it was sealed on (Another CPU)" in str(
        told.value
    )


def test_a_symptom_comes_before_what_differs_and_the_bundle_s_own_faults_stand_alone(tmp_path: Path) -> None:
    bundle = sealed(tmp_path, SURE, cpu=Processor("Another CPU", ("an_unknown_set",)))
    manifest, info = bundle.manifest, here(bundle)
    differing = ("cpu",) if cpu_features() else ()
    keys = [[c.key for c in diagnose(SURE, o, 0.35, manifest, info)] for o in (SURE * 0, SURE[:, [1, 0, 2, 3]])]
    assert keys == [["all zero", *differing], ["labels"]]


def test_a_cpu_that_the_system_does_not_name_is_not_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "cpu_features", lambda: ())
    bundle = sealed(tmp_path, SURE, cpu=OTHER_CPU)
    assert [cause.key for cause in diagnose(SURE, 1 - SURE, 0.35, bundle.manifest, here(bundle))] == ["kernel"]


@given(st.permutations(range(4)))
def test_any_other_order_of_the_labels_is_recognized(order: list[int]) -> None:
    bundle = bundles.read(ZOO / "atto-onnx-int8-dynamic")
    causes = [cause.key for cause in diagnose(SURE, SURE[:, order], 0.35, bundle.manifest, here(bundle))]
    assert (causes == ["labels"]) == (order != sorted(order))


def test_an_order_is_found_though_some_classes_are_likeliest_nowhere() -> None:
    bundle = bundles.read(ZOO / "atto-onnx-int8-dynamic")
    told = diagnose(SURE[:2], SURE[:2][:, [3, 0, 1, 2]], 0.35, bundle.manifest, here(bundle))
    assert [cause.key for cause in told] == ["labels"]


def test_wrong_answers_that_no_order_explains_are_not_called_an_order() -> None:
    bundle = bundles.read(ZOO / "atto-onnx-int8-dynamic")
    for observed in (SURE[[1, 0, 0, 3]], SURE[:, [1, 0, 2, 3]] * np.float32(0.5)):
        assert "labels" not in [c.key for c in diagnose(SURE, observed, 0.35, bundle.manifest, here(bundle))]


def distributions(count: int, classes: int, seed: int, sharpness: float) -> NDArray[np.float32]:
    logits = np.random.default_rng(seed).normal(size=(count, classes)) * sharpness
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return (raised / raised.sum(1, keepdims=True)).astype(np.float32)


@given(
    count=st.integers(1, 70),
    classes=st.integers(1, 12),
    seed=st.integers(0, 10**6),
    sharpness=st.floats(0.1, 10),
    noise=st.floats(0, 5),
    form=st.sampled_from(sorted(QUANTIZATIONS)),
)
def test_what_keeps_the_limits_on_all_golden_images_is_never_refused(
    count: int, classes: int, seed: int, sharpness: float, noise: float, form: str
) -> None:
    """A false alarm is as bad as a miss."""
    reference = distributions(count, classes, seed, sharpness)
    other = distributions(count, classes, seed + 1, sharpness)
    share = np.float32(noise * QUANTIZATIONS[form].tolerance.max_abs_diff)
    observed = reference + np.clip(other - reference, -share, share)
    tolerance = QUANTIZATIONS[form].tolerance
    chosen = choose(reference)
    limits = run._limits(tolerance, count, len(chosen))
    if run._violations(reference[chosen], observed[chosen], limits):
        assert limit_violations(reference, observed, tolerance)


@given(count=st.integers(1, 70), classes=st.integers(1, 15), seed=st.integers(0, 10**6))
def test_the_least_sure_image_of_as_many_classes_as_possible_is_chosen(count: int, classes: int, seed: int) -> None:
    reference = distributions(count, classes, seed, 3.0)
    chosen, likeliest = choose(reference), reference.argmax(1)
    assert len(set(chosen.tolist())) == len(chosen) == min(MOST_IMAGES, count)
    first = chosen[: len(set(likeliest.tolist()))]
    assert len(set(likeliest[first].tolist())) == len(first)
    for image in first:
        assert reference[image].max() == reference[likeliest == likeliest[image]].max(1).min()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bctoolkit" / "self-tests"


def outcome(path: Path = STORED, **options: Any) -> str:
    return load(path, **({"threads": 1} | options)).info().self_test.outcome


def test_a_passed_test_is_not_run_again_until_something_is_otherwise(cache: Path) -> None:
    assert [outcome(), outcome(), outcome(threads=2), outcome(threads=2)] == [
        "passed", "remembered", "passed", "remembered",
    ]  # fmt: skip
    assert [outcome(self_test=mode) for mode in ("always", "never", "once")] == ["passed", "not run", "remembered"]
    assert cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("what", ["cpu_name", "cpu_features", "__version__"])
def test_another_cpu_and_another_version_are_tested_again(
    what: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outcome() == "passed"
    monkeypatch.setattr(run, what, {"cpu_name": lambda: "x", "cpu_features": lambda: ("y",), "__version__": "z"}[what])
    assert outcome() == "passed"


def test_another_version_of_the_engine_is_tested_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    assert outcome() == "passed"
    monkeypatch.setattr(onnxruntime, "__version__", "1.0")
    assert outcome() == "passed"


def test_a_bundle_that_fails_is_never_remembered(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxRuntimeBackend, "run", lambda self, batch: np.zeros((len(batch), 3), np.float32))
    for _ in range(2):
        with pytest.raises(SelfTestFailed, match="every probability is zero"):
            outcome()
    assert not cache.exists()
    monkeypatch.undo()


def spoil_content(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"{", b"[", 1))


def cut_short(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-1])


def lengthen(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes() + b" ")


def into_pipes(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
        os.mkfifo(path)


def into_links(folder: Path) -> None:
    for path in folder.iterdir():
        target = path.rename(folder.parent / path.name)
        path.symlink_to(target)


@pytest.mark.parametrize(
    "damage",
    [spoil_content, cut_short, lengthen, into_pipes, into_links, lambda folder: folder.chmod(0o777)],
    ids=["content", "short", "long", "pipe", "link", "open to all"],
)
def test_a_cache_that_is_not_ours_byte_for_byte_is_not_believed(cache: Path, damage: Callable[[Path], None]) -> None:
    assert [outcome(), outcome()] == ["passed", "remembered"]
    damage(cache)
    assert outcome() == "passed"


def test_without_a_cache_each_start_tests_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert [outcome(), outcome()] == ["passed", "passed"]


def test_a_relative_cache_folder_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert [outcome(), outcome()] == ["passed", "remembered"]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("home", ["here", "/proc/none"])
def test_a_user_without_a_home_has_no_cache(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", home)
    assert [outcome(), outcome()] == ["passed", "passed"]
    assert list(tmp_path.iterdir()) == []


def test_a_user_whom_the_system_does_not_know_has_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: Path("~nobody-here").expanduser())
    assert [outcome(), outcome()] == ["passed", "passed"]


def test_an_error_keeps_its_causes_on_its_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(SelfTestFailed("it failed", ("cpu",))))
    assert (str(error), error.causes) == ("it failed", ("cpu",))


def test_old_files_go(cache: Path) -> None:
    cache.mkdir(parents=True, mode=0o700)
    for number in range(MOST_KEPT):
        (cache / f"{number:03d}.json").touch()
        os.utime(cache / f"{number:03d}.json", (number, number))
    assert outcome() == "passed"
    names = sorted(path.name for path in cache.iterdir())
    assert len(names) == MOST_KEPT
    assert "000.json" not in names
    assert "001.json" in names
    assert outcome() == "remembered"


@pytest.mark.parametrize("mode", ["sometimes", "", True, False, None])
def test_an_unknown_mode_is_refused(mode: Any) -> None:
    with pytest.raises(BackendError, match=r"unknown mode of the self-test: .*; modes: once, always, never"):
        load(STORED, self_test=mode)


@pytest.mark.parametrize("name", FORMATS)
def test_the_zoo_passes_with_every_number_of_threads(name: str) -> None:
    for threads in (1, 2):
        result = load(ZOO / f"atto-{name}-int8-dynamic", threads=threads, self_test="always").info().self_test
        assert (result.outcome, result.images) == ("passed", 10)


def test_golden_images_of_another_model_are_noticed(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(STORED, tmp_path / "copy"))
    golden = bundles.read(copy).golden()
    swapped = Golden(golden.images, golden.probabilities[:, ::-1].copy(), golden.labels)
    manifest = bundles.read(copy).manifest
    kept = {name: getattr(manifest, name) for name in ("format", "quantization", "input", "labels", "source", "parity")}
    model = bundles.read(copy).model()
    write(tmp_path / "other", **kept, model=model, golden=swapped, tools={}, reference=None)
    with pytest.raises(SelfTestFailed) as told:
        load(tmp_path / "other")
    assert told.value.causes == ("labels",)
