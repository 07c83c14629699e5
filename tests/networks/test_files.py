"""Opening saved Keras models safely."""

from pathlib import Path

import keras
import pytest

from bctoolkit.errors import WeightsError
from bctoolkit.networks import load_model


def test_a_file_with_a_lambda_is_refused_with_the_remedy(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x / 255)(inputs)).save(tmp_path / "lambda.keras")
    with pytest.raises(WeightsError, match=r"lambda\.keras: holds a Python lambda.*save again"):
        load_model(tmp_path / "lambda.keras")


def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"not a zip file")
    with pytest.raises(WeightsError, match="not a Keras model") as caught:
        load_model(tmp_path / "model.keras")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.keras: no such file"):
        load_model(tmp_path / "gone.keras")
