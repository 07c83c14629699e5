"""Mixed precision: the ranking names the layer that int8 ruins, and only as many return to float as have to."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from keras import layers
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.documents.quantization import Gate
from bctoolkit.errors import ExportError
from bctoolkit.export.checks.gate import check_gate
from bctoolkit.export.checks.judgement import Judgement, Validation
from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
from bctoolkit.export.onnx.exporter import OnnxExporter
from bctoolkit.export.sensitivity.search import (
    LEAST,
    MOST,
    MixedPrecisionResult,
    Predict,
    SearchTask,
    mean_divergence,
    search_mixed_precision,
)
from bctoolkit.runtime.on_onnxruntime import open_model
from tests.support.progress import Recorder

CONTRACT = InputContract(height=4, width=4)
KIND = "int8-dynamic"


class Dynamic:
    """ONNX with integer matrix products, except those of the layers to keep; it counts how often it converts."""

    def __init__(self, twin: keras.Model, settings: ExportSettings) -> None:
        self._float32 = OnnxExporter(twin, settings).convert("fp32", QuantizationSettings())
        self._layers = tuple(layer.name for layer in twin.layers if isinstance(layer, layers.Dense))
        self.in_float: list[frozenset[str]] = []

    def quantizable(self, quantization: str) -> tuple[str, ...]:
        return self._layers

    def convert(self, quantization: str, settings: QuantizationSettings) -> bytes:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        self.in_float.append(settings.keep_float)
        model = onnx.load_from_string(self._float32)
        excluded = [node.name for node in model.graph.node if node.name.split("/")[0] in settings.keep_float]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            quantize_dynamic(
                model, path, op_types_to_quantize=["MatMul"], nodes_to_exclude=excluded, weight_type=QuantType.QInt8,
                per_channel=True,
            )  # fmt: skip
            return path.read_bytes()


def run(model: bytes, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return open_model(model, "cpu", 1).run(images)


def network(*hostile: str) -> keras.Model:
    """Five dense layers; the input of a hostile one has a huge feature that it does not read.

    Quantized with one scale for all features, the others vanish beside it.
    """
    rng = np.random.default_rng(3)
    inputs = keras.Input((4, 4, 3), name="image")
    x = layers.Flatten()(layers.Rescaling(1 / 64, -2.0)(inputs))
    stack = [layers.Dense(24, activation="relu", name=f"dense_{index}") for index in range(4)]
    stack.append(layers.Dense(3, activation="softmax", name="head"))
    for layer in stack:
        x = layer(x)
    model = keras.Model(inputs, x, name="tiny")
    for before, layer in zip([None, *stack], stack, strict=False):
        kernel, bias = (rng.normal(0, 1 / np.sqrt(shape[0]), shape) for shape in (layer.kernel.shape, layer.bias.shape))
        if layer.name in hostile:
            assert before is not None
            before.set_weights([before.get_weights()[0], np.r_[1e5, before.get_weights()[1][1:]]])
            kernel[0] = 0
        layer.set_weights([kernel * 1.5, bias * 0.3])
    logits = np.log(np.asarray(model(drawn(200).astype(np.float32), training=False)))
    stack[-1].set_weights([kernel * 1.5, bias * 0.3 - logits.mean(0)])  # all classes occur
    return model


def drawn(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)


STRICT = Gate()
"""What a recipe asks for by default."""


@dataclass
class Case:
    """A network, its exporter and images labelled as the network itself would."""

    exporter: Dynamic
    validation: Validation
    folder: Path
    log: Recorder = field(default_factory=Recorder)

    def search(self, gate: Gate = STRICT, predict: Predict = run, **changes: Any) -> MixedPrecisionResult:
        given = self.validation
        images, labels, reference, classes = given.images[:], given.labels, given.reference, given.classes

        def judge(model: bytes) -> Judgement:
            return Judgement(check_gate(labels, reference, predict(model, images), classes, gate))

        task = SearchTask(
            self.exporter, KIND, QuantizationSettings(), judge, predict, images, reference, network="tiny",
            folder=self.folder, progress=self.log, seconds=60.0,
        )  # fmt: skip
        return search_mixed_precision(replace(task, **changes))


@pytest.fixture
def case(tmp_path: Path) -> Callable[..., Case]:
    def build(*hostile: str, count: int = 1500) -> Case:
        model = network(*hostile)
        images = drawn(count)
        reference = np.asarray(model(images.astype(np.float32), training=False))
        validation = Validation(images, reference.argmax(1), reference, ("a", "b", "c"), np.empty((0, 32), np.uint8))
        return Case(Dynamic(model, ExportSettings(CONTRACT)), validation, tmp_path / "cache")

    return build


LENIENT = Gate(max_accuracy_drop=0.03, max_recall_drop=0.05)
"""For networks with drawn weights, whose decisions are much closer than a trained one's."""


