"""Faults planted one at a time, each of which has to be caught before a bundle is sealed, and blamed on its step.

Most are planted between two variants of one honest chain; one of each step goes through a whole export.
"""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from bctoolkit import networks
from bctoolkit.contract import prepare
from bctoolkit.data import stores
from bctoolkit.documents.formats import FORMATS
from bctoolkit.errors import ParityFailed
from bctoolkit.export import export, keras_network
from bctoolkit.export.calibration import ranges
from bctoolkit.export.checks.introspection import require_exact_integers
from bctoolkit.export.checks.parity_chain import compare_float32, require_trained_accuracy
from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.export.onnx.passes import int8 as onnx_int8
from bctoolkit.export.plan import Job
from bctoolkit.export.tflite import exporter as tflite_exporter
from bctoolkit.export.tflite.graph import QuantParams
from bctoolkit.export.tflite.passes import static as tflite_static
from bctoolkit.lazy import attribute
from bctoolkit.networks.inference import in_float32, predict
from bctoolkit.progress import Silent
from bctoolkit.recipes import ExportRecipe
from tests.support.chain import Chain
from tests.support.faults import (
    approximate_gelus,
    bgr,
    coarse_norms,
    divided_twice,
    in_bfloat16,
    softmax_twice,
    turned,
    with_layers,
    with_weights,
    without_preprocessing,
    without_scales,
)
from tests.support.networks import fit_head, small_convnext

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def float32(chain: Chain) -> dict[str, bytes]:
    """The honest fp32 artifact of each format."""
    return {name: exporter.convert("fp32", QuantizationSettings()) for name, exporter in chain.exporters.items()}


def refused(run: Path, target: Path, formats: tuple[str, ...] = ("onnx",), kind: str = "fp32", **options: Any) -> str:
    """The message of a whole export that must fail and leave nothing."""
    with pytest.raises(ParityFailed) as caught:
        export(run, ExportRecipe(formats=formats, quantizations=(kind,)), target, Silent(), **options)
    assert "no bundle was written" in str(caught.value)
    assert not target.exists()
    return str(caught.value)


def test_the_honest_chain_holds(chain: Chain, float32: dict[str, bytes]) -> None:
    artifacts = [chain.artifact(name, "fp32", model) for name, model in float32.items()]
    for before, after in (
        (chain.original, chain.frozen_twin),
        (chain.frozen_twin, chain.folded_twin),
        *((chain.folded_twin, artifact) for artifact in artifacts),
        *((chain.original, artifact) for artifact in artifacts),
    ):
        step = chain.compare(before, after)
        assert step.max_abs_diff <= 1e-4
        assert step.exact == "float64"


KERAS_STEPS = {
    "BGR for RGB": bgr,
    "mean and deviation left out": with_layers(without_preprocessing),
    "LayerNorm epsilon 1e-3": with_layers(coarse_norms),
    "tanh GELU": with_layers(approximate_gelus),
    "LayerScale dropped": with_layers(without_scales),
    "kernel transposed": turned,
    "softmax twice": softmax_twice,
    "/255 twice": divided_twice,
    "a convolution in bfloat16": in_bfloat16,
}
"""Mistakes that `freeze` and `fold` could make."""


@pytest.mark.parametrize("fault", KERAS_STEPS)
def test_a_fault_of_the_freezing_is_blamed_on_it(chain: Chain, fault: str) -> None:
    frozen = chain.keras("frozen twin", KERAS_STEPS[fault](chain.frozen))
    assert chain.fault(chain.original, frozen).startswith("float32 Keras → frozen twin: ")


def test_an_export_with_a_fault_of_the_freezing_writes_nothing(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras_network, "freeze", lambda model: turned(freeze(model)))
    assert refused(run_folder, tmp_path / "out").startswith("float32 Keras → frozen twin: ")


def test_layer_scale_that_folding_forgets_is_blamed_on_folding(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras_network, "fold", lambda twin: fold(with_layers(without_scales)(twin)))
    message = refused(run_folder, tmp_path / "out", bisect=True)
    assert message.startswith("frozen twin → folded twin: ")
    assert (
        "the first output to depart is that of layer 'block_0_scale', those of block_0_project still agree" in message
    )


