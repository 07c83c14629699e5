"""Faults planted one at a time, each of which has to be caught before a bundle is sealed, and blamed on its link."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from bctoolkit import networks
from bctoolkit.data import stores
from bctoolkit.documents.formats import FORMATS
from bctoolkit.errors import ParityFailed
from bctoolkit.export import build, export
from bctoolkit.export.calibration import ranges
from bctoolkit.export.exporter import Quantizing
from bctoolkit.export.keras_graph.walk import rebuild
from bctoolkit.export.onnx.passes import int8 as onnx_int8
from bctoolkit.export.plan import Job
from bctoolkit.export.tflite.exporter import TfliteExporter
from bctoolkit.export.tflite.graph import Grid
from bctoolkit.export.tflite.passes import int8 as tflite_int8
from bctoolkit.lazy import attribute
from bctoolkit.networks import LayerScale
from bctoolkit.progress import Silent
from bctoolkit.recipes import ExportRecipe

from .conftest import fit_head, small_convnext

Change = Callable[[keras.Model], keras.Model]
Replace = Callable[[Any], Any]


def with_layers(replace: Replace) -> Change:
    """Build the network anew with other layers; each keeps its weights where they fit."""

    def change(model: keras.Model) -> keras.Model:
        made = {operation: replace(operation) for operation in model.operations}
        return rebuild(model, lambda operation: [] if made[operation] is None else [made[operation]])

    return change


def with_weights(pattern: str, new: Callable[[NDArray[Any]], NDArray[Any]]) -> Change:
    """The network with the first weight tensor of the layers called `*pattern` changed."""

    def change(model: keras.Model) -> keras.Model:
        copy = rebuild(model, lambda operation: [again(operation)])
        found = [layer for layer in copy.layers if layer.name.endswith(pattern)]
        assert found
        for layer in found:
            first, *others = layer.get_weights()
            layer.set_weights([new(first), *others])
        return copy

    return change


def again(operation: Any, **changes: Any) -> Any:
    """A copy of a layer with some of its arguments changed."""
    if not isinstance(operation, keras.layers.Layer):
        return operation
    return type(operation).from_config({**operation.get_config(), **changes})


def coarse_norms(operation: Any) -> Any:
    return (
        again(operation, epsilon=1e-3) if isinstance(operation, keras.layers.LayerNormalization) else again(operation)
    )


@keras.saving.register_keras_serializable("planted")
def tanh_gelu(x: Any) -> Any:
    return keras.activations.gelu(x, approximate=True)


def approximate_gelus(operation: Any) -> Any:
    if not operation.name.endswith("_gelu"):
        return again(operation)
    return keras.layers.Activation(tanh_gelu, name=operation.name)


def without_scales(operation: Any) -> Any:
    return None if isinstance(operation, LayerScale) else again(operation)


def without_preprocessing(operation: Any) -> Any:
    return None if operation.name == "preprocess" else again(operation)


def softmax_twice(model: keras.Model) -> keras.Model:
    return keras.Model(model.inputs[0], keras.layers.Softmax(name="again")(model.outputs[0]))


def divided_twice(model: keras.Model) -> keras.Model:
    inputs = keras.Input(model.input_shape[1:], name="image")
    return keras.Model(inputs, model(keras.layers.Rescaling(1 / 255, name="divide")(inputs)))


bgr = with_weights("stem_conv", lambda kernel: kernel[:, :, ::-1])
turned = with_weights("block_1_depthwise", lambda kernel: kernel.transpose(1, 0, 2, 3))


def faulty_exporter(monkeypatch: pytest.MonkeyPatch, name: str, change: Change) -> None:
    """Let a format's exporter work on a changed twin."""
    right = attribute(FORMATS[name].exporter)
    monkeypatch.setattr(FORMATS[name].exporter.replace(":", "."), lambda twin, settings: right(change(twin), settings))


def faulty_bytes(monkeypatch: pytest.MonkeyPatch, damage: Callable[[onnx.ModelProto], None]) -> None:
    """Change what the ONNX exporter has written."""
    right = attribute(FORMATS["onnx"].exporter)

    class Faulty(right):  # type: ignore[misc]
        def convert(self, quantization: str, quantizing: Quantizing) -> bytes:
            model = onnx.load_from_string(super().convert(quantization, quantizing))
            damage(model)
            content: bytes = model.SerializeToString()
            return content

    monkeypatch.setattr("bctoolkit.export.onnx.exporter.OnnxExporter", Faulty)