def test_without_a_hostile_layer_nothing_is_ranked(case: Callable[..., Case]) -> None:
    tested = case()
    result = tested.search(gate=LENIENT)
    assert result.final.outcome == "passed"
    assert result.first == result.final
    assert (result.ranking, result.keep_float) == (None, frozenset())
    assert len(tested.exporter.in_float) == 1
    assert not tested.folder.exists()


@pytest.mark.parametrize("hostile", ["dense_2", "head"])
def test_the_hostile_layer_comes_first_and_alone_returns_to_float(case: Callable[..., Case], hostile: str) -> None:
    tested = case(hostile)
    result = tested.search(gate=LENIENT)
    assert result.first.outcome == "failed"
    assert result.final.outcome == "passed"
    assert result.keep_float == {hostile}
    assert result.ranking is not None
    first, second, *_ = result.ranking.layers
    assert first.layer == hostile
    assert first.kl_divergence > 20 * second.kl_divergence
    assert {entry.layer for entry in result.ranking.layers} == set(tested.exporter.quantizable(KIND))
    observed = run(result.model, tested.validation.images[:])
    assert result.final.gate is not None
    assert (observed.argmax(1) == tested.validation.labels).mean() == result.final.gate.accuracy


def test_several_hostile_layers_mask_each_other_and_all_return(case: Callable[..., Case]) -> None:
    """Returning any one of them alone gains nothing: only layers measured alone can be told apart."""
    result = case("dense_1", "dense_2", "head").search(gate=LENIENT)
    assert result.final.outcome == "passed"
    assert result.keep_float == {"dense_1", "dense_2", "head"}


def test_layers_of_the_recipe_stay_in_float_and_are_not_ranked(case: Callable[..., Case]) -> None:
    tested = case("dense_1", "dense_3")
    fixed = frozenset({"dense_1"})
    result = tested.search(gate=LENIENT, settings=QuantizationSettings(keep_float=fixed))
    assert result.keep_float == {"dense_1", "dense_3"}
    assert result.ranking is not None
    assert "dense_1" not in {entry.layer for entry in result.ranking.layers}
    assert all(fixed <= layers for layers in tested.exporter.in_float)


def test_a_network_that_fails_with_all_layers_in_float_says_so(case: Callable[..., Case]) -> None:
    """The reference is another network's, so no layer is to blame."""
    tested = case()
    other = np.roll(tested.validation.reference, 1, axis=1)
    tested.validation = replace(tested.validation, reference=other, labels=other.argmax(1))
    result = tested.search()
    assert result.final.outcome == "failed"
    assert result.keep_float == set(tested.exporter.quantizable(KIND))


def test_the_search_goes_on_until_nothing_speaks_against_the_artifact(case: Callable[..., Case]) -> None:
    """Labels or none: here the distance from the reference alone asks for it."""
    tested = case("dense_2")
    images, reference = tested.validation.images[:], tested.validation.reference
    far = [np.abs(run(tested.exporter.convert(KIND, QuantizationSettings()), images) - reference).max()]

    def judge(model: bytes) -> Judgement:
        far.append(np.abs(run(model, images) - reference).max())
        return Judgement(None, () if far[-1] < far[0] / 2 else (f"max |Δp| {far[-1]:.1e} > {far[0] / 2:.1e}",))

    result = tested.search(judge=judge)
    assert (result.first.outcome, result.final.outcome) == ("failed", "passed")
    assert result.keep_float == {"dense_2"}
    assert np.abs(run(result.model, images) - reference).max() < far[0] / 2
    assert any(f"not as it is: max |Δp| {far[0]:.1e} > " in line for line in tested.log.lines)
    assert any("1 of 5 layers in float: passed" in line for line in tested.log.lines)


def test_too_few_images_are_no_reason_to_search_and_are_reported(case: Callable[..., Case]) -> None:
    result = case(count=60).search()
    assert result.final.outcome == "undecided"
    assert "60 labelled validation images are too few" in result.final.reasons[0]
    assert result.ranking is None


def test_too_few_images_still_find_a_ruined_network(case: Callable[..., Case]) -> None:
    result = case("dense_2", count=60).search()
    assert result.first.outcome == "failed"
    assert result.keep_float == {"dense_2"}
    assert result.final.outcome == "undecided"


