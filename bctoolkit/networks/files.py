"""Open a saved Keras model safely, or say in one line why not."""

import contextlib
import os
from pathlib import Path

import keras

from bctoolkit.errors import WeightsError

__all__ = ["load_model"]


def load_model(path: Path) -> keras.Model:
    """Load a `.keras` or `.h5` model without running any code stored in it.

    Raises:
        WeightsError: missing, not a Keras model, or it holds Python code (a lambda), which safe loading refuses.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        with open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink):
            model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as problem:  # Keras raises many kinds here, all of them about the file
        text = " ".join(str(problem).split())
        if "lambda" in text.lower():
            raise WeightsError(
                f"{path}: holds a Python lambda, which is never run from a file; replace it by a layer "
                "(keras.layers.Rescaling, a registered layer) and save again"
            ) from None
        raise WeightsError(f"{path}: not a Keras model that can be loaded ({text[:200]})") from None
    if not isinstance(model, keras.Model):
        raise WeightsError(f"{path}: holds a {type(model).__name__}, not a model")
    return model
