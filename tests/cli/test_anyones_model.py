"""A model file of someone else through the command line: what it eats is stated, sealed, and runs as on a device."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from bctoolkit.bundle import read
from tests.support.cli import Bctk
from tests.support.colours import COLOURS, colour_images, colour_network, write_colours

BRIGHTNESS = ("bright", "dark", "middle")
CENTRES = np.array([190.0, 60.0, 125.0])


def brightness_network(path: Path) -> None:
    """Tells three classes of grey 16×16 images by their mean: of normal distributions round `CENTRES`."""
    model = keras.Sequential(
        [keras.Input((None, None, 1)), layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax")]
    )
    model.set_weights([2 * CENTRES[None] / 400, -(CENTRES**2) / 400])
    model.save(path)


def write_brightness(root: Path, mode: str) -> Path:
    rng = np.random.default_rng(0)
    for name, centre in zip(BRIGHTNESS, CENTRES, strict=True):
        (root / name).mkdir(parents=True)
        for index in range(30):
            pixels = np.clip(centre + rng.uniform(-15, 15) + rng.normal(0, 9, (16, 16)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).convert(mode).save(root / name / f"{index}.png")
    return root


def test_a_grey_network_of_any_size_goes_all_the_way(bctk: Bctk, tmp_path: Path) -> None:
    brightness_network(tmp_path / "grey.keras")
    grey, rgb = write_brightness(tmp_path / "grey", "L"), write_brightness(tmp_path / "rgb", "RGB")
    refused = bctk("export", "grey.keras", "--data", grey)
    assert refused.returncode == 1
    assert (
        "takes images of any size (height×width any×any); fix the one it was trained on with --size" in refused.stderr
    )
    done = bctk("export", "grey.keras", "--data", grey, "--size", "16", "--format", "onnx", "--format", "tflite")
    assert done.returncode == 0, done.stderr
    assert "labels: the folders by the alphabet, bright,dark,middle; in that order right on 100.0%" in done.stderr
    for line in done.stdout.splitlines()[:-1]:
        bundle = tmp_path / line
        assert read(bundle).manifest.input.shape == (16, 16, 1)
        verified = bctk("verify", bundle)
        assert verified.returncode == 0, verified.stderr
        answers = bctk("predict", bundle, grey / "dark" / "0.png", rgb / "dark" / "0.png", "--json")
        first, second = (json.loads(answer) for answer in answers.stdout.splitlines())
        assert first["label"] == "dark"
        assert first["probabilities"] == second["probabilities"]
        evaluated = bctk("evaluate", bundle, "--data", rgb, "--part", "all", "--json")
        assert json.loads(evaluated.stdout)["accuracy"] == 1.0


def test_what_a_network_eats_is_stated_in_one_line_each(bctk: Bctk, tmp_path: Path) -> None:
    colour_network("caffe", None).save(tmp_path / "net.keras")
    data = write_colours(tmp_path / "set")
    stopped = bctk("export", "net.keras", "--data", data)
    assert stopped.returncode == 1
    (line,) = [line for line in stopped.stderr.splitlines() if line.startswith("error: ")]
    assert line.endswith("on 100.0% with --scale caffe; give --scale caffe")
    (tmp_path / "labels.json").write_text(json.dumps(COLOURS))
    done = bctk("export", "net.keras", "--data", data, "--scale", "caffe", "--labels", "labels.json")
    assert done.returncode == 0, done.stderr
    assert "softmax added: the network ends in logits" in done.stderr
    manifest = read(tmp_path / done.stdout.splitlines()[0]).manifest
    assert manifest.labels == COLOURS
    assert manifest.adaptation is not None
    assert (manifest.adaptation.scale, manifest.adaptation.channels, manifest.adaptation.head) == (
        "caffe",
        "bgr",
        "softmax",
    )
    images, truth = colour_images(1, seed=7)
    Image.fromarray(images[2]).save(tmp_path / "one.png")
    predicted = bctk("predict", done.stdout.splitlines()[0], "one.png", "--json")
    assert json.loads(predicted.stdout)["label"] == COLOURS[truth[2]]


def test_without_labelled_images_it_is_said_that_nothing_was_checked(bctk: Bctk, tmp_path: Path) -> None:
    colour_network("0-1").save(tmp_path / "net.keras")
    done = bctk("export", "net.keras", "--golden", "synthetic")
    assert done.returncode == 0, done.stderr
    assert "net is fed values 0–255; no labelled images tell whether it wants another --scale" in done.stderr
    again = bctk("export", "net.keras", "--golden", "synthetic", "--scale=1/255,0")
    assert "no labelled images" not in again.stderr
    assert read(tmp_path / again.stdout.splitlines()[0]).manifest.adaptation is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--scale", "tf"), "--scale tf: wanted none, 0-1, -1-1, imagenet, caffe, or FACTOR,OFFSET"),
        (("--scale", "0,0"), "scale: a factor of 0 leaves nothing of the image"),
        (("--size", "big"), "--size big: wanted pixels, as 96, or height and width, as 96x128"),
        (("--labels", "absent.txt"), "--labels absent.txt: no such file"),
        (("--labels", "a,b"), "--labels names 2 classes, but the network has 6 outputs"),
        (("--size", "32"), "takes images of height×width 16×16, not 32×32; leave out --size"),
        (("--channels", "grey", "--scale", "caffe"), "scale 'caffe' takes BGR, not 'grey'"),
        (("--output", "other"), "has no output 'other'; its outputs: dense"),
    ],
)
def test_options_that_make_no_sense_are_one_line(
    bctk: Bctk, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    colour_network("none").save(tmp_path / "net.keras")
    done = bctk("export", "net.keras", "--golden", "synthetic", *options)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