def test_a_mean_that_folding_forgets_is_blamed_on_folding(chain: Chain) -> None:
    folded = chain.keras("folded twin", fold(with_layers(without_preprocessing)(chain.frozen)))
    assert chain.fault(chain.frozen_twin, folded).startswith("frozen twin → folded twin: ")


EXPORTER_FAULTS = {
    "BGR for RGB": (bgr, "stem_conv"),
    "/255 twice": (divided_twice, "stem_conv"),
    "LayerNorm epsilon 1e-3": (with_layers(coarse_norms), "stem_norm"),
    "kernel transposed": (turned, "block_1_depthwise"),
    "softmax twice": (softmax_twice, "head_probabilities"),
}


REPEATED = ("BGR for RGB", "/255 twice", "LayerNorm epsilon 1e-3", "softmax twice")
"""What TFLite's converter, which takes seconds, is given in the soak alone."""


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        pytest.param(name, fault, marks=pytest.mark.soak if name == "tflite" and fault in REPEATED else ())
        for name in FORMATS
        for fault in EXPORTER_FAULTS
    ],
)
def test_a_fault_of_an_exporter_is_blamed_on_its_format_and_traced_to_the_layer(
    chain: Chain, name: str, fault: str
) -> None:
    change, layer = EXPORTER_FAULTS[fault]
    exporter = attribute(FORMATS[name].exporter)(change(chain.folded), ExportSettings(chain.job.contract))
    artifact = chain.artifact(name, "fp32", exporter.convert("fp32", QuantizationSettings()))
    message = chain.fault(chain.folded_twin, artifact)
    assert message.startswith(f"folded twin → {name} fp32: ")
    assert f"layer {layer!r}" in message or fault == "softmax twice"


def test_an_export_with_a_fault_of_the_exporter_writes_nothing(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = attribute(FORMATS["onnx"].exporter)
    monkeypatch.setattr(
        FORMATS["onnx"].exporter.replace(":", "."), lambda twin, settings: right(turned(twin), settings)
    )
    message = refused(run_folder, tmp_path / "out", bisect=True)
    assert message.startswith("folded twin → onnx fp32: ")
    assert "layer 'block_1_depthwise'" in message


def test_a_tanh_gelu_in_the_onnx_graph_is_blamed_on_it(chain: Chain, float32: dict[str, bytes]) -> None:
    model = onnx.load_from_string(float32["onnx"])
    for node in (node for node in model.graph.node if node.op_type == "Gelu"):
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("approximate", "tanh"))
    message = chain.fault(chain.folded_twin, chain.artifact("onnx", "fp32", model.SerializeToString()))
    assert message.startswith("folded twin → onnx fp32: logit error ")  # no probability moves by a ten-thousandth
    assert "layer 'block_0_gelu', those of block_0_expand still agree" in message


def test_a_convolution_of_the_onnx_graph_in_bfloat16_is_blamed_on_it(chain: Chain, float32: dict[str, bytes]) -> None:
    model = onnx.load_from_string(float32["onnx"])
    index, conv = next((i, n) for i, n in enumerate(model.graph.node) if n.op_type == "Conv")
    for place, name in enumerate(conv.input[:2]):
        narrow, wide = f"{name}/bfloat16", f"{name}/again"
        for node in (
            helper.make_node("Cast", [narrow], [wide], to=onnx.TensorProto.FLOAT),
            helper.make_node("Cast", [name], [narrow], to=onnx.TensorProto.BFLOAT16),
        ):
            model.graph.node.insert(index, node)
        conv.input[place] = wide
    artifact = chain.artifact("onnx", "fp32", model.SerializeToString())
    with pytest.raises(ParityFailed, match=r"^folded twin → onnx fp32: logit error \S+ from float64 > "):
        compare_float32(chain.folded_twin, artifact, chain.conditioning, chain.job.check_images, bisect=False)


