"""Opening a SavedModel: its graph and nothing else, and only what computes."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from bctoolkit.errors import WeightsError
from bctoolkit.networks import has_graph, load_model
from bctoolkit.networks.traced import forbidden

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.float32)


def save(folder: Path, function: Callable[..., Any], dtype: Any = tf.float32, shape: Any = (None, 8, 8, 3)) -> Path:
    """Save a module whose serving signature is `function(images, weights)`."""
    module = tf.Module()
    module.weights = tf.Variable(np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32))
    signature = tf.function(
        lambda images: function(images, module.weights), input_signature=[tf.TensorSpec(shape, dtype, name="images")]
    )
    module.signature = signature
    tf.saved_model.save(module, str(folder), signatures=signature)
    return folder


def mean(images: Any, weights: Any) -> Any:
    return tf.nn.softmax(tf.reduce_mean(tf.cast(images, tf.float32), [1, 2]) @ weights / 32)


def refusal(folder: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_model(folder)
    text = str(caught.value)
    assert text.startswith(f"{folder}: ")
    assert "\n" not in text
    return text.removeprefix(f"{folder}: ")


def test_the_serving_signature_is_one_operation(tmp_path: Path) -> None:
    model = load_model(save(tmp_path / "net", mean))
    assert has_graph(model)
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Traced"]
    assert (model.input_shape, model.output_shape) == ((None, 8, 8, 3), (None, 2))
    weights = np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32)
    np.testing.assert_allclose(model(IMAGES), mean(IMAGES, weights), atol=1e-6)


def test_what_keras_exports_answers_as_it_did(tmp_path: Path) -> None:
    stack = [keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(), keras.layers.GlobalAveragePooling2D()]
    network = keras.Sequential([keras.Input((8, 8, 3)), *stack])
    network.export(tmp_path / "net", verbose=False)
    np.testing.assert_allclose(load_model(tmp_path / "net")(IMAGES), network(IMAGES), atol=1e-4)


def test_grouped_convolutions_are_open_to_the_converters(tmp_path: Path) -> None:
    network = keras.Sequential([keras.Input((8, 8, 4)), keras.layers.Conv2D(8, 3, groups=2, activation="gelu")])
    network.export(tmp_path / "net", verbose=False)
    model = load_model(tmp_path / "net")
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype(np.float32)
    np.testing.assert_allclose(model(images), network(images), atol=1e-6)
    graph = tf.function(model).get_concrete_function(tf.TensorSpec((None, 8, 8, 4))).graph.as_graph_def()
    assert not any("_XlaMustCompile" in function.attr for function in graph.library.function)


def test_a_pipe_among_the_weights_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "net", mean)
    (folder / "variables" / "variables.index").unlink()
    os.mkfifo(folder / "variables" / "variables.index")
    with pytest.raises(WeightsError, match=r"net/variables: holds what is no file; copy the folder again"):
        load_model(folder)


def test_an_input_of_bytes_is_fed_bytes(tmp_path: Path) -> None:
    model = load_model(save(tmp_path / "net", mean, tf.uint8))
    assert model.input.dtype == "float32"
    np.testing.assert_allclose(model(IMAGES), load_model(save(tmp_path / "other", mean))(IMAGES), atol=1e-6)


def test_several_outputs_keep_their_names(tmp_path: Path) -> None:
    model = load_model(save(tmp_path / "net", lambda x, w: {"kind": mean(x, w), "quality": mean(x, w)[:, :1]}))
    assert sorted(model.output_names) == ["kind", "quality"]


def test_a_part_of_the_folder_is_told_the_folder(tmp_path: Path) -> None:
    file = save(tmp_path / "net", mean) / "saved_model.pb"
    assert refusal(file) == f"is a part of a SavedModel; give its folder: bctk export {tmp_path / 'net'}"


def test_a_second_signature_that_reads_files_is_not_run_and_does_not_matter(tmp_path: Path) -> None:
    module = tf.Module()
    module.image = tf.function(lambda x: tf.reduce_mean(x, [1, 2]), input_signature=[tf.TensorSpec((None, 8, 8, 3))])
    decode = tf.function(lambda x: tf.io.decode_jpeg(x), input_signature=[tf.TensorSpec((), tf.string)])
    tf.saved_model.save(module, str(tmp_path / "net"), signatures={"serving_default": module.image, "bytes": decode})
    assert load_model(tmp_path / "net").output_shape == (None, 3)


def writes(images: Any, weights: Any) -> Any:
    tf.io.write_file("was_run", "x")
    return mean(images, weights)


def reads_in_a_branch(images: Any, weights: Any) -> Any:
    tf.cond(tf.reduce_mean(images) > 300, lambda: tf.io.read_file("/etc/hostname"), lambda: tf.constant(""))
    return mean(images, weights)


@pytest.mark.parametrize(
    ("function", "operator"),
    [
        (writes, "WriteFile"),
        (reads_in_a_branch, "ReadFile"),
        (lambda x, w: tf.ensure_shape(tf.numpy_function(lambda a: a, [mean(x, w)], tf.float32), (None, 2)), "PyFunc"),
        (lambda x, w: tf.ensure_shape(tf.py_function(lambda a: a, [mean(x, w)], tf.float32), (None, 2)), "EagerPyFunc"),
        (lambda x, w: mean(x, w) + tf.strings.to_number(tf.strings.join(["1", "2"])), "StringJoin"),
    ],
)
def test_a_graph_that_does_more_than_compute_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: Any, operator: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = save(tmp_path / "net", function)
    (tmp_path / "was_run").unlink(missing_ok=True)
    message = refusal(folder)
    assert re.match(r"its graph holds \w+, which reaches beyond the network", message)
    assert operator in message
    assert not (tmp_path / "was_run").exists()


def test_what_runs_when_a_table_is_loaded_is_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a\nb\n")
    initializer = tf.lookup.TextFileInitializer(str(tmp_path / "words.txt"), tf.string, 0, tf.int64, 1, delimiter=" ")
    module = tf.Module()
    (tmp_path / "words.txt").write_text("a 1\nb 2\n")
    module.table = tf.lookup.StaticHashTable(initializer, -1)
    module.image = tf.function(lambda x: tf.reduce_mean(x, [1, 2]), input_signature=[tf.TensorSpec((None, 8, 8, 3))])
    tf.saved_model.save(module, str(tmp_path / "net"), signatures=module.image)
    assert re.match(r"its graph holds (InitializeTableFromTextFileV2|HashTableV2),", refusal(tmp_path / "net"))


@pytest.mark.parametrize(
    ("dtype", "shape", "message"),
    [
        (tf.float32, (1, 8, 8, 3), "takes 1 images at a time; save it with a signature whose first axis"),
        (tf.float32, (None, 8, 8), "takes float32 of shape (None, 8, 8); expected a batch of images"),
        (tf.float32, None, "takes float32 of shape <unknown>; expected a batch of images"),
    ],
)
def test_an_input_that_is_no_batch_of_images_is_refused(tmp_path: Path, dtype: Any, shape: Any, message: str) -> None:
    folder = save(tmp_path / "net", lambda x, w: tf.reduce_sum(x) * w, dtype, shape)
    assert refusal(folder).startswith(message)


def test_text_is_no_image(tmp_path: Path) -> None:
    folder = save(tmp_path / "net", lambda x, w: tf.zeros((2, 2)) @ tf.transpose(w)[:, :2], tf.string, (None, 8, 8, 3))
    assert refusal(folder).startswith("takes string of shape (None, 8, 8, 3); expected a batch of images")


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    module, spec = tf.Module(), tf.TensorSpec((None, 8, 8, 3))
    both = tf.function(lambda first, second: first + second, input_signature=[spec, spec])
    tf.saved_model.save(module, str(tmp_path / "net"), signatures=both)
    assert refusal(tmp_path / "net").startswith("takes 2 inputs (first, second); expected one image")


def test_a_folder_without_the_signature_names_those_it_has(tmp_path: Path) -> None:
    module = tf.Module()
    other = tf.function(lambda x: x, input_signature=[tf.TensorSpec((None, 8, 8, 3))])
    tf.saved_model.save(module, str(tmp_path / "net"), signatures={"embed": other})
    assert refusal(tmp_path / "net").startswith("has no signature 'serving_default' (signatures: embed); save it with")
    tf.saved_model.save(module, str(tmp_path / "bare"))
    assert refusal(tmp_path / "bare").startswith("has no signature 'serving_default' (signatures: none)")


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.index"])
def test_a_damaged_folder_is_one_line(tmp_path: Path, file: str) -> None:
    folder = save(tmp_path / "net", mean)
    (folder / file).write_bytes((folder / file).read_bytes()[:-40] + b"?" * 20)
    assert refusal(folder).startswith("not a SavedModel that can be loaded (")


def test_a_folder_of_tensorflow_1_is_refused(tmp_path: Path) -> None:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    folder = save(tmp_path / "net", mean)
    content = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    content.meta_graphs[0].ClearField("object_graph_def")
    (folder / "saved_model.pb").write_bytes(content.SerializeToString())
    assert refusal(folder) == "written by TensorFlow 1; load it there and save it with TensorFlow 2"


@pytest.mark.parametrize(
    "name",
    [
        "ReadFile",
        "MatchingFiles",
        "PyFuncStateless",
        "PrintV2",
        "RestoreV2",
        "NoSuchOp",
        "XlaCustomCallV2",
        "InitializeTableFromTextFile",
        "IteratorGetNext",
        "TFRecordDataset",
    ],
)
def test_an_operator_that_reaches_out_is_forbidden(name: str) -> None:
    assert forbidden(["Conv2D", name]) == name


def test_the_operators_of_networks_are_not() -> None:
    names = """
        AddV2 AvgPool Cast Const Conv2D DepthwiseConv2dNative Einsum FusedBatchNormV3 If MatMul Placeholder
        ReadVariableOp Relu6 ResizeBilinear Softmax StatefulPartitionedCall StridedSlice While
    """
    assert forbidden(names.split()) is None
