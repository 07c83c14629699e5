"""Write a float32 twin as TFLite with a fixed batch of one and built-in operators only."""

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from bctoolkit.contract import InputContract
from bctoolkit.errors import UnsupportedOp

__all__ = ["convert"]


def convert(twin: keras.Model, quantization: str, contract: InputContract) -> bytes:
    """A TFLite file's bytes.

    The batch is fixed at one: with a free batch the graph is full of shape arithmetic, which keeps the XNNPACK
    delegate from taking it whole.

    Args:
        twin: a model of `bctoolkit.export.twin`.
        quantization: `fp32` or `int8-dynamic`.
        contract: dtype of the input; its shape is (1, height, width, channels).

    Raises:
        UnsupportedOp: a layer needs an operator that TFLite has not built in.
    """
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