def refused(run: Path, target: Path, formats: tuple[str, ...] = ("onnx",), kind: str = "fp32", **options: Any) -> str:
    """The message of an export that must fail and leave nothing."""
    with pytest.raises(ParityFailed) as caught:
        export(run, ExportRecipe(formats=formats, quantizations=(kind,)), target, Silent(), **options)
    assert "no bundle was written" in str(caught.value)
    assert not target.exists()
    return str(caught.value)


KERAS_STEPS = {
    "BGR for RGB": bgr,
    "mean and deviation left out": with_layers(without_preprocessing),
    "LayerNorm epsilon 1e-3": with_layers(coarse_norms),
    "tanh GELU": with_layers(approximate_gelus),
    "LayerScale dropped": with_layers(without_scales),
    "kernel transposed": turned,
    "softmax twice": softmax_twice,
    "/255 twice": divided_twice,
}
"""Mistakes that `freeze` and `fold` could make."""


@pytest.mark.parametrize("fault", KERAS_STEPS)
def test_a_fault_of_the_freezing_is_blamed_on_it(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    right, change = build.freeze, KERAS_STEPS[fault]
    monkeypatch.setattr(build, "freeze", lambda model: change(right(model)))
    assert refused(cells, tmp_path / "out").startswith("float32 Keras → frozen twin: ")


def test_layer_scale_that_folding_forgets_is_blamed_on_folding(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = build.fold
    monkeypatch.setattr(build, "fold", lambda twin: right(with_layers(without_scales)(twin)))
    message = refused(cells, tmp_path / "out", bisect=True)
    assert message.startswith("frozen twin → folded twin: ")
    assert (
        "the first output to depart is that of layer 'block_0_scale', those of block_0_project still agree" in message
    )


def test_a_mean_that_folding_forgets_is_blamed_on_folding(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = build.fold
    monkeypatch.setattr(build, "fold", lambda twin: right(with_layers(without_preprocessing)(twin)))
    assert refused(cells, tmp_path / "out").startswith("frozen twin → folded twin: ")


EXPORTER_FAULTS = {
    "BGR for RGB": (bgr, "stem_conv"),
    "/255 twice": (divided_twice, "stem_conv"),
    "LayerNorm epsilon 1e-3": (with_layers(coarse_norms), "stem_norm"),
    "kernel transposed": (turned, "block_1_depthwise"),
    "softmax twice": (softmax_twice, "head_probabilities"),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("fault", EXPORTER_FAULTS)
def test_a_fault_of_an_exporter_is_blamed_on_its_format_and_traced_to_the_layer(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fault: str
) -> None:
    change, layer = EXPORTER_FAULTS[fault]
    faulty_exporter(monkeypatch, name, change)
    message = refused(cells, tmp_path / "out", (name,), bisect=True)
    assert message.startswith(f"folded twin → {name} fp32: ")
    assert f"layer {layer!r}" in message or fault == "softmax twice"


def test_a_tanh_gelu_in_the_onnx_graph_is_blamed_on_it(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(model: onnx.ModelProto) -> None:
        for node in (node for node in model.graph.node if node.op_type == "Gelu"):
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("approximate", "tanh"))

    faulty_bytes(monkeypatch, damage)
    message = refused(cells, tmp_path / "out", bisect=True)
    assert message.startswith("folded twin → onnx fp32: logit error ")  # no probability moves by a ten-thousandth
    assert "layer 'block_0_gelu', those of block_0_expand still agree" in message


def test_channels_read_in_another_order_are_blamed_on_the_onnx_graph(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(model: onnx.ModelProto) -> None:
        place, node = next((i, n) for i, n in enumerate(model.graph.node) if n.op_type == "Transpose")
        shape = numpy_helper.from_array(np.array([-1, 24, 8, 8] if place > 2 else [-1, 3, 32, 32]), "flat_shape")
        model.graph.initializer.append(shape)
        model.graph.node.insert(place, helper.make_node("Reshape", [node.input[0], "flat_shape"], node.output[:1]))
        model.graph.node.remove(node)

    faulty_bytes(monkeypatch, damage)
    assert refused(cells, tmp_path / "out").startswith("folded twin → onnx fp32: ")


def test_one_scale_for_all_channels_of_a_depthwise_kernel_is_blamed_on_quantization(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_scale(kernel: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], Grid]:
        scale = np.abs(kernel).max() / 127
        return np.rint(kernel / scale).astype(np.int8), Grid(np.full(kernel.shape[axis], scale), 0, axis)

    monkeypatch.setattr(tflite_int8, "int8_weights", one_scale)
    message = refused(cells, tmp_path / "out", ("tflite",), "int8-full")
    assert message.startswith("tflite fp32 → tflite int8-full: ")
    assert "channels of the weights 'block_0_depthwise" in message


@pytest.mark.parametrize("kind", ["int8-dynamic", "int8"])
def test_weights_that_some_cpu_cannot_add_up_are_blamed_on_quantization(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Whatever this machine answers: the one with VNNI does not see the fault, the one without does."""

    def on_all_steps(kernel: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        scale = (np.abs(kernel).max(0) / 127).astype(np.float32)
        return np.rint(kernel / scale).astype(np.int8), scale

    monkeypatch.setattr(onnx_int8, "per_channel", on_all_steps)
    message = refused(cells, tmp_path / "out", ("onnx",), kind)
    assert re.match(rf"onnx fp32 → onnx {kind}: \d+ of \d+ columns of integer weights hold neighbours that ", message)


@pytest.mark.parametrize("name", FORMATS)
def test_calibration_on_noise_is_blamed_on_the_calibration_images(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    right = ranges.choose

    def noise(*arguments: Any) -> ranges.Calibration:
        chosen = right(*arguments)
        drawn = np.random.default_rng(0).integers(0, 256, chosen.images.shape, dtype=np.uint8)
        return dataclasses.replace(chosen, images=drawn)

    monkeypatch.setattr(ranges, "choose", noise)
    assert refused(cells, tmp_path / "out", (name,), "int8").startswith("training part → calibration images: ")


def test_ranges_of_black_images_are_blamed_on_quantization(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Faulty(TfliteExporter):
        def convert(self, quantization: str, quantizing: Quantizing) -> bytes:
            if quantizing.images is not None:
                quantizing = dataclasses.replace(quantizing, images=np.zeros_like(quantizing.images))
            return super().convert(quantization, quantizing)

    monkeypatch.setattr("bctoolkit.export.tflite.exporter.TfliteExporter", Faulty)
    message = refused(cells, tmp_path / "out", ("tflite",), "int8-full")
    assert message.startswith("tflite fp32 → tflite int8-full: ")


PREPARED = {"BGR for RGB": lambda array: array[..., ::-1], "/255 twice": lambda array: array // 255}


@pytest.mark.parametrize("fault", PREPARED)
def test_images_prepared_otherwise_than_in_training_are_blamed_on_that_link(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    right, change = stores.prepare, PREPARED[fault]
    monkeypatch.setattr(stores, "prepare", lambda image, contract: change(right(image, contract)))
    message = refused(cells, tmp_path / "out")
    assert message.startswith("training → float32 Keras: accuracy ")
    assert "images are prepared differently, or labels are in another order" in message


def test_labels_in_another_order_than_in_training_are_blamed_on_that_link(cells: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(cells, tmp_path / "run"))
    facts = json.loads((run / "run.json").read_bytes())
    facts["labels"] = facts["labels"][1:] + facts["labels"][:1]
    (run / "run.json").write_text(json.dumps(facts))
    assert refused(run, tmp_path / "out").startswith("training → float32 Keras: accuracy 0.00% on the test part")


def test_labels_turned_before_sealing_are_blamed_on_the_labels(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Job, "labels", ("right", "left", "up"))
    message = refused(cells, tmp_path / "out")
    assert message.startswith("onnx fp32 → labels: read by its labels it is right on ")


def test_a_float32_copy_that_lost_a_kernel_is_blamed_on_the_copying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = networks.build("convnext_atto", 3, (32, 32, 3), layer_scale=0.5, policy="mixed_bfloat16")
    model.get_layer("head_logits").set_weights([np.eye(320, 3) * 3, np.zeros(3)])
    model.save(tmp_path / "mixed.keras")
    right = build.reference
    monkeypatch.setattr(build, "reference", lambda network: with_weights("head_logits", np.zeros_like)(right(network)))
    message = refused(tmp_path / "mixed.keras", tmp_path / "out", golden="synthetic")
    assert message.startswith("Keras in bfloat16 → float32 Keras: ")


@pytest.mark.slow
def test_twenty_honest_exports_raise_no_alarm(class_folders: Path, cells: Path, tmp_path: Path) -> None:
    from bctoolkit.export.source import images_of, open_origin

    known = images_of(open_origin(cells), None, Silent())
    assert known is not None
    train = known.dataset.take(known.parts.train)
    recipe = ExportRecipe(formats=tuple(FORMATS), quantizations=("fp32", "int8-dynamic"))
    for seed in range(1, 21):
        model = small_convnext(seed)
        fit_head(model, train.images[:], train.labels)
        model.save(tmp_path / "net.keras")
        made = export(tmp_path / "net.keras", recipe, tmp_path / "out", Silent(), data=str(class_folders))
        assert len(made) == 4
