"""An LSTM from a SavedModel: no image's answer depends on the images before."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.errors import ExportError, UnsupportedOp
from bctoolkit.export.adoption.formats.tflite_file import TfliteFile
from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
from bctoolkit.export.tflite.convert import float_file
from bctoolkit.export.tflite.exporter import TfliteExporter
from bctoolkit.export.tflite.graph import Graph
from bctoolkit.export.tflite.passes.lstm import KIND, expand_lstm
from bctoolkit.networks import load_model
from bctoolkit.runtime.on_litert import open_model

tf_keras = pytest.importorskip("tf_keras", reason="needs tf-keras: pip install 'bctoolkit[keras2]'")

pytestmark = pytest.mark.slow

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def original() -> Any:
    """Rows of an image read forwards and backwards."""
    tf_keras.utils.set_random_seed(0)
    image = tf_keras.Input((8, 8, 3))
    x = tf_keras.layers.Reshape((8, 24))(image / 255.0)
    x = tf_keras.layers.Bidirectional(tf_keras.layers.LSTM(4))(x)
    return tf_keras.Model(image, tf_keras.layers.Dense(3, activation="softmax")(9 * x))


@pytest.fixture(scope="module")
def network(original: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("saved") / "rows"
    original.save(folder, save_format="tf")
    return load_model(folder)


@pytest.fixture(scope="module")
def expected(original: Any) -> NDArray[np.float32]:
    answers = np.asarray(original(IMAGES.astype(np.float32)))
    assert np.ptp(answers, axis=0).max() > 0.02
    return answers


@pytest.fixture(scope="module")
def as_converted(network: Any) -> bytes:
    """With its states in variables of the engine."""
    content = float_file(network, (8, 8, 3))
    assert len(Graph(content).variables()) == 4
    return content


def answers_in_a_row(content: bytes, images: NDArray[Any]) -> NDArray[np.float32]:
    """As an app of one's own calls the engine, image after image."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    answers = []
    for image in images:
        interpreter.set_tensor(source, image[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(target))
    return np.concatenate(answers)


@pytest.mark.parametrize(("kind", "bound"), [("fp32", 1e-6), ("fp16", 1e-3), ("int8-dynamic", 0.02)])
def test_an_exported_lstm_forgets_each_image(
    network: Any, expected: NDArray[np.float32], kind: str, bound: float
) -> None:
    exporter = TfliteExporter(network, ExportSettings(InputContract(height=8, width=8)))
    content = exporter.convert(kind, QuantizationSettings())
    assert Graph(content).variables() == []
    np.testing.assert_allclose(answers_in_a_row(content, IMAGES), expected, atol=bound)
    np.testing.assert_array_equal(answers_in_a_row(content, IMAGES[::-1])[::-1], answers_in_a_row(content, IMAGES))


def test_the_runtime_lets_files_made_elsewhere_forget(as_converted: bytes, expected: NDArray[np.float32]) -> None:
    remembering = answers_in_a_row(as_converted, IMAGES.astype(np.float32))
    assert np.abs(remembering - expected)[1:].max() > 0.01
    for provider in ("cpu", "builtin"):
        told = open_model(as_converted, provider, 1).run(IMAGES.astype(np.float32))
        np.testing.assert_allclose(told, expected, atol=1e-6)


def test_a_file_that_remembers_is_not_adopted(as_converted: bytes) -> None:
    with pytest.raises(ExportError, match=r"^rows\.tflite: keeps '.*' from one image to the next, .*\(unroll=True\)$"):
        TfliteFile(Path("rows.tflite"), as_converted)


def test_an_lstm_with_peepholes_is_refused(as_converted: bytes) -> None:
    graph = Graph(as_converted)
    lstm = next(operator for operator in graph.operators if graph.kind(operator) == KIND)
    lstm.inputs[9] = lstm.inputs[12]
    with pytest.raises(UnsupportedOp, match="is an LSTM with more than gates"):
        expand_lstm(graph)
