"""What computes in float64: networks whose parts cast what they are called with too."""

import keras
import numpy as np
from keras import layers

from bctoolkit.export.keras_graph.precision import float64
from perf.families.sources.notebook_layers import ConvolutionalClassifier


def test_a_subclassed_network_of_sequential_parts_computes_in_float64() -> None:
    inner = ConvolutionalClassifier(3, width=4)
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, inner(image))
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    exact = float64(model, images)
    assert exact is not None
    assert exact.dtype == np.float64
    np.testing.assert_allclose(exact, np.asarray(model(images.astype(np.float32))), atol=1e-5)
    stage = inner.stages[0]
    assert isinstance(stage.layers[0], layers.Conv2D)
    assert stage.input_dtype == stage.inputs[0].dtype == "float32", "left as it was"
