"""The flat graph that is made of a network: its names, what it shares, and what is refused by name."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from bctoolkit.contract import InputContract
from bctoolkit.errors import ExportError, UnsupportedOp
from bctoolkit.export.exporter import ExportSettings
from bctoolkit.export.keras_graph.state import require_finite, training_warning
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.export.keras_graph.walk import rebuild, walk
from bctoolkit.export.onnx.exporter import OnnxExporter, graph_of
from bctoolkit.export.tflite.exporter import TfliteExporter

pytestmark = pytest.mark.slow

SETTINGS = ExportSettings(InputContract(height=8, width=8, dtype="float32"))


def model_of(*bodies: Any, name: str = "network") -> keras.Model:
    inputs = keras.Input((8, 8, 3), name="image")
    x = inputs
    for body in bodies:
        x = body(x)
    return keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten(name="flat")(x)), name=name)


def names(model: keras.Model) -> list[str]:
    return [operation.name for operation in model.operations]


def member(name: str) -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, layers.Conv2D(2, 3, name="conv")(layers.ReLU(name="relu")(inputs)), name=name)


class Block(layers.Layer):
    """A layer of layers whose arguments are not in its config."""

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = layers.Dense(width, name="dense", dtype=self.dtype_policy)

    def build(self, shape: Any) -> None:
        self.dense.build(shape)
        self.gate = self.add_weight(shape=(shape[-1],), name="gate", initializer="ones")
        self.built = True

    def call(self, x: Any) -> Any:
        return x + ops.tanh(self.dense(x)) * self.gate


class Opaque(Block):
    """One that looks at the size of its batch, which symbolic tensors do not have."""

    def get_config(self) -> dict[str, Any]:
        return super().get_config()  # without the width, for now Keras takes it to be all there is

    def call(self, x: Any) -> Any:
        return self.dense(ops.reshape(x, (ops.size(x) // 192, 8, 8, 3))) + self.gate


def test_parts_are_named_after_what_they_are_part_of() -> None:
    expected = ["image", "block.dense", "block.tanh", "block.multiply", "block.add", "flat", "head"]
    for _ in range(2):  # Keras counts the operations it names; these names do not
        assert names(freeze(model_of(Block(3, name="block")))) == expected


def test_several_of_one_name_are_named_after_the_models_around_them() -> None:
    inputs = keras.Input((8, 8, 3), name="image")
    relu = layers.ReLU(name="alone")
    outputs = layers.Add(name="sum")([member("one")(relu(inputs)), member("two")(inputs)])
    twin = freeze(keras.Model(inputs, outputs))
    assert set(names(twin)) == {"image", "alone", "one.relu", "one.conv", "two.relu", "two.conv", "sum"}


def test_a_shared_model_stays_shared() -> None:
    inputs = keras.Input((8, 8, 3), name="image")
    shared = member("shared")
    twin = freeze(keras.Model(inputs, layers.Add(name="sum")([shared(inputs), shared(layers.ELU(name="elu")(inputs))])))
    assert sorted(names(twin)) == ["conv", "elu", "image", "relu", "sum"]
    assert twin.count_params() == shared.count_params()


def test_a_layer_that_its_config_does_not_build_is_used_as_it_is() -> None:
    layer = Opaque(3, name="opaque")
    model = model_of(layer)
    calls = len(layer._inbound_nodes)
    twin = fold(freeze(model))
    used = twin.get_layer("opaque")
    assert used is not layer
    assert used.weights[0] is layer.weights[0]
    assert len(layer._inbound_nodes) == calls
    image = np.ones((1, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(model(image), twin(image))


def test_what_computes_in_another_dtype_and_cannot_be_built_anew_is_named() -> None:
    model = model_of(Opaque(3, name="opaque", dtype="mixed_float16"))
    with pytest.raises(UnsupportedOp, match=r"layer 'opaque' \(Opaque\) computes in float16 and its get_config\(\)"):
        freeze(model)


def test_parts_compute_in_float32_where_the_whole_did_not() -> None:
    model = model_of(Block(3, name="block", dtype="mixed_float16"))
    twin = freeze(model)
    assert {layer.compute_dtype for layer in twin.layers} == {"float32"}
    image = np.random.default_rng(0).uniform(0, 1, (1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(twin(image)), np.asarray(model(image), np.float32), atol=1e-2)


def test_gates_of_a_users_block_are_folded() -> None:
    class Gate(layers.Layer):
        def build(self, shape: Any) -> None:
            self.gate = self.add_weight(shape=(shape[-1],), name="gate", initializer="uniform")

        def call(self, x: Any) -> Any:
            return (x * self.gate - 0.5) / 2.0

    model = model_of(layers.Conv2D(4, 3, name="conv"), Gate(name="gate"), layers.ReLU(name="relu"))
    twin = fold(freeze(model))
    assert names(twin) == ["image", "conv", "relu", "flat", "head"]
    image = np.random.default_rng(0).uniform(0, 1, (1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(twin(image)), np.asarray(model(image)), atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_no_number_is_named(value: float) -> None:
    model = model_of(member("inner"))
    kernel = model.get_layer("inner").get_layer("conv").kernel
    array = np.array(kernel)
    array[0, 0, 0, 0] = value
    kernel.assign(array)
    with pytest.raises(ExportError, match=r"network: 1 of 54 values of weight 'kernel' of layer 'conv' \(Conv2D\) are"):
        require_finite(model, "network")


def test_layers_called_for_training_are_named_and_run_as_keras_runs_them() -> None:
    inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(name="norm", moving_mean_initializer="ones")(inputs, training=True)
    inner = keras.Model(inputs, layers.Dropout(0.5, name="drop")(x, training=True), name="inner")
    model = model_of(inner)
    warning = training_warning(model) or ""
    assert "'norm'" in warning
    assert "'drop'" in warning
    assert "batch normalization uses its moving statistics" in warning
    image = np.random.default_rng(0).uniform(0, 9, (2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(freeze(model)(image)), np.asarray(model(image, training=False)), atol=1e-5)


def test_layers_called_for_inference_are_not_named() -> None:
    inputs = keras.Input((8, 8, 3))
    assert training_warning(keras.Model(inputs, layers.Dropout(0.5)(inputs, training=False))) is None


def test_a_layer_that_insists_on_the_batch_is_left_whole() -> None:
    class Insists(layers.Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.norm = layers.BatchNormalization()

        def call(self, x: Any) -> Any:
            return self.norm(x, training=True)

    assert "insists" in names(freeze(model_of(Insists(name="insists"))))


def test_what_goes_wrong_inside_a_layer_is_one_line_that_names_it() -> None:
    def visit(operation: Any, *args: Any) -> Any:
        raise KeyError("of its own")

    with pytest.raises(ExportError, match=r"^layer 'flat' \(Flatten\): 'of its own'$") as caught:
        walk(model_of(), "image", visit)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_visit_that_loses_an_output_is_noticed() -> None:
    model = model_of(lambda x: ops.add(*ops.split(x, [1], axis=1)[:1], 1.0))
    with pytest.raises(ExportError, match=r"layer 'split.*' \(Split\): 2 outputs became 1"):
        walk(model, "image", lambda operation, *args, **kwargs: operation.name)


def test_a_model_with_a_call_of_its_own_is_not_what_its_graph_says() -> None:
    class Twice(keras.Model):
        def call(self, x: Any) -> Any:
            return 2.0 * super().call(x)

    inputs = keras.Input((8, 8, 3))
    inner = Twice(inputs, layers.Dense(3, name="dense")(inputs), name="twice")
    model = model_of(inner)
    image = np.random.default_rng(0).uniform(0, 1, (2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(freeze(model)(image)), np.asarray(model(image)), atol=1e-5)
    with pytest.raises(UnsupportedOp, match="twice: a subclassed model has no graph"):
        freeze(inner)


def test_a_recurrent_layer_that_remembers_other_images_is_refused() -> None:
    inputs = keras.Input(batch_shape=(1, 4, 3))
    model = keras.Model(inputs, layers.LSTM(2, stateful=True, name="lstm")(inputs))
    with pytest.raises(UnsupportedOp, match=r"layer 'lstm' \(LSTM\) is stateful: .* build it with stateful=False"):
        freeze(model)


def test_a_sequence_of_open_length_is_refused() -> None:
    inputs = keras.Input((None, 3))
    with pytest.raises(UnsupportedOp, match=r"layer 'gru' \(GRU\) reads a sequence of no fixed length"):
        freeze(keras.Model(inputs, layers.GRU(2, name="gru")(inputs)))


def test_several_outputs_of_a_model_stay_several() -> None:
    inputs = keras.Input((8, 8, 3), name="image")
    copy = rebuild(keras.Model(inputs, {"b": inputs * 2.0, "a": inputs * 3.0}), lambda operation: [operation])
    assert [tuple(output.shape) for output in copy.outputs] == [(None, 8, 8, 3)] * 2


@pytest.mark.soak
def test_parts_of_a_layer_are_quantized_one_by_one() -> None:
    attention = layers.MultiHeadAttention(2, 8, name="attention")
    model = model_of(layers.Reshape((64, 3), name="rows"), layers.Dense(16, name="in"), lambda x: attention(x, x))
    twin = fold(freeze(model))
    parts = {f"attention.{part}" for part in ("query", "key", "value", "attention_output")}
    assert parts <= set(OnnxExporter(twin, SETTINGS).quantizable("int8-dynamic"))
    assert parts & set(TfliteExporter(twin, SETTINGS).quantizable("int8-dynamic"))


def test_what_tf2onnx_writes_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    twin = freeze(model_of(Opaque(3, name="opaque"), layers.ReLU()))
    with caplog.at_level("DEBUG", logger="bctoolkit.export.onnx.tf2onnx"):
        graph_of(twin, SETTINGS)
    assert [record.getMessage() for record in caplog.records] == ["Opaque opaque"]