def test_channels_read_in_another_order_are_blamed_on_the_onnx_graph(chain: Chain, float32: dict[str, bytes]) -> None:
    model = onnx.load_from_string(float32["onnx"])
    index, node = next((i, n) for i, n in enumerate(model.graph.node) if n.op_type == "Transpose")
    shape = numpy_helper.from_array(np.array([-1, 24, 8, 8] if index > 2 else [-1, 3, 32, 32]), "flat_shape")
    model.graph.initializer.append(shape)
    model.graph.node.insert(index, helper.make_node("Reshape", [node.input[0], "flat_shape"], node.output[:1]))
    model.graph.node.remove(node)
    artifact = chain.artifact("onnx", "fp32", model.SerializeToString())
    assert chain.fault(chain.folded_twin, artifact).startswith("folded twin → onnx fp32: ")


@pytest.mark.soak
def test_one_scale_for_all_channels_of_a_depthwise_kernel_is_blamed_on_quantization(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_scale(kernel: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], QuantParams]:
        scale = np.abs(kernel).max() / 127
        return np.rint(kernel / scale).astype(np.int8), QuantParams(np.full(kernel.shape[axis], scale), 0, axis)

    monkeypatch.setattr(tflite_static, "int8_weights", one_scale)
    message = refused(run_folder, tmp_path / "out", ("tflite",), "int8-full")
    assert message.startswith("tflite fp32 → tflite int8-full: ")
    assert "channels of the weights 'block_0_depthwise" in message


