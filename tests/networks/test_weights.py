"""Pre-trained weights into our networks."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from bctoolkit.errors import WeightsError
from bctoolkit.networks import build, load_weights
from bctoolkit.networks.weights import from_application


def random_application(name: str, top: bool = False) -> Any:
    """A Keras application whose weights are drawn so that every one of them matters."""
    keras.utils.set_random_seed(0)
    shape = None if top else (96, 96, 3)
    application = getattr(keras.applications, name)(
        weights=None, include_top=top, input_shape=shape, pooling=None if top else "avg"
    )
    rng = np.random.default_rng(0)
    for weight in application.weights:
        if "layer_scale" in weight.path:
            weight.assign(rng.normal(0.5, 0.1, weight.shape))
        elif weight.path.endswith(("gamma", "beta", "bias")):
            weight.assign(rng.normal(1.0 if weight.path.endswith("gamma") else 0.0, 0.1, weight.shape))
    return application


def features(model: Any) -> Any:
    return keras.Model(model.input, model.get_layer("head_norm").output)


def images(count: int = 2) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 96, 96, 3)).astype(np.float32)


@pytest.mark.slow
def test_full_size_small_gives_the_features_of_the_keras_application() -> None:
    application, ours = random_application("ConvNeXtSmall"), build("convnext_small", 8)
    from_application(ours, application)
    expected, found = application.predict(images(), verbose=0), features(ours).predict(images(), verbose=0)
    assert np.abs(expected).max() > 0.5
    assert np.abs(expected - found).max() <= 1e-4


@pytest.fixture(scope="module")
def tiny() -> Any:
    return random_application("ConvNeXtTiny")


def test_weights_files_of_both_keras_formats_are_read(tiny: Any, tmp_path: Path) -> None:
    expected = tiny.predict(images(), verbose=0)
    tiny.save_weights(tmp_path / "notop.weights.h5")
    tiny.save(tmp_path / "legacy.h5")
    for file in ("notop.weights.h5", "legacy.h5"):
        ours = build("convnext_tiny", 8)
        assert file in load_weights(ours, str(tmp_path / file))
        assert np.abs(features(ours).predict(images(), verbose=0) - expected).max() <= 1e-4, file


def test_a_weights_file_with_the_imagenet_classifier_serves_too(tmp_path: Path) -> None:
    application = random_application("ConvNeXtTiny", top=True)
    application.save_weights(tmp_path / "top.weights.h5")
    ours = build("convnext_tiny", 8)
    load_weights(ours, str(tmp_path / "top.weights.h5"))
    given = application.get_layer("convnext_tiny_stage_2_block_4_depthwise_conv").get_weights()[0]
    np.testing.assert_array_equal(ours.get_layer("stage_2_block_4_depthwise").get_weights()[0][..., 0], given[:, :, 0])


def test_a_run_of_ours_gives_its_backbone_and_keeps_another_classifier_out(tmp_path: Path) -> None:
    given = build("convnext_atto", 3, (32, 32, 3), layer_scale=0.7)
    given.save(tmp_path / "model.keras")
    ours = build("convnext_atto", 5, (32, 32, 3))
    logits = ours.get_layer("head_logits").get_weights()[0].copy()
    load_weights(ours, str(tmp_path))
    np.testing.assert_array_equal(
        ours.get_layer("stem_conv").get_weights()[0], given.get_layer("stem_conv").get_weights()[0]
    )
    np.testing.assert_array_equal(ours.get_layer("head_logits").get_weights()[0], logits)


def test_a_run_of_another_network_is_refused_with_the_first_layer_that_is_missing(tmp_path: Path) -> None:
    build("baseline_cnn", 3, (32, 32, 3)).save(tmp_path / "model.keras")
    with pytest.raises(WeightsError, match="is a baseline_cnn and has no layer stem_conv of convnext_atto"):
        load_weights(build("convnext_atto", 3, (32, 32, 3)), str(tmp_path / "model.keras"))


def test_weights_of_another_width_are_refused_with_the_first_shape_that_differs(tmp_path: Path) -> None:
    build("convnext_femto", 3, (32, 32, 3)).save(tmp_path / "model.keras")
    with pytest.raises(
        WeightsError, match=r"stem_conv/kernel has shape \(4, 4, 3, 48\), this network wants \(4, 4, 3, 40\)"
    ):
        load_weights(build("convnext_atto", 3, (32, 32, 3)), str(tmp_path))


def test_a_file_that_holds_no_such_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.weights.h5").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"x\.weights\.h5: not weights of keras\.applications\.ConvNeXtTiny"):
        load_weights(build("convnext_tiny", 3), str(tmp_path / "x.weights.h5"))


def test_a_path_that_is_not_there_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"'nowhere\.h5': neither 'imagenet', 'none' nor an existing file"):
        load_weights(build("baseline_cnn", 3, (32, 32, 3)), "nowhere.h5")


def test_imagenet_for_a_network_keras_has_none_for_says_which_it_has() -> None:
    with pytest.raises(WeightsError, match=r"no pre-trained convnext_atto; it has convnext_tiny, convnext_small"):
        load_weights(build("convnext_atto", 3, (32, 32, 3)), "imagenet")


def test_imagenet_without_network_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    code = (
        "from bctoolkit.networks import build, load_weights\n"
        "from bctoolkit.errors import WeightsError\n"
        "try: load_weights(build('convnext_tiny', 3), 'imagenet')\n"
        "except WeightsError as error: print('REFUSED', error)\n"
    )
    closed = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "KERAS_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | closed, capture_output=True, text=True, timeout=300, check=True
    )
    (line,) = [line for line in done.stdout.splitlines() if "REFUSED" in line]
    assert "the download failed" in line
    assert "convnext_tiny_notop.h5 with --set weights=PATH" in line
