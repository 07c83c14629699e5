"""Pre-trained weights into our networks."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.applications.convnext import ConvNeXt

from bctoolkit.errors import WeightsError
from bctoolkit.networks import build, load_weights
from bctoolkit.networks.weights import APPLICATIONS, from_application
from tests.support.mini import MINI, add_mini

pytestmark = pytest.mark.slow

SIZE = 32


def stock_mini(**arguments: Any) -> Any:
    """What `keras.applications.ConvNeXtTiny` is to the tiny one."""
    mini = {"depths": list(MINI.blocks), "projection_dims": list(MINI.channels), "name": "convnext_mini"}
    return ConvNeXt(**mini | {"classifier_activation": "softmax", "classes": 10} | arguments)


@pytest.fixture
def mini(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adds `convnext_mini` to our networks and to Keras's applications."""
    add_mini(monkeypatch)
    monkeypatch.setitem(APPLICATIONS, "convnext_mini", "ConvNeXtMini")
    monkeypatch.setattr(keras.applications, "ConvNeXtMini", stock_mini, raising=False)


def random_application(name: str, top: bool = False) -> Any:
    """A Keras application whose weights are drawn so that every one of them matters."""
    keras.utils.set_random_seed(0)
    application = getattr(keras.applications, name)(
        weights=None, include_top=top, input_shape=(SIZE, SIZE, 3), pooling=None if top else "avg"
    )
    rng = np.random.default_rng(0)
    for weight in application.weights:
        if "layer_scale" in weight.path:
            weight.assign(rng.normal(0.5, 0.1, weight.shape))
        elif weight.path.endswith(("gamma", "beta", "bias")):
            weight.assign(rng.normal(1.0 if weight.path.endswith("gamma") else 0.0, 0.1, weight.shape))
    return application


def ours(name: str) -> Any:
    return build(name, 8, (SIZE, SIZE, 3))


def difference(application: Any, model: Any) -> float:
    """The largest between their features, of which the largest is more than a half."""
    images = np.random.default_rng(1).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.float32)
    expected = np.asarray(application(images, training=False))
    assert np.abs(expected).max() > 0.5
    features = keras.Model(model.input, model.get_layer("head_norm").output)
    return float(np.abs(np.asarray(features(images, training=False)) - expected).max())


@pytest.mark.usefixtures("mini")
def test_ours_gives_the_features_of_the_keras_application() -> None:
    application, model = random_application("ConvNeXtMini"), ours("convnext_mini")
    from_application(model, application)
    assert difference(application, model) <= 1e-4


@pytest.mark.soak
def test_a_weights_file_of_the_real_application_is_read(tmp_path: Path) -> None:
    application, model = random_application("ConvNeXtTiny"), ours("convnext_tiny")
    application.save_weights(tmp_path / "notop.weights.h5")
    assert "notop.weights.h5" in load_weights(model, str(tmp_path / "notop.weights.h5"))
    assert difference(application, model) <= 1e-4


@pytest.mark.usefixtures("mini")
@pytest.mark.parametrize("file", ["notop.weights.h5", "legacy.h5"])
def test_weights_files_of_both_keras_formats_are_read(file: str, tmp_path: Path) -> None:
    application, model = random_application("ConvNeXtMini"), ours("convnext_mini")
    save = application.save_weights if file.endswith(".weights.h5") else application.save
    save(tmp_path / file)
    assert file in load_weights(model, str(tmp_path / file))
    assert difference(application, model) <= 1e-4


@pytest.mark.usefixtures("mini")
def test_a_weights_file_with_the_imagenet_classifier_serves_too(tmp_path: Path) -> None:
    application, model = random_application("ConvNeXtMini", top=True), ours("convnext_mini")
    application.save_weights(tmp_path / "top.weights.h5")
    load_weights(model, str(tmp_path / "top.weights.h5"))
    theirs = application.get_layer("convnext_mini_stage_2_block_1_depthwise_conv").get_weights()[0]
    np.testing.assert_array_equal(
        model.get_layer("stage_2_block_1_depthwise").get_weights()[0][..., 0], theirs[:, :, 0]
    )


def test_a_run_of_ours_gives_its_backbone_and_keeps_another_classifier_out(tmp_path: Path) -> None:
    trained = build("convnext_atto", 3, (32, 32, 3), layer_scale=0.7)
    trained.save(tmp_path / "model.keras")
    model = build("convnext_atto", 5, (32, 32, 3))
    logits = model.get_layer("head_logits").get_weights()[0].copy()
    load_weights(model, str(tmp_path))
    np.testing.assert_array_equal(
        model.get_layer("stem_conv").get_weights()[0], trained.get_layer("stem_conv").get_weights()[0]
    )
    np.testing.assert_array_equal(model.get_layer("head_logits").get_weights()[0], logits)


def test_a_run_of_another_network_is_refused_with_the_first_layer_that_is_missing(tmp_path: Path) -> None:
    build("baseline_cnn", 3, (32, 32, 3)).save(tmp_path / "model.keras")
    with pytest.raises(WeightsError, match="is a baseline_cnn and has no layer stem_conv of convnext_atto"):
        load_weights(build("convnext_atto", 3, (32, 32, 3)), str(tmp_path / "model.keras"))


def test_weights_of_another_width_are_refused_with_the_first_shape_that_differs(tmp_path: Path) -> None:
    build("convnext_femto", 3, (32, 32, 3)).save(tmp_path / "model.keras")
    with pytest.raises(
        WeightsError, match=r"stem_conv/kernel has shape \(4, 4, 3, 48\), this network needs \(4, 4, 3, 40\)"
    ):
        load_weights(build("convnext_atto", 3, (32, 32, 3)), str(tmp_path))


@pytest.mark.usefixtures("mini")
def test_a_file_that_holds_no_such_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.weights.h5").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"x\.weights\.h5: not a whole HDF5 file"):
        load_weights(ours("convnext_mini"), str(tmp_path / "x.weights.h5"))


def test_a_path_that_is_not_there_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"'nowhere\.h5': neither 'imagenet', 'none' nor an existing file"):
        load_weights(build("baseline_cnn", 3, (32, 32, 3)), "nowhere.h5")


def test_imagenet_for_a_network_keras_has_none_for_says_which_it_has() -> None:
    with pytest.raises(WeightsError, match=r"no pre-trained convnext_atto; it has convnext_tiny, convnext_small"):
        load_weights(build("convnext_atto", 3, (32, 32, 3)), "imagenet")


def test_imagenet_without_network_is_one_line_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr("urllib.request._opener", None)  # which remembers the proxies of its first use
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))  # no earlier download
    with pytest.raises(WeightsError, match=r"the download failed .*convnext_tiny_notop\.h5 with --set weights=PATH"):
        load_weights(ours("convnext_tiny"), "imagenet")