def saturating(kernel: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Weights on all 255 steps, whose pairs some CPU cannot add up in 16 bits."""
    scale = (np.abs(kernel).max(0) / 127).astype(np.float32)
    return np.rint(kernel / scale).astype(np.int8), scale


@pytest.mark.parametrize("kind", ["int8-dynamic", "int8"])
def test_weights_that_some_cpu_cannot_add_up_are_blamed_on_quantization(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Whatever this machine computes: the one with VNNI does not see the fault, the one without does."""
    images = chain.job.check_images.images[:8]
    right = chain.exporters["onnx"].convert(kind, QuantizationSettings(images))
    products = require_exact_integers("onnx fp32", ("onnx", kind), right)
    assert products is not None
    assert products.saturating == 0
    monkeypatch.setattr(onnx_int8, "per_channel", saturating)
    model = chain.exporters["onnx"].convert(kind, QuantizationSettings(images))
    with pytest.raises(ParityFailed) as caught:
        require_exact_integers("onnx fp32", ("onnx", kind), model)
    message = str(caught.value)
    assert re.match(rf"onnx fp32 → onnx {kind}: \d+ of \d+ columns of integer weights hold neighbours that ", message)


def test_an_export_whose_weights_some_cpu_cannot_add_up_writes_nothing(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_int8, "per_channel", saturating)
    message = refused(run_folder, tmp_path / "out", ("onnx",), "int8-dynamic")
    assert re.match(r"onnx fp32 → onnx int8-dynamic: \d+ of \d+ columns of integer weights hold neighbours", message)


def test_calibration_on_noise_is_blamed_on_the_calibration_images(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = ranges.choose

    def noise(*arguments: Any) -> ranges.Calibration:
        calibration = right(*arguments)
        pixels = np.random.default_rng(0).integers(0, 256, calibration.images.shape, dtype=np.uint8)
        return dataclasses.replace(calibration, images=pixels)

    monkeypatch.setattr(ranges, "choose", noise)
    message = refused(run_folder, tmp_path / "out", tuple(FORMATS), "int8")
    assert message.startswith("training part → calibration images: ")


def test_ranges_of_black_images_are_blamed_on_quantization(chain: Chain, float32: dict[str, bytes]) -> None:
    black = QuantizationSettings(np.zeros_like(chain.job.check_images.images[:8]))
    before = chain.artifact("tflite", "fp32", float32["tflite"])
    after = chain.artifact("tflite", "int8-full", chain.exporters["tflite"].convert("int8-full", black))
    assert chain.fault(before, after, "int8-full").startswith("tflite fp32 → tflite int8-full: ")


def test_clipped_activations_are_blamed_on_quantization(
    chain: Chain, float32: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = dataclasses.replace(tflite_static.INT16, headroom=0.2)
    monkeypatch.setitem(tflite_exporter.STATIC, "w8a16", narrow)
    settings = QuantizationSettings(chain.job.check_images.images[:8])
    before = chain.artifact("tflite", "fp32", float32["tflite"])
    after = chain.artifact("tflite", "w8a16", chain.exporters["tflite"].convert("w8a16", settings))
    assert chain.fault(before, after, "w8a16").startswith("tflite fp32 → tflite w8a16: ")


PREPARED = {"BGR for RGB": lambda array: array[..., ::-1], "/255 twice": lambda array: array // 255}


@pytest.mark.parametrize("fault", PREPARED)
def test_images_prepared_otherwise_than_in_training_are_blamed_on_that_step(chain: Chain, fault: str) -> None:
    data, metrics = chain.job.data, chain.job.source.test_metrics
    assert data is not None
    assert metrics is not None
    test = data.dataset.take(data.parts.test)
    probabilities = predict(chain.network, PREPARED[fault](test.images[:]), "reference", Silent())
    with pytest.raises(ParityFailed) as caught:
        require_trained_accuracy("float32 Keras", metrics, test.labels, probabilities)
    assert str(caught.value).startswith("training → float32 Keras: accuracy ")
    assert "images are prepared differently, or labels are in another order" in str(caught.value)


def test_an_export_of_images_prepared_otherwise_writes_nothing(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "prepare", lambda image, contract: prepare(image, contract)[..., ::-1])
    assert refused(run_folder, tmp_path / "out").startswith("training → float32 Keras: accuracy ")


def test_labels_in_another_order_than_in_training_are_blamed_on_that_step(run_folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    facts = json.loads((run / "run.json").read_bytes())
    facts["labels"] = facts["labels"][1:] + facts["labels"][:1]
    (run / "run.json").write_text(json.dumps(facts))
    assert refused(run, tmp_path / "out").startswith("training → float32 Keras: accuracy 0.00% on the test part")


def test_labels_turned_before_sealing_are_blamed_on_the_labels(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Job, "labels", ("right", "left", "up"))
    message = refused(run_folder, tmp_path / "out")
    assert message.startswith("onnx fp32 → labels: read by its labels it is right on ")


def test_a_float32_copy_that_lost_a_kernel_is_blamed_on_the_copying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras.utils.set_random_seed(0)
    model = networks.build("baseline_cnn", 3, (32, 32, 3), policy="mixed_bfloat16")
    kernel, bias = model.get_layer("head_logits").get_weights()
    model.get_layer("head_logits").set_weights([kernel * 30, bias])  # predictions far from equal
    model.save(tmp_path / "mixed.keras")
    lose_kernel = with_weights("head_logits", np.zeros_like)
    monkeypatch.setattr(keras_network, "in_float32", lambda network: lose_kernel(in_float32(network)))
    message = refused(tmp_path / "mixed.keras", tmp_path / "out", golden="synthetic")
    assert message.startswith("Keras in bfloat16 → float32 Keras: ")


def honest_exports(seeds: range, formats: tuple[str, ...], chain: Chain, data: Path, folder: Path) -> None:
    """Export networks with drawn weights and a trained last layer: none may raise an alarm."""
    images = chain.job.data
    assert images is not None
    train = images.dataset.take(images.parts.train)
    recipe = ExportRecipe(formats=formats, quantizations=("fp32", "int8-dynamic"))
    for seed in seeds:
        model = small_convnext(seed)
        fit_head(model, train.images[:], train.labels)
        model.save(folder / "net.keras")
        bundles = export(folder / "net.keras", recipe, folder / "out", Silent(), data=str(data))
        assert len(bundles) == 2 * len(formats)


@pytest.mark.soak
def test_honest_exports_raise_no_alarm(class_folders: Path, chain: Chain, tmp_path: Path) -> None:
    honest_exports(range(1, 5), ("onnx",), chain, class_folders, tmp_path)


@pytest.mark.soak
def test_ten_honest_exports_raise_no_alarm(class_folders: Path, chain: Chain, tmp_path: Path) -> None:
    honest_exports(range(1, 11), tuple(FORMATS), chain, class_folders, tmp_path)
