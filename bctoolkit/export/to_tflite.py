"""Write a float32 twin as TFLite with a fixed batch of one and built-in operators only."""

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from bctoolkit.errors import UnsupportedOp
from bctoolkit.export.exporter import Quantizing, Settings

__all__ = ["TfliteExporter"]


class TfliteExporter:
    """Writes a float32 twin as TFLite, one image at a time.

    The batch is fixed at one: with a free batch the graph is full of shape arithmetic, which keeps the XNNPACK
    delegate from taking it whole.
    """

    def __init__(self, twin: keras.Model, settings: Settings) -> None:
        self._twin, self._contract = twin, settings.contract

    def quantizable(self, quantization: str) -> tuple[str, ...]:
        """Layers whose product becomes one of integers."""
        kinds = (keras.layers.Dense, keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
        return tuple(layer.name for layer in self._twin.layers if isinstance(layer, kinds))

    def convert(self, quantization: str, quantizing: Quantizing) -> bytes:
        """A TFLite file's bytes.

        Raises:
            UnsupportedOp: a layer needs an operator that TFLite has not built in.
        """
        twin, contract = self._twin, self._contract
        signature = tf.TensorSpec((1, *contract.shape), contract.dtype, name="image")

        @tf.function(input_signature=[signature])  # type: ignore[untyped-decorator]
        def probabilities(image: tf.Tensor) -> tf.Tensor:
            return twin(tf.cast(image, tf.float32), training=False)

        constant = convert_variables_to_constants_v2(probabilities.get_concrete_function())
        converter = tf.lite.TFLiteConverter.from_concrete_functions([constant])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if quantization == "int8-dynamic":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        try:
            content: bytes = converter.convert()
        except Exception as problem:  # the converter raises its compiler's errors as plain exceptions
            raise UnsupportedOp(f"TFLite cannot express {twin.name}: {' '.join(str(problem).split())[:300]}") from None
        return content