def test_an_interrupted_ranking_is_resumed(case: Callable[..., Case]) -> None:
    tested = case("dense_2")
    calls = 0

    def interrupted(model: bytes, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        nonlocal calls
        calls += 1
        if calls == 6:  # the whole artifact, two to time the first layer, two layers, and the third
            raise KeyboardInterrupt
        return run(model, images)

    with pytest.raises(KeyboardInterrupt):
        tested.search(predict=interrupted, gate=LENIENT)
    (path,) = tested.folder.iterdir()
    assert [entry["layer"] for entry in json.loads(path.read_bytes())["layers"]] == ["dense_0", "dense_1"]
    tested.exporter.in_float.clear()
    resumed = tested.search(gate=LENIENT)
    ranked = {"dense_0", "dense_1", "dense_2", "dense_3", "head"}
    assert [ranked - layers for layers in tested.exporter.in_float[1:4]] == [{"dense_2"}, {"dense_3"}, {"head"}]
    assert "resuming the ranking after 2 of 5 layers" in tested.log.lines[-2]
    path.unlink()
    whole = tested.search(gate=LENIENT)
    assert resumed.ranking is not None
    assert whole.ranking is not None
    assert resumed.ranking.layers == whole.ranking.layers
    assert resumed.model == whole.model


def test_a_finished_ranking_is_used_again_but_not_for_another_network(case: Callable[..., Case]) -> None:
    tested = case("dense_2")
    tested.search(gate=LENIENT)
    tested.exporter.in_float.clear()
    tested.search(gate=LENIENT)
    assert len(tested.exporter.in_float) == 2  # the whole artifact, and the one that passes
    tested.exporter.in_float.clear()
    tested.search(gate=LENIENT, network="another")
    assert len(tested.exporter.in_float) == 8
    assert len(list(tested.folder.iterdir())) == 2


@pytest.mark.parametrize("content", [b"{", b'{"images": "many"}', b'{"images": 3, "layer": []}'])
def test_a_damaged_ranking_is_refused_by_name(case: Callable[..., Case], content: bytes) -> None:
    tested = case("dense_2")
    tested.search(gate=LENIENT)
    (path,) = tested.folder.iterdir()
    path.write_bytes(content)
    with pytest.raises(ExportError, match=f"{path}.*remove it and export again"):
        tested.search(gate=LENIENT)


def test_time_allowed_decides_how_many_images_are_used(case: Callable[..., Case]) -> None:
    generous, hurried = case("dense_2").search(gate=LENIENT), None
    tested = case("dense_2")
    hurried = tested.search(gate=LENIENT, seconds=1e-3, network="hurried")
    assert generous.ranking is not None
    assert hurried.ranking is not None
    assert (generous.ranking.images, hurried.ranking.images) == (MOST, LEAST)
    assert "ranking 5 layers by sensitivity on 32 images: about" in tested.log.lines[1]


def test_divergence_by_hand() -> None:
    reference = np.array([[0.5, 0.5], [1.0, 0.0]], np.float32)
    observed = np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)
    by_hand = (0.5 * np.log(2) + 0.5 * np.log(2 / 3)) / 2
    assert mean_divergence(reference, observed) == pytest.approx(by_hand, abs=1e-5)
    assert mean_divergence(reference, reference) == 0


def test_predictions_that_are_no_numbers_are_far_from_sure_ones() -> None:
    sure = np.array([[1.0, 0.0]], np.float32)
    unsure = np.array([[0.4, 0.6]], np.float32)
    for answer in ([np.nan, np.nan], [np.nan, np.inf], [-np.inf, 0]):
        assert mean_divergence(sure, np.array([answer], np.float32)) == pytest.approx(np.log(2), abs=1e-4)
    assert mean_divergence(sure, sure[:, ::-1]) > 10 > mean_divergence(sure, unsure)


@given(
    answers=hnp.arrays(np.uint8, (4, 3)).filter(lambda counts: counts.any(1).all()),
    others=hnp.arrays(np.uint8, (4, 3)).filter(lambda counts: counts.any(1).all()),
)
def test_divergence_is_never_negative_though_eight_bits_do_not_sum_to_one(
    answers: NDArray[np.uint8], others: NDArray[np.uint8]
) -> None:
    eight_bits = (others / 256).astype(np.float32)
    reference = (answers / answers.sum(1, keepdims=True)).astype(np.float32)
    assert mean_divergence(reference, eight_bits) >= -1e-12
